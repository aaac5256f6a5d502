"""Reductions: broadcasts and what folds them back - sums, extremes, truth, places of extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import ShapeError
from ..core.kinds import logical, movement, real, reduction
from ..core.numbers.symbolic import is_one, surely_equal
from ..core.types import TensorType
from . import canonical
from .arithmetic import cast, divide, multiply
from .comparison import equal
from .movement import expand_dims_at, reshape


def samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((3, 4, 5))
    long = rng.standard_normal((2, 531))
    return [
        ((x,), {"axes": (1,), "keepdims": False}),
        ((x,), {"axes": (0, 2), "keepdims": True}),
        ((x,), {"axes": (0, 1, 2), "keepdims": False}),
        ((x,), {"axes": (), "keepdims": False}),
        ((long,), {"axes": (1,), "keepdims": False}),
    ]


def totals(dtypes: tuple[dt.DType, ...]) -> tuple[tuple[dt.DType, ...], dt.DType]:
    d = dtypes[0]
    small = d.is_integer or d is dt.bool_
    return dtypes, (dt.uint64 if d.kind == "uint" else dt.int64) if small else d


def wide(x: Any) -> Any:
    """Integers are summed in 64 bits, as in NumPy and PyTorch."""
    kind = x.dtype.kind
    return x.astype("uint64" if kind == "u" else "int64") if kind in "bui" else x


def _broadcast_samples(rng: Any) -> list[Any]:
    return [
        ((rng.standard_normal((3, 1)),), {"shape": (2, 3, 4)}),
        ((rng.standard_normal(()),), {"shape": (2,)}),
    ]


@movement(aliases=True, samples=_broadcast_samples)
def broadcast_to(xp, x, shape):
    """x repeated along new or length-1 axes, by NumPy's rule. A read-only view."""
    if x.size == 1 and xp is np:  # a twentieth of the time that NumPy's function takes
        out: Any = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        out.flags.writeable = False
        return out
    return xp.broadcast_to(x, shape)


@broadcast_to.type
def _(x, shape):
    offset = len(shape) - x.ndim
    if offset < 0 or not all(
        is_one(d) or d == t or d == 1 for d, t in zip(x.shape, shape[offset:], strict=True)
    ):
        raise ShapeError(f"cannot broadcast shape {x.shape} to {shape}")
    return TensorType(x.dtype, shape, x.device)


@broadcast_to.vjp
def _(ct, _out, _x, shape):
    return (sum_to(ct, _x.shape),)


@broadcast_to.batch
def _(lift, args, batched, shape):
    (x,) = lift.align_to(args, batched, len(shape))
    return broadcast_to(x, shape=(x.shape[0], *shape))


def sum_to(ct: Any, shape: tuple[int, ...]) -> Any:
    """Undoes a broadcast from `shape`: sums the axes that were repeated."""
    if surely_equal(ct.shape, shape):
        return ct
    offset = len(ct.shape) - len(shape)
    axes = tuple(
        i
        for i, d in enumerate(ct.shape)
        if i < offset or (is_one(shape[i - offset]) and not is_one(d))
    )
    out = reduce_sum(ct, axes=axes, keepdims=False) if axes else ct
    return reshape(out, shape=shape) if out.shape != shape else out


@reduction(dtype=totals, monoid="sum", name="reduce_sum", samples=samples)
def reduce_sum(xp, x, axes, keepdims):
    """Sum over `axes` in the canonical order; small integers are summed in 64 bits."""
    rows = canonical.rows(wide(x), axes)
    identity = -0.0 if rows.dtype.kind in "fc" and rows.shape[-1] else 0
    return canonical.restore(canonical.fold(xp, rows, xp.add, identity), x.shape, axes, keepdims)


@reduce_sum.vjp
def _(ct, _out, _x, axes, keepdims):
    return (spread(ct, _x.shape, axes, keepdims),)


def spread(ct: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduced cotangent, broadcast back over the reduced axes."""
    if not keepdims and axes and ct.shape:  # one element broadcasts as it is
        ct = expand_dims_at(ct, axes)
    return ct if surely_equal(ct.shape, shape) else broadcast_to(ct, shape=shape)


def _extreme(xp: Any, x: Any, axes: tuple[int, ...], keepdims: bool, ufunc: Any, name: str) -> Any:
    rows = canonical.rows(x, axes)
    if rows.shape[-1] == 0:
        raise ShapeError(f"{name} of no elements is undefined (axes {axes} of shape {x.shape})")
    out = ufunc(rows, axis=-1)
    if out.dtype.kind == "f":  # the order of comparison leaves no trace
        out = xp.where(out != out, out.dtype.type(math.nan), out + out.dtype.type(0))
    return canonical.restore(xp.asarray(out), x.shape, axes, keepdims)


@reduction(dtype=real, monoid="max", name="reduce_max", samples=samples)
def reduce_max(xp, x, axes, keepdims):
    """Largest element over `axes`; NaN if there is one. Ties share the gradient equally."""
    return _extreme(xp, x, axes, keepdims, xp.amax, "max")


@reduction(dtype=real, monoid="min", name="reduce_min", samples=samples)
def reduce_min(xp, x, axes, keepdims):
    """Smallest element over `axes`; NaN if there is one. Ties share the gradient equally."""
    return _extreme(xp, x, axes, keepdims, xp.amin, "min")


def _to_ties(ct, out, x, axes, keepdims):
    ties = cast(equal(x, spread(out, x.shape, axes, keepdims)), dtype=x.dtype.name)
    count = reduce_sum(ties, axes=axes, keepdims=keepdims)
    return (multiply(ties, spread(divide(ct, count), x.shape, axes, keepdims)),)


reduce_max.vjp(_to_ties)
reduce_min.vjp(_to_ties)


@reduction(dtype=logical, monoid="any", name="reduce_any", samples=samples)
def reduce_any(xp, x, axes, keepdims):
    """Whether any element over `axes` is true (not zero)."""
    return canonical.restore(
        xp.asarray(xp.any(canonical.rows(x, axes), axis=-1)), x.shape, axes, keepdims
    )


@reduction(dtype=logical, monoid="all", name="reduce_all", samples=samples)
def reduce_all(xp, x, axes, keepdims):
    """Whether all elements over `axes` are true (not zero)."""
    return canonical.restore(
        xp.asarray(xp.all(canonical.rows(x, axes), axis=-1)), x.shape, axes, keepdims
    )


def _to_index(dtypes: tuple[dt.DType, ...]) -> tuple[tuple[dt.DType, ...], dt.DType]:
    return real(dtypes)[0], dt.int64


def _place(xp: Any, x: Any, axes: tuple[int, ...], keepdims: bool, find: Any, name: str) -> Any:
    rows = canonical.rows(x, axes)
    if rows.shape[-1] == 0:
        raise ShapeError(f"{name} of no elements is undefined (shape {x.shape})")
    found = xp.asarray(find(rows, axis=-1)).astype("int64")
    return canonical.restore(found, x.shape, axes, keepdims)


@reduction(dtype=_to_index, name="reduce_argmax", samples=samples)
def reduce_argmax(xp, x, axes, keepdims):
    """Index of the first largest element over `axes` flattened; a NaN counts as largest."""
    return _place(xp, x, axes, keepdims, xp.argmax, "argmax")


@reduction(dtype=_to_index, name="reduce_argmin", samples=samples)
def reduce_argmin(xp, x, axes, keepdims):
    """Index of the first smallest element over `axes` flattened; a NaN counts as smallest."""
    return _place(xp, x, axes, keepdims, xp.argmin, "argmin")
