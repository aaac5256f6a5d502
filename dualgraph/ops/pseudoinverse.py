"""Moore-Penrose inverses of matrices of any shape and rank.

Derivative: Golub and Pereyra, The differentiation of pseudo-inverses (1973). It is that of the inverse alone, so equal
singular values do no harm, as they do to the derivative of a singular value decomposition.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import PARTS
from ..core.errors import DTypeError, ShapeError
from ..core.kinds import opaque
from ..core.types import TensorType
from .arithmetic import add, negative, subtract
from .contraction import matmul_op
from .linalg import adjoint, check_matrix


def _samples(rng: Any) -> list[Any]:
    tall, wide = rng.standard_normal((2, 4, 3)), rng.standard_normal((1, 2, 3))
    return [((x, np.full(len(x), 1e-5), np.zeros(len(x))), {}) for x in (tall, wide)]


@opaque(name="pinv", samples=_samples)
def pinv(xp, x, rtol, atol):
    """Pseudo-inverses, in which singular values up to `atol`, or `rtol` times the largest, count as 0."""
    u, s, vh = xp.linalg.svd(xp.ascontiguousarray(x), full_matrices=False)
    limit = xp.maximum(xp.max(s, axis=-1, initial=0) * rtol, atol)[..., None]
    factors = xp.where(s > limit, 1 / xp.where(s > limit, s, 1), 0)[..., None, :]
    return xp.matmul(xp.conj(xp.swapaxes(vh, -1, -2)) * factors, xp.conj(xp.swapaxes(u, -1, -2)))


@pinv.type
def _(x, rtol, atol):
    check_matrix(x)
    *lead, m, n = x.shape
    real = PARTS.get(x.dtype, x.dtype)
    for t in (rtol, atol):
        if t.dtype is not real:
            raise DTypeError(f"the limit {t} beside {x} must be {real.name}")
        if t.shape != tuple(lead):
            raise ShapeError(f"the limit {t} is not one for each matrix of {x}")
    return TensorType(x.dtype, (*lead, n, m), x.device)


@pinv.vjp
def _(ct, out, x, _rtol, _atol):
    back, turned = adjoint(out), adjoint(ct)
    inside = matmul_op(matmul_op(back, ct), back)
    left = subtract(turned, matmul_op(x, matmul_op(out, turned)))
    right = subtract(turned, matmul_op(matmul_op(turned, out), x))
    # Each summand is 0 where x has full rank on that side.
    beyond = add(matmul_op(matmul_op(left, out), back), matmul_op(matmul_op(back, out), right))
    return add(negative(inside), beyond), None, None


@pinv.batch
def _(lift, args, batched):
    return pinv(*lift.materialize(args, batched))
