"""Overwriting: an elementwise op whose result goes straight into the memory of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.backend import backend_for
from ..core.context import state
from ..core.devices import CPU
from ..core.errors import user_place
from ..core.prim import Dispatch, Prim
from .quick import plan_of
from .tensor import Tensor

LEAST = 1 << 13  # elements from which one pass over memory pays for looking


def overwrite(prim: Prim, t: Tensor, args: tuple[Any, ...]) -> bool:
    """``t = prim(*args)`` in one pass over memory, where t may be one of the operands; whether it was done.

    Only for a tensor that no tape, capture, vmap or view has to be told of, and in Python only for a large one: else
    nothing is done.
    """
    if Dispatch.overwrite(prim, t, *args):
        return True
    plan = plan_of(prim, args)
    if plan is None or plan.casts is not None or plan.dtype is not t.dtype or not _plain(t, args):
        return False
    data = t._data
    arrays = [_operand(a, number, data) for a, number in zip(args, plan.scalars, strict=True)]
    if any(a is None for a in arrays):
        return False
    if not backend_for(CPU).run_into(prim, plan.operands, arrays, data):
        return False
    _count(t)
    return True


def refill(t: Tensor, one: Tensor) -> bool:
    """Writes the one element of a tensor of its dtype everywhere in `t`; whether it was done, as in `overwrite`."""
    if not _plain(t, ()) or one.dtype is not t.dtype:
        return False
    t._data.fill(one._data.reshape(())[()])
    _count(t)
    return True


def _count(t: Tensor) -> None:
    cell = t._version_cell()
    cell[0] += 1
    cell[1] = user_place()
    t._stamp = cell[0]


def _plain(t: Tensor, args: tuple[Any, ...]) -> bool:
    """Whether t is large and may be written with nothing more to see to."""
    data = t._data
    if type(data) is not np.ndarray or data.size < LEAST or t._parent is not None:
        return False
    if state.tracer is not None or state.batching is not None:
        return False
    flags = data.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        return False
    return not state.grad or not any(
        isinstance(a, Tensor) and (a._requires_grad or a._node is not None or a._parent is not None)
        for a in (t, *args)
    )


def _operand(a: Any, number: Any, data: Any) -> Any:
    """An operand's array; None where the op could read there what it has written, or the shapes are not plain."""
    if number is not None:
        try:
            return np.asarray(number(a))
        except OverflowError:
            return None
    x = a._data
    if x is data:
        return x
    fits = x.shape == data.shape or (x.size == 1 and x.ndim <= data.ndim)
    return x if fits and not np.may_share_memory(x, data) else None
