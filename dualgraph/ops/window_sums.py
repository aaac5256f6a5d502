"""Sums of windows, and the transpose: each sum spread over its window. Mean pooling and its gradient."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from ..core.kinds import opaque
from ..core.types import TensorType
from .windows import window_counts, window_places


def _samples(rng: Any) -> list[Any]:
    how = {"sizes": (2, 3), "steps": (2, 1), "dilations": (1, 2)}
    return [((rng.standard_normal((2, 5, 7)),), how)]


def _spread_samples(rng: Any) -> list[Any]:
    how = {"sizes": (2, 3), "steps": (2, 1), "dilations": (1, 2), "extent": (5, 7)}
    return [((rng.standard_normal((2, 2, 3)),), how)]


@opaque(name="window_sum", samples=_samples)
def window_sum(xp, x, sizes, steps, dilations):
    """The sum of each window over the last axes, its elements added in row-major order."""
    counts = window_counts(x.shape, sizes, steps, dilations)
    first, *others = window_places(counts, sizes, steps, dilations)
    out = x[first].copy()
    for at in others:
        out += x[at]
    return out


@window_sum.type
def _(x, sizes, steps, dilations):
    counts = window_counts(x.shape, sizes, steps, dilations)
    return TensorType(x.dtype, (*x.shape[: x.ndim - len(sizes)], *counts), x.device)


@window_sum.vjp
def _(ct, _out, _x, sizes, **how):
    return (window_spread(ct, extent=_x.shape[_x.ndim - len(sizes) :], sizes=sizes, **how),)


@window_sum.batch
def _(lift, args, batched, **how):
    return window_sum(args[0], **how)


@opaque(name="window_spread", samples=_spread_samples)
def window_spread(xp, x, extent, sizes, steps, dilations):
    """Each element of x added to all places of its window over axes of `extent`: the transpose of `window_sum`."""
    counts = x.shape[x.ndim - len(sizes) :]
    out = xp.zeros((*x.shape[: x.ndim - len(sizes)], *extent), dtype=x.dtype)
    for at in window_places(counts, sizes, steps, dilations):
        out[at] += x
    return out


@window_spread.type
def _(x, extent, sizes, steps, dilations):
    counts = x.shape[x.ndim - len(sizes) :]
    if window_counts(extent, sizes, steps, dilations) != counts:
        raise ShapeError(f"{counts} sums of windows over axes of {extent}")
    return TensorType(x.dtype, (*x.shape[: x.ndim - len(sizes)], *extent), x.device)


@window_spread.vjp
def _(ct, _out, _x, extent, **how):
    return (window_sum(ct, **how),)


@window_spread.batch
def _(lift, args, batched, **how):
    return window_spread(args[0], **how)
