"""PyTorch's functions of matrices at its top level, where they differ from those of its ``linalg``."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core.errors import ArgumentError, describe
from ..eager import shapes as sh
from ..eager.filling import zeros
from ..eager.functions import matmul
from ..eager.operands import as_operand
from ..eager.random import randn
from ..eager.statistics import mean
from ..eager.tensor import Tensor
from ..ops import arithmetic as ar
from ..ops import linalg as op
from . import decompositions as dc
from . import triangles
from .norms import multi_dot
from .solutions import solve_triangular


class USV(NamedTuple):
    """``x = U @ diag(S) @ V^H``: left singular vectors as columns, singular values, right ones as columns."""

    U: Tensor
    S: Tensor
    V: Tensor


class Solution(NamedTuple):
    """What solves the equations, and the matrix they were of."""

    solution: Tensor
    cloned_coefficient: Tensor


def svd(input: Any, some: bool = True, compute_uv: bool = True) -> USV:
    """Singular values in descending order with vectors as columns (V, where `linalg.svd` gives V^H).

    All columns of U and V with ``some=False``; zeros in their place without `compute_uv`.

        >>> u, s, v = dg.svd(dg.tensor([[3.0, 0.0], [0.0, 2.0]]))
        >>> s
        tensor([3., 2.])
    """
    x = as_operand(input)
    if not compute_uv:
        m, n = x.shape[-2:]
        return USV(x.new_zeros((*x.shape[:-2], m, m)), dc.svdvals(x), x.new_zeros((*x.shape[:-2], n, n)))  # type: ignore[attr-defined]  # fmt: skip
    u, s, vh = dc.svd(x, full_matrices=not some)
    return USV(u, s, op.adjoint(vh))


def lu(A: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor` under its older name; with `get_infos` zeros besides, one a matrix: all went well.

    >>> import dualgraph.compat.torch as torch
    >>> torch.lu(torch.eye(2))[1].shape
    (2,)
    """
    factors = triangles.lu_factor(A, pivot=pivot)
    if not get_infos:
        return factors
    infos = zeros(factors[0].shape[:-2], dtype="int32", device=factors[0].device)
    return (*factors, infos)


def lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Tensor:
    """`linalg.lu_solve` with the right-hand sides first.

    >>> import dualgraph.compat.torch as torch
    >>> torch.lu_solve(torch.ones(2, 1), *torch.lu(2 * torch.eye(2))).tolist()
    [[0.5], [0.5]]
    """
    return triangles.lu_solve(LU_data, LU_pivots, b)


def triangular_solve(
    b: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Solution:
    """X of ``A @ X = b`` with one triangle of A (of its transpose), and A.

    >>> dg.triangular_solve(dg.tensor([[2.0]]), dg.tensor([[4.0]])).solution
    tensor([[0.5000]])
    """
    a = as_operand(A)
    given, high = (sh.matrix_transpose(a), not upper) if transpose else (a, upper)
    return Solution(solve_triangular(given, b, upper=high, unitriangular=unitriangular), a)


def chain_matmul(*matrices: Any) -> Tensor:
    """The product of several matrices.

    >>> dg.chain_matmul(dg.ones(2, 3), dg.ones(3, 1)).shape
    (2, 1)
    """
    return multi_dot(matrices)


def svd_lowrank(A: Any, q: int = 6, niter: int = 2, M: Any = None) -> USV:
    """The `q` largest singular values of A (of A - M) and their vectors, nearly, from a random projection.

    Halko, Martinsson and Tropp, Finding structure with randomness (2011), algorithm 5.1 with `niter` power steps.

        >>> dg.svd_lowrank(dg.ones(5, 4), q=2).S.shape
        (2,)
    """
    x = as_operand(A) if M is None else ar.subtract(as_operand(A), M)
    if not 0 <= q <= min(x.shape[-2:]):
        problem = f"q is at most the shorter side, not {q}"
        raise ArgumentError(describe("svd_lowrank", str(x.tensor_type), problem))
    back = op.adjoint(x)
    basis = dc.qr(matmul(x, randn(x.shape[-1], q, dtype=x.dtype, device=x.device))).Q
    for _ in range(niter):
        basis = dc.qr(matmul(x, dc.qr(matmul(back, basis)).Q)).Q
    u, s, vh = dc.svd(matmul(op.adjoint(basis), x), full_matrices=False)
    return USV(matmul(basis, u), s, op.adjoint(vh))


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> USV:
    """`svd_lowrank` of rows less their mean (unless not `center`): V holds the principal directions.

    >>> dg.pca_lowrank(dg.randn(20, 5), q=2).V.shape
    (5, 2)
    """
    x = as_operand(A)
    q = min(6, *x.shape[-2:]) if q is None else q
    return svd_lowrank(x, q, niter, mean(x, axis=-2, keepdims=True) if center else None)
