"""Replaced: tensors with some of their places - slices, diagonals, strided ones - holding other values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...core.composite import together
from ...core.errors import ArgumentError, BoundsError, ShapeError, describe
from ...core.numbers.sizing import slice_indices, to_int
from ...ops.axes import normalize_axis
from ...ops.indexing import index_put
from ...ops.movement import slice_update
from ...ops.reduce import broadcast_to
from .. import shapes as sh
from ..attach import method
from ..filling import arange
from ..operands import as_operand, astype
from ..tensor import Tensor
from .parts import diagonal
from .selection import scatter_reduce
from .strided import check_inside, last_place


def _fitting(op: str, x: Tensor, src: Any, shape: tuple[int, ...]) -> Tensor:
    """Values for places of this shape, in the dtype of x."""
    src = as_operand(src)
    if src.shape != shape:
        problem = f"values of shape {src.shape} do not fit places of shape {shape}"
        raise ShapeError(describe(op, f"{x.tensor_type}, {src.tensor_type}", problem))
    return astype(src, x.dtype, copy=False)


def _updated(x: Tensor, src: Tensor, axis: int, at: tuple[int, int, int]) -> Tensor:
    ends = [(0, d, 1) if i != axis else at for i, d in enumerate(x.shape)]
    starts, stops, steps = (tuple(part) for part in zip(*ends, strict=True))
    return slice_update(x, src, starts=starts, stops=stops, steps=steps)  # type: ignore[no-any-return]


@method
@together
def select_scatter(x: Tensor, src: Any, dim: int, index: int) -> Tensor:
    """A copy of x with `src` as its slice at `index` along `dim`.

    >>> dg.select_scatter(dg.zeros(2, 2), dg.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]])
    """
    a = normalize_axis(dim, x.ndim)
    n, i = x.shape[a], to_int(index)
    if not -n <= i < n:
        problem = f"index {i} is out of range for an axis of {n}"
        raise BoundsError(describe("select_scatter", str(x.tensor_type), problem))
    i %= n
    src = _fitting("select_scatter", x, src, (*x.shape[:a], *x.shape[a + 1 :]))
    return _updated(x, sh.expand_dims(src, axis=a), a, (i, i + 1, 1))


@method
@together
def slice_scatter(
    x: Tensor, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:  # fmt: skip
    """A copy of x with `src` as its places from `start` up to `end` along `dim`, every `step`.

    >>> dg.slice_scatter(dg.zeros(4), dg.ones(2), start=1, end=3)
    tensor([0., 1., 1., 0.])
    """
    a = normalize_axis(dim, x.ndim)
    if step < 1:
        raise ArgumentError(
            describe("slice_scatter", str(x.tensor_type), f"step {step} is not positive")
        )
    first, last, by = slice_indices(slice(start, end, step), x.shape[a])
    count = len(range(first, last, by))
    src = _fitting("slice_scatter", x, src, (*x.shape[:a], count, *x.shape[a + 1 :]))
    return _updated(x, src, a, (first, max(first, last), by))


def _placed(x: Tensor, src: Tensor, places: Tensor) -> Tensor:
    """x with values at places of the flattened x."""
    flat = sh.reshape(x, (-1,))
    line = (sh.reshape(v, (-1,)) for v in (src, places))
    return sh.reshape(index_put(flat, *line, dims=(0,), mode="set"), x.shape)


@method
@together
def diagonal_scatter(x: Tensor, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of x with `src` on the diagonal that ``x.diagonal(offset, dim1, dim2)`` gives.

    >>> dg.diagonal_scatter(dg.zeros(2, 2), dg.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    places = diagonal(
        sh.reshape(arange(prod(x.shape), device=x.device), x.shape), offset, dim1, dim2
    )
    return _placed(x, _fitting("diagonal_scatter", x, src, places.shape), places)


def _strided(
    op: str, x: Tensor, size: Sequence[int], stride: Sequence[int], start: int | None
) -> Tensor:
    """The place in the flattened x of each element of what has these strides."""
    size, stride, first = tuple(size), tuple(stride), start or 0
    check_inside(op, x, last_place(op, x, size, stride, first), prod(x.shape))
    out = broadcast_to(arange(first, first + 1, device=x.device), shape=(1,) * max(1, len(size)))
    for axis, (d, s) in enumerate(zip(size, stride, strict=True)):
        along = sh.reshape(arange(d, device=x.device) * s, (d, *(1,) * (len(size) - axis - 1)))
        out = out + along
    return sh.reshape(out, size)


@method
@together
def as_strided_scatter(
    x: Tensor, src: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:  # fmt: skip
    """A copy of x with `src` at the places that `as_strided` reads.

    >>> dg.as_strided_scatter(dg.zeros(4), dg.ones(2), (2,), (2,))
    tensor([1., 0., 1., 0.])
    """
    places = _strided("as_strided_scatter", x, size, stride, storage_offset)
    return _placed(x, _fitting("as_strided_scatter", x, src, places.shape), places)


@method
@together
def index_reduce(
    x: Tensor, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of x with the slices of `source` folded into those at `index`: "prod", "mean", "amax" or "amin".

    >>> dg.index_reduce(dg.ones(2), 0, dg.tensor([0, 0]), dg.tensor([2.0, 3.0]), "prod")
    tensor([6., 1.])
    """
    a, source = normalize_axis(dim, x.ndim), as_operand(source)
    at = sh.reshape(as_operand(index), tuple(-1 if i == a else 1 for i in range(source.ndim)))
    at = broadcast_to(at, shape=source.shape)
    return scatter_reduce(x, dim, at, source, reduce, include_self=include_self)
