"""Pooling: the largest or the mean element of each window of one to three spatial axes."""

from __future__ import annotations

from math import prod
from typing import Any

from ...core.composite import together
from ...core.dtypes import DType
from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, arange, concat, full
from ...eager.functions import argmax
from ...eager.shapes import unshared
from ...ops import pooling
from ...ops.composites import mean
from ...ops.indexing import take_along
from ...ops.movement import pad, reshape
from ...ops.nn.activations import relu
from ...ops.reduce import broadcast_to
from ...ops.window_sums import window_sum
from .convolution import each_axis

Ints = tuple[int, ...]


def _extra(dim: int, span: int, step: int, margin: int, ceil_mode: bool) -> int:
    """Elements to add on the right so that a last, partial window fits (ceil mode)."""
    if not ceil_mode:
        return 0
    count = -(-(dim + 2 * margin - span) // step) + 1
    # A window must start inside the input or its left margin.
    if (count - 1) * step >= dim + margin:
        count -= 1
    return max(0, (count - 1) * step + span - dim - 2 * margin)


def _widths(
    x: Tensor, sizes: Ints, steps: Ints, margins: Ints, gaps: Ints, ceil_mode: bool
) -> tuple[tuple[int, int], ...]:
    """The padding on both sides of each axis of x."""
    k = len(sizes)
    for size, margin, gap in zip(sizes, margins, gaps, strict=True):
        if 2 * margin > (size - 1) * gap + 1:
            raise ArgumentError(
                f"padding {margins} must be at most half of the kernel size {sizes}"
            )
    return ((0, 0),) * (x.ndim - k) + tuple(
        (m, m + _extra(d, (n - 1) * g + 1, s, m, ceil_mode))
        for d, n, s, m, g in zip(x.shape[x.ndim - k :], sizes, steps, margins, gaps, strict=True)
    )


def _lowest(dtype: DType) -> Any:
    """The least number of a dtype, which no element of a window loses to."""
    if dtype.is_floating_point:
        return float("-inf")
    return -(2 ** (8 * dtype.itemsize - 1)) if dtype.kind == "int" else 0


def _max_pool(
    n: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    """Max pooling of `n` spatial axes."""
    if x.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"max_pool{n}d: input must have {n + 1} or {n + 2} axes, not shape {x.shape}"
        )
    sizes = each_axis(kernel_size, n, "kernel_size")
    steps = sizes if stride is None or stride == [] else each_axis(stride, n, "stride")
    margins, gaps = each_axis(padding, n, "padding"), each_axis(dilation, n, "dilation")
    widths = _widths(x, sizes, steps, margins, gaps, ceil_mode)
    padded = pad(x, widths=widths, value=_lowest(x.dtype)) if any(map(any, widths)) else x
    out, place = pooling.max_pool(padded, sizes=sizes, steps=steps, dilations=gaps)
    if not return_indices:
        return out
    return out, _flat_places(place, x.shape[x.ndim - n :], sizes, steps, margins, gaps)


def _flat_places(
    place: Tensor, extent: Ints, sizes: Ints, steps: Ints, margins: Ints, gaps: Ints
) -> Tensor:
    """Places inside windows -> places in the flattened spatial axes of the input."""
    n = len(sizes)
    flat: Any = 0
    for i in range(n):
        inner = prod(sizes[i + 1 :])
        offset = (place // inner) % sizes[i]
        shape = tuple(-1 if j == place.ndim - n + i else 1 for j in range(place.ndim))
        starts = (
            arange(place.shape[place.ndim - n + i], device=place.device) * steps[i] - margins[i]
        )
        flat = flat * extent[i] + (offset * gaps[i] + starts.reshape(shape))
    return flat


def max_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest element of each window of (N, C, L).

    >>> dg.nn.functional.max_pool1d(dg.asarray([[[1.0, 5.0, 2.0, 3.0]]]), 2)
    tensor([[[5., 3.]]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest element of each window of (N, C, H, W).

    >>> dg.nn.functional.max_pool2d(dg.ones((1, 1, 4, 4)), 2).shape
    (1, 1, 2, 2)
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Largest element of each window of (N, C, D, H, W).

    >>> dg.nn.functional.max_pool3d(dg.ones((1, 1, 4, 4, 4)), 2).shape
    (1, 1, 2, 2, 2)
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# --- means -------------------------------------------------------------------------------------


def _avg_pool(
    n: int, x: Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:  # fmt: skip
    """Mean pooling of `n` spatial axes."""
    if x.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"avg_pool{n}d: input must have {n + 1} or {n + 2} axes, not shape {x.shape}"
        )
    sizes = each_axis(kernel_size, n, "kernel_size")
    steps = sizes if stride is None or stride == [] else each_axis(stride, n, "stride")
    margins = each_axis(padding, n, "padding")
    widths = _widths(x, sizes, steps, margins, (1,) * n, ceil_mode)
    padded = pad(x, widths=widths, value=0.0) if any(map(any, widths)) else x
    sums = window_sum(padded, sizes=sizes, steps=steps, dilations=(1,) * n)
    if divisor_override == 0:
        raise ArgumentError(f"avg_pool{n}d: divisor_override must not be 0")
    if divisor_override is not None:
        return sums / divisor_override
    inner = widths[x.ndim - n :]
    even = all(a == b for a, b in inner) and (count_include_pad or not any(map(any, inner)))
    return sums / (
        prod(sizes) if even else _counts(x, sizes, steps, margins, inner, count_include_pad)
    )


def _counts(
    x: Tensor,
    sizes: Ints,
    steps: Ints,
    margins: Ints,
    widths: tuple[tuple[int, int], ...],
    with_pad: bool,
) -> Tensor:
    """How many elements of each window count: those of the input, or of the input and its margins."""
    extent = x.shape[x.ndim - len(sizes) :]
    lead = margins if with_pad else (0,) * len(sizes)
    ones = full(
        tuple(d + 2 * m for d, m in zip(extent, lead, strict=True)),
        1.0,
        dtype=x.dtype,
        device=x.device,
    )
    rest = tuple((a - m, b - m) for (a, b), m in zip(widths, lead, strict=True))
    padded = pad(ones, widths=rest, value=0.0)
    return window_sum(padded, sizes=sizes, steps=steps, dilations=(1,) * len(sizes))


def avg_pool1d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """Mean of each window of (N, C, L).

    >>> dg.nn.functional.avg_pool1d(dg.ones((1, 1, 4)), 2).shape
    (1, 1, 2)
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@together
def avg_pool2d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of each window of (N, C, H, W).

    >>> dg.nn.functional.avg_pool2d(dg.ones((1, 1, 4, 4)), 2).shape
    (1, 1, 2, 2)
    """
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of each window of (N, C, D, H, W).

    >>> dg.nn.functional.avg_pool3d(dg.ones((1, 1, 4, 4, 4)), 2).shape
    (1, 1, 2, 2, 2)
    """
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _lp_pool(n: int, input: Tensor, p: float, kernel_size: Any, stride: Any, ceil: bool) -> Tensor:
    """``(sum of x**p)**(1/p)`` of each window, 0 where the sum is below 0."""
    sizes = each_axis(kernel_size, n, "kernel_size")
    means = _avg_pool(n, input**p, sizes, stride, 0, ceil, True, None)
    return (relu(means) * float(prod(sizes))) ** (1.0 / p)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Norm of each window of (N, C, L).

    >>> dg.nn.functional.lp_pool1d(dg.asarray([[[3.0, 4.0]]]), 2, 2)
    tensor([[[5.]]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Norm of each window of (N, C, H, W).

    >>> dg.nn.functional.lp_pool2d(dg.ones(1, 1, 2, 2), 2.0, 2)
    tensor([[[[2.]]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Norm of each window of (N, C, D, H, W).

    >>> round(dg.nn.functional.lp_pool3d(dg.ones(1, 1, 2, 2, 2), 2, 2).item() ** 2, 3)  # the sum of 8 squares
    8.0
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# --- adaptive ----------------------------------------------------------------------------------


SMALL = 16  # elements of a window that is rather gone through at once than axis by axis


def _wanted(n: int, x: Tensor, output_size: Any) -> Ints:
    """How many windows there are to be along each spatial axis."""
    if x.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"adaptive pooling: input must have {n + 1} or {n + 2} axes, not shape {x.shape}"
        )
    given = (
        (output_size,) * n
        if output_size is None or isinstance(output_size, int)
        else tuple(output_size)
    )
    if len(given) != n:
        raise ArgumentError(f"adaptive pooling: output_size {given} must have {n} sizes")
    return tuple(d if w is None else w for w, d in zip(given, x.shape[x.ndim - n :], strict=True))


def _adaptive_mean(n: int, x: Tensor, output_size: Any) -> Tensor:
    """Means of windows that cover the input, axis by axis; those that one window covers are summed up together."""
    counts = list(enumerate(_wanted(n, x, output_size), x.ndim - n))
    whole = tuple(axis for axis, wanted in counts if wanted == 1)
    out = mean(x, axis=whole, keepdims=True) if len(whole) > 1 else x
    for axis, wanted in counts:
        if wanted != out.shape[axis]:
            out = _fold_axis(out, axis, wanted, _mean_of)
    return unshared(out, x)


def _fold_axis(x: Tensor, axis: int, wanted: int, fold: Any) -> Tensor:
    """`wanted` windows that cover an axis, folded to an element each."""
    dim = x.shape[axis]
    if wanted and dim % wanted == 0:
        return fold(
            reshape(x, shape=(*x.shape[:axis], wanted, dim // wanted, *x.shape[axis + 1 :])),
            axis + 1,
            False,
        )
    before = (slice(None),) * axis
    parts = [
        fold(x[(*before, slice(i * dim // wanted, -(-(i + 1) * dim // wanted)))], axis, True)
        for i in range(wanted)
    ]
    return concat(parts, axis=axis)


def _mean_of(x: Tensor, axis: int, keepdims: bool) -> Tensor:
    return mean(x, axis=axis, keepdims=keepdims)


def _max_of(x: Tensor, axis: int, keepdims: bool) -> Tensor:
    sizes = (x.shape[axis], *(1,) * (x.ndim - axis - 1))  # of equals the first gets the gradient
    out, _ = pooling.max_pool(x, sizes=sizes, steps=sizes, dilations=(1,) * len(sizes))
    return out if keepdims else reshape(out, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


def _adaptive_max(n: int, x: Tensor, output_size: Any, return_indices: bool) -> Any:
    """The largest elements of windows that cover the input, and their places in the flattened spatial axes."""
    counts, shape = _wanted(n, x, output_size), x.shape[x.ndim - n :]
    even = all(w and d % w == 0 for w, d in zip(counts, shape, strict=True))
    sizes = tuple(d // w for w, d in zip(counts, shape, strict=True)) if even else ()
    if even and prod(sizes) <= SMALL:
        out, _ = pooling.max_pool(x, sizes=sizes, steps=sizes, dilations=(1,) * n)
    else:
        out = x
        for axis, wanted in enumerate(counts, x.ndim - n):
            if wanted != out.shape[axis]:
                out = _fold_axis(out, axis, wanted, _max_of)
        out = unshared(out, x)
    if not return_indices:
        return out
    at = broadcast_to(reshape(arange(prod(shape), device=x.device), shape=shape), shape=x.shape)
    # The last axis first: of equal elements the first in memory is chosen.
    for axis in reversed(range(x.ndim - n, x.ndim)):
        dim, wanted = x.shape[axis], out.shape[axis]
        before = (slice(None),) * axis
        windows = [
            (*before, slice(i * dim // wanted, -(-(i + 1) * dim // wanted))) for i in range(wanted)
        ]
        chosen = [argmax(x[w], axis=axis, keepdims=True) for w in windows]
        x, at = (
            concat(
                [take_along(v[w], c, axis=axis) for w, c in zip(windows, chosen, strict=True)],
                axis=axis,
            )
            for v in (x, at)
        )
    return out, at


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of `output_size` windows that cover (N, C, L).

    >>> dg.nn.functional.adaptive_avg_pool1d(dg.ones((1, 3, 7)), 2).shape
    (1, 3, 2)
    """
    return _adaptive_mean(1, input, output_size)


@together
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means of `output_size` windows that cover (N, C, H, W); None keeps an axis.

    >>> dg.nn.functional.adaptive_avg_pool2d(dg.ones((1, 3, 7, 5)), (2, 1)).shape
    (1, 3, 2, 1)
    """
    return _adaptive_mean(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Means of `output_size` windows that cover (N, C, D, H, W); None keeps an axis.

    >>> dg.nn.functional.adaptive_avg_pool3d(dg.ones((1, 3, 7, 5, 4)), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_mean(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of `output_size` windows that cover (N, C, L).

    >>> dg.nn.functional.adaptive_max_pool1d(dg.ones((1, 3, 7)), 2).shape
    (1, 3, 2)
    """
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of `output_size` windows that cover (N, C, H, W); None keeps an axis.

    >>> dg.nn.functional.adaptive_max_pool2d(dg.ones((1, 3, 7, 5)), (2, 1)).shape
    (1, 3, 2, 1)
    """
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of `output_size` windows that cover (N, C, D, H, W); None keeps an axis.

    >>> dg.nn.functional.adaptive_max_pool3d(dg.ones((1, 3, 7, 5, 4)), 2).shape
    (1, 3, 2, 2, 2)
    """
    return _adaptive_max(3, input, output_size, return_indices)
