"""Cumulative ops: running sums, products and extremes, and the product over axes whose gradient needs them."""

from __future__ import annotations

from math import prod as _product
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.kinds import check_axes, opaque, real, reduction
from ..core.types import TensorType
from . import canonical
from .arithmetic import cast, conj, divide, where
from .comparison import equal, not_equal
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
def _(ct, out, x, axis):
    # d out_j / d x_i = out_j / x_i for j >= i; where x_i is 0 the product is taken without it
    def reverse_cumsum(y):
        return flip(cumsum_along(flip(y, axes=(axis,)), axis=axis), axes=(axis,))

    zero = equal(x, 0)
    count = cumsum_along(cast(zero, dtype="int64"), axis=axis)
    first = zero & equal(count, 1)
    safe = where(zero, 1, x)
    plain = divide(reverse_cumsum(ct * conj(out)), conj(safe))
    without = cumprod_along(where(first, 1, x), axis=axis)  # as if the first zero were 1
    seen = cast(equal(count, 1), dtype=x.dtype.name)
    at_zero = reverse_cumsum(ct * conj(without) * seen)
    return (where(first, at_zero, where(not_equal(count, 0), 0, plain)),)


@cumprod_along.batch
def _(lift, args, batched, axis):
    return cumprod_along(args[0], axis=axis + 1)


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
    before = exclusive_cumprod(moved)
    after = flip(exclusive_cumprod(flip(moved, axes=(moved.ndim - 1,))), axes=(moved.ndim - 1,))
    others = _unrows(before * after, x.shape, axes)
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


def exclusive_cumprod(x: Any) -> Any:
    """Product of the elements before each place along the last axis."""
    last = x.ndim - 1
    n = x.shape[last]
    if n == 0:
        return x
    zeros, ones = (0,) * x.ndim, (1,) * x.ndim
    first = slice_(x, starts=zeros, stops=(*x.shape[:last], 1), steps=ones)
    head = slice_(x, starts=zeros, stops=(*x.shape[:last], n - 1), steps=ones)
    one = where(True, 1, first)
    return cumprod_along(concat_along(one, head, axis=last), axis=last)
