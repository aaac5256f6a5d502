"""Solutions: determinants and inverses, systems of equations, and solutions that fit best."""

from __future__ import annotations

from math import nan, prod
from typing import Any, NamedTuple

from ..core import dtypes as dt
from ..core.errors import ShapeError, describe
from ..eager import functions as fn
from ..eager import shapes as sh
from ..eager.dtype_info import finfo
from ..eager.filling import eye
from ..eager.functions import matmul
from ..eager.operands import also_out, as_operand, astype, result_type
from ..eager.tensor import Tensor
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import determinants
from ..ops import linalg as op
from ..ops.pseudoinverse import pinv as pinv_op
from ..ops.reduce import broadcast_to
from .decompositions import eigh, svdvals


class SlogDet(NamedTuple):
    """Sign of the determinants, and the logarithm of their magnitude."""

    sign: Tensor
    logabsdet: Tensor


class LstSq(NamedTuple):
    """What makes ``a @ X - b`` least, the squares left in each column, the rank, and the singular values of a.

    `residuals` is empty where a has not full rank, or has no more rows than columns.
    """

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


@also_out
def det(x: Any, /) -> Tensor:
    """Determinants of square matrices.

    >>> dg.det(dg.asarray([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """
    return determinants.det(as_operand(x))


def logdet(x: Any, /) -> Tensor:
    """Logarithms of determinants; NaN where they are negative.

    >>> dg.logdet(dg.eye(3)).item()
    0.0
    """
    sign, size = determinants.slogdet(as_operand(x))
    return ar.where(cp.less(sign, 0), nan, size)


@also_out
def slogdet(x: Any, /) -> SlogDet:
    """Sign and logarithm of the magnitude of determinants: no overflow for large matrices.

    >>> sign, log = dg.slogdet(dg.asarray([[-2.0, 0.0], [0.0, 3.0]]))
    >>> sign
    tensor(-1.)
    """
    return SlogDet(*determinants.slogdet(as_operand(x)))


