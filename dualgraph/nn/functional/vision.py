"""Images: padding, pixel shuffling, and patches as columns."""

from __future__ import annotations

from math import prod
from typing import Any

from ...core.composite import together
from ...core.errors import ArgumentError, ShapeError
from ...core.numbers.sizing import to_int
from ...eager import Tensor
from ...eager.shapes import broadcast_to, cut, unshared
from ...ops.movement import concat_along, flip, permute, reshape
from ...ops.movement import pad as pad_op
from ...ops.windows import fold_windows, windows
from .convolution import each_axis


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added at the ends of the last axes: ``pad = (left, right, top, bottom, ...)``, last axis first.

    `mode` is "constant", "reflect", "replicate" or "circular"; negative numbers cut elements off.

    >>> dg.nn.functional.pad(dg.tensor([1, 2]), (1, 0)).tolist()
    [0, 1, 2]
    """
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ArgumentError(
            f"pad: {pad} does not give (before, after) for at most {input.ndim} axes"
        )
    ends = [(to_int(pad[i]), to_int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    first = input.ndim - len(ends)
    cut = tuple(
        slice(max(-a, 0), d - max(-b, 0))
        for d, (a, b) in zip(input.shape[first:], ends, strict=True)
    )
    grow = [(max(a, 0), max(b, 0)) for a, b in ends]
    out = input
    if any(a < 0 or b < 0 for a, b in ends):
        out = input[(..., *cut)]
    if mode == "constant" and any(map(any, grow)):
        widths = ((0, 0),) * first + tuple(grow)
        return pad_op(out, widths=widths, value=_as_kind(value, input))  # type: ignore[no-any-return]
    for axis, (before, after) in enumerate(grow, first):
        if before or after:
            out = _extended(out, axis, mode, before, after)
    return unshared(out, input)


def _as_kind(value: float | None, x: Tensor) -> Any:
    """The fill value in the kind of x's dtype."""
    value = 0 if value is None else value
    return (
        float(value)
        if x.dtype.is_inexact
        else bool(value)
        if x.dtype.kind == "bool"
        else int(value)
    )


def _extended(x: Tensor, axis: int, mode: str, before: int, after: int) -> Tensor:
    """x with elements of its own at both ends of an axis."""
    n, most = x.shape[axis], max(before, after)
    if mode == "reflect":
        if most >= n:
            raise ShapeError(
                f"pad: reflect padding ({before}, {after}) must be smaller than the axis of {n}"
            )
        head, tail = cut(x, axis, 1, before + 1), cut(x, axis, n - 1 - after, n - 1)
        ends = flip(head, axes=(axis,)), flip(tail, axes=(axis,))
    elif mode == "circular":
        if most > n:
            raise ShapeError(
                f"pad: circular padding ({before}, {after}) must be at most the axis of {n}"
            )
        ends = cut(x, axis, n - before, n), cut(x, axis, 0, after)
    elif mode == "replicate":
        ends = _repeated(x, axis, 0, before), _repeated(x, axis, n - 1, after)
    else:
        raise ArgumentError(
            f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', not {mode!r}"
        )
    parts = [x] if not before else [ends[0], x]
    return concat_along(*parts, *([ends[1]] if after else ()), axis=axis)


def _repeated(x: Tensor, axis: int, place: int, count: int) -> Tensor:
    """The elements at one place of an axis, `count` times."""
    return broadcast_to(
        cut(x, axis, place, place + 1), (*x.shape[:axis], count, *x.shape[axis + 1 :])
    )


@together
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) -> (..., C, H * r, W * r).

    >>> dg.nn.functional.pixel_shuffle(dg.ones((1, 8, 2, 3)), 2).shape
    (1, 2, 4, 6)
    """
    r, (c, h, w) = upscale_factor, input.shape[-3:]
    if c % (r * r):
        raise ShapeError(f"pixel_shuffle: {c} channels are not divisible by {r} * {r}")
    lead, k = input.shape[:-3], input.ndim - 3
    split = reshape(input, shape=(*lead, c // (r * r), r, r, h, w))
    order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
    out = reshape(permute(split, axes=order), shape=(*lead, c // (r * r), h * r, w * r))
    return unshared(out, input)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) -> (..., C * r * r, H, W).

    >>> dg.nn.functional.pixel_unshuffle(dg.ones((1, 2, 4, 6)), 2).shape
    (1, 8, 2, 3)
    """
    r, (c, h, w) = downscale_factor, input.shape[-3:]
    if h % r or w % r:
        raise ShapeError(f"pixel_unshuffle: height {h} and width {w} are not divisible by {r}")
    lead, k = input.shape[:-3], input.ndim - 3
    split = reshape(input, shape=(*lead, c, h // r, r, w // r, r))
    order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
    out = reshape(permute(split, axes=order), shape=(*lead, c * r * r, h // r, w // r))
    return unshared(out, input)


@together
def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Patches of (N, C, H, W) as columns: (N, C * prod(kernel), number of patches).

    >>> dg.nn.functional.unfold(dg.ones((1, 2, 4, 4)), kernel_size=2).shape
    (1, 8, 9)
    """
    sizes, gaps, steps, margins = (
        each_axis(v, 2, "unfold") for v in (kernel_size, dilation, stride, padding)
    )
    widths = ((0, 0), (0, 0), *((m, m) for m in margins))
    padded = pad_op(input, widths=widths, value=0.0) if any(margins) else input
    seen = windows(padded, sizes=sizes, steps=steps, dilations=gaps)
    n, c, counts = *seen.shape[:2], seen.shape[2:4]
    columns = permute(seen, axes=(0, 1, 4, 5, 2, 3))
    return unshared(reshape(columns, shape=(n, c * prod(sizes), prod(counts))), input)


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns of patches summed into (N, C, *output_size): the transpose of `unfold`.

    >>> dg.nn.functional.fold(dg.ones((1, 8, 9)), output_size=(4, 4), kernel_size=2).shape
    (1, 2, 4, 4)
    """
    extent = each_axis(output_size, 2, "output_size")
    sizes, gaps, steps, margins = (
        each_axis(v, 2, "fold") for v in (kernel_size, dilation, stride, padding)
    )
    whole = tuple(d + 2 * m for d, m in zip(extent, margins, strict=True))
    counts = tuple(
        (d - (k - 1) * g - 1) // s + 1 for d, k, g, s in zip(whole, sizes, gaps, steps, strict=True)
    )
    n, rows = input.shape[:2]
    if rows % prod(sizes) or input.shape[2] != prod(counts):
        raise ShapeError(
            f"fold: input of shape {input.shape} does not hold {prod(counts)} patches of {sizes}"
        )
    split = reshape(input, shape=(n, rows // prod(sizes), *sizes, *counts))
    out = fold_windows(
        permute(split, axes=(0, 1, 4, 5, 2, 3)), extent=whole, steps=steps, dilations=gaps
    )
    return out[:, :, margins[0] : margins[0] + extent[0], margins[1] : margins[1] + extent[1]]


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of `groups` groups taken in turn: channel (g, i) of (N, C, ...) becomes (i, g).

    >>> dg.nn.functional.channel_shuffle(dg.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    n, channels, *rest = input.shape
    if groups < 1 or channels % groups:
        raise ShapeError(f"channel_shuffle: {channels} channels do not divide into {groups} groups")
    apart = reshape(input, shape=(n, groups, channels // groups, *rest))
    axes = (0, 2, 1, *range(3, apart.ndim))
    return unshared(reshape(permute(apart, axes=axes), shape=input.shape), input)
