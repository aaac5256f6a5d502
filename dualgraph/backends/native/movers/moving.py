"""Moving: copies, joins, padding, slices written, windows - each one or more strided copies."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from ....core.dtypes import as_dtype
from ....core.numbers.worked import working
from ....core.process.silence import quietly
from ....ops.movement import as_slices
from ....ops.windows import strided_windows
from ..team.room import open_room
from ..team.spots import Spot
from .kernels import dense
from .strided import move

Ints = tuple[int, ...]
SMALL = 4096  # bytes below which NumPy, which has less to prepare, does it
LARGE = 1 << 20  # bytes from which filling is done by several threads


def _memory(shape: Ints, dtype: Any, out: Any) -> Any:
    """The memory for a result; None where NumPy is to make it."""
    if out is None and prod(shape) * dtype.itemsize >= SMALL:
        return np.empty(shape, dtype)
    return out


def copy(x: Any, out: Any = None) -> Any:
    """The same values in fresh memory, row-major."""
    out = _memory(x.shape, x.dtype, out)
    return None if out is None else move(out, x)


def reshape(x: Any, shape: Ints, out: Any = None) -> Any:
    """The same elements under another shape, where that is no view."""
    if out is None or not dense(out):
        return None
    move(out.reshape(x.shape), x)
    return out


def concat_along(*xs: Any, axis: int, out: Any = None) -> Any:
    """Operands one after the other along `axis`."""
    if any(x.dtype != xs[0].dtype for x in xs):
        return None
    ends = list(accumulate(x.shape[axis] for x in xs))
    shape = (*xs[0].shape[:axis], ends[-1], *xs[0].shape[axis + 1 :])
    out = _memory(shape, xs[0].dtype, out)
    if out is None:
        return None
    lead = (slice(None),) * axis
    for x, end in zip(xs, ends, strict=True):
        move(out[(*lead, slice(end - x.shape[axis], end))], x)
    return out


def pad(x: Any, widths: tuple[Ints, ...], value: Any, out: Any = None) -> Any:
    """x surrounded by `value`."""
    shape = tuple(d + a + b for d, (a, b) in zip(x.shape, widths, strict=True))
    out = _memory(shape, x.dtype, out)
    if out is None:
        return None
    return _surrounded(out, x, [a for a, _ in widths], value)


def _surrounded(out: Any, x: Any, starts: list[int], value: Any) -> Any:
    """Puts x into `out` from `starts` on, and `value` everywhere around it."""
    lead: Ints | tuple[slice, ...] = ()
    for d, start in zip(x.shape, starts, strict=True):
        for border in (slice(0, start), slice(start + d, None)):
            fill(out[(*lead, border)], value)
        lead = (*lead, slice(start, start + d))
    move(out[(*lead, ...)], x)
    return out


def fill(out: Any, value: Any) -> Any:
    """`out` filled with a number, cast to its dtype."""
    if type(out) is not Spot and out.nbytes < LARGE:
        quietly(np.copyto, out, value, "unsafe")
    else:
        number = quietly(np.full, (), value, out.dtype)
        if type(out) is Spot and working(out.shape) is not None:
            move(out, open_room().repeated(number, out))
        else:
            move(out, np.broadcast_to(number, out.shape))
    return out


def unslice(x: Any, shape: Ints, starts: Ints, stops: Ints, steps: Ints, out: Any = None) -> Any:
    """Zeros of `shape` with x written at the sliced places."""
    out = _memory(shape, x.dtype, out)
    if out is None:
        return None
    if set(steps) <= {1}:
        return _surrounded(out, x, list(starts), 0)
    fill(out, 0)
    move(out[(*as_slices(starts, stops, steps), ...)], x)
    return out


def slice_update(x: Any, new: Any, starts: Ints, stops: Ints, steps: Ints, out: Any = None) -> Any:
    """A copy of x with `new` written at the sliced places."""
    out = _memory(x.shape, x.dtype, out)
    if out is None:
        return None
    move(out, x)
    move(out[(*as_slices(starts, stops, steps), ...)], new)
    return out


def windows(x: Any, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None) -> Any:
    """All windows over the last axes: shape (..., counts..., sizes...)."""
    view = strided_windows(np, x, sizes, steps, dilations)
    out = _memory(view.shape, x.dtype, out)
    return None if out is None else move(out, view)


def full(shape: Ints, value: Any, dtype: str, device: str, out: Any = None) -> Any:
    """`shape` filled with `value`."""
    return fill(np.empty(shape, as_dtype(dtype).numpy) if out is None else out, value)
