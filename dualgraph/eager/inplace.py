"""In-place writes: new values into a tensor's memory, seen by its base and all views of it."""

from __future__ import annotations

from typing import Any

from ..core.backend import backend_for
from ..core.context import state
from ..core.dtypes import promote
from ..core.errors import AutogradError, DTypeError, ShapeError, describe, user_location
from ..core.types import broadcast_shapes
from ..ops.arithmetic import cast
from ..ops.reduce import broadcast_to
from .tensor import Tensor


def check_writable(op: str, t: Tensor) -> None:
    """Raises unless `t` may be written in place now."""
    if state.grad and t.is_leaf and t._requires_grad:
        raise AutogradError(
            describe(op, str(t.type), "a leaf that requires gradients cannot be written in place", "do it under dg.no_grad(), or out of place")
        )
    if t._parent is not None and state.grad and t._root().is_leaf and t._root()._requires_grad:
        raise AutogradError(
            describe(op, str(t.type), "a view of a leaf that requires gradients cannot be written in place", "do it under dg.no_grad()")
        )
    flags = getattr(t._data, "flags", None)
    if (flags is not None and not getattr(flags, "writeable", True)) or 0 in [
        s for s, d in zip(t._data.strides, t.shape, strict=True) if d > 1
    ]:
        raise AutogradError(
            describe(op, str(t.type), "this memory cannot be written: several elements share one place, or it is read-only", "write to a .clone()")
        )


def fit(op: str, t: Tensor, new: Any) -> Tensor:
    """New values in the type of `t`."""
    if not isinstance(new, Tensor):
        raise DTypeError(describe(op, str(t.type), f"cannot write a {type(new).__name__}"))
    if new.shape != t.shape:
        try:
            wide = broadcast_shapes(t.shape, new.shape)
        except ShapeError:
            wide = ()
        if wide != t.shape:
            raise ShapeError(
                describe(op, f"{t.type}, {new.type}", f"a result of shape {new.shape} does not fit in place into {t.shape}")
            )
        new = broadcast_to(new, shape=t.shape)
    if new.dtype is not t.dtype:
        if promote(new.dtype, t.dtype).kind != t.dtype.kind and t.dtype.kind != new.dtype.kind and new.dtype.is_inexact:
            raise DTypeError(
                describe(op, f"{t.type}, {new.type}", f"a {new.dtype.name} result does not fit in place into {t.dtype.name}", "write out of place, or cast first")
            )
        new = cast(new, dtype=t.dtype.name)
    return new


def write(op: str, t: Tensor, new: Tensor) -> Tensor:
    """Puts `new` (of the type of `t`) into the memory of `t`; tape and capture follow."""
    check_writable(op, t)
    t._edge()  # settle the history of a stale view before its memory changes
    new_edge = new._edge() if state.grad else None
    had_history = t._node is not None
    tracer = state.tracer
    if state.batching is not None and state.batching.applies((t, new)):
        state.batching.store(op, t, new)
        tracer = None  # it saw the write to the tensor within
    else:
        backend_for(t.device).xp.copyto(t._data, new._data)
    cell = t._version_cell()
    cell[0] += 1
    cell[1] = user_location()
    if new_edge is None and not had_history and tracer is None:
        t._stamp = cell[0]
        return t
    _assign(t, new, new_edge, cell[0], tracer)
    child = t
    while child._parent is not None:
        parent, prim, params = child._parent
        if tracer is not None and tracer.is_root(child):
            break
        updated = prim.put_rule(parent, child, **params)
        _assign(parent, updated, updated._edge() if state.grad or had_history else None, cell[0], tracer)
        child = parent
    return t


def _assign(t: Tensor, new: Tensor, edge: Any, version: int, tracer: Any) -> None:
    t._node, t._index = edge if edge is not None else (None, 0)
    t._stamp = version
    if tracer is not None:
        tracer.assign(t, new)

