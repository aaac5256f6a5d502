"""Cumulative ops: running sums, products, extremes and recurrences; and the product over axes, which needs them."""

from __future__ import annotations

from math import prod as _product
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import ShapeError
from ..core.kinds import check_axes, opaque, real, reduction
from ..core.types import TensorType
from . import canonical
from .arithmetic import conj, multiply, where
from .indexing import put_along
from .movement import concat_along, flip, permute, reshape, slice_
from .reduce import samples, spread, totals, wide


def scan_samples(rng: Any) -> list[Any]:
    x = rng.uniform(0.5, 1.5, (3, 4))
    return [((x,), {"axis": 0}), ((x,), {"axis": 1})]


@opaque(name="cumsum_along", samples=scan_samples)
def cumsum_along(xp, x, axis):
    """Running sum along `axis`, added from the first element on."""
    return xp.cumsum(wide(x), axis=axis)


@cumsum_along.type
def _(x, axis):
    check_axes((axis,), x.ndim)
    return TensorType(totals((x.dtype,))[1], x.shape, x.device)


@cumsum_along.vjp
def _(ct, _out, _x, axis):
    return (flip(cumsum_along(flip(ct, axes=(axis,)), axis=axis), axes=(axis,)),)


@cumsum_along.batch
def _(lift, args, batched, axis):
    return cumsum_along(args[0], axis=axis + 1)


@opaque(name="cumprod_along", samples=scan_samples)
def cumprod_along(xp, x, axis):
    """Running product along `axis`, multiplied from the first element on."""
    return xp.cumprod(wide(x), axis=axis)


@cumprod_along.type
def _(x, axis):
    check_axes((axis,), x.ndim)
    return TensorType(totals((x.dtype,))[1], x.shape, x.device)


@cumprod_along.vjp
def _(ct, _out, x, axis):
    # (product before x_i) * (ct_i + x_{i+1} (ct_{i+1} + x_{i+2} (...))): no division, so zeros need no care
    before = cumprod_along(_delayed(x, axis, 1), axis=axis)
    return (multiply(conj(before), _swept_back(conj(x), ct, axis)),)


@cumprod_along.batch
def _(lift, args, batched, axis):
    return cumprod_along(args[0], axis=axis + 1)


def _recurrence_samples(rng: Any) -> list[Any]:
    a, b = rng.uniform(0.5, 1.5, (2, 3, 4))
    return [((a, b), {"axis": 0}), ((a, b), {"axis": 1})]


@opaque(name="recurrence_along", samples=_recurrence_samples)
def recurrence_along(xp, a, b, axis):
    """``y[i] = a[i] * y[i - 1] + b[i]`` along `axis`, from ``y[0] = b[0]`` on, in two roundings."""
    shape = (_product(b.shape[:axis]), b.shape[axis], _product(b.shape[axis + 1 :]))
    factors, out = xp.ascontiguousarray(a).reshape(shape), xp.array(b, order="C").reshape(shape)
    for i in range(1, shape[1]):
        out[:, i] += factors[:, i] * out[:, i - 1]
    return out.reshape(b.shape)


@recurrence_along.type
def _(a, b, axis):
    check_axes((axis,), b.ndim)
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        raise ShapeError(f"{a} and {b} must have one shape and dtype")
    return b


@recurrence_along.vjp
def _(ct, out, a, _b, axis):
    back = _swept_back(conj(a), ct, axis)
    return lambda: multiply(back, conj(_delayed(out, axis, 0))), lambda: back


@recurrence_along.batch
def _(lift, args, batched, axis):
    return recurrence_along(*lift.materialize(args, batched), axis=axis + 1)


def _swept_back(factors: Any, ct: Any, axis: int) -> Any:
    """``r[i] = ct[i] + factors[i + 1] * r[i + 1]``, from the last element on."""
    turned = _delayed(flip(factors, axes=(axis,)), axis, 0)
    return flip(recurrence_along(turned, flip(ct, axes=(axis,)), axis=axis), axes=(axis,))


def _delayed(x: Any, axis: int, first: int) -> Any:
    """The element before each along `axis`; before the first stands `first`."""
    n = x.shape[axis]
    if n == 0:
        return x
    zeros, ones = (0,) * x.ndim, (1,) * x.ndim

    def up_to(stop: Any) -> Any:
        stops = (*x.shape[:axis], stop, *x.shape[axis + 1 :])
        return slice_(x, starts=zeros, stops=stops, steps=ones)

    return concat_along(where(True, first, up_to(1)), up_to(n - 1), axis=axis)


@opaque(multiple=True, name="running_best", samples=scan_samples)
def running_best(xp, x, axis, least=False):
    """The largest (or smallest) element so far along `axis`, and where it stands last; from a NaN on, the last NaN."""
    best = _accumulated(xp, xp.minimum if least else xp.maximum, x, axis)
    line = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    stands = xp.where((x == best) | (x != x), line, 0)
    places = _accumulated(xp, xp.maximum, stands, axis)
    return xp.take_along_axis(x, places, axis=axis), places


def _accumulated(xp: Any, ufunc: Any, x: Any, axis: int) -> Any:
    """A running extreme; each turn doubles the stretch that is compared where there is no function for it."""
    if xp is np:
        return ufunc.accumulate(x, axis=axis)
    line, span = xp.moveaxis(x, axis, 0), 1
    while span < line.shape[0]:
        line = xp.concatenate([line[:span], ufunc(line[:-span], line[span:])])
        span *= 2
    return xp.moveaxis(line, 0, axis)


@running_best.type
def _(x, axis, least=False):
    check_axes((axis,), x.ndim)
    real((x.dtype,))
    return x, TensorType(dt.int64, x.shape, x.device)


@running_best.vjp
def _(ct, out, _x, axis, least=False):
    return (None if ct[0] is None else put_along(ct[0], out[1], shape=_x.shape, axis=axis),)


@running_best.batch
def _(lift, args, batched, axis, least=False):
    return running_best(args[0], axis=axis + 1, least=least)


# --- product over axes ---


@reduction(dtype=totals, monoid="prod", name="reduce_prod", samples=samples)
def reduce_prod(xp, x, axes, keepdims):
    """Product over `axes` in the canonical order."""
    rows = canonical.rows(wide(x), axes)
    return canonical.restore(canonical.fold(xp, rows, xp.multiply, 1), x.shape, axes, keepdims)


@reduce_prod.vjp
def _(ct, _out, x, axes, keepdims):
    # product of all the others = (product before) * (product after): right where x has zeros, too
    moved = _rows_of(x, axes)
    last = moved.ndim - 1
    turned = flip(moved, axes=(last,))
    before, after = (cumprod_along(_delayed(v, last, 1), axis=last) for v in (moved, turned))
    others = _unrows(before * flip(after, axes=(last,)), x.shape, axes)
    return (spread(ct, x.shape, axes, keepdims) * conj(others),)


def _rows_of(x: Any, axes: tuple[int, ...]) -> Any:
    from_axes = [i for i in range(x.ndim) if i not in axes]
    order = (*from_axes, *axes)
    return reshape(
        permute(x, axes=order),
        shape=(*(x.shape[i] for i in from_axes), _product(x.shape[a] for a in axes)),
    )


def _unrows(y: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    kept = [i for i in range(len(shape)) if i not in axes]
    order = (*kept, *axes)
    wide = reshape(y, shape=tuple(shape[i] for i in order))
    return permute(wide, axes=tuple(order.index(i) for i in range(len(shape))))
