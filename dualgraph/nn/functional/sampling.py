"""Sampling images at given places: grids of affine maps, and what lies there.

Jaderberg et al., Spatial transformer networks (2015).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from ...core.composite import composite
from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, linspace, ones, stack
from ...eager.functions import matmul, take_along_axis
from ...eager.shapes import meshgrid
from ...ops.arithmetic import cast, where
from ...ops.arithmetic import floor as floor_op
from ...ops.arithmetic import round as rint
from .resizing import SHARP, cubic_weight

Places = list[Tensor]


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """Where the places of an output (N, C, H, W) or (N, C, D, H, W) come from under the maps `theta` (N, n, n + 1).

    Places are (x, y) or (x, y, z), -1 and 1 the ends: the middles of the outermost pixels with `align_corners`, else
    their outer edges.

    >>> same = dg.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> dg.nn.functional.affine_grid(same, (1, 1, 1, 2), align_corners=True).tolist()
    [[[[-1.0, 0.0], [1.0, 0.0]]]]
    """
    lengths = tuple(size)[2:]
    n = len(lengths)
    if n not in (2, 3) or theta.shape != (size[0], n, n + 1):
        raise ShapeError(
            f"affine_grid: maps of shape {theta.shape} and a size of {tuple(size)} do not fit; "
            "(N, 2, 3) goes with (N, C, H, W), (N, 3, 4) with (N, C, D, H, W)"
        )

    def along(length: int) -> Tensor:
        edge = 1.0 if align_corners else (length - 1) / length
        if length == 1:
            edge = 0.0
        return linspace(-edge, edge, length, dtype=theta.dtype, device=theta.device)

    axes = meshgrid(*(along(d) for d in lengths), indexing="ij")
    base = stack([*axes[::-1], ones(lengths, dtype=theta.dtype, device=theta.device)], axis=-1)
    rows = matmul(base.reshape(-1, n + 1), theta.transpose(1, 2))
    return rows.reshape(size[0], *lengths, n)


def _reflected(x: Tensor, low: float, high: float) -> Tensor:
    """x folded back into [low, high]."""
    span = high - low
    if span <= 0:
        return x * 0
    off = (x - low).abs()
    rest = off.remainder(span)
    turns = floor_op(off / span)
    return where(turns.remainder(2) == 0, rest + low, span - rest + low)


def _padder(padding_mode: str, align_corners: bool) -> Callable[[Tensor, int], Tensor]:
    """What becomes of a place beyond the ends of an axis."""

    def border(x: Tensor, length: int) -> Tensor:
        return x.clamp(0, length - 1)

    def reflection(x: Tensor, length: int) -> Tensor:
        ends = (0.0, length - 1.0) if align_corners else (-0.5, length - 0.5)
        return border(_reflected(x, *ends), length)

    return {"border": border, "reflection": reflection}.get(padding_mode, lambda x, length: x)


def _gathered(flat: Tensor, at: Places, lengths: tuple[int, ...], zeros: bool) -> Tensor:
    """The elements of (N, C, all places) at whole places (N, M) along each axis; 0 outside with `zeros`."""
    place: Any = 0
    there: Any = None
    for x, length in zip(at, lengths, strict=True):
        place = place * length + cast(x.clamp(0, length - 1), dtype="int64")
        if zeros:
            inside = (x >= 0) & (x <= length - 1)
            there = inside if there is None else there & inside
    n, c = flat.shape[:2]
    spread = place.unsqueeze(1).expand(n, c, place.shape[1])
    out = take_along_axis(flat, spread, axis=2)
    return out if there is None else where(there.unsqueeze(1), out, 0.0)


@composite
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The image (N, C, H, W), or volume (N, C, D, H, W), at the places of a grid (N, ..., 2 or 3) as of `affine_grid`.

    `mode` is "bilinear", "nearest", or "bicubic" (images alone); `padding_mode` says what is outside: "zeros", "border"
    (the nearest element), or "reflection".

    >>> image = dg.arange(4.0).reshape(1, 1, 2, 2)
    >>> middle = dg.zeros(1, 1, 1, 2)
    >>> dg.nn.functional.grid_sample(image, middle, align_corners=True).item()
    1.5
    """
    lengths = input.shape[2:]
    n = len(lengths)
    if (
        n not in (2, 3)
        or grid.ndim != n + 2
        or grid.shape[-1] != n
        or grid.shape[0] != input.shape[0]
    ):
        raise ShapeError(
            f"grid_sample: a grid of shape {grid.shape} does not fit an input of shape {input.shape}"
        )
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and n != 2):
        raise ArgumentError(
            f"grid_sample: mode {mode!r} is not for an input of shape {input.shape}"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentError(
            f"grid_sample: padding_mode {padding_mode!r} is not zeros, border or reflection"
        )
    corners, zeros = bool(align_corners), padding_mode == "zeros"
    pad = _padder(padding_mode, corners)
    flat = input.reshape(*input.shape[:2], -1)
    at = []
    for i, length in enumerate(lengths):
        x = grid[..., n - 1 - i].reshape(grid.shape[0], -1)
        at.append((x + 1) * ((length - 1) / 2) if corners else ((x + 1) * length - 1) / 2)

    def taken(places: Places) -> Tensor:
        return _gathered(flat, places, lengths, zeros)

    if mode == "nearest":
        out = taken([rint(pad(x, d)) for x, d in zip(at, lengths, strict=True)])
    elif mode == "bicubic":
        out = _summed(
            at,
            (-1, 0, 1, 2),
            lambda t: cubic_weight(t, SHARP),
            lambda places: taken([pad(x, d) for x, d in zip(places, lengths, strict=True)]),
        )
    else:
        at = [pad(x, d) for x, d in zip(at, lengths, strict=True)]
        out = _summed(at, (0, 1), lambda t: 1 - t.abs(), taken)
    return out.reshape(*input.shape[:2], *grid.shape[1:-1])


def _summed(
    at: Places,
    offsets: tuple[int, ...],
    weight: Callable[[Tensor], Tensor],
    taken: Callable[[Places], Tensor],
) -> Tensor:
    """The elements around each place, each by its weight along all axes."""
    low = [floor_op(x) for x in at]
    shares = [{k: weight(x - first - k) for k in offsets} for x, first in zip(at, low, strict=True)]
    total: Any = 0
    for steps in product(offsets, repeat=len(at)):
        value = taken([first + k for first, k in zip(low, steps, strict=True)])
        for share, k in zip(shares, steps, strict=True):
            value = value * share[k].unsqueeze(1)
        total = total + value
    return total  # type: ignore[no-any-return]
