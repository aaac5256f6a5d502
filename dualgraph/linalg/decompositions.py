"""Decompositions: triangles, eigenvalues and singular values of matrices, and what follows from them alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.errors import ArgumentError, describe
from ..eager import functions as fn
from ..eager import shapes as sh
from ..eager.functions import matmul
from ..eager.operands import also_out, as_operand
from ..eager.tensor import Tensor
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import linalg as op


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class Eig(NamedTuple):
    """Eigenvalues, and eigenvectors as columns, both complex."""

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


@also_out
def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """Lower triangular L with ``L @ L^H = x`` (or its conjugate transpose) of positive definite matrices.

    >>> dg.linalg.cholesky(dg.tensor([[4.0, 2.0], [2.0, 2.0]])).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    lower = op.cholesky(as_operand(x))
    return op.adjoint(lower) if upper else lower


class CholeskyEx(NamedTuple):
    """A factor, and 0 where there is one."""

    L: Tensor
    info: Tensor


@also_out
def cholesky_ex(x: Any, /, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """`cholesky` that gives NaN, and 1 beside it, for a matrix that is not positive definite (an error if asked for).

    >>> dg.linalg.cholesky_ex(dg.tensor([[-1.0]])).info
    tensor(1, dtype=dualgraph.int32)
    """
    x = as_operand(x)
    lower = op.cholesky(x, check=bool(check_errors))
    failed = fn.any(cp.isnan(lower), axis=(-2, -1))
    return CholeskyEx(op.adjoint(lower) if upper else lower, ar.cast(failed, dtype="int32"))


def _triangle(x: Any, UPLO: str | None, name: str) -> Tensor:
    """Hermitian matrices given by one triangle, or (None) by both."""
    x = as_operand(x)
    if UPLO is None:
        return x
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(describe(name, str(x.tensor_type), f"UPLO is 'L' or 'U', not {UPLO!r}"))
    lower = sh.tril(x) if UPLO.upper() == "L" else op.adjoint(sh.triu(x))
    return ar.add(lower, op.adjoint(sh.tril(lower, k=-1)))  # type: ignore[no-any-return]


@also_out
def eigh(x: Any, /, UPLO: str | None = None) -> Eigh:
    """Eigenvalues and eigenvectors of Hermitian matrices; differentiable where real and the eigenvalues differ.

    `UPLO`: the triangle to read, "L" or "U"; both, if it is not given.

        >>> values, vectors = dg.linalg.eigh(dg.asarray([[2.0, 0.0], [0.0, 1.0]]))
        >>> values
        tensor([1., 2.])
    """
    return Eigh(*op.eigh(_triangle(x, UPLO, "eigh")))


@also_out
def eigvalsh(x: Any, /, UPLO: str | None = None) -> Tensor:
    """Eigenvalues of Hermitian matrices in ascending order.

    >>> dg.linalg.eigvalsh(dg.asarray([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """
    return op.eigh(_triangle(x, UPLO, "eigvalsh"))[0]


@also_out
def eig(x: Any, /) -> Eig:
    """Complex eigenvalues and eigenvectors of square matrices; differentiable where the eigenvalues differ.

    >>> dg.linalg.eig(dg.tensor([[0.0, -1.0], [1.0, 0.0]])).eigenvalues.abs().tolist()
    [1.0, 1.0]
    """
    return Eig(*op.eig(as_operand(x)))


@also_out
def eigvals(x: Any, /) -> Tensor:
    """Complex eigenvalues of square matrices.

    >>> dg.linalg.eigvals(dg.asarray([[0.0, -1.0], [1.0, 0.0]])).shape
    (2,)
    """
    return op.eig(as_operand(x))[0]


@also_out
def svd(x: Any, /, *, full_matrices: bool = True) -> SVD:
    """Singular value decomposition ``x = U @ diag(S) @ Vh``.

    >>> u, s, vh = dg.linalg.svd(dg.asarray([[3.0, 0.0], [0.0, 2.0]]))
    >>> s
    tensor([3., 2.])
    """
    return SVD(*op.svd(as_operand(x), full=bool(full_matrices)))


@also_out
def svdvals(x: Any, /) -> Tensor:
    """Singular values in descending order.

    >>> dg.linalg.svdvals(dg.asarray([[3.0, 0.0], [0.0, 2.0]]))
    tensor([3., 2.])
    """
    return op.svd(as_operand(x), full=False)[1]


@also_out
def qr(x: Any, /, mode: str = "reduced") -> QR:
    """``x = Q @ R``; `mode` "complete" makes Q square. Differentiable where Q has no more columns than x.

    >>> q, r = dg.qr(dg.ones((3, 2)))
    >>> (q.shape, r.shape)
    ((3, 2), (2, 2))
    """
    x = as_operand(x)
    if mode not in ("reduced", "complete"):
        raise ArgumentError(
            describe("qr", str(x.tensor_type), f"mode {mode!r}", "use reduced or complete")
        )
    m, n = x.shape[-2:] if x.ndim > 1 else (0, 0)
    if not 0 < m < n:
        return QR(*op.qr(x, full=mode == "complete"))
    # a wide matrix: Q is that of its first m columns, and turns the others
    q, r = op.qr(sh.cut(x, x.ndim - 1, 0, m), full=False)
    rest = matmul(op.adjoint(q), sh.cut(x, x.ndim - 1, m, n))
    return QR(q, sh.concat([r, rest], axis=-1))
