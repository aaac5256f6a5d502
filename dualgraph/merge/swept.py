"""Swept: what a capture would hold of a reverse sweep through the ops of a composite; nothing is run for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..control.derive import AbstractTracer
from ..core.context import as_before, grad_mode
from ..core.sweep import ancestors_reaching, reverse
from ..core.types import TensorType
from ..eager.autograd import apply_rule
from ..eager.tensor import Tensor
from ..ops.arithmetic import add
from ..static.retold import Ops
from .halves import Whole, introduce, stand_in


def sweep(
    fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool], whole: Whole,
    needed: Sequence[bool], begun: Sequence[bool],
) -> Ops | None:  # fmt: skip
    """What a capture would hold of a sweep through the ops of a composite: from its cotangent, then the sums begun for
    operands, to the totals of those `needed`. None where a total may be a view, or operands are written.

    It reads values of ``whole.ops`` besides, by the vars that they have there.
    """
    if whole.ops is None or whole.writes:
        return None
    with grad_mode(True):
        tracer = AbstractTracer()
        given = [stand_in(t, w) for t, w in zip(types, wanted, strict=True)]
        with as_before(), tracer:
            introduce(tracer, given)
            made = fn(*given)
            first = len(tracer.nodes)
            sums = [stand_in(t) for t, b in zip(types, begun, strict=True) if b]
            ct = stand_in(made.tensor_type)
            introduce(tracer, [ct, *sums])
            with grad_mode(False):
                totals = _swept(made, ct, given, needed, begun, iter(sums))
            outs = [tracer.var_of(t) for t in totals if t is not None]
    if any(n.prim.aliases and not set(outs).isdisjoint(n.outputs) for n in tracer.nodes):
        return None
    if tracer.refusals or list(whole.ops.nodes) != tracer.nodes[:first]:
        return None
    return Ops.since(tracer, first, [r.var for r in tracer.roots[len(given) :]], outs)


def _swept(
    made: Tensor, ct: Tensor, given: Sequence[Tensor], needed: Sequence[bool], begun: Sequence[bool],
    sums: Iterator[Tensor],
) -> list[Tensor | None]:  # fmt: skip
    """Totals of the operands that are needed, by a sweep from `made`."""
    edges = [t._edge() for t in given]
    root = made._edge()
    assert root is not None
    totals: dict[int, Any] = {}
    pending: dict[int, list[Any]] = {}
    for edge, b in zip(edges, begun, strict=True):
        if b and edge is not None:
            pending[id(edge[0])] = totals[id(edge[0])] = [next(sums)]
    targets = {id(e[0]) for e, n in zip(edges, needed, strict=True) if n and e is not None}
    reaching = None
    if any(e is not None and not n for e, n in zip(edges, needed, strict=True)):
        reaching = ancestors_reaching([root[0]], targets)

    def collect(node: Any, slots: list[Any]) -> None:
        totals[id(node)] = slots

    reverse([(root, ct)], apply_rule, add, reaching, collect, pending)
    return [
        totals[id(e[0])][0] if e is not None and id(e[0]) in targets & totals.keys() else None
        for e in edges
    ]
