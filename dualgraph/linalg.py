"""Linear algebra: the standard's ``linalg`` extension, and what PyTorch's module of that name adds to it.

Matrices are the last two axes; axes before them are stacks of matrices, of float32, float64 or complex
numbers. A singular or indefinite matrix is an error that names the op and the line that asked, in both modes.

>>> a = dg.tensor([[4.0, 2.0], [2.0, 3.0]])
>>> dg.allclose(a @ dg.linalg.solve(a, dg.tensor([1.0, 2.0])), dg.tensor([1.0, 2.0]))
True
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import nan
from typing import Any, NamedTuple

from .core import dtypes as dt
from .core.errors import ArgumentError, ShapeError, describe
from .eager import functions as fn
from .eager import shapes as sh
from .eager.dtype_info import finfo
from .eager.functions import matmul, tensordot, vecdot
from .eager.methods.parts import diagonal as _diagonal
from .eager.methods.products import matrix_power as _whole_power
from .eager.methods.products import outer
from .eager.operands import also_dim, as_operand, astype, result_type
from .eager.shapes import matrix_transpose
from .eager.tensor import Tensor
from .ops import arithmetic as ar
from .ops import comparison as cp
from .ops import linalg as op
from .ops.axes import normalize_axes
from .ops.composites import norm as _vector_norm

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "inverse",
    "logdet",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """Left singular vectors as columns, singular values in descending order, right ones as rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class QR(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


class SlogDet(NamedTuple):
    """Sign of the determinants, and the logarithm of their magnitude."""

    sign: Tensor
    logabsdet: Tensor


def det(x: Any, /) -> Tensor:
    """Determinants of square matrices."""
    return op.det(as_operand(x))


def logdet(x: Any, /) -> Tensor:
    """Logarithms of determinants; NaN where they are negative.

    >>> dg.logdet(dg.eye(3)).item()
    0.0
    """
    sign, size = op.slogdet(as_operand(x))
    return ar.where(cp.less(sign, 0), nan, size)


def slogdet(x: Any, /) -> SlogDet:
    """Sign and logarithm of the magnitude of determinants: no overflow for large matrices."""
    return SlogDet(*op.slogdet(as_operand(x)))


def inv(x: Any, /) -> Tensor:
    """Inverses of square matrices. To solve equations use `solve`, which is quicker and more exact."""
    return op.inv(as_operand(x))


inverse = inv  # PyTorch's name at its top level


def matrix_power(x: Any, n: int, /) -> Tensor:
    """Square matrices multiplied with themselves `n` times; with n < 0, their inverses."""
    x = as_operand(x)
    return _whole_power(inv(x), -n) if n < 0 else _whole_power(x, n)


def solve(x1: Any, x2: Any, /) -> Tensor:
    """X of ``x1 @ X = x2``; a one-dimensional `x2` is one vector for every matrix of `x1`."""
    a, b = as_operand(x1), as_operand(x2)
    common = result_type(a, b)
    a, b = astype(a, common, copy=False), astype(b, common, copy=False)
    if b.ndim == 1:
        return sh.squeeze(op.solve(a, sh.expand_dims(b, axis=-1)), axis=-1)
    return op.solve(a, b)


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """Lower triangular L with ``L @ L^H = x`` (or its conjugate transpose) of positive definite matrices.

    >>> dg.linalg.cholesky(dg.tensor([[4.0, 2.0], [2.0, 2.0]])).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    lower = op.cholesky(as_operand(x))
    return op.adjoint(lower) if upper else lower


def eigh(x: Any, /) -> Eigh:
    """Eigenvalues and eigenvectors of Hermitian matrices; differentiable where real and the eigenvalues differ."""
    return Eigh(*op.eigh(as_operand(x)))


def eigvalsh(x: Any, /) -> Tensor:
    """Eigenvalues of Hermitian matrices in ascending order."""
    return op.eigh(as_operand(x))[0]


def svd(x: Any, /, *, full_matrices: bool = True) -> SVD:
    """Singular value decomposition ``x = U @ diag(S) @ Vh``."""
    return SVD(*op.svd(as_operand(x), full=bool(full_matrices)))


def svdvals(x: Any, /) -> Tensor:
    """Singular values in descending order."""
    return op.svd(as_operand(x), full=False)[1]


def qr(x: Any, /, *, mode: str = "reduced") -> QR:
    """``x = Q @ R``; `mode` "complete" makes Q square."""
    x = as_operand(x)
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            describe("qr", str(x.type), f"mode {mode!r}", "use reduced or complete")
        )
    return QR(*op.qr(x, full=mode == "complete"))


def _beside(x: Tensor, values: Any) -> Tensor:
    """Numbers, one a stack, with an axis beside the singular values (which it may multiply)."""
    values = as_operand(values)
    return sh.expand_dims(values, axis=-1) if values.ndim else values


def _threshold(x: Tensor, s: Tensor, rtol: Any) -> Tensor:
    """Singular values at or below this count as 0."""
    if rtol is None:
        rtol = max(x.shape[-2:]) * finfo(x.dtype).eps
    largest = (
        fn.max(s, axis=-1, keepdims=True) if s.shape[-1] else fn.sum(s, axis=-1, keepdims=True)
    )
    return ar.multiply(largest, _beside(s, astype(as_operand(rtol), s.dtype, copy=False)))


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are above `rtol` (the larger side times eps) times the largest."""
    x = as_operand(x)
    s = svdvals(x)
    return fn.sum(astype(cp.greater(s, _threshold(x, s, rtol)), dt.int64), axis=-1)


def pinv(x: Any, /, *, rtol: Any = None) -> Tensor:
    """Moore-Penrose inverse; singular values up to `rtol` times the largest count as 0."""
    x = as_operand(x)
    u, s, vt = op.svd(x, full=False)
    kept = cp.greater(s, _threshold(x, s, rtol))
    factors = ar.where(kept, ar.divide(1.0, ar.where(kept, s, 1.0)), 0.0)
    row = sh.expand_dims(factors, axis=-2)
    return matmul(ar.multiply(op.adjoint(vt), row), op.adjoint(u))


def lstsq(a: Any, b: Any, /, *, rcond: Any = None) -> Tensor:
    """X that makes ``a @ X - b`` least, the shortest of several."""
    b = as_operand(b)
    return matmul(pinv(a, rtol=rcond), b)


def _pair(x: Tensor, name: str, axis: Sequence[int]) -> tuple[int, int]:
    axes = tuple(axis)
    if len(axes) != 2:
        raise ShapeError(describe(name, str(x.type), f"axes {axes} are not two", "give two axes"))
    return axes  # type: ignore[return-value]


@also_dim
def matrix_norm(
    x: Any, /, *, axis: Sequence[int] = (-2, -1), keepdims: bool = False, ord: Any = "fro"
) -> Tensor:
    """Norms of matrices: "fro", "nuc", or 1, -1, inf, -inf (sums of magnitudes), 2, -2 (singular values)."""
    x = as_operand(x)
    rows, columns = normalize_axes_in_order(x, _pair(x, "matrix_norm", axis))
    x = sh.moveaxis(x, (rows, columns), (-2, -1))
    if ord == "fro":
        out = ar.sqrt(fn.sum(ar.square(ar.abs(x)), axis=(-2, -1)))
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
                str(x.type),
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
    x: Any, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: Any = 2
) -> Tensor:
    """``sum(abs(x)**ord)**(1 / ord)`` over `axis`; inf, -inf: the extremes; 0: how many are not 0."""
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
    """`matrix_norm` where `ord` and the axes name one, `vector_norm` otherwise."""
    x = as_operand(x)
    two = (axis is None and x.ndim == 2) or (isinstance(axis, (list, tuple)) and len(axis) == 2)
    if two and ord is not None:
        return matrix_norm(x, axis=(-2, -1) if axis is None else axis, keepdims=keepdims, ord=ord)
    return vector_norm(x, axis=axis, keepdims=keepdims, ord=2 if ord is None else ord)


