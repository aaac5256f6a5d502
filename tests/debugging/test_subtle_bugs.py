"""Bugs of the kinds that compilers really have, planted in passes: `verify` finds each, and names the pass.

Signs of zero, ties, order of evaluation, wider or fused arithmetic, random streams, what is added and what is set,
carries that change places: most give results that look right.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import lookup
from dualgraph.passes import pipeline
from dualgraph.static.graph import Graph
from tests.debugging.seeds import first, node, of, other_op, params, wrapped


def model(x: Any, w: Any, i: Any) -> Any:
    """What a result depends on beyond formulas: ties, zeros, orders, random numbers, integers that overflow."""
    zero = (x * 0.0) * -1.0 + 0.0
    top = x.argmax(1)
    at_least = (x >= 1.0).float() * 3
    kept = dg.where(x > 0.5, x, w)
    noise, more = dg.rand(4, 4), dg.rand(4, 4)
    table = dg.zeros(6, 4).index_add(0, i, x)
    wide = dg.nn.functional.pad(x, (1, 2), value=0.25)
    sums = x.cumsum(0)
    image = F.conv2d(x.reshape(1, 1, 4, 4), w[:3, :3].reshape(1, 1, 3, 3), padding=1)
    close = x * w + 0.1
    whole = (i.to(dg.int32) + 2147483645).to(dg.int64) + i * 3
    two, ys = dg.scan(lambda c, v: ((c[1], c[0] * 0.5 + v), c[0]), (x[0], w[0]), x)
    steps = dg.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 1.5), (dg.asarray(0), w))[
        1
    ]
    picked = dg.sort(x, stable=True, descending=True)[..., :2]
    half = (x.half() * 3.3 + w.half()).float()
    ratio = x / (w + 3)
    return (
        zero, top, at_least, kept, noise, more, table, wide, sums, image, close, whole, two, ys, steps, picked, half,
        ratio,
    )  # fmt: skip


def arguments() -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    x, w = (rng.standard_normal((4, 4)).astype("f4") for _ in range(2))
    x[0] = [1.0, 0.5, 1.0, -0.0]  # ties, and numbers that comparisons are about
    return dg.tensor(x), dg.tensor(w), dg.asarray([1, 2, 1, 5])


def carry_exchanged(graph: Graph) -> Graph:
    """Two parts of a loop's carry of one type change places."""

    def change(n: Node) -> Node | None:
        body = n.params.get("body")
        if n.prim.name != "scan" or body is None or n.params["carries"] < 2:
            return None
        a, b, *rest = body.outputs
        return node(n, params={**n.params, "body": body.with_nodes(body.nodes, (b, a, *rest))})

    return first(graph, change)


def zero_added_away(graph: Graph) -> Graph:
    """``x + 0.0 -> x``, which keeps -0.0."""

    def is_zero(v: Any) -> bool:
        return isinstance(v, Literal) and v.value == 0

    return replaced(graph, lambda n: n.prim.name == "add" and is_zero(n.inputs[1]), 0)


def replaced(graph: Graph, wanted: Callable[[Node], bool], operand: int) -> Graph:
    """Readers of the first such op read one of its operands."""
    gone = next(n for n in graph.nodes if wanted(n))
    source, out = gone.inputs[operand], gone.outputs[0]
    swap = lambda v: source if v == out else v  # noqa: E731
    nodes = [node(n, inputs=tuple(map(swap, n.inputs))) for n in graph.nodes if n is not gone]
    return graph.with_nodes(nodes, tuple(map(swap, graph.outputs)))


def by_reciprocal(graph: Graph) -> Graph:
    """``x / y -> x * (1 / y)``, one rounding more."""
    at, n = next((k, n) for k, n in enumerate(graph.nodes) if n.prim.name == "divide")
    fresh = Var(1 + max(v.id for v in graph.all_vars()), n.inputs[1].type)
    inverse = Node(lookup("reciprocal"), (n.inputs[1],), {}, (fresh,), n.where)
    product = node(n, prim=lookup("multiply"), inputs=(n.inputs[0], fresh))
    return graph.with_nodes([*graph.nodes[:at], inverse, product, *graph.nodes[at + 1 :]])


def draws_merged(graph: Graph) -> Graph:
    """Two draws read one counter."""
    one, two = [n for n in graph.nodes if n.prim.name == "random_bits"][:2]
    return graph.with_nodes([node(n, inputs=one.inputs) if n is two else n for n in graph.nodes])


