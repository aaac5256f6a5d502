"""Determinants, their cofactors and logarithms, of matrices in the last two axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import PARTS
from ..core.kinds import opaque
from ..core.types import TensorType
from .arithmetic import abs, add, conj, divide, imag_part, multiply, subtract, where
from .comparison import equal
from .contraction import matmul_op
from .linalg import adjoint, check_square, inv, matrix_places, one_by_one, square_samples
from .movement import stop_gradient
from .reduce import reduce_sum


@opaque(name="det", samples=square_samples)
def det(xp, x):
    """Determinants."""
    return xp.asarray(xp.linalg.det(xp.ascontiguousarray(x)))


@det.type
def _(x):
    check_square(x)
    return TensorType(x.dtype, x.shape[:-2], x.device)


@det.vjp
def _(ct, _out, x):
    return (multiply(one_by_one(ct), cofactors(x)),)


@det.batch
def _(lift, args, batched):
    return det(args[0])


@opaque(name="cofactors", samples=square_samples)
def cofactors(xp, x):
    """The conjugate of ``det(x) inv(x)^T``, which singular matrices have, too."""
    x = xp.ascontiguousarray(x)
    value = xp.asarray(xp.linalg.det(x))
    out, whole = xp.empty_like(x), value != 0
    out[whole] = xp.conj(value[whole][:, None, None] * xp.swapaxes(xp.linalg.inv(x[whole]), -1, -2))
    out[~whole] = _of_singular(xp, x[~whole])
    return out


def _of_singular(xp: Any, x: Any) -> Any:
    """The same of a stack of any matrices: by products of all singular values but one."""
    u, s, vh = xp.linalg.svd(x)
    turns = xp.conj(xp.linalg.det(u) * xp.linalg.det(vh))
    others = xp.ones_like(s)
    others[:, 1:] = xp.cumprod(s, axis=1)[:, :-1]
    others[:, :-1] *= xp.cumprod(s[:, :0:-1], axis=1)[:, ::-1]
    return xp.matmul(u * (turns[:, None] * others)[:, None, :], vh)


@cofactors.type
def _(x):
    check_square(x)
    return x


@cofactors.vjp
def _(ct, out, x):
    # Polynomials in the elements. This form divides by the determinant: where that is 0, the mean of two places that
    # are a little off on either side has an error of the second order in the distance.
    value = det(x)
    singular = equal(value, 0)
    step = np.finfo(x.dtype.numpy).eps ** (1 / 3)
    size = stop_gradient(reduce_sum(abs(x), axes=(x.ndim - 2, x.ndim - 1), keepdims=False))
    off = where(singular, step * where(equal(size, 0), 1.0, size), 0.0)
    beside = _slope(ct, _shifted(x, off)), _slope(ct, _shifted(x, multiply(off, -1)))
    return (multiply(add(*beside), 0.5),)


def _shifted(x: Any, off: Any) -> Any:
    """Numbers, one a matrix, added to the diagonals."""
    rows, columns = matrix_places(x)
    return add(x, where(equal(rows, columns), one_by_one(off), 0.0))


def _slope(ct: Any, x: Any) -> Any:
    """The gradient of the cofactors of matrices that are not singular."""
    out = cofactors(x)
    along = reduce_sum(multiply(conj(ct), out), axes=(x.ndim - 2, x.ndim - 1), keepdims=True)
    across = matmul_op(matmul_op(out, adjoint(ct)), out)
    return divide(subtract(multiply(along, out), across), one_by_one(conj(det(x))))


@cofactors.batch
def _(lift, args, batched):
    return cofactors(args[0])


@opaque(multiple=True, name="slogdet", samples=square_samples)
def slogdet(xp, x):
    """Sign and logarithm of the magnitude of the determinants."""
    return tuple(xp.asarray(part) for part in xp.linalg.slogdet(xp.ascontiguousarray(x)))


@slogdet.type
def _(x):
    check_square(x)
    lead = x.shape[:-2]
    return (
        TensorType(x.dtype, lead, x.device),
        TensorType(PARTS.get(x.dtype, x.dtype), lead, x.device),
    )


@slogdet.vjp
def _(ct, out, x):
    weight = ct[1]
    if ct[0] is not None and x.dtype.is_complex:  # a real sign is constant wherever it is smooth
        turn = multiply(imag_part(conj(ct[0]) * out[0]), -1j)
        weight = turn if weight is None else add(weight, turn)
    if weight is None:
        return (None,)
    return (multiply(one_by_one(weight), adjoint(inv(x))),)


@slogdet.batch
def _(lift, args, batched):
    return slogdet(args[0])
