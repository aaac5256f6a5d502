"""Twins: calls that do the same ops on other tensors, of which a capture hears the first one op by op.

Where these ops are elementwise on tensors of one shape, and on 0-d ones, calls on tensors of another are twins, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from ..core.context import state, untraced
from ..core.node import Var
from ..core.types import Shape, TensorType
from .retold import Ops, hears, retell

__all__ = ["hears", "run"]


def run(key: Hashable, tensors: Sequence[Any], fn: Callable[[], None]) -> None:
    """Runs ``fn()``, which depends on `key` and `tensors` alone and writes no others.

    The capture that runs (and `hears`), where it has heard such a call on tensors of these types, is told of this one
    what it wrote down for that. Where `fn` asks tensors for their sizes, it does ops besides that are not elementwise.
    """
    if any(t._parent is not None for t in tensors):
        return fn()
    alike = state.tracer.alike
    told = [(t.tensor_type, t.requires_grad) for t in tensors]
    exact, sized = (key, state.grad, *told), (key, state.grad, *_of_any_size(told))
    known = alike.get(exact) or alike.get(sized)
    if known is None and exact not in alike:
        known = alike[exact] = _heard(tensors, fn)
        if known is not None and all(n.prim.kind.name == "elementwise" for n in known.ops.nodes):
            alike[sized] = known
        return None
    if known is None or len(set(map(id, tensors))) < len(tensors):
        return fn()
    with untraced():
        fn()
    _tell(known, tensors)
    return None


def _of_any_size(told: Sequence[tuple[TensorType, bool]]) -> Sequence[Any]:
    """What tensors of one shape, and 0-d ones, have in common with those of another; else their types."""
    shape = told[0][0].shape
    if shape == () or any(t.shape not in (shape, ()) for t, _ in told):
        return told
    return len(shape), *((t.dtype, t.device, t.shape == shape, wants) for t, wants in told)


class _Heard(NamedTuple):
    """A call as a capture wrote it down, the shape of its first tensor, and the numbers of those that it writes."""

    ops: Ops
    shape: Shape
    writes: tuple[int, ...]


def _tell(known: _Heard, tensors: Sequence[Any]) -> None:
    """Tells the capture of a call on `tensors` that has run."""
    tracer, shape = state.tracer, tensors[0].shape

    def at_size(type: TensorType) -> TensorType:
        return type._replace(shape=shape) if type.shape == known.shape else type

    values = retell(known.ops, tensors, type_of=None if shape == known.shape else at_size)
    for i, v in zip(known.writes, known.ops.outputs, strict=True):
        tracer.writes += 1
        tracer.var_of(tensors[i])
        tracer._set(tensors[i], values[v])


def _heard(tensors: Sequence[Any], fn: Callable[[], None]) -> _Heard | None:
    """Runs a call: what the capture wrote down, and which tensors it writes; None where that is not all of it."""
    tracer = state.tracer
    entries = [tracer._entry(t) for t in tensors]
    first, before = len(tracer.nodes), _others(tracer)
    writes = tracer.writes
    fn()
    roots = {id(r.tensor): r.var for r in tracer.roots}
    vars: list[Any] = [
        roots.get(id(t)) if e is None else e[1] for t, e in zip(tensors, entries, strict=True)
    ]
    after = [tracer._current.get(id(t), (None, None))[1] for t in tensors]
    written = tuple(i for i, (a, b) in enumerate(zip(vars, after, strict=True)) if a is not b)
    nodes = tracer.nodes[first:]
    there = {*vars, *(v for n in nodes for v in n.outputs)}
    whole = all(v in there for n in nodes for v in n.inputs if isinstance(v, Var))
    plain = not any(n.prim.aliases or n.prim.details.get("effect") for n in nodes)
    read = [v for v in vars if v is not None]
    alone = len(set(read)) == len(read)
    if not (whole and plain and alone) or _others(tracer) != before:
        return None
    if tracer.writes - writes != len(written):
        return None
    ops = Ops.since(tracer, first, vars, [after[i] for i in written])
    return _Heard(ops, tensors[0].shape, written)


def _others(tracer: Any) -> tuple[int, ...]:
    """How much a capture has noted besides ops and inputs."""
    return tuple(map(len, (tracer.refusals, tracer.concrete, tracer.numbers, tracer.marks)))
