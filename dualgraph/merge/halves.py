"""Halves: a composite as a graph, and what its gradient reads of it; nothing is run for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..control.derive import AbstractTracer
from ..control.partition import Needs, needs
from ..core.context import grad_mode
from ..core.errors import CaptureError
from ..core.node import Var
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..passes.inline import inline
from ..static.capture import finish
from ..static.graph import Graph
from ..static.region import is_region
from ..static.trace import Slot

REAL = 1 << 16  # bytes up to which stand-ins have memory, so that they can be written


class Whole(NamedTuple):
    """A composite as a graph: its operands to its result, then the new values of the operands in `writes`.

    One that ``gives`` nothing writes only. ``is_told``: a capture of its ops would hold these nodes and no more."""

    graph: Graph
    writes: tuple[int, ...]
    gives: bool = True
    is_told: bool = False

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
    is_told = tracer.writes == len(found.stores)
    is_told = is_told and not any(is_region(n) or n.prim.aliases for n in found.graph.nodes)
    whole = Whole(graph, tuple(s.input for s in found.stores), made is not None, is_told)
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
