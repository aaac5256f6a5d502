"""Halves: a composite as a graph, what its gradient reads of it, and the gradient as another graph.

Nothing is run for that. The gradient reads exactly what those of the single ops read: operands and results that
they save, which are kept with their versions, and values in between. Of the latter those are made results
of the forward half that cannot be computed again from the rest by a few cheap ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ..control.derive import AbstractTracer, derive, pull
from ..core.context import grad_mode
from ..core.errors import CaptureError
from ..core.kinds import ELEMENTWISE, MOVEMENT
from ..core.node import Node, Var
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..ops.reduce import broadcast_to
from ..passes.inline import inline
from ..static.capture import Slot, finish
from ..static.graph import Graph, GraphBuilder, substitute

REAL = 1 << 16  # bytes up to which stand-ins have memory, so that they can be written


class Whole(NamedTuple):
    """A composite as a graph: its operands to its result, then the new values of the operands in `writes`.

    One that ``gives`` nothing writes only."""

    graph: Graph
    writes: tuple[int, ...]
    gives: bool = True

    @property
    def pure(self) -> Graph:
        """The result alone."""
        return Graph(self.graph.inputs, self.graph.nodes, self.graph.outputs[:1])

    @property
    def result(self) -> Var:
        """What it gives."""
        v = self.graph.outputs[0]
        assert isinstance(v, Var)
        return v


def trace(
    fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool], room: int = REAL
) -> Whole:
    """What `fn` does with tensors of these types, of which some want gradients. Stand-ins of up to `room` bytes have
    memory of their own.

    Raises CaptureError where that depends on values, reaches for other tensors, or gives an operand or a view of one.
    """
    taped = any(wanted)
    with grad_mode(taped):
        tracer = AbstractTracer()
        given = [_stand_in(t, w, room) for t, w in zip(types, wanted, strict=True)]
        with tracer:
            for i, t in enumerate(given):
                tracer.add_root(t, Slot("leaf", (i, t), t.type, t.requires_grad))
            made = fn(*given)
            if not isinstance(made, Tensor) and made is not None:
                raise CaptureError("a composite gives something else than a tensor")
            found = finish(tracer, [] if made is None else [made])
    if len(found.slots) != len(given) or tracer.refusals or found.grads or found.concrete:
        raise CaptureError("a composite does more than compute")
    graph = inline(found.graph, lambda _: False)
    whole = Whole(graph, tuple(s.input for s in found.stores), made is not None)
    _check(whole, wanted)
    return whole


def _stand_in(t: TensorType, wanted: bool, room: int) -> Tensor:
    small = t.nbytes <= room
    data = np.zeros(t.shape if small else (), t.dtype.numpy)
    out = Tensor(data if small else np.broadcast_to(data, t.shape), t.dtype, t.device)
    out._requires_grad = wanted
    return out


def _check(whole: Whole, wanted: Sequence[bool]) -> None:
    graph = whole.graph
    made = graph.producers()
    if len(set(graph.outputs)) != len(graph.outputs):
        raise CaptureError("a composite gives one value twice")
    for v in graph.outputs[: whole.gives]:
        while isinstance(v, Var) and v in made and made[v].prim.aliases:
            v = made[v].inputs[0]
        if v not in made:
            raise CaptureError("a composite gives an operand, or a view of one")
    if any(wanted) and (not whole.gives or made[whole.result].prim.multiple):
        raise CaptureError("a composite gives one of several results of an op")
    if any(wanted[i] for i in whole.writes):
        raise CaptureError("a composite writes an operand that wants a gradient")
    if any(n.prim.details.get("effect") for n in graph.nodes):
        raise CaptureError("a composite does more than compute")


class Halves(NamedTuple):
    """A composite and its gradient. ``reads`` are the operands whose values the gradient reads, ``reads_result``
    whether it reads the result, ``kept`` the values in between that the forward half gives for it, after the rest."""

    whole: Whole
    wanted: tuple[bool, ...]
    reads: tuple[int, ...] = ()
    reads_result: bool = False
    kept: tuple[Var, ...] = ()

    @property
    def forward(self) -> Graph:
        """Operands to the result, written values, and what is kept."""
        graph = self.whole.graph
        return Graph(graph.inputs, graph.nodes, (*graph.outputs, *self.kept))

    @property
    def given(self) -> tuple[Var, ...]:
        """The values that a gradient is computed from: operands, kept values, the result, as far as it reads them."""
        operands = tuple(self.whole.graph.inputs[i] for i in self.reads)
        return (*operands, *self.kept, *((self.whole.result,) if self.reads_result else ()))


def halves(whole: Whole, wanted: Sequence[bool]) -> Halves:
    """What has to be kept of a composite for the gradients of the operands marked in `wanted`."""
    graph = whole.pure
    if not any(wanted):
        return Halves(whole, tuple(wanted))
    sweep, _ = _sweep(whole, wanted, (False,) * len(wanted), False)
    values = [*graph.inputs, *_single(graph)]
    read = {v for n in sweep.nodes for v in n.inputs} | set(sweep.outputs)
    needed = [v for v, own in zip(values, sweep.inputs, strict=False) if own in read]
    reads = tuple(i for i, v in enumerate(graph.inputs) if v in needed)
    free = {*(graph.inputs[i] for i in reads), *({whole.result} & set(needed))}
    if any(i in whole.writes for i in reads):
        raise CaptureError("a composite writes an operand that its gradient reads")
    return Halves(whole, tuple(wanted), reads, whole.result in needed, _keep(graph, needed, free))


def _single(graph: Graph) -> list[Var]:
    return [n.outputs[0] for n in graph.nodes if not n.prim.multiple and n.outputs]


def _sweep(
    whole: Whole, wanted: Sequence[bool], begun: Sequence[bool], narrow: bool
) -> tuple[Graph, tuple[bool, ...]]:
    """The reverse sweep alone: from all operands and values between, the cotangent and sums begun to the totals of the
    wanted operands; and which of these there are. A `narrow` cotangent has one value everywhere, and is given as it."""
    graph, out = whole.pure, whole.result.type
    values = _single(graph)
    firsts = [v.type for v in (*graph.inputs, *values)]
    ct = TensorType(out.dtype, () if narrow else out.shape, out.device)
    sums = [v.type for v, b in zip(graph.inputs, begun, strict=True) if b]
    there: list[bool] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        inputs, at = tensors[: len(graph.inputs)], len(firsts)
        known = dict(zip(values, tensors[len(inputs) :], strict=False))
        seed = broadcast_to(tensors[at], shape=out.shape) if narrow else tensors[at]
        rest = iter(tensors[at + 1 :])
        prior = [next(rest) if b else None for b in begun]
        totals, _ = pull(graph, inputs, wanted, [seed], prior, known=known)
        there[:] = [t is not None for t in totals]
        return [t for t in totals if t is not None]

    return derive(run, [*firsts, ct, *sums]), tuple(there)


def _keep(graph: Graph, needed: Sequence[Var], free: set[Any]) -> tuple[Var, ...]:
    """The values to keep so that all of `needed` can be had, where those in `free` are there anyway."""
    made = graph.producers()
    there = set(free)
    kept: list[Var] = []

    def again(v: Var) -> list[Var]:
        """What `v` can be computed of again."""
        node = made[v]
        return [u for u in dict.fromkeys(node.inputs) if isinstance(u, Var)]

    def price(v: Var) -> float:
        """Bytes to keep in order to have `v`."""
        if v in there:
            return 0
        if v not in made:
            return inf
        own = v.type.nbytes
        return min(own, sum(map(price, again(v)))) if _is_cheap(made[v]) else own

    def secure(v: Var) -> None:
        if v in there:
            return
        if _is_cheap(made[v]) and sum(map(price, again(v))) < v.type.nbytes:
            for u in again(v):
                secure(u)
        else:
            kept.append(v)
        there.add(v)

    for v in needed:
        secure(v)
    return tuple(kept)


def _is_cheap(node: Node) -> bool:
    return node.prim.kind is ELEMENTWISE or node.prim.kind is MOVEMENT


def backward(
    parts: Halves, wanted: Sequence[bool], begun: Sequence[bool], narrow: bool
) -> tuple[Graph, tuple[bool, ...]]:
    """The gradient as a graph: from what `parts` gives, cotangent and sums begun, to totals; and which there are."""
    sweep, there = _sweep(parts.whole, wanted, begun, narrow)
    graph = parts.whole.pure
    made = graph.producers()
    builder = GraphBuilder()
    known: dict[Var, Any] = {v: builder.input(v.type) for v in parts.given}
    values = [*graph.inputs, *_single(graph)]
    others = [builder.input(v.type) for v in sweep.inputs[len(values) :]]
    read = {v for n in sweep.nodes for v in n.inputs} | set(sweep.outputs)

    def have(v: Var) -> Any:
        if v not in known:
            node = made[v]
            for u in node.inputs:
                if isinstance(u, Var):
                    have(u)
            inputs = tuple(substitute(u, known) for u in node.inputs)
            (known[v],) = builder.add(node.prim, inputs, node.params, node.where)
        return known[v]

    operands = [
        have(v) if own in read else None for v, own in zip(values, sweep.inputs, strict=False)
    ]
    return builder.build(builder.splice(sweep, [*operands, *others])), there  # type: ignore[list-item]