def cond(x: Any, /, p: Any = None) -> Tensor:
    """Condition numbers: the largest over the smallest singular value, or by another matrix norm `p`."""
    x = as_operand(x)
    if p is None or p in (2, -2):
        s = svdvals(x)
        high, low = fn.max(s, axis=-1), fn.min(s, axis=-1)
        return ar.divide(low, high) if p == -2 else ar.divide(high, low)
    return ar.multiply(matrix_norm(x, ord=p), matrix_norm(inv(x), ord=p))


@also_dim
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Vector products along an axis of length 3; the other axes broadcast."""
    x, y = as_operand(x1), as_operand(x2)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise ShapeError(
            describe("cross", f"{x.type}, {y.type}", f"axis {axis} must have 3 elements in both")
        )
    a, b = (sh.unstack(v, axis=axis) for v in (x, y))
    parts = [ar.subtract(ar.multiply(a[i], b[j]), ar.multiply(a[j], b[i])) for i, j in _TURNS]
    return sh.stack(parts, axis=axis)


_TURNS = ((1, 2), (2, 0), (0, 1))


def diagonal(x: Any, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices."""
    return _diagonal(as_operand(x), offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sums of the diagonals of matrices."""
    return fn.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def multi_dot(tensors: Sequence[Any]) -> Tensor:
    """The product of several matrices, multiplied from the left."""
    return reduce(matmul, (as_operand(x) for x in tensors))
