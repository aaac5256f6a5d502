"""Triangular factors of matrices with rows exchanged (LU), which NumPy has not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.kinds import opaque
from ..core.types import TensorType
from .arithmetic import subtract, where
from .comparison import equal, greater
from .contraction import matmul_op
from .indexing import take_along
from .linalg import adjoint, check_matrix, matrix_places, solve, well
from .movement import concat_along, reshape, slice_
from .reduce import broadcast_to
from .sorting import sort_along

BLOCK = 32  # columns factored one by one before the rest of the matrix follows as a product


def _exchange(xp: Any, x: Any, rows: Any, j: int) -> int:
    """Brings the largest element of column j, on or below the diagonal, to the diagonal; gives the row it was in."""
    column = x[j:, j]  # sizes as LAPACK takes them
    p = j + int(xp.argmax(xp.abs(column.real) + xp.abs(column.imag)))
    if p != j:
        x[[j, p]], rows[[j, p]] = x[[p, j]], rows[[p, j]]
    return p


def _factor(xp: Any, x: Any, pivots: Any, rows: Any, pivot: bool) -> None:
    """Both factors of one matrix, in its memory, block by block (Golub and Van Loan, Matrix Computations, 3.2.11)."""
    k = len(pivots)
    for a in range(0, k, BLOCK):
        b = min(a + BLOCK, k)
        for j in range(a, b):
            pivots[j] = 1 + (_exchange(xp, x, rows, j) if pivot else j)
            if x[j, j] != 0:
                x[j + 1 :, j] /= x[j, j]
            x[j + 1 :, j + 1 : b] -= x[j + 1 :, j, None] * x[j, j + 1 : b]
        for j in range(a + 1, b):  # beside the block: a unit triangle solved
            x[j, b:] -= x[j, a:j] @ x[a:j, b:]
        x[b:, b:] -= x[b:, a:b] @ x[a:b, b:]


def _samples(rng: Any) -> list[Any]:
    tall, stack = rng.standard_normal((4, 2)), well(rng, 2, (2,))
    return [
        ((well(rng)[::-1].copy(),), {"pivot": True}),
        ((tall,), {"pivot": True}),
        ((tall.T.copy(),), {"pivot": True}),
        ((stack,), {"pivot": False}),
    ]


@opaque(multiple=True, name="lu_factor", samples=_samples)
def lu_factor(xp, x, pivot):
    """Factors, pivots and rows: ``x[rows] = L @ U``, L below the diagonal of the factors and 1 on it, U the rest.

    Step j exchanged row j with row ``pivots[j] - 1``. Without `pivot` no rows are exchanged.
    """
    lead, (m, n) = x.shape[:-2], x.shape[-2:]
    out = xp.array(x, order="C")
    pivots = xp.empty((*lead, min(m, n)), np.int32)
    rows = xp.array(xp.broadcast_to(xp.arange(m, dtype=np.int64), (*lead, m)))
    for at in np.ndindex(*lead):
        _factor(xp, out[at], pivots[at], rows[at], pivot)
    return out, pivots, rows


@lu_factor.type
def _(x, pivot):
    check_matrix(x)
    *lead, m, n = x.shape
    return (
        x,
        TensorType(dt.int32, (*lead, min(m, n)), x.device),
        TensorType(dt.int64, (*lead, m), x.device),
    )


def _part(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """A part of matrices."""
    lead = len(x.shape) - 2
    (a, b), (c, d) = rows, columns
    starts, stops = (*(0,) * lead, a, c), (*x.shape[:-2], b, d)
    return slice_(x, starts=starts, stops=stops, steps=(1,) * (lead + 2))


def unit_lower(x: Any) -> Any:
    """The part of square matrices below the diagonal, with ones on it."""
    rows, columns = matrix_places(x)
    return where(equal(rows, columns), 1.0, where(greater(rows, columns), x, 0.0))


def upper(x: Any) -> Any:
    """The part of square matrices on and above the diagonal."""
    rows, columns = matrix_places(x)
    return where(greater(rows, columns), 0.0, x)


def sent(x: Any, rows: Any) -> Any:
    """Row i of matrices x put at ``rows[i]``."""
    home = sort_along(rows, axis=rows.ndim - 1)[1]
    at = broadcast_to(reshape(home, shape=(*home.shape, 1)), shape=x.shape)
    return take_along(x, at, axis=x.ndim - 2)


@lu_factor.vjp
def _(ct, out, x, pivot):
    if ct[0] is None:
        return (None,)
    factors, _, rows = out
    m, n = x.shape[-2:]
    k = min(m, n)
    square, g = _part(factors, (0, k), (0, k)), _part(ct[0], (0, k), (0, k))
    low, high = unit_lower(square), upper(square)
    at, across = matrix_places(square)
    left = matmul_op(adjoint(low), where(greater(at, across), g, 0.0))
    right = matmul_op(where(greater(at, across), 0.0, g), adjoint(high))
    if m > k:  # rows below the square: of the form L2 = M2 U^-1
        below = _part(ct[0], (k, m), (0, k))
        right = subtract(right, matmul_op(adjoint(_part(factors, (k, m), (0, k))), below))
    if n > k:  # columns beside the square: of the form U2 = L^-1 M2
        beside = _part(ct[0], (0, k), (k, n))
        left = subtract(left, matmul_op(beside, adjoint(_part(factors, (0, k), (k, n)))))
    half = solve(adjoint(low), where(greater(at, across), left, right))
    total = adjoint(solve(high, adjoint(half)))
    if m > k:
        total = concat_along(total, adjoint(solve(high, adjoint(below))), axis=x.ndim - 2)
    if n > k:
        total = concat_along(total, solve(adjoint(low), beside), axis=x.ndim - 1)
    return (sent(total, rows),)


@lu_factor.batch
def _(lift, args, batched, pivot):
    return lu_factor(args[0], pivot=pivot)
