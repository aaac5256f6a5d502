"""Max pooling: the largest element of each window, and where it was."""

from __future__ import annotations

from typing import Any

from ..core import dtypes as dt
from ..core.errors import ShapeError
from ..core.kinds import opaque
from ..core.types import TensorType
from .windows import window_counts, window_places

Ints = tuple[int, ...]


def _samples(rng: Any) -> list[Any]:
    how = {"sizes": (2, 3), "steps": (2, 1), "dilations": (1, 2)}
    return [((rng.permutation(2 * 5 * 7).reshape(2, 5, 7) / 10.0,), how)]


def _views(x: Any, counts: Ints, sizes: Ints, steps: Ints, dilations: Ints) -> list[Any]:
    """For each place inside a window, the elements of x that fall on it."""
    return [x[at] for at in window_places(counts, sizes, steps, dilations)]


@opaque(multiple=True, name="max_pool", samples=_samples)
def max_pool(xp, x, sizes, steps, dilations):
    """Largest element of each window over the last axes, and its place in the window (row-major).

    The first of equals wins; a NaN wins over numbers.
    """
    counts = window_counts(x.shape, sizes, steps, dilations)
    views = _views(x, counts, sizes, steps, dilations)
    best = views[0].copy()
    place_of = xp.zeros(best.shape, dtype="int64")
    for i, view in enumerate(views[1:], 1):
        better = (view > best) | ((view != view) & (best == best))
        xp.copyto(best, view, where=better)
        xp.copyto(place_of, i, where=better)
    return best, place_of


@max_pool.type
def _(x, sizes, steps, dilations):
    counts = window_counts(x.shape, sizes, steps, dilations)
    shape = (*x.shape[: x.ndim - len(sizes)], *counts)
    return TensorType(x.dtype, shape, x.device), TensorType(dt.int64, shape, x.device)


def _check_places(at: TensorType, extent: Ints, sizes: Ints, steps: Ints, dilations: Ints) -> None:
    counts = at.shape[at.ndim - len(sizes) :]
    if window_counts(extent, sizes, steps, dilations) != counts:
        raise ShapeError(f"{counts} places for windows over axes of {extent}")


@max_pool.vjp
def _(ct, out, _x, sizes, **how):
    if ct[0] is None:
        return (None,)
    return (pool_put(ct[0], out[1], extent=_x.shape[_x.ndim - len(sizes) :], sizes=sizes, **how),)


@max_pool.batch
def _(lift, args, batched, **how):
    return max_pool(args[0], **how)


def _put_samples(rng: Any) -> list[Any]:
    how = {"sizes": (2, 3), "steps": (2, 1), "dilations": (1, 2), "extent": (5, 7)}
    return [((rng.standard_normal((2, 2, 3)), rng.integers(0, 6, (2, 2, 3))), how)]


@opaque(name="pool_put", samples=_put_samples)
def pool_put(xp, ct, at, extent, sizes, steps, dilations):
    """Adds each element of ct to the place `at` of its window: the gradient of `max_pool`."""
    counts = ct.shape[ct.ndim - len(sizes) :]
    out = xp.zeros((*ct.shape[: ct.ndim - len(sizes)], *extent), dtype=ct.dtype)
    for i, view in enumerate(_views(out, counts, sizes, steps, dilations)):
        view += xp.where(at == i, ct, ct.dtype.type(0))
    return out


@pool_put.type
def _(ct, at, extent, sizes, steps, dilations):
    _check_places(at, extent, sizes, steps, dilations)
    if ct.shape != at.shape:
        raise ShapeError(f"places {at.shape} and values {ct.shape} must agree")
    return TensorType(ct.dtype, (*ct.shape[: ct.ndim - len(sizes)], *extent), ct.device)


@pool_put.vjp
def _(g, _out, _ct, at, extent, **how):
    return pool_pick(g, at, **how), None


@pool_put.batch
def _(lift, args, batched, **how):
    return pool_put(*lift.materialize(args, batched), **how)


def _pick_samples(rng: Any) -> list[Any]:
    how = {"sizes": (2, 3), "steps": (2, 1), "dilations": (1, 2)}
    return [((rng.standard_normal((2, 5, 7)), rng.integers(0, 6, (2, 2, 3))), how)]


@opaque(name="pool_pick", samples=_pick_samples)
def pool_pick(xp, x, at, sizes, steps, dilations):
    """The element at place `at` of each window."""
    counts = at.shape[at.ndim - len(sizes) :]
    out = xp.zeros(at.shape, dtype=x.dtype)
    for i, view in enumerate(_views(x, counts, sizes, steps, dilations)):
        xp.copyto(out, view, where=at == i)
    return out


@pool_pick.type
def _(x, at, sizes, steps, dilations):
    _check_places(at, x.shape[x.ndim - len(sizes) :], sizes, steps, dilations)
    if x.shape[: x.ndim - len(sizes)] != at.shape[: at.ndim - len(sizes)]:
        raise ShapeError(f"places {at.shape} are not those of windows over {x.shape}")
    return TensorType(x.dtype, at.shape, x.device)


@pool_pick.vjp
def _(g, _out, _x, at, sizes, **how):
    return pool_put(g, at, extent=_x.shape[_x.ndim - len(sizes) :], sizes=sizes, **how), None


@pool_pick.batch
def _(lift, args, batched, **how):
    return pool_pick(*lift.materialize(args, batched), **how)