def wide_sum(graph: Graph, narrow: str, wide: str) -> Graph:
    """A sum in a narrow dtype, and the product or number in it, computed in a wide one and narrowed at the end."""
    made = graph.producers()

    def is_sum(n: Node) -> bool:
        if n.prim.name != "add" or n.outputs[0].type.dtype.name != narrow:
            return False
        factor = made.get(n.inputs[0])
        zero = any(isinstance(v, Literal) and not v.value for v in n.inputs)
        return factor is not None and factor.prim.name == "multiply" and not zero

    at, n = next((k, n) for k, n in enumerate(graph.nodes) if is_sum(n))
    free = 1 + max(v.id for v in graph.all_vars())
    nodes: list[Node] = []

    def op(name: str, *inputs: Any, **how: Any) -> Var:
        (type,) = lookup(name).infer(tuple(v.type for v in inputs), how)
        nodes.append(Node(lookup(name), inputs, how, (Var(free + len(nodes), type),), n.where))
        return nodes[-1].outputs[0]

    def widened(v: Any) -> Any:
        if isinstance(v, Literal):
            return Literal(v.value, getattr(dg, wide))
        product = made.get(v)
        if product is not None and product.prim.name == "multiply":
            return op("multiply", *map(widened, product.inputs))
        return op("cast", v, dtype=wide)

    total = op("add", *map(widened, n.inputs))
    nodes.append(Node(lookup("cast"), (total,), {"dtype": narrow}, n.outputs, n.where))
    return graph.with_nodes([*graph.nodes[:at], *nodes, *graph.nodes[at + 1 :]])


def never_wraps(graph: Graph) -> Graph:
    """A sum of 32-bit integers that is widened afterwards, computed wide."""
    made = graph.producers()
    at, n = next(
        (k, n) for k, n in enumerate(graph.nodes)
        if n.outputs[0].type.dtype.name == "int64" and n.prim.name == "cast" and made[n.inputs[0]].prim.name == "add"
    )  # fmt: skip
    total = made[n.inputs[0]]
    wide = Var(1 + max(v.id for v in graph.all_vars()), n.outputs[0].type)
    cast = node(n, inputs=(total.inputs[0],), outputs=(wide,))
    number = Literal(total.inputs[1].value, dg.int64)
    added = node(total, inputs=(wide, number), outputs=n.outputs)
    return graph.with_nodes([*graph.nodes[:at], cast, added, *graph.nodes[at + 1 :]])


BUGS: dict[str, Callable[[Graph], Graph]] = {
    "the sign of a zero": zero_added_away,
    "a comparison that leaves out equality": other_op("greater_equal", "greater"),
    "what is chosen and what is not": of("where", lambda n: node(n, inputs=(n.inputs[0], *n.inputs[:0:-1]))),
    "a tie that the last wins": wrapped("reduce_argmax", ("flip", {"axes": (1,)})),
    "two draws from one counter": draws_merged,
    "set for add": params("index_put", mode="set"),
    "another padding value": params("pad", value=0.0),
    "sums along another axis": params("cumsum_along", axis=1),
    "padding of a convolution moved": params("conv", padding=((0, 2), (1, 1))),
    "one rounding less": functools.partial(wide_sum, narrow="float32", wide="float64"),
    "one rounding more": by_reciprocal,
    "a carry that changes places": carry_exchanged,
    "integers that do not wrap": never_wraps,
    "one step more": of("while_loop", lambda n: node(n, params={**n.params, "max_steps": 2})),
    "a sort the other way": params("sort_along", descending=False),
    "half precision kept wide": functools.partial(wide_sum, narrow="float16", wide="float32"),
}  # fmt: skip
PLACES = ("inline", "dce", "fold", "simplify", "cse", "trim", "order")
LINES = inspect.getsourcelines(model)


def plant(monkeypatch: pytest.MonkeyPatch, place: str, bug: Callable[[Graph], Graph]) -> list[bool]:
    """The pass, and then the bug; whether there was something to change."""
    original, planted = getattr(pipeline, place), []

    @functools.wraps(original)
    def faulty(graph: Graph, *args: Any, **kwargs: Any) -> Graph:
        after = original(graph, *args, **kwargs)
        try:
            out = bug(after)
        except (LookupError, StopIteration, ValueError):
            return after
        planted.append(True)
        return out

    monkeypatch.setattr(pipeline, place, faulty)
    return planted


def test_the_model_itself_is_sound() -> None:
    found = dg.verify(model, *arguments())
    assert found and found.checked > 300, str(found)


@pytest.mark.parametrize("bug", BUGS)
def test_a_subtle_bug_is_found_and_its_pass_named(
    monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    place = PLACES[list(BUGS).index(bug) % len(PLACES)]
    planted = plant(monkeypatch, place, BUGS[bug])
    found = dg.verify(model, *arguments())
    assert planted, f"{bug}: nothing to change after {place}"
    assert not found, f"{bug} after {place} was not found"
    worst = found.divergences[0]
    assert worst.after == place, str(found)
    assert {d.after for d in found.divergences} <= {place, f"{place} again"}, str(found)
    file, _, number = worst.where.rpartition(":")
    assert file.endswith("test_subtle_bugs.py") and 0 <= int(number) - LINES[1] < len(LINES[0])
