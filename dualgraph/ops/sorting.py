"""Sorting along an axis."""

from __future__ import annotations

from ..core import dtypes as dt
from ..core.kinds import check_axes, opaque, real
from ..core.types import TensorType
from .cumulative import scan_samples
from .indexing import put_along


@opaque(multiple=True, name="sort_along", samples=scan_samples)
def sort_along(xp, x, axis, descending=False):
    """Values in ascending (or descending) order along `axis` and the indices that put them there; stable."""
    if not descending:
        order = xp.argsort(x, axis=axis, kind="stable")
    else:  # stable among equals, so sort the reversed array and reverse the result
        n = x.shape[axis]
        order = xp.flip(
            n - 1 - xp.argsort(xp.flip(x, axis=axis), axis=axis, kind="stable"), axis=axis
        )
    return xp.take_along_axis(x, order, axis=axis), order.astype("int64")


@sort_along.type
def _(x, axis, descending=False):
    real((x.dtype,))
    check_axes((axis,), x.ndim)
    return x, TensorType(dt.int64, x.shape, x.device)


@sort_along.vjp
def _(ct, out, _x, axis, descending=False):
    return (put_along(ct[0], out[1], shape=_x.shape, axis=axis) if ct[0] is not None else None,)


@sort_along.batch
def _(lift, args, batched, axis, descending=False):
    return sort_along(args[0], axis=axis + 1, descending=descending)
