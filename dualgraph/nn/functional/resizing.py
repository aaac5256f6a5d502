"""Resizing images: nearest neighbours, linear and cubic interpolation, averages, with or without a filter before."""

from __future__ import annotations

from math import floor
from typing import Any

from ...core.composite import together
from ...core.errors import ArgumentError
from ...eager import Tensor, arange
from ...eager.functions import matmul
from ...eager.shapes import moveaxis
from ...ops.arithmetic import abs as size_of
from ...ops.arithmetic import cast, divide, where
from ...ops.arithmetic import floor as floor_op
from ...ops.indexing import index
from ...ops.movement import reshape
from .convolution import each_axis
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}  # spatial ones that a mode is for
MODES = ("nearest", "nearest-exact", "area", *AXES)
AVERAGES = adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
SHARP, SMOOTH = -0.75, -0.5  # the parameter of Keys' cubic (1981), alone and as a filter


@together
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """(N, C, ...) resized to `size` or by `scale_factor`.

    `mode` is "nearest", "nearest-exact", "area", or "linear", "bilinear", "bicubic", "trilinear" for as many axes as
    they say. With `antialias` "bilinear" and "bicubic" average what shrinks.

        >>> dg.nn.functional.interpolate(dg.ones((1, 1, 2, 2)), scale_factor=2).shape
        (1, 1, 4, 4)
    """
    n = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate: give either size or scale_factor")
    if mode not in MODES or AXES.get(mode, n) != n or not 1 <= n <= 3:
        raise ArgumentError(
            f"interpolate: mode {mode!r} is not for an input of shape {input.shape}"
        )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(f"interpolate: antialias is for bilinear and bicubic, not {mode}")
    if align_corners is not None and mode not in AXES:
        raise ArgumentError(f"interpolate: align_corners is not for mode {mode!r}")
    scales: tuple[float | None, ...] = (None,) * n
    if size is not None:
        wanted = each_axis(size, n, "size")
    else:
        factors = (
            (scale_factor,) * n if isinstance(scale_factor, (int, float)) else tuple(scale_factor)
        )
        wanted = tuple(floor(d * f) for d, f in zip(input.shape[2:], factors, strict=True))
        scales = (None,) * n if recompute_scale_factor else factors
    if mode == "area":
        out: Tensor = AVERAGES[n - 1](input, wanted)
        return out
    for axis, (length, scale) in enumerate(zip(wanted, scales, strict=True), 2):
        ratio = input.shape[axis] / length if scale is None else 1 / scale
        if mode.startswith("nearest"):
            at = _places(length, ratio, input.shape[axis], input, mode == "nearest-exact")
            input = index(input, at, dims=(axis,))
            continue
        step = ratio
        if align_corners:
            step = (input.shape[axis] - 1) / (length - 1) if length > 1 else 0.0
        if antialias:
            input = _filtered(input, axis, length, step, mode == "bicubic")
        elif mode == "bicubic":
            input = _cubic(input, axis, length, step, bool(align_corners))
        else:
            input = _blend(input, axis, length, step, bool(align_corners))
    return input


upsample = interpolate


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` by the nearest element.

    >>> dg.nn.functional.upsample_nearest(dg.ones(1, 1, 2, 2), scale_factor=2).shape
    (1, 1, 4, 4)
    """
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` of (N, C, H, W) between neighbours, corners on corners.

    >>> dg.nn.functional.upsample_bilinear(dg.ones(1, 1, 2, 2), scale_factor=2).shape
    (1, 1, 4, 4)
    """
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _numbers(length: int, x: Tensor) -> Tensor:
    """0, 1, ... as float64 beside x: places are worked out as Python would."""
    return arange(length, dtype="float64", device=x.device)


def _places(length: int, ratio: float, n: int, x: Tensor, exact: bool) -> Tensor:
    """Where in an axis of `n` each of `length` neighbours comes from."""
    at = floor_op((_numbers(length, x) + (0.5 if exact else 0.0)) * ratio)
    return cast(at, dtype="int64").clamp(max=n - 1)


def _centres(length: int, step: float, align_corners: bool, x: Tensor) -> Tensor:
    """The place in the old axis of each place in the new one."""
    numbers = _numbers(length, x)
    return numbers * step if align_corners else (numbers + 0.5) * step - 0.5


def _at(x: Tensor, places: Tensor, axis: int) -> Tensor:
    return index(x, cast(places.clamp(0, x.shape[axis] - 1), dtype="int64"), dims=(axis,))


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """Numbers, one a place of the axis, in the dtype of x."""
    shape = tuple(values.shape[0] if i == axis else 1 for i in range(x.ndim))
    return reshape(cast(values, dtype=x.dtype.name), shape=shape)


def _blend(x: Tensor, axis: int, length: int, step: float, align_corners: bool) -> Tensor:
    """Linear interpolation along one axis."""
    places = _centres(length, step, align_corners, x).clamp(min=0.0)
    low = floor_op(places).clamp(max=x.shape[axis] - 1)
    share = _along(places - low, x, axis)
    return _at(x, low, axis) * (1 - share) + _at(x, low + 1, axis) * share


def cubic_weight(t: Any, a: float) -> Any:
    """Keys' cubic at distance t from a place: 1 at 0, 0 at whole distances and from 2 on."""
    d = size_of(t)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return where(d < 1, near, where(d < 2, far, 0.0))


def _cubic(x: Tensor, axis: int, length: int, step: float, align_corners: bool) -> Tensor:
    """Cubic interpolation along one axis; beyond the ends stands the last element."""
    places = _centres(length, step, align_corners, x)
    first = floor_op(places)
    parts = [
        _at(x, first + k, axis) * _along(cubic_weight(places - first - k, SHARP), x, axis)
        for k in (-1, 0, 1, 2)
    ]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _filtered(x: Tensor, axis: int, length: int, step: float, cubic: bool) -> Tensor:
    """Each place an average of those around it, as wide as what becomes one place."""
    scale = max(step, 1.0)
    reach = (2.0 if cubic else 1.0) * scale
    centre = reshape((_numbers(length, x) + 0.5) * step, shape=(length, 1))
    old = _numbers(x.shape[axis], x)
    low, high = floor_op(centre - reach + 0.5), floor_op(centre + reach + 0.5)
    t = (old - centre + 0.5) / scale
    weights = cubic_weight(t, SMOOTH) if cubic else (1 - size_of(t)).clamp(min=0.0)
    weights = where((old >= low) & (old < high), weights, 0.0)
    weights = divide(weights, weights.sum(1, keepdim=True))
    rows = moveaxis(x, axis, -1)
    return moveaxis(matmul(rows, cast(weights, dtype=x.dtype.name).T), -1, axis)
