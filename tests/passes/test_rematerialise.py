"""Rematerialisation: less memory, the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualgraph.backends.array import NumpyBackend
from dualgraph.core import dtypes as dt
from dualgraph.core.errors import ArgumentError
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.passes.fuse import fuse
from dualgraph.passes.inplace import inplace
from dualgraph.passes.memory import lower_bound
from dualgraph.passes.pipeline import Hooks, optimise
from dualgraph.passes.rematerialise import rematerialise
from dualgraph.passes.schedule import schedule
from dualgraph.passes.sizes import as_bytes
from dualgraph.static.graph import Graph, GraphBuilder, verify_types
from dualgraph.static.interpreter import interpret
from tests.passes.fusible import may_be_fused
from tests.passes.random_graphs import random_graph, random_inputs

BACKEND = NumpyBackend()


def bytes_of(graph: Graph) -> int:
    return lower_bound(inplace(schedule(graph)).temporaries)


def run(graph: Graph, inputs: list[Any]) -> list[bytes]:
    with np.errstate(all="ignore"):
        return [np.asarray(a).tobytes() for a in interpret(graph, inputs, BACKEND)]


def there_and_back(layers: int) -> Graph:
    """Values of the way there are kept for the way back: each could be made again from the input."""
    builder = GraphBuilder()
    x = builder.input(TensorType(dt.float32, (1000,)))
    kept = []
    for i in range(layers):
        (a,) = builder.add(lookup("pad"), (x,), {"widths": ((i, 0),), "value": 0.0})
        (b,) = builder.add(lookup("slice"), (a,), {"starts": (0,), "stops": (1000,), "steps": (1,)})
        kept.append(b)
    (y,) = builder.add(lookup("cumsum_along"), (x,), {"axis": 0})
    for b in kept:
        (y,) = builder.add(lookup("multiply"), (y, b), {})
        (y,) = builder.add(lookup("cumsum_along"), (y,), {"axis": 0})
    return builder.build((y,))


def test_waiting_values_are_made_again_where_they_are_read() -> None:
    graph = there_and_back(10)
    budget = 4 * 4096
    after = rematerialise(graph, budget)
    verify_types(after)
    assert bytes_of(graph) > 10 * 4000 and bytes_of(after) <= budget
    inputs = random_inputs(graph)
    assert run(after, inputs) == run(graph, inputs)


def layers(count: int, op: str) -> Graph:
    """Values that are each made of the one before, by cheap ops or by products, and read on the way back."""
    builder = GraphBuilder()
    x = builder.input(TensorType(dt.float32, (32, 32)))
    kept = [x]
    for _ in range(count):
        (a,) = builder.add(lookup("multiply" if op == "cheap" else "matmul"), (kept[-1], x), {})
        (b,) = builder.add(lookup("tanh"), (a,), {})
        kept.append(b)
    y = kept.pop()
    for b in reversed(kept):
        (y,) = builder.add(lookup("matmul"), (y, b), {})
    return builder.build((y,))


@pytest.mark.parametrize("op", ["cheap", "product"])
def test_values_made_of_values_that_are_gone_are_made_again_too(op: str) -> None:
    graph = layers(12, op)
    after = rematerialise(graph, 5 * 4096)
    verify_types(after)
    assert bytes_of(graph) >= 12 * 4096 and bytes_of(after) <= 5 * 4096
    products = [sum(n.prim.name == "matmul" for n in g.nodes) for g in (graph, after)]
    assert (products[0] == products[1]) is (op == "cheap")
    inputs = random_inputs(graph)
    assert run(after, inputs) == run(graph, inputs)


def test_a_budget_that_holds_changes_nothing() -> None:
    graph = there_and_back(4)
    assert rematerialise(graph, bytes_of(graph)) == graph


@pytest.mark.parametrize("seed", range(40))
def test_bits_stay_and_memory_never_grows(seed: int) -> None:
    graph = random_graph(seed, 50)
    if seed % 2:
        graph = fuse(graph, can_fuse=may_be_fused, accept=lambda body: len(body.nodes) < 6)
    after = rematerialise(graph, 0)
    verify_types(after)
    assert bytes_of(after) <= bytes_of(graph)
    inputs = random_inputs(graph, seed)
    assert run(after, inputs) == run(graph, inputs)


def test_the_pipeline_takes_a_budget() -> None:
    hooks = Hooks(can_fuse=may_be_fused, accept=lambda body: True)
    assert "rematerialise" in [r.name for r in optimise(there_and_back(5), hooks, budget=10_000)[1]]


def test_sizes_are_read_from_text() -> None:
    assert [as_bytes(s) for s in ("10", "1kB", "2 MiB", 7)] == [10, 1000, 2 << 20, 7]
    with pytest.raises(ArgumentError, match="is not a size"):
        as_bytes("much")


def test_what_a_region_makes_early_is_made_again_from_its_inputs() -> None:
    builder = GraphBuilder()
    x = builder.input(TensorType(dt.float32, (1000,)))
    kept: list[Any] = []
    for _ in range(8):  # one region makes all of them at once
        (a,) = builder.add(lookup("add"), (kept[-1] if kept else x, x), {})
        kept.append(a)
    (y,) = builder.add(lookup("cumsum_along"), (x,), {"axis": 0})
    for a in reversed(kept):
        (y,) = builder.add(lookup("cumsum_along"), (y,), {"axis": 0})
        (y,) = builder.add(lookup("multiply"), (y, a), {})
    graph = fuse(builder.build((y,)), can_fuse=may_be_fused, accept=lambda body: True)
    after = rematerialise(graph, 4 * 4096)
    verify_types(after)
    assert bytes_of(graph) > 8 * 4000 and bytes_of(after) <= 4 * 4096
    inputs = random_inputs(graph)
    assert run(graph, inputs) == run(after, inputs)
