"""Decompositions, solutions and determinants of matrices in the last two axes, by the array namespace's LAPACK.

Each matrix of a stack is worked on by itself, so its bits do not depend on its neighbours. Derivatives:
Giles, Collected matrix derivative results (2008); Murray, Differentiation of the Cholesky decomposition (2016);
Seeger et al., Auto-differentiating linear algebra (2017); Townsend, Differentiating the SVD (2016).
"""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import AutogradError, DTypeError, ShapeError
from ..core.kinds import opaque
from ..core.types import TensorType, broadcast_shapes
from .arithmetic import (
    abs,
    add,
    cast,
    conj,
    divide,
    imag_part,
    multiply,
    negative,
    real_part,
    square,
    subtract,
    where,
)
from .comparison import equal, greater, logical_and
from .contraction import matmul_op, swap_last
from .creation import arange_op
from .movement import reshape
from .reduce import reduce_max, reduce_sum


def well(rng: Any, n: int = 3, stack: tuple[int, ...] = ()) -> Any:
    """Diagonally dominant matrices with distinct eigenvalues and singular values."""
    return rng.uniform(-0.6, 0.6, (*stack, n, n)) + np.diag(2.0 * (1 + rng.permutation(n)))


def square_samples(rng: Any) -> list[Any]:
    return [((well(rng),), {}), ((well(rng, 2, (2,)),), {})]


def check_matrix(x: TensorType) -> None:
    if x.dtype not in (dt.float32, dt.float64) and not x.dtype.is_complex:
        raise DTypeError(
            f"{x} is not a matrix of float32, float64 or complex numbers; cast it with dg.astype"
        )
    if x.ndim < 2:
        raise ShapeError(f"{x} is not a matrix: it has fewer than two axes")


def check_square(x: TensorType) -> None:
    check_matrix(x)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{x} is not a square matrix")


def adjoint(x: Any) -> Any:
    """The conjugate transpose."""
    return swap_last(conj(x))


def _hermitian(x: Any) -> Any:
    return multiply(add(x, adjoint(x)), 0.5)


def matrix_places(x: Any) -> tuple[Any, Any]:
    """Row and column numbers of square matrices with as many columns as x."""
    n = x.shape[-1]
    columns = arange_op(start=0, step=1, size=n, dtype="int64", device=str(x.device))
    return reshape(columns, shape=(n, 1)), columns


def _diagonal(values: Any) -> Any:
    """Matrices with `values` on the diagonal."""
    rows, columns = matrix_places(values)
    return where(equal(rows, columns), reshape(values, shape=(*values.shape, 1)), 0.0)


def _total(*parts: Any) -> Any:
    return reduce(add, parts)


def one_by_one(x: Any) -> Any:
    """Numbers, one a matrix, as matrices of one element."""
    return reshape(x, shape=(*x.shape, 1, 1))


# --- solutions -----------------------------------------------------------------------------------


@opaque(name="inv", samples=square_samples)
def inv(xp, x):
    """Inverse matrices. A singular matrix is an error."""
    return xp.linalg.inv(xp.ascontiguousarray(x))


@inv.type
def _(x):
    check_square(x)
    return x


@inv.vjp
def _(ct, out, _x):
    back = adjoint(out)
    return (negative(matmul_op(matmul_op(back, ct), back)),)


@inv.batch
def _(lift, args, batched):
    return inv(args[0])


def _solve_samples(rng: Any) -> list[Any]:
    return [
        ((well(rng), rng.standard_normal((3, 2))), {}),
        ((well(rng, 2, (2,)), rng.standard_normal((2, 1))), {}),
    ]


@opaque(name="solve", samples=_solve_samples)
def solve(xp, a, b):
    """X of ``a @ X = b``; leading axes broadcast. A singular matrix is an error."""
    return xp.linalg.solve(xp.ascontiguousarray(a), xp.ascontiguousarray(b))


@solve.type
def _(a, b):
    check_square(a)
    if a.dtype is not b.dtype:
        raise DTypeError(f"operands {a} and {b} must have one dtype")
    if b.ndim < 2 or b.shape[-2] != a.shape[-1]:
        raise ShapeError(f"{b} has not as many rows as {a} has columns")
    return TensorType(
        a.dtype, (*broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), a.device
    )


@solve.vjp
def _(ct, out, a, _b):
    along_b = solve(adjoint(a), ct)
    return lambda: negative(matmul_op(along_b, adjoint(out))), lambda: along_b


@solve.batch
def _(lift, args, batched):
    rank = max(a.ndim - b for a, b in zip(args, batched, strict=True))
    return solve(*lift.align_to(args, batched, rank))


# --- decompositions ------------------------------------------------------------------------------


