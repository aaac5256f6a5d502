"""Norms of vectors and matrices, products of them, powers and the exponential."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import ceil, log2
from typing import Any

from ..core.errors import ArgumentError, ShapeError, describe
from ..eager import functions as fn
from ..eager import shapes as sh
from ..eager.filling import eye
from ..eager.functions import matmul
from ..eager.methods.further import vander as _powers
from ..eager.methods.parts import diagonal as _diagonal
from ..eager.methods.products import matrix_power as _whole_power
from ..eager.operands import also_dim, also_out, as_operand
from ..eager.tensor import Tensor
from ..ops import arithmetic as ar
from ..ops.axes import normalize_axes, normalize_axis
from ..ops.composites import norm as _vector_norm
from .decompositions import svdvals
from .solutions import inv


def _pair(x: Tensor, name: str, axis: Sequence[int]) -> tuple[int, int]:
    axes = tuple(axis)
    if len(axes) != 2:
        raise ShapeError(
            describe(name, str(x.tensor_type), f"axes {axes} are not two", "give two axes")
        )
    return axes  # type: ignore[return-value]


@also_dim
def matrix_norm(
    x: Any, /, ord: Any = "fro", axis: Sequence[int] = (-2, -1), keepdims: bool = False
) -> Tensor:
    """Norms of matrices: "fro", "nuc", or 1, -1, inf, -inf (sums of magnitudes), 2, -2 (singular values).

    >>> dg.linalg.matrix_norm(dg.asarray([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    x = as_operand(x)
    rows, columns = normalize_axes_in_order(x, _pair(x, "matrix_norm", axis))
    x = sh.moveaxis(x, (rows, columns), (-2, -1))
    if ord == "fro":
        out = _vector_norm(x, 2.0, (x.ndim - 2, x.ndim - 1))
    elif ord == "nuc":
        out = fn.sum(svdvals(x), axis=-1)
    elif ord in (1, -1, float("inf"), float("-inf")):
        sums = fn.sum(ar.abs(x), axis=-2 if abs(ord) == 1 else -1)
        out = (fn.max if ord > 0 else fn.min)(sums, axis=-1)
    elif ord in (2, -2):
        out = (fn.max if ord > 0 else fn.min)(svdvals(x), axis=-1)
    else:
        raise ArgumentError(
            describe(
                "matrix_norm",
                str(x.tensor_type),
                f"ord {ord!r}",
                "use fro, nuc, 1, 2, inf or minus one of them",
            )
        )
    if keepdims:
        for place in sorted((rows, columns)):
            out = sh.expand_dims(out, axis=place)
    return out


def normalize_axes_in_order(x: Tensor, axes: tuple[int, int]) -> tuple[int, int]:
    """Two distinct axes counted from 0, in the order given."""
    normalize_axes(axes, x.ndim)
    first, second = (a % x.ndim for a in axes)
    return first, second


@also_dim
def vector_norm(
    x: Any, /, ord: Any = 2, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Tensor:
    """``sum(abs(x)**ord)**(1 / ord)`` over `axis`; inf, -inf: the extremes; 0: how many are not 0.

    >>> dg.linalg.vector_norm(dg.asarray([[3.0, 4.0], [0.0, 2.0]]), axis=1)
    tensor([5., 2.])
    """
    x = as_operand(x)
    axes = normalize_axes(tuple(axis) if isinstance(axis, (list, tuple)) else axis, x.ndim)
    return _vector_norm(x, float(ord), axes, keepdims=bool(keepdims))


@also_dim
def norm(
    x: Any,
    /,
    ord: Any = None,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
) -> Tensor:
    """`matrix_norm` where `ord` and the axes name one, `vector_norm` otherwise.

    >>> dg.linalg.norm(dg.asarray([3.0, 4.0]))
    tensor(5.)
    """
    x = as_operand(x)
    two = (axis is None and x.ndim == 2) or (isinstance(axis, (list, tuple)) and len(axis) == 2)
    if two and ord is not None:
        return matrix_norm(x, axis=(-2, -1) if axis is None else axis, keepdims=keepdims, ord=ord)
    return vector_norm(x, axis=axis, keepdims=keepdims, ord=2 if ord is None else ord)


@also_out
def cond(x: Any, /, p: Any = None) -> Tensor:
    """Condition numbers: the largest over the smallest singular value, or by another matrix norm `p`.

    >>> dg.linalg.cond(dg.asarray([[2.0, 0.0], [0.0, 1.0]]))
    tensor(2.)
    """
    x = as_operand(x)
    if p is None or p in (2, -2):
        s = svdvals(x)
        high, low = fn.max(s, axis=-1), fn.min(s, axis=-1)
        return ar.divide(low, high) if p == -2 else ar.divide(high, low)
    return ar.multiply(matrix_norm(x, ord=p), matrix_norm(inv(x), ord=p))


@also_dim
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Vector products along an axis of length 3; the other axes broadcast.

    >>> dg.linalg.cross(dg.tensor([1.0, 0.0, 0.0]), dg.tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    x, y = as_operand(x1), as_operand(x2)
    if x.shape[normalize_axis(axis, x.ndim)] != 3 or y.shape[normalize_axis(axis, y.ndim)] != 3:
        raise ShapeError(
            describe(
                "cross",
                f"{x.tensor_type}, {y.tensor_type}",
                f"axis {axis} must have 3 elements in both",
            )
        )
    a, b = (sh.unstack(v, axis=axis) for v in (x, y))
    parts = [ar.subtract(ar.multiply(a[i], b[j]), ar.multiply(a[j], b[i])) for i, j in _TURNS]
    return sh.stack(parts, axis=axis)


_TURNS = ((1, 2), (2, 0), (0, 1))


def diagonal(x: Any, /, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices.

    >>> dg.linalg.diagonal(dg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return _diagonal(as_operand(x), offset, dim1, dim2)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sums of the diagonals of matrices.

    >>> dg.linalg.trace(dg.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    return fn.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


@also_out
def multi_dot(tensors: Sequence[Any]) -> Tensor:
    """The product of several matrices, multiplied from the left.

    >>> dg.linalg.multi_dot([dg.ones((2, 3)), dg.ones((3, 4)), dg.ones((4, 1))]).shape
    (2, 1)
    """
    return reduce(matmul, (as_operand(x) for x in tensors))


@also_out
def matrix_power(x: Any, n: int, /) -> Tensor:
    """Square matrices multiplied with themselves `n` times; with n < 0, their inverses.

    >>> dg.linalg.matrix_power(dg.tensor([[1.0, 1.0], [0.0, 1.0]]), 3).tolist()
    [[1.0, 3.0], [0.0, 1.0]]
    """
    x = as_operand(x)
    return _whole_power(inv(x), -n) if n < 0 else _whole_power(x, n)


def vander(x: Any, /, *, N: int | None = None) -> Tensor:
    """Rising powers of the elements of vectors (..., n), a row each: (..., n, N).

    >>> dg.linalg.vander(dg.asarray([[2.0], [3.0]]), N=3).tolist()
    [[[1.0, 2.0, 4.0]], [[1.0, 3.0, 9.0]]]
    """
    x = as_operand(x)
    if not x.ndim:
        raise ShapeError(describe("vander", str(x.tensor_type), "needs a vector"))
    rows = _powers(sh.reshape(x, (-1,)), x.shape[-1] if N is None else N, increasing=True)
    return sh.reshape(rows, (*x.shape, rows.shape[-1]))


TERMS = 18  # of the series: the rest is below an ulp of float64 where the norm is at most 1


def matrix_exp(x: Any, /) -> Tensor:
    """The exponential of square matrices, by scaling and squaring of its series (Higham, 2005).

    >>> dg.linalg.matrix_exp(dg.zeros(2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    x = as_operand(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            describe("matrix_exp", str(x.tensor_type), "the last two axes must be square")
        )
    one = eye(x.shape[-1], dtype=x.dtype, device=x.device)
    if not x.size:
        return ar.add(x, one)
    largest = float(fn.max(fn.sum(ar.abs(x.detach()), axis=-1)).item())
    halvings = max(0, ceil(log2(largest))) if 0 < largest < float("inf") else 0
    small, out = ar.multiply(x, 2.0**-halvings), one
    for k in range(TERMS, 0, -1):  # Horner's rule
        out = ar.add(one, ar.multiply(matmul(small, out), 1.0 / k))
    for _ in range(halvings):
        out = matmul(out, out)
    return out
