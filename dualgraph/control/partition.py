"""Partition: what the gradient of a graph reads of it, and the gradient as another graph.

Nothing is run for that. The gradient reads exactly what those of the single ops read: operands and results that
they save, and values in between. Of the latter those are kept that cannot be computed again from the rest by a
few cheap ops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

from ..core.kinds import ELEMENTWISE, MOVEMENT
from ..core.node import Node, Var
from ..core.numbers.symbolic import hint
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..ops.reduce import broadcast_to
from ..static.graph import Graph, GraphBuilder, substitute
from ..static.trace import Slot
from .derive import derive, pull

# Of a result: no cotangent comes for it (None), or one with one value everywhere that is given as that value (True).
Seed = bool | None
# Live numbers that operands are, by the number of the operand; rules see them as numbers.
Live = Mapping[int, Any]
NONE: Live = MappingProxyType({})


class Needs(NamedTuple):
    """What a gradient is computed from: operands and results of the graph, by number, and values kept in between."""

    operands: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    kept: tuple[Var, ...] = ()

    def given(self, graph: Graph) -> tuple[Any, ...]:
        """These values: operands, kept values, results."""
        operands = tuple(graph.inputs[i] for i in self.operands)
        return (*operands, *self.kept, *(graph.outputs[i] for i in self.results))


def _is_cheap(node: Node) -> bool:
    """Whether a result costs less to compute again than to keep."""
    return node.prim.kind is ELEMENTWISE or node.prim.kind is MOVEMENT


def needs(
    graph: Graph,
    wanted: Sequence[bool],
    seeds: Sequence[Seed],
    saved: Collection[int],
    there: Collection[int] = (),
    offered: Collection[int] = (),
    cheap: Callable[[Node], bool] = _is_cheap,
    live: Live = NONE,
) -> Needs:
    """What has to be there for gradients of the `wanted` operands.

    Results in `saved` and operands in `there` (by number) are there anyway. Operands in `offered` may be read, too,
    where they are less than twice what would have to be kept instead, to be written and read. ``cheap(node)``: its
    result may be computed again. Operands in `live` are numbers, which are there anyway.
    """
    if not any(wanted):
        return Needs()
    sweep, _ = _sweep(graph, wanted, seeds, (False,) * len(wanted), live, [])
    values = _values(graph)
    read = {v for n in sweep.nodes for v in n.inputs} | set(sweep.outputs)
    needed = [v for v, own in zip(values, sweep.inputs, strict=False) if own in read]
    needed = list(dict.fromkeys(_viewed(graph, v) for v in needed))
    reads = tuple(i for i, v in enumerate(graph.inputs) if v in needed or i in live)
    results = tuple(i for i, v in enumerate(graph.outputs) if i in saved and v in needed)
    given = {*reads, *there}
    free = {*(graph.inputs[i] for i in given), *(graph.outputs[i] for i in results)}
    others = {graph.inputs[i] for i in offered} - free
    return Needs(reads, results, _keep(graph, needed, free, others, cheap))


def gradient(
    graph: Graph,
    given: Sequence[Any],
    wanted: Sequence[bool],
    seeds: Sequence[Seed],
    begun: Sequence[bool],
    live: Live = NONE,
    numbers: list[Slot] | None = None,
) -> tuple[Graph, tuple[bool, ...]]:
    """From `given` values, cotangents and sums begun to the totals of wanted operands; and which of these there are.

    Further inputs are what the rules made of the operands in `live`, listed in `numbers`.
    """
    sweep, there = _sweep(graph, wanted, seeds, begun, live, [] if numbers is None else numbers)
    made = graph.producers()
    builder = GraphBuilder()
    known: dict[Var, Any] = {v: builder.input(v.type) for v in given}
    values = _values(graph)
    others = [builder.input(v.type) for v in sweep.inputs[len(values) :]]
    read = {v for n in sweep.nodes for v in n.inputs} | set(sweep.outputs)

    def have(v: Var) -> Any:
        if v not in known:
            node = made[v]
            for u in node.inputs:
                if isinstance(u, Var):
                    have(u)
            inputs = tuple(substitute(u, known) for u in node.inputs)
            outs = builder.add(node.prim, inputs, node.params, node.where)
            known.update(zip(node.outputs, outs, strict=True))
        return known[v]

    operands = [
        have(v) if own in read else None for v, own in zip(values, sweep.inputs, strict=False)
    ]
    return builder.build(builder.splice(sweep, [*operands, *others])), there  # type: ignore[list-item]


def _values(graph: Graph) -> list[Var]:
    """Operands, and all that is computed."""
    return [*graph.inputs, *(v for n in graph.nodes for v in n.outputs)]


def _sweep(
    graph: Graph, wanted: Sequence[bool], seeds: Sequence[Seed], begun: Sequence[bool], live: Live,
    numbers: list[Slot],
) -> tuple[Graph, tuple[bool, ...]]:  # fmt: skip
    """The reverse sweep alone: from all operands and values between, cotangents and sums begun to the totals of the
    wanted operands; and which of these there are."""
    values = _values(graph)
    firsts = [v.type for v in values]
    outs = list(zip(graph.out_types, seeds, strict=True))
    cts = [TensorType(t.dtype, () if s else t.shape, t.device) for t, s in outs if s is not None]
    sums = [v.type for v, b in zip(graph.inputs, begun, strict=True) if b]
    there: list[bool] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        inputs = [live.get(i, t) for i, t in enumerate(tensors[: len(graph.inputs)])]
        known = dict(zip(values[len(inputs) :], tensors[len(inputs) :], strict=False))
        rest = iter(tensors[len(firsts) :])
        given: list[Any] = []
        for t, s in outs:
            ct = None if s is None else next(rest)
            given.append(broadcast_to(ct, shape=t.shape) if s else ct)
        prior = [next(rest) if b else None for b in begun]
        totals, _ = pull(graph, inputs, wanted, given, prior, known=known)
        there[:] = [t is not None for t in totals]
        return [t for t in totals if t is not None]

    return derive(run, [*firsts, *cts, *sums], numbers), tuple(there)


def _viewed(graph: Graph, v: Var) -> Var:
    """The operand whose memory `v` is a view of, or `v` itself."""
    made, seen = graph.producers(), v
    while seen in made and made[seen].prim.aliases and isinstance(made[seen].inputs[0], Var):
        seen = made[seen].inputs[0]  # type: ignore[assignment]
    return v if seen in made else seen


def _keep(
    graph: Graph,
    needed: Sequence[Var],
    free: set[Any],
    offered: set[Any],
    cheap: Callable[[Node], bool],
) -> tuple[Var, ...]:
    """The values to keep so that all of `needed` can be had, where those in `free` are there anyway."""
    made = graph.producers()
    there = set(free)
    kept: list[Var] = []
    price: dict[Var, float] = {}  # bytes to keep, or twice those to read, in order to have a value

    def settle() -> None:
        """Works out all prices."""
        for v in graph.inputs:
            price[v] = 0 if v in there else hint(v.type.nbytes) / 2 if v in offered else inf
        for node in graph.nodes:
            inputs = dict.fromkeys(u for u in node.inputs if isinstance(u, Var))
            cost = sum(price[u] for u in inputs) if cheap(node) else inf
            for v in node.outputs:
                price[v] = 0 if v in there else min(hint(v.type.nbytes), cost)

    for needs in needed:
        if needs in there:
            continue
        settle()
        pending = [needs]
        while pending:
            v = pending.pop()
            if v not in there and v in made and price[v] >= hint(v.type.nbytes):
                kept.append(v)
            elif v not in there and v in made:
                pending += [u for u in made[v].inputs if isinstance(u, Var)]
            there.add(v)
    return tuple(kept)