def _unique(x: Any) -> None:
    """Raises where a derivative would depend on phases that LAPACK may choose freely."""
    if x.dtype.is_complex:
        raise AutogradError(
            "complex matrices have no derivative here: their vectors are given up to a phase only"
        )


@opaque(name="cholesky", samples=square_samples)
def cholesky(xp, x, check=True):
    """Lower triangular L with ``L @ L^H = (x + x^H) / 2``; where that is not positive definite an error, or NaN."""
    x = _symmetrised(xp, x)
    if check:
        return xp.linalg.cholesky(x)
    out = xp.full_like(x, np.nan)
    for at in np.ndindex(*x.shape[:-2]):
        with suppress(np.linalg.LinAlgError):
            out[at] = xp.linalg.cholesky(x[at])
    return out


def _symmetrised(xp: Any, x: Any) -> Any:
    return (x + xp.conj(xp.swapaxes(x, -1, -2))) / 2


@cholesky.type
def _(x, check=True):
    check_square(x)
    return x


@cholesky.vjp
def _(ct, out, _x, check=True):
    rows, columns = matrix_places(out)
    inner = matmul_op(adjoint(out), ct)
    lower = where(greater(rows, columns), inner, where(equal(rows, columns), inner * 0.5, 0.0))
    half = solve(adjoint(out), lower)  # L^-H P
    return (_hermitian(adjoint(solve(adjoint(out), adjoint(half)))),)


@cholesky.batch
def _(lift, args, batched, check=True):
    return cholesky(args[0], check=check)


@opaque(multiple=True, name="eigh", samples=square_samples)
def eigh(xp, x):
    """Eigenvalues of ``(x + x^H) / 2`` in ascending order, and their eigenvectors as columns."""
    return tuple(xp.linalg.eigh(_symmetrised(xp, x)))


@eigh.type
def _(x):
    check_square(x)
    return TensorType(dt.PARTS.get(x.dtype, x.dtype), x.shape[:-1], x.device), x


def _gaps(values: Any) -> Any:
    """``1 / (values_j - values_i)`` off the diagonal, 0 on it."""
    n = values.shape[-1]
    across = reshape(values, shape=(*values.shape[:-1], 1, n))
    gap = subtract(across, swap_last(across))
    rows, columns = matrix_places(gap)
    same = equal(rows, columns)
    return where(same, 0.0, divide(1.0, where(same, 1.0, gap)))


@eigh.vjp
def _(ct, out, x):
    values, vectors = out
    if ct[1] is None:
        row = reshape(ct[0], shape=(*ct[0].shape[:-1], 1, ct[0].shape[-1]))
        return (_hermitian(matmul_op(multiply(vectors, row), adjoint(vectors))),)
    _unique(x)
    inner = [multiply(_gaps(values), matmul_op(swap_last(vectors), ct[1]))]
    if ct[0] is not None:
        inner.append(_diagonal(ct[0]))
    return (_hermitian(matmul_op(matmul_op(vectors, _total(*inner)), swap_last(vectors))),)


@eigh.batch
def _(lift, args, batched):
    return eigh(args[0])


@opaque(multiple=True, name="eig", samples=square_samples)
def eig(xp, x):
    """Eigenvalues and eigenvectors (columns of length 1) of square matrices, both complex."""
    values, vectors = xp.linalg.eig(xp.ascontiguousarray(x))
    wide = xp.result_type(x.dtype, xp.complex64)
    return values.astype(wide), vectors.astype(wide)


@eig.type
def _(x):
    check_square(x)
    wide = {dt.float32: dt.complex64, dt.float64: dt.complex128}.get(x.dtype, x.dtype)
    return TensorType(wide, x.shape[:-1], x.device), TensorType(wide, x.shape, x.device)


@eig.vjp
def _(ct, out, x):
    values, vectors = out
    back = adjoint(vectors)
    inner = []
    if ct[0] is not None:
        inner.append(_diagonal(ct[0]))
    if ct[1] is not None and x.size:
        # LAPACK's columns have length 1, and their largest elements are real.
        along = reduce_sum(multiply(conj(vectors), ct[1]), axes=(x.ndim - 2,), keepdims=True)
        length, phase = (
            cast(part(along), dtype=along.dtype.name) for part in (real_part, imag_part)
        )
        size = abs(vectors)
        largest = equal(size, reduce_max(size, axes=(x.ndim - 2,), keepdims=True))
        turned = where(largest, divide(multiply(phase, 1j), where(largest, vectors, 1.0)), 0.0)
        free = subtract(subtract(ct[1], multiply(vectors, length)), turned)
        inner.append(multiply(conj(_gaps(values)), matmul_op(back, free)))
    total = solve(back, matmul_op(_total(*inner), back)) if inner else multiply(back, 0)
    return (total if x.dtype.is_complex else real_part(total),)


