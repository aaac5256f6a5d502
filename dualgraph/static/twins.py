"""Twins: calls that do the same ops on other tensors, of which a capture hears the first one op by op."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..core.context import state, untraced
from ..core.node import Var
from .retold import Ops, hears, retell

__all__ = ["hears", "run"]


def run(key: Hashable, tensors: Sequence[Any], fn: Callable[[], None]) -> None:
    """Runs ``fn()``, which depends on `key` and `tensors` alone and writes no others.

    The capture that runs (and `hears`), where it has heard such a call on tensors of these types, is told of this one
    what it wrote down for that.
    """
    if any(t._parent is not None for t in tensors):
        return fn()
    tracer = state.tracer
    key = key, tuple((t.tensor_type, t.requires_grad) for t in tensors), state.grad
    if key not in tracer.alike:
        tracer.alike[key] = _heard(tensors, fn)
        return None
    known = tracer.alike[key]
    if known is None or len(set(map(id, tensors))) < len(tensors):
        return fn()
    ops, writes = known
    with untraced():
        fn()
    values = retell(ops, tensors)
    for i, v in zip(writes, ops.outputs, strict=True):
        tracer.writes += 1
        tracer.var_of(tensors[i])
        tracer._set(tensors[i], values[v])
    return None


def _heard(tensors: Sequence[Any], fn: Callable[[], None]) -> tuple[Ops, tuple[int, ...]] | None:
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
    return Ops.since(tracer, first, vars, [after[i] for i in written]), written


def _others(tracer: Any) -> tuple[int, ...]:
    """How much a capture has noted besides ops and inputs."""
    return tuple(map(len, (tracer.refusals, tracer.concrete, tracer.numbers, tracer.marks)))
