"""Functions of the Array API standard that are not ops themselves: parameters checked, ops composed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as _product
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.composite import composite, together
from ..core.errors import ArgumentError, ShapeError, describe
from ..core.types import broadcast_shapes
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import movement as mv
from ..ops import reduce as rd
from ..ops.axes import normalize_axes, normalize_axis
from ..ops.contraction import matmul_op
from ..ops.cumulative import cumprod_along, cumsum_along, reduce_prod
from ..ops.indexing import index, take_along
from ..ops.sorting import sort_along
from .filling import ones
from .indexing import nonzero as nonzero_places
from .inplace import into
from .operands import also_dim, also_out, as_operand, astype, result_type
from .shapes import broadcast_to, concat, cut, reshape, unshared
from .tensor import Tensor

Axis = int | Sequence[int] | None


# --- reductions --------------------------------------------------------------------------------


def _totalled(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else astype(x, dtype, copy=False)


@also_dim
def sum(x: Any, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over `axis` (all axes by default), in the canonical order.

    >>> dg.sum(dg.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    tensor([3., 7.])
    """
    x = _totalled(as_operand(x), dtype)
    out = rd.reduce_sum(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))
    return out if dtype is None else astype(out, dtype, copy=False)


@also_dim
def prod(x: Any, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """Product over `axis` (all axes by default), in the canonical order.

    >>> dg.prod(dg.asarray([2.0, 3.0, 4.0]))
    tensor(24.)
    """
    x = _totalled(as_operand(x), dtype)
    out = reduce_prod(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))
    return out if dtype is None else astype(out, dtype, copy=False)


@also_dim
def max(x: Any, other: Any = None, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis`; NaN if there is one. Of two tensors: `maximum`, PyTorch's other form.

    >>> dg.max(dg.asarray([[1.0, 5.0], [3.0, 4.0]]), axis=1)
    tensor([5., 4.])
    """
    x = as_operand(x)
    if other is not None:
        return ar.maximum(x, _second("max", x, other))  # type: ignore[no-any-return]
    return rd.reduce_max(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))


@also_dim
def min(x: Any, other: Any = None, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis`; NaN if there is one. Of two tensors: `minimum`, PyTorch's other form.

    >>> dg.min(dg.asarray([[1.0, 5.0], [3.0, 4.0]]), axis=1)
    tensor([1., 3.])
    """
    x = as_operand(x)
    if other is not None:
        return ar.minimum(x, _second("min", x, other))  # type: ignore[no-any-return]
    return rd.reduce_min(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))


@also_dim
def any(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is true.

    >>> dg.any(dg.asarray([[True, False], [False, False]]), axis=1)
    tensor([ True, False])
    """
    x = astype(x, dt.bool_, copy=False)
    return rd.reduce_any(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))