@also_out
def inv(x: Any, /) -> Tensor:
    """Inverses of square matrices. To solve equations use `solve`, which is quicker and more exact.

    >>> dg.inverse(dg.asarray([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return op.inv(as_operand(x))


def alike(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    a, b = as_operand(x1), as_operand(x2)
    common = result_type(a, b)
    return astype(a, common, copy=False), astype(b, common, copy=False)


@also_out
def solve(x1: Any, x2: Any, /, *, left: bool = True) -> Tensor:
    """X of ``x1 @ X = x2`` (of ``X @ x1 = x2`` if not `left`); a 1-d `x2` is one vector for every matrix of `x1`.

    >>> dg.linalg.solve(dg.asarray([[2.0, 0.0], [0.0, 4.0]]), dg.asarray([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    a, b = alike(x1, x2)
    if b.ndim == 1:
        return sh.squeeze(op.solve(a, sh.expand_dims(b, axis=-1)), axis=-1)
    if not left:
        return sh.matrix_transpose(op.solve(sh.matrix_transpose(a), sh.matrix_transpose(b)))
    return op.solve(a, b)


@also_out
def solve_triangular(
    x1: Any, x2: Any, /, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """`solve` with the upper or lower triangle of `x1`; with ones on the diagonal if `unitriangular`.

    >>> low = dg.tensor([[2.0, 9.0], [1.0, 1.0]])
    >>> dg.linalg.solve_triangular(low, dg.tensor([[2.0], [3.0]]), upper=False).tolist()
    [[1.0], [2.0]]
    """
    a, b = alike(x1, x2)
    if unitriangular:
        one = eye(a.shape[-1], dtype=a.dtype, device=a.device)
        strict = sh.triu(a, k=1) if upper else sh.tril(a, k=-1)
        return solve(ar.add(strict, one), b, left=left)
    return solve(sh.triu(a) if upper else sh.tril(a), b, left=left)


@also_out
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Tensor:
    """X of ``A @ X = B`` by the Cholesky factor L of A (its conjugate transpose if `upper`).

    >>> dg.cholesky_solve(dg.asarray([[4.0]]), dg.asarray([[2.0]]))
    tensor([[1.]])
    """
    factor = as_operand(L)
    first, second = (op.adjoint(factor), factor) if upper else (factor, op.adjoint(factor))
    half = solve_triangular(first, B, upper=False)
    return solve_triangular(second, half, upper=True)


@also_out
def cholesky_inverse(L: Any, upper: bool = False) -> Tensor:
    """The inverse of the matrix whose Cholesky factor is L.

    >>> dg.cholesky_inverse(dg.asarray([[2.0]]))
    tensor([[0.2500]])
    """
    factor = as_operand(L)
    one = eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return cholesky_solve(one, factor, upper)


def _beside(values: Any) -> Tensor:
    """Numbers, one a stack, with an axis beside the singular values (which it may multiply)."""
    values = as_operand(values)
    return sh.expand_dims(values, axis=-1) if values.ndim else values


def _rtol(x: Tensor) -> float:
    """What singular values are beside the largest when rounding made them."""
    return float(max(x.shape[-2:]) * finfo(x.dtype).eps)


def _threshold(x: Tensor, s: Tensor, rtol: Any, atol: Any) -> Tensor:
    """Singular values at or below this count as 0."""
    if rtol is None:
        rtol = _rtol(x) if atol is None else 0.0
    largest = (
        fn.max(s, axis=-1, keepdims=True) if s.shape[-1] else fn.sum(s, axis=-1, keepdims=True)
    )
    part = ar.multiply(largest, _beside(astype(as_operand(rtol), s.dtype, copy=False)))
    if atol is None:
        return part
    return ar.maximum(part, _beside(astype(as_operand(atol), s.dtype, copy=False)))


@also_out
def matrix_rank(
    x: Any, /, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """How many singular values are above `atol` and above `rtol` (the larger side times eps) times the largest.

    `hermitian`: the matrices are, so the sizes of their eigenvalues will do.

        >>> dg.linalg.matrix_rank(dg.ones((3, 3)))
        tensor(1)
    """
    x = as_operand(x)
    s = fn.sort(ar.abs(eigh(x)[0]), descending=True) if hermitian else svdvals(x)
    return fn.sum(astype(cp.greater(s, _threshold(x, s, rtol, atol)), dt.int64), axis=-1)


@also_out
def pinv(x: Any, /, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Tensor:
    """Moore-Penrose inverse; singular values up to `atol`, or `rtol` times the largest, count as 0.

    >>> dg.pinverse(dg.ones((2, 3))).shape
    (3, 2)
    """
    x = as_operand(x)
    if hermitian:
        s, u = eigh(x)
        kept = cp.greater(ar.abs(s), _threshold(x, ar.abs(s), rtol, atol))
        factors = ar.where(kept, ar.divide(1.0, ar.where(kept, s, 1.0)), 0.0)
        return matmul(ar.multiply(u, sh.expand_dims(factors, axis=-2)), op.adjoint(u))
    if rtol is None:
        rtol = _rtol(x) if atol is None else 0.0
    real = dt.PARTS.get(x.dtype, x.dtype)
    limits = (as_operand(0.0 if t is None else t) for t in (rtol, atol))
    return pinv_op(
        x, *(broadcast_to(astype(t, real, copy=False), shape=x.shape[:-2]) for t in limits)
    )  # type: ignore[no-any-return]


def lstsq(a: Any, b: Any, /, *, rcond: Any = None, driver: str | None = None) -> LstSq:
    """What makes ``a @ X - b`` least, the shortest of several; `b` is one vector or columns.

    Singular values up to `rcond` times the largest count as 0. `driver`, PyTorch's choice of a LAPACK routine,
    changes nothing here.

    >>> dg.linalg.lstsq(dg.tensor([[1.0], [1.0]]), dg.tensor([[1.0], [3.0]])).solution.allclose(dg.tensor([[2.0]]))
    True
    """
    a, b = alike(a, b)
    if a.ndim < 2:
        raise ShapeError(describe("lstsq", str(a.tensor_type), "needs matrices: two axes or more"))
    x = matmul(pinv(a, rtol=rcond), b)
    rank, values = matrix_rank(a, rtol=rcond), svdvals(a)
    m, n = a.shape[-2:]
    if m > n and rank.size and bool(fn.all(cp.equal(rank, n))):
        left = ar.square(ar.abs(ar.subtract(matmul(a, x), b)))
        left = fn.sum(left, axis=-1 if b.ndim == 1 else -2)
    else:
        left = sh.cut(sh.reshape(ar.abs(x), (-1,)), 0, 0, 0)
    return LstSq(x, left, rank, values)


@also_out
def tensorinv(x: Any, /, ind: int = 2) -> Tensor:
    """The inverse of x as a map between its first `ind` axes and the rest: ``tensordot(out, x, ind)`` is the unit.

    >>> dg.linalg.tensorinv(dg.eye(6).reshape(2, 3, 6), ind=2).shape
    (6, 2, 3)
    """
    x = as_operand(x)
    rows, columns = x.shape[:ind], x.shape[ind:]
    if ind < 1 or prod(rows) != prod(columns):
        problem = f"the first {ind} axes have {prod(rows)} elements, the others {prod(columns)}"
        raise ShapeError(describe("tensorinv", str(x.tensor_type), problem))
    return sh.reshape(inv(sh.reshape(x, (prod(rows), prod(columns)))), (*columns, *rows))


@also_out
def tensorsolve(x1: Any, x2: Any, /, dims: Any = None) -> Tensor:
    """X of ``tensordot(x1, X, X.ndim) = x2``; the axes `dims` of x1 are moved to its end first.

    >>> dg.linalg.tensorsolve(dg.eye(6).reshape(2, 3, 6), dg.ones((2, 3))).shape
    (6,)
    """
    a, b = alike(x1, x2)
    if dims is not None:
        a = sh.moveaxis(a, tuple(dims), tuple(range(-len(dims), 0)))
    shape = a.shape[b.ndim :]
    if prod(a.shape[: b.ndim]) != prod(shape):
        problem = (
            f"the first {b.ndim} axes of {a.tensor_type} must have as many elements as the others"
        )
        raise ShapeError(describe("tensorsolve", f"{a.tensor_type}, {b.tensor_type}", problem))
    flat = solve(sh.reshape(a, (b.size, prod(shape))), sh.reshape(b, (-1,)))
    return sh.reshape(flat, shape)
