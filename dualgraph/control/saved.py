"""Saved: what the steps of a scan keep for its gradient, beside the carries that they start from.

A step back reads values of the step. Some follow from its carry and slices by a few cheap ops, and are computed
again. Products are kept, and so is what would otherwise take reading more than twice its own bytes: activated
gates, say, rather than the sums that they are made of.
"""

from __future__ import annotations

from math import prod

from ..core.kinds import CONTRACTION
from ..core.node import Node, Var
from ..core.numbers.symbolic import hint
from ..static.graph import Graph, renumber
from .partition import needs
from .written import Recent, of_graph

DEEP = 32  # products an element from which a result is kept for the gradient
_savings = Recent()


def saving(body: Graph, carries: int, slices: int) -> Graph:
    """The body with further results for its gradient: values worth keeping, then the carry that it starts from."""

    def make() -> Graph:
        more = *_worth_keeping(body, carries, slices), *body.inputs[:carries]
        return renumber(Graph(body.inputs, body.nodes, (*body.outputs, *more)))

    return of_graph(_savings, (carries, slices), body, make)  # type: ignore[no-any-return]


def _worth_keeping(body: Graph, carries: int, slices: int) -> tuple[Var, ...]:
    """Values that the gradient of a step reads and had better not compute again."""
    inexact = [t.dtype.is_inexact for t in body.in_types]
    seeds = [False if t.dtype.is_inexact else None for t in body.out_types]
    slices = range(carries, carries + slices)
    there = [i for i in range(len(body.inputs)) if i not in slices]
    try:
        return needs(
            body, inexact, seeds, range(carries, len(body.outputs)), there, slices, _is_cheap
        ).kept
    except Exception:  # a gradient that there is not; who asks for it is told so
        return ()


def _is_cheap(node: Node) -> bool:
    """Whether a result is computed again where it is needed, from what is there."""
    if node.prim.kind is not CONTRACTION:
        return True
    inputs = prod(hint(v.type.size) for v in node.inputs)
    return bool(inputs < DEEP**2 * hint(node.outputs[0].type.size))


def kept(body: Graph, carries: int) -> dict[Var, int]:
    """Values that a body which saves hands out (before the carry it saves), and where."""
    made = {v for n in body.nodes for v in n.outputs}
    outs = list(enumerate(body.outputs))[carries : len(body.outputs) - carries]
    return {v: i for i, v in outs if v in made}


def without_unread(graph: Graph, first: int, count: int) -> tuple[Graph, list[bool]]:
    """The graph without those of the `count` inputs from `first` on that it does not read; and which it reads."""
    read = {v for n in graph.nodes for v in n.inputs} | set(graph.outputs)
    reads = [v in read for v in graph.inputs[first : first + count]]
    rows = [v for v, r in zip(graph.inputs[first:], reads, strict=False) if r]
    inputs = (*graph.inputs[:first], *rows, *graph.inputs[first + count :])
    return Graph(inputs, graph.nodes, graph.outputs), reads
