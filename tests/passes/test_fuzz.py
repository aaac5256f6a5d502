"""Random graphs through random orders of passes: types, meaning to the bit, idempotence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from dualgraph.backends.array import NumpyBackend
from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.node import Node
from dualgraph.passes.cse import cse
from dualgraph.passes.dce import dce
from dualgraph.passes.epilogue import fuse_epilogues
from dualgraph.passes.fold import fold
from dualgraph.passes.fuse import fuse
from dualgraph.passes.horizontal import fuse_horizontally
from dualgraph.passes.inline import inline
from dualgraph.passes.order import order, peak_bytes
from dualgraph.passes.recompute import recompute
from dualgraph.passes.simplify import simplify
from dualgraph.passes.twins import share_bodies
from dualgraph.passes.widen import widen
from dualgraph.static.graph import Graph, renumber, verify_types
from dualgraph.static.interpreter import interpret
from dualgraph.static.text import parse
from tests.passes.fusible import may_be_fused
from tests.passes.random_graphs import random_graph, random_inputs

BACKEND = NumpyBackend()


def no_reductions(body: Graph) -> bool:
    return all(n.prim.kind is ELEMENTWISE or n.prim.aliases for n in body.nodes)


def claims(node: Node) -> bool:
    return False


PASSES: dict[str, Callable[[Graph], Graph]] = {
    "inline": partial(inline, claims=claims),
    "dce": dce,
    "fold": fold,
    "simplify": simplify,
    "cse": cse,
    "fuse": partial(fuse, can_fuse=may_be_fused, accept=lambda body: True),
    "fuse with refusals": partial(fuse, can_fuse=may_be_fused, accept=no_reductions, singles=True),
    "recompute": partial(recompute, accept=lambda body: True, weigh=lambda node: 0.1, least=1),
    "epilogues": partial(fuse_epilogues, accept=lambda body: True),
    "fuse horizontally": partial(fuse_horizontally, accept=lambda body: True),
    "order": order,
    "share bodies": share_bodies,
    "renumber": renumber,
    "widen": widen,
}


def bits(arrays: list[Any]) -> list[bytes]:
    return [np.ascontiguousarray(a).tobytes() for a in arrays]


def run(graph: Graph, inputs: list[Any]) -> list[bytes]:
    with np.errstate(all="ignore"):
        return bits(interpret(graph, inputs, BACKEND))


@pytest.mark.parametrize("seed", range(150))
def test_any_order_of_passes_keeps_types_and_bits(seed: int) -> None:
    graph = random_graph(seed)
    verify_types(graph)
    inputs = random_inputs(graph, seed)
    wanted = run(graph, inputs)
    rng = np.random.default_rng(seed)
    for name in rng.permutation(list(PASSES)):
        after = PASSES[name](graph)
        verify_types(after)
        assert after.in_types == graph.in_types and after.out_types == graph.out_types, name
        assert run(after, inputs) == wanted, f"{name} changed bits:\n{graph}\n=>\n{after}"
        assert parse(str(after)) == after, name
        graph = after


@pytest.mark.parametrize("name", ["inline", "dce", "cse", "share bodies", "renumber", "order"])
@pytest.mark.parametrize("seed", range(20))
def test_passes_are_idempotent(name: str, seed: int) -> None:
    once = PASSES[name](random_graph(seed, 40))
    assert PASSES[name](once) == once


@pytest.mark.parametrize("name", ["simplify", "fold", "fuse"])
@pytest.mark.parametrize("seed", range(20))
def test_passes_are_idempotent_once_dead_code_is_gone(name: str, seed: int) -> None:
    once = dce(PASSES[name](random_graph(seed, 40)))
    assert dce(PASSES[name](once)) == once


@pytest.mark.parametrize("seed", range(20))
def test_ordering_never_takes_more_memory(seed: int) -> None:
    graph = random_graph(seed, 60)
    assert peak_bytes(order(graph)) <= peak_bytes(graph)
