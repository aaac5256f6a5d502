"""LU: matrices as products of triangles, rows exchanged, and what is solved with them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..control import scan
from ..core import dtypes as dt
from ..core.errors import ShapeError, describe
from ..eager import functions as fn
from ..eager import shapes as sh
from ..eager.filling import arange, eye, zeros
from ..eager.functions import matmul
from ..eager.operands import also_out, as_operand
from ..eager.tensor import Tensor
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import linalg as op
from ..ops import lu as lu_op
from .solutions import alike, solve_triangular


class LU(NamedTuple):
    """Both factors in one matrix, and the row (counted from 1) that each step exchanged with its own."""

    LU: Tensor
    pivots: Tensor


class PLU(NamedTuple):
    """Rows exchanged, a unit lower triangle, an upper triangle: their product is what was factored."""

    P: Tensor
    L: Tensor
    U: Tensor


@also_out
def lu_factor(x: Any, /, *, pivot: bool = True) -> LU:
    """Triangular factors of matrices: U on and above the diagonal, L below it, where it has ones on the diagonal.

    Without `pivot` no rows are exchanged, which fails where a leading part of the matrix is singular.

        >>> dg.linalg.lu_factor(dg.tensor([[1.0, 2.0], [2.0, 2.0]])).pivots
        tensor([2, 2], dtype=dualgraph.int32)
    """
    return LU(*lu_op.lu_factor(as_operand(x), pivot=bool(pivot))[:2])


@also_out
def lu(x: Any, /, *, pivot: bool = True) -> PLU:
    """``x = P @ L @ U``.

    >>> p, l, u = dg.linalg.lu(dg.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> u.tolist()
    [[2.0, 3.0], [0.0, 1.0]]
    """
    factors, _, rows = lu_op.lu_factor(as_operand(x), pivot=bool(pivot))
    return PLU(_exchanges(factors, rows), *_triangles(factors))


def lu_unpack(
    LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True
) -> PLU:
    """P, L and U of what `lu_factor` gave; empty where they are not asked for.

    >>> dg.lu_unpack(*dg.linalg.lu_factor(dg.tensor([[0.0, 1.0], [2.0, 3.0]]))).P.tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    factors = as_operand(LU_data)
    none = zeros(0, dtype=factors.dtype, device=factors.device)
    rows = _rows(as_operand(LU_pivots), factors.shape[-2]) if unpack_pivots else none
    p = _exchanges(factors, rows) if unpack_pivots else none
    return PLU(p, *(_triangles(factors) if unpack_data else (none, none)))


@also_out
def lu_solve(
    LU: Any, pivots: Any, B: Any, /, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X of ``A @ X = B`` by what `lu_factor` gave of A; of ``X @ A = B`` if not `left`, with A^H if `adjoint`.

    >>> factors, pivots = dg.linalg.lu_factor(dg.tensor([[0.0, 1.0], [2.0, 0.0]]))
    >>> dg.linalg.lu_solve(factors, pivots, dg.tensor([[1.0], [2.0]])).tolist()
    [[1.0], [1.0]]
    """
    factors, b = alike(LU, B)
    if factors.shape[-1] != factors.shape[-2]:
        raise ShapeError(
            describe("lu_solve", str(factors.tensor_type), "needs factors of square matrices")
        )
    if not left:  # X @ A = B is A^H @ X^H = B^H
        return op.adjoint(lu_solve(factors, pivots, op.adjoint(b), adjoint=not adjoint))
    p = _exchanges(factors, _rows(as_operand(pivots), factors.shape[-1]))
    low, high = _triangles(factors)
    if adjoint:
        half = solve_triangular(op.adjoint(high), b, upper=False)
        return matmul(p, solve_triangular(op.adjoint(low), half, upper=True))
    half = solve_triangular(low, matmul(sh.matrix_transpose(p), b), upper=False)
    return solve_triangular(high, half, upper=True)


def _triangles(factors: Tensor) -> tuple[Tensor, Tensor]:
    m, n = factors.shape[-2:]
    k = min(m, n)
    one = eye(m, k, dtype=factors.dtype, device=factors.device)
    low = sh.tril(sh.cut(factors, factors.ndim - 1, 0, k), k=-1)
    return ar.add(low, one), sh.triu(sh.cut(factors, factors.ndim - 2, 0, k))


def _exchanges(factors: Tensor, rows: Tensor) -> Tensor:
    """P with ``P @ y`` = x for y = ``x[rows]``: column i has its one in row ``rows[i]``."""
    across = sh.expand_dims(rows, axis=-2)
    places = sh.expand_dims(arange(rows.shape[-1], device=rows.device), axis=-1)
    return ar.cast(cp.equal(places, across), dtype=factors.dtype.name)


def _rows(pivots: Tensor, m: int) -> Tensor:
    """The rows that came to each place, of the exchanges step by step."""
    places = arange(m, device=pivots.device)
    first = ar.add(zeros((*pivots.shape[:-1], m), dtype=dt.int64, device=pivots.device), places)
    if not m:
        return first  # type: ignore[no-any-return]
    exchanged = sh.moveaxis(ar.subtract(ar.cast(pivots, dtype="int64"), 1), -1, 0)

    def step(carry: Any, p: Tensor) -> Any:
        rows, j = carry
        p = sh.expand_dims(p, axis=-1)
        here, there = (fn.take_along_axis(rows, at, axis=-1) for at in (ar.add(p * 0, j), p))
        moved = ar.where(cp.equal(places, j), there, rows)
        return (ar.where(cp.equal(places, p), here, moved), ar.add(j, 1)), ()

    start = (first, zeros((), dtype=dt.int64, device=pivots.device))
    return scan(step, start, exchanged)[0][0]  # type: ignore[no-any-return]
