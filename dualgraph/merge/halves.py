"""Halves: a composite as a graph, and what its gradient reads of it; nothing is run for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ..control.derive import AbstractTracer
from ..control.partition import Needs, needs
from ..core.context import as_before, grad_mode
from ..core.errors import CaptureError
from ..core.node import Var
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..passes.inline import inline
from ..static.capture import finish
from ..static.graph import Graph
from ..static.retold import Ops
from ..static.trace import Slot

REAL = 1 << 16  # bytes up to which stand-ins have memory, so that they can be written


class Whole(NamedTuple):
    """A composite as a graph: its operands to its result, then the new values of the operands in `writes`.

    One that ``gives`` nothing writes only. ``ops`` are what a capture would hold of it, where that is known."""

    graph: Graph
    writes: tuple[int, ...]
    gives: bool = True
    ops: Ops | None = None

    @property
    def in_ops(self) -> dict[Any, Any]:
        """What the values of the graph are in ``ops``."""
        assert self.ops is not None
        made = zip(self.graph.nodes, self.ops.nodes, strict=True)
        pairs = (zip(n.outputs, op.outputs, strict=True) for n, op in made)
        return {**dict(zip(self.graph.inputs, self.ops.inputs, strict=True)), **dict(chain(*pairs))}

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
        given = [stand_in(t, w, room) for t, w in zip(types, wanted, strict=True)]
        with as_before(), tracer:
            introduce(tracer, given)
            made = fn(*given)
            if not isinstance(made, Tensor) and made is not None:
                raise CaptureError("a composite gives something else than a tensor")
            count = len(tracer.nodes)
            found = finish(tracer, [] if made is None else [made])
    if len(found.slots) != len(given) or tracer.refusals or found.grads or found.concrete:
        raise CaptureError("a composite does more than compute")
    graph = inline(found.graph, lambda _: False)
    ops = None
    views = any(n.prim.aliases for n in tracer.nodes)
    alike = [n.prim for n in graph.nodes] == [n.prim for n in tracer.nodes[:count]]
    if alike and tracer.writes == len(found.stores) and not (found.stores and views):
        ops = Ops.since(tracer, 0, [r.var for r in tracer.roots], found.graph.outputs)
    whole = Whole(graph, tuple(s.input for s in found.stores), made is not None, ops)
    _check(whole, wanted)
    return whole


def introduce(tracer: AbstractTracer, given: Sequence[Tensor]) -> None:
    """Makes inputs of tensors."""
    for i, t in enumerate(given, len(tracer.roots)):
        tracer.add_root(t, Slot("leaf", (i, t), t.tensor_type, t.requires_grad))


def stand_in(t: TensorType, wanted: bool = False, room: int = 0) -> Tensor:
    """A tensor of zeros, with memory of its own if that is at most `room` bytes."""
    small = t.nbytes <= room
    data = np.zeros(t.shape if small else (), t.dtype.numpy)
    out = Tensor(data if small else np.broadcast_to(data, t.shape), t.dtype, t.device)
    out._requires_grad = wanted
    return out


def _check(whole: Whole, wanted: Sequence[bool]) -> None:
    """Raises CaptureError for composites that have no form."""
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
    """A composite and what its gradient reads of it; what that keeps, the forward half gives after the rest."""

    whole: Whole
    wanted: tuple[bool, ...]
    needs: Needs = Needs()

    @property
    def forward(self) -> Graph:
        """Operands to the result, written values, and what is kept."""
        graph = self.whole.graph
        return Graph(graph.inputs, graph.nodes, (*graph.outputs, *self.needs.kept))

    @property
    def given(self) -> tuple[Var, ...]:
        """The values that a gradient is computed from: operands, kept values, the result, as far as it reads them."""
        return self.needs.given(self.whole.pure)


def halves(whole: Whole, wanted: Sequence[bool]) -> Halves:
    """What has to be kept of a composite for the gradients of the operands marked in `wanted`."""
    found = needs(whole.pure, wanted, (False,), (0,))
    if any(i in whole.writes for i in found.operands):
        raise CaptureError("a composite writes an operand that its gradient reads")
    return Halves(whole, tuple(wanted), found)