@also_dim
def all(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true.

    >>> dg.all(dg.asarray([[True, False], [True, True]]), axis=1)
    tensor([False,  True])
    """
    x = astype(x, dt.bool_, copy=False)
    return rd.reduce_all(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))


def _second(op: str, x: Tensor, other: Any) -> Any:
    """The second operand of the two; a number there is PyTorch's `dim`, whose result would be another."""
    if isinstance(other, (Tensor, np.ndarray)):
        return other
    problem = f"the second operand is a tensor, not {other!r}"
    remedy = (
        f"values along an axis: dg.{op}(x, axis={other!r}); with their indices: x.{op}({other!r})"
    )
    raise ArgumentError(describe(op, str(x.tensor_type), problem, remedy))


def _place(op: Any, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_operand(x)
    axes = normalize_axes(axis, x.ndim) if axis is None else (normalize_axis(axis, x.ndim),)
    return op(x, axes=axes if x.ndim else (), keepdims=bool(keepdims))


@also_dim
def argmax(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the first largest element along `axis`, or in the flattened x.

    >>> dg.argmax(dg.asarray([[1.0, 5.0], [3.0, 2.0]]), axis=1)
    tensor([1, 0])
    """
    return _place(rd.reduce_argmax, x, axis, keepdims)


@also_dim
def argmin(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the first smallest element along `axis`, or in the flattened x.

    >>> dg.argmin(dg.asarray([[1.0, 5.0], [3.0, 2.0]]), axis=1)
    tensor([0, 1])
    """
    return _place(rd.reduce_argmin, x, axis, keepdims)


@also_dim
def count_nonzero(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero.

    >>> dg.count_nonzero(dg.asarray([[0, 1], [2, 3]]), axis=1)
    tensor([1, 2])
    """
    return sum(ar.cast(as_operand(x), dtype="bool"), axis=axis, keepdims=keepdims)


def _cumulative(
    op: Any, x: Any, axis: int | None, dtype: Any, include_initial: bool, initial: int
) -> Tensor:
    """A running sum or product along an axis, behind `initial` where that is asked for."""
    x = _totalled(as_operand(x), dtype)
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(
                describe(op.name, str(x.tensor_type), "axis may be left out only for 1-d tensors")
            )
        axis = 0
    a = normalize_axis(axis, x.ndim)
    out = op(x, axis=a) if x.ndim else x
    if include_initial:
        shape = tuple(1 if i == a else d for i, d in enumerate(x.shape))
        first = ones(shape, dtype=out.dtype, device=x.device) if initial else out.new_zeros(shape)
        out = mv.concat_along(first, out, axis=a)
    return out if dtype is None else astype(out, dtype, copy=False)


@also_dim
def cumulative_sum(
    x: Any, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running sum along `axis`.

    >>> dg.cumulative_sum(dg.asarray([1, 2, 3]), include_initial=True)
    tensor([0, 1, 3, 6])
    """
    return _cumulative(cumsum_along, x, axis, dtype, include_initial, 0)


@also_dim
def cumulative_prod(
    x: Any, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running product along `axis`.

    >>> dg.cumulative_prod(dg.asarray([1, 2, 3]))
    tensor([1, 2, 6])
    """
    return _cumulative(cumprod_along, x, axis, dtype, include_initial, 1)


# --- contractions ------------------------------------------------------------------------------


def matmul(x1: Any, x2: Any, /, *, out: Tensor | None = None) -> Tensor:
    """Matrix product; 1-d operands are rows (left) or columns (right), leading axes broadcast.

    >>> dg.matmul(dg.ones((2, 3)), dg.ones((3, 4))).shape
    (2, 4)
    """
    if out is not None:
        return into(out, matmul, x1, x2)  # type: ignore[no-any-return]
    x, y = as_operand(x1), as_operand(x2)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            describe(
                "matmul",
                f"{x.tensor_type}, {y.tensor_type}",
                "operands need at least one axis",
                "use * for numbers",
            )
        )
    if x.shape[-1] != y.shape[-1 if y.ndim == 1 else -2]:
        raise ShapeError(
            describe(
                "matmul",
                f"{x.tensor_type}, {y.tensor_type}",
                f"inner sizes differ: {x.shape} @ {y.shape}",
            )
        )
    if x.dtype is not y.dtype:
        common = dt.promote(x.dtype, y.dtype)
        x, y = astype(x, common, copy=False), astype(y, common, copy=False)
    if x.ndim > 1 and y.ndim > 1:
        return matmul_op(x, y)
    return _with_vectors(x, y)


@together
def _with_vectors(x: Tensor, y: Tensor) -> Tensor:
    left = mv.reshape(x, shape=(1, *x.shape)) if x.ndim == 1 else x
    right = mv.reshape(y, shape=(*y.shape, 1)) if y.ndim == 1 else y
    out = matmul_op(left, right)
    drop = ((out.ndim - 2,) if x.ndim == 1 else ()) + ((out.ndim - 1,) if y.ndim == 1 else ())
    return mv.reshape(out, shape=tuple(d for i, d in enumerate(out.shape) if i not in drop))


@together
def tensordot(x1: Any, x2: Any, /, axes: Any = 2, *, dims: Any = None) -> Tensor:
    """Sum of products over the last axes of x1 and first of x2 (a number), or over named axes.

    `dims` is PyTorch's name for `axes`.

        >>> dg.tensordot(dg.ones((2, 3, 4)), dg.ones((4, 3, 5)), axes=([1, 2], [1, 0])).shape
        (2, 5)
    """
    axes = axes if dims is None else dims
    x, y = as_operand(x1), as_operand(x2)
    if isinstance(axes, int):
        left, right = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        left, right = ([a] if isinstance(a, int) else list(a) for a in axes)
        left = [normalize_axis(a, x.ndim) for a in left]
        right = [normalize_axis(a, y.ndim) for a in right]
    if [x.shape[a] for a in left] != [y.shape[a] for a in right]:
        raise ShapeError(
            describe(
                "tensordot",
                f"{x.tensor_type}, {y.tensor_type}",
                f"axes {left} and {right} differ in size",
            )
        )
    keep_x = [i for i in range(x.ndim) if i not in left]
    keep_y = [i for i in range(y.ndim) if i not in right]
    inner = _product(x.shape[a] for a in left)
    a = reshape(mv.permute(x, axes=(*keep_x, *left)), (_product(x.shape[i] for i in keep_x), inner))
    b = reshape(
        mv.permute(y, axes=(*right, *keep_y)), (inner, _product(y.shape[i] for i in keep_y))
    )
    return reshape(matmul(a, b), (*(x.shape[i] for i in keep_x), *(y.shape[i] for i in keep_y)))


@also_dim
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Sum of ``conj(x1) * x2`` along an axis of equal length in both, in the dtype they promote to.

    >>> dg.vecdot(dg.ones((2, 3)), dg.ones((2, 3)))
    tensor([3., 3.])
    """
    x, y = as_operand(x1), as_operand(x2)
    lengths = [v.shape[normalize_axis(axis, v.ndim)] for v in (x, y)]
    if lengths[0] != lengths[1]:
        raise ShapeError(
            describe(
                "vecdot", f"{x.tensor_type}, {y.tensor_type}", f"axis {axis} has lengths {lengths}"
            )
        )
    return sum(ar.multiply(ar.conj(x), y), axis=axis, dtype=result_type(x, y))


# --- indexing and sorting ------------------------------------------------------------------------


@also_dim
def take(x: Any, indices: Any, /, axis: int | None = None) -> Tensor:
    """Elements at `indices` along `axis`.

    >>> dg.take(dg.asarray([10, 20, 30]), dg.asarray([2, 0]))
    tensor([30, 10])
    """
    x = as_operand(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return index(
        x, astype(as_operand(indices), dt.int64, copy=False), dims=(normalize_axis(axis, x.ndim),)
    )


@also_dim
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Tensor:
    """Along `axis`, the element at each index; the other axes broadcast.

    >>> dg.take_along_axis(dg.asarray([[3, 1], [5, 9]]), dg.asarray([[1], [0]]), axis=1)
    tensor([[1],
            [5]])
    """
    x, at = as_operand(x), astype(as_operand(indices), dt.int64, copy=False)
    place = normalize_axis(axis, x.ndim)
    lead = broadcast_shapes(
        *(tuple(1 if i == place else d for i, d in enumerate(s)) for s in (x.shape, at.shape))
    )
    wide = [
        broadcast_to(t, tuple(t.shape[i] if i == place else d for i, d in enumerate(lead)))
        for t in (x, at)
    ]
    return take_along(wide[0], wide[1], axis=place)


@also_dim
def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Values in order along `axis`.

    >>> dg.sort(dg.asarray([3.0, 1.0, 2.0]), descending=True)
    tensor([3., 2., 1.])
    """
    x = as_operand(x)
    return sort_along(x, axis=normalize_axis(axis, x.ndim), descending=bool(descending))[0]


@also_dim
def argsort(x: Any, /, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indexes that put x in order along `axis`; stable.

    >>> dg.argsort(dg.asarray([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    x = as_operand(x)
    return sort_along(x, axis=normalize_axis(axis, x.ndim), descending=bool(descending))[1]


@also_out
def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None leaves a side open. At a bound the gradient passes, as in PyTorch.

    >>> dg.clip(dg.asarray([-2.0, 0.5, 2.0]), -1.0, 1.0)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    return _clip(as_operand(x), min, max)  # type: ignore[no-any-return]


@composite
def _clip(x: Any, min: Any, max: Any) -> Any:
    if min is not None:
        x = ar.where(cp.less(x, min), min, x)
    if max is not None:
        x = ar.where(cp.greater(x, max), max, x)
    return x


@also_dim
@together
def diff(x: Any, /, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along `axis`, `n` times, with values put in front or behind first.

    >>> dg.diff(dg.tensor([1, 4, 9]), prepend=dg.tensor([0])).tolist()
    [1, 3, 5]
    """
    x = as_operand(x)
    place = normalize_axis(axis, x.ndim)
    parts = [as_operand(part) for part in (prepend, x, append) if part is not None]
    if n < 0 or not x.ndim:
        problem = "needs at least one axis" if not x.ndim else f"n is {n}, not 0 or more"
        raise ArgumentError(describe("diff", str(x.tensor_type), problem))
    if not n:
        return unshared(x, x)
    x = x if len(parts) == 1 else concat(parts, axis=place)
    gap = cp.not_equal if x.dtype is dt.bool_ else ar.subtract
    for _ in range(n):
        size = x.shape[place]
        if not size:
            break
        x = gap(cut(x, place, 1, size), cut(x, place, 0, size - 1))
    return x


def nonzero(x: Any, /, *, as_tuple: bool = True) -> Any:
    """One int64 tensor an axis: the places of the elements that are not zero, in row-major order.

    With ``as_tuple=False`` one tensor with a row a place, as `Tensor.nonzero` gives.

        >>> dg.nonzero(dg.asarray([0, 3, 0, 4]))
        (tensor([1, 3]),)
    """
    x = as_operand(x)
    if not as_tuple:
        return x.nonzero()  # type: ignore[attr-defined]
    if not x.ndim:
        raise ShapeError(describe("nonzero", str(x.tensor_type), "needs at least one axis"))
    return tuple(nonzero_places(x))


def positive(x: Any, /) -> Tensor:
    """``+x``: x itself.

    >>> dg.positive(dg.asarray([1, -2])).tolist()
    [1, -2]
    """
    return as_operand(x)


def real(x: Any, /) -> Tensor:
    """The real part; x itself if it is real.

    >>> dg.real(dg.asarray([1 + 2j]))
    tensor([1.])
    """
    x = as_operand(x)
    return ar.real_part(x) if x.dtype.is_complex else x


def imag(x: Any, /) -> Tensor:
    """The imaginary part of a complex x.

    >>> dg.imag(dg.asarray([1 + 2j]))
    tensor([2.])
    """
    return ar.imag_part(as_operand(x))