@eig.batch
def _(lift, args, batched):
    return eig(args[0])


def _tall_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((4, 3)),), {"full": False}), ((well(rng),), {"full": True})]


def _svd_samples(rng: Any) -> list[Any]:
    return [*_tall_samples(rng), ((rng.standard_normal((2, 3)),), {"full": False})]


@opaque(multiple=True, name="svd", samples=_svd_samples)
def svd(xp, x, full):
    """U, singular values in descending order and V^H; U and V^H square if `full`."""
    return tuple(xp.linalg.svd(xp.ascontiguousarray(x), full_matrices=full))


@svd.type
def _(x, full):
    check_matrix(x)
    *lead, m, n = x.shape
    k = min(m, n)
    return (
        TensorType(x.dtype, (*lead, m, m if full else k), x.device),
        TensorType(dt.PARTS.get(x.dtype, x.dtype), (*lead, k), x.device),
        TensorType(x.dtype, (*lead, n if full else k, n), x.device),
    )


@svd.vjp
def _(ct, out, x, full):
    u, s, vt = out
    if ct[0] is not None or ct[2] is not None:
        _unique(x)
    if full and x.shape[-1] != x.shape[-2] and (ct[0] is not None or ct[2] is not None):
        raise AutogradError(
            "the full U and V of an oblong matrix have no derivative; pass full_matrices=False"
        )
    if u.shape[-1] != vt.shape[-2]:  # full, and only the values are used
        u, s, vt = svd(x, full=False)
    if ct[0] is None and ct[2] is None:
        weight = reshape(ct[1], shape=(*ct[1].shape[:-1], 1, ct[1].shape[-1]))
        return (matmul_op(multiply(u, weight), vt),)
    row = reshape(s, shape=(*s.shape[:-1], 1, s.shape[-1]))
    column, gaps = swap_last(row), _gaps(square(s))
    inner, beyond = [], []
    if ct[1] is not None:
        inner.append(_diagonal(ct[1]))
    if ct[0] is not None:
        turn = matmul_op(swap_last(u), ct[0])
        inner.append(multiply(multiply(gaps, subtract(turn, swap_last(turn))), row))
        if u.shape[-2] != u.shape[-1]:  # else nothing lies beyond the columns of U
            beyond.append(matmul_op(_shared(subtract(ct[0], matmul_op(u, turn)), row), vt))
    if ct[2] is not None:
        turn = matmul_op(vt, swap_last(ct[2]))
        inner.append(multiply(column, multiply(gaps, subtract(turn, swap_last(turn)))))
        if vt.shape[-2] != vt.shape[-1]:
            beyond.append(
                matmul_op(u, _shared(subtract(ct[2], matmul_op(swap_last(turn), vt)), column))
            )
    return (_total(matmul_op(matmul_op(u, _total(*inner)), vt), *beyond),)


def _shared(x: Any, values: Any) -> Any:
    """``x / values``, 0 where both are: no gradient comes for the vectors of a singular value that is 0."""
    idle = logical_and(equal(x, 0), equal(values, 0))
    return divide(x, where(idle, 1.0, values))


@svd.batch
def _(lift, args, batched, full):
    return svd(args[0], full=full)


@opaque(multiple=True, name="qr", samples=_tall_samples)
def qr(xp, x, full):
    """Q with orthonormal columns and upper triangular R; Q square if `full`."""
    return tuple(xp.linalg.qr(xp.ascontiguousarray(x), mode="complete" if full else "reduced"))


@qr.type
def _(x, full):
    check_matrix(x)
    *lead, m, n = x.shape
    k = m if full else min(m, n)
    return (
        TensorType(x.dtype, (*lead, m, k), x.device),
        TensorType(x.dtype, (*lead, k, n), x.device),
    )


@qr.vjp
def _(ct, out, x, full):
    _unique(x)
    q, r = out
    m, n = x.shape[-2:]
    if m < n or (full and m > n):
        raise AutogradError(
            "has a derivative only where R is square: for no fewer rows than columns, mode='reduced'"
        )
    parts = []
    if ct[1] is not None:
        parts.append(matmul_op(r, swap_last(ct[1])))
    if ct[0] is not None:
        parts.append(negative(matmul_op(swap_last(ct[0]), q)))
    inner = _total(*parts)
    rows, columns = matrix_places(r)
    low = where(greater(rows, columns), inner, 0.0)
    both = matmul_op(q, add(add(low, swap_last(low)), where(equal(rows, columns), inner, 0.0)))
    total = both if ct[0] is None else add(ct[0], both)
    return (swap_last(solve(r, swap_last(total))),)


@qr.batch
def _(lift, args, batched, full):
    return qr(args[0], full=full)
