"""Windows: all patches of the last axes, and their transpose, which adds patches up where they overlap."""

from __future__ import annotations

from typing import Any

from ..core.errors import ArgumentError, ShapeError
from ..core.kinds import movement
from ..core.types import Shape, TensorType

Ints = tuple[int, ...]


def window_counts(shape: Shape, sizes: Ints, steps: Ints, dilations: Ints) -> Shape:
    """How many windows fit along each of the last axes."""
    k = len(sizes)
    if len(shape) < k or not k == len(steps) == len(dilations):
        raise ArgumentError(f"windows {sizes} with steps {steps} do not fit shape {shape}")
    if any(n < 1 for n in (*sizes, *steps, *dilations)):
        raise ArgumentError(
            f"sizes {sizes}, steps {steps} and dilations {dilations} are at least 1"
        )
    spans = tuple((n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True))
    for dim, span in zip(shape[-k:], spans, strict=True):
        if dim < span:
            raise ShapeError(
                f"a window of {span} elements does not fit an axis of {dim} (shape {shape})"
            )
    return tuple(
        (dim - span) // st + 1 for dim, span, st in zip(shape[-k:], spans, steps, strict=True)
    )


def strided_windows(xp: Any, x: Any, sizes: Ints, steps: Ints, dilations: Ints) -> Any:
    """View of shape (..., counts..., sizes...) with all windows over the last axes."""
    k = len(sizes)
    counts = window_counts(x.shape, sizes, steps, dilations)
    strides = x.strides[-k:]
    return xp.lib.stride_tricks.as_strided(
        x,
        shape=(*x.shape[:-k], *counts, *sizes),
        strides=(
            *x.strides[:-k],
            *(s * st for s, st in zip(strides, steps, strict=True)),
            *(s * d for s, d in zip(strides, dilations, strict=True)),
        ),
    )


def _window_samples(rng: Any) -> list[Any]:
    return [
        (
            (rng.standard_normal((2, 5, 6)),),
            {"sizes": (2, 3), "steps": (1, 2), "dilations": (2, 1)},
        ),
        ((rng.standard_normal((7,)),), {"sizes": (3,), "steps": (2,), "dilations": (1,)}),
    ]


@movement(samples=_window_samples)
def windows(xp, x, sizes, steps, dilations):
    """All windows over the last axes: shape (..., counts..., sizes...)."""
    return strided_windows(xp, x, sizes, steps, dilations).copy()


@windows.type
def _(x, sizes, steps, dilations):
    counts = window_counts(x.shape, sizes, steps, dilations)
    return TensorType(x.dtype, (*x.shape[: x.ndim - len(sizes)], *counts, *sizes), x.device)


@windows.vjp
def _(ct, _out, _x, sizes, steps, dilations):
    extent = _x.shape[_x.ndim - len(sizes) :]
    return (fold_windows(ct, extent=extent, steps=steps, dilations=dilations),)


@windows.batch
def _(lift, args, batched, sizes, steps, dilations):
    return windows(args[0], sizes=sizes, steps=steps, dilations=dilations)


def place(start: int, count: int, step: int) -> slice:
    """The places that one element of every window falls on."""
    return slice(start, start + (count - 1) * step + 1, step)


def window_places(counts: Ints, sizes: Ints, steps: Ints, dilations: Ints) -> list[Any]:
    """For each place inside a window, in row-major order, the index of the elements that fall on it."""
    return [
        (
            ...,
            *(place(o * d, c, s) for o, d, c, s in zip(at, dilations, counts, steps, strict=True)),
        )
        for at in each_offset(sizes)
    ]


def each_offset(sizes: Ints) -> list[Ints]:
    """All places inside a window, in row-major order."""
    out: list[Ints] = [()]
    for n in sizes:
        out = [(*head, i) for head in out for i in range(n)]
    return out


def _fold_samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((2, 3, 2, 2, 3))
    return [((x,), {"extent": (5, 6), "steps": (1, 2), "dilations": (2, 1)})]


@movement(name="fold_windows", samples=_fold_samples)
def fold_windows(xp, x, extent, steps, dilations):
    """Windows added up where they overlap, in row-major order inside the window: transpose of `windows`."""
    k = len(extent)
    lead, counts, sizes = (
        x.shape[: x.ndim - 2 * k],
        x.shape[x.ndim - 2 * k : x.ndim - k],
        x.shape[x.ndim - k :],
    )
    out = xp.zeros((*lead, *extent), dtype=x.dtype)
    places = window_places(counts, sizes, steps, dilations)
    for at, offset in zip(places, each_offset(sizes), strict=True):
        out[at] += x[(..., *offset)]
    return out


@fold_windows.type
def _(x, extent, steps, dilations):
    k = len(extent)
    if (
        x.ndim < 2 * k
        or window_counts(extent, x.shape[x.ndim - k :], steps, dilations)
        != (x.shape[x.ndim - 2 * k : x.ndim - k])
    ):
        raise ShapeError(f"windows of shape {x.shape} do not come from axes of {extent}")
    return TensorType(x.dtype, (*x.shape[: x.ndim - 2 * len(extent)], *extent), x.device)


@fold_windows.vjp
def _(ct, _out, _x, extent, steps, dilations):
    return (windows(ct, sizes=_x.shape[_x.ndim - len(extent) :], steps=steps, dilations=dilations),)


@fold_windows.batch
def _(lift, args, batched, extent, steps, dilations):
    return fold_windows(args[0], extent=extent, steps=steps, dilations=dilations)
