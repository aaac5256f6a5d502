"""Special functions as methods: the gamma function's relatives, inverse error function, divisors, powers of two."""

from __future__ import annotations

from math import log, pi
from operator import index
from typing import Any

from ...core.dtypes import get_default_dtype
from ...core.errors import ArgumentError, describe
from ...ops import arithmetic as ar
from ...ops import comparison as cp
from ...ops import special as sp
from ...ops import transcendental as tr
from ...ops.neighbours import nextafter
from .. import functions as fn
from .. import shapes as sh
from ..attach import as_method, method, methods
from ..dtype_info import finfo
from ..filling import arange
from ..operands import as_operand, astype
from ..tensor import Tensor

OPS = {
    "nextafter": nextafter,
    "lgamma": sp.lgamma,
    "digamma": sp.digamma,
    "erfinv": sp.erfinv,
    "gcd": sp.gcd,
}
methods(**{name: as_method(op, name) for name, op in OPS.items()})


def polygamma(n: int, x: Any) -> Tensor:
    """The n-th derivative of `digamma`, n = 0, 1, 2, ...

    >>> dg.polygamma(1, dg.tensor([1.0])).tolist()  # pi**2 / 6
    [1.644934058189392]
    """
    n = index(n)  # 0-d integer tensors, too
    if n < 0:
        raise ArgumentError(describe("polygamma", str(n), "there are no derivatives below the 0th"))
    x = as_operand(x)
    return sp.polygamma_from_one(x, n=n) if n else sp.digamma(x)


def _polygamma(x: Tensor, n: int) -> Tensor:
    return polygamma(n, x)


methods(polygamma=_polygamma)


@method
def mvlgamma(x: Tensor, p: int) -> Tensor:
    """The logarithm of the gamma function of p by p matrices, for ``x > (p - 1) / 2``."""
    if p < 1:
        raise ArgumentError(describe("mvlgamma", str(x.tensor_type), f"p = {p} is not positive"))
    steps = ar.divide(arange(p, device=x.device, dtype=x.dtype if x.dtype.is_inexact else None), 2)
    terms = sp.lgamma(ar.subtract(sh.expand_dims(x, axis=-1), steps))
    return ar.add(fn.sum(terms, axis=-1), p * (p - 1) / 4 * log(pi))


@method
def lcm(x: Tensor, other: Any) -> Tensor:
    """The least common multiple, never negative; 0 beside 0.

    >>> dg.lcm(dg.asarray([4, 6]), dg.asarray([6, 9]))
    tensor([12, 18])
    """
    divisor = sp.gcd(x, other)
    whole = ar.floor_divide(x, ar.where(cp.equal(divisor, 0), 1, divisor))
    return ar.abs(ar.multiply(whole, other))


@method
def ldexp(x: Tensor, other: Any) -> Tensor:
    """``x * 2**other``.

    >>> dg.ldexp(dg.asarray([1.0, 3.0]), dg.asarray([2, 1]))
    tensor([4., 6.])
    """
    return ar.multiply(x, tr.exp2(as_operand(other)))


@method
def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mantissas of at least 0.5 and below 1 in size, and exponents (int32), with ``x = m * 2**e``.

    >>> m, e = dg.frexp(dg.tensor([10.0, 0.0]))
    >>> m.tolist(), e.tolist()
    ([0.625, 0.0], [4, 0])
    """
    x = x if x.dtype.is_inexact else astype(x, get_default_dtype())
    plain = cp.logical_and(cp.isfinite(x), cp.not_equal(x, 0))
    small = cp.logical_and(ar.abs(x) < finfo(x.dtype).smallest_normal, plain)
    scaled = ar.where(small, ar.multiply(x, 2.0**64), x)
    size = ar.where(plain, ar.abs(scaled), 1)
    power = ar.floor(tr.log2(size)) + 1
    for _ in range(2):  # the logarithm is rounded: one too much or too little beside powers of two
        part = ar.divide(size, tr.exp2(power - 1))
        power = ar.where(part < 1, power - 1, ar.where(part >= 2, power + 1, power))
    power = ar.where(plain, power, 0)
    half = ar.floor(ar.divide(power, 2))  # 2**power may not fit the dtype
    mantissa = ar.divide(ar.divide(scaled, tr.exp2(half)), tr.exp2(power - half))
    exponent = ar.subtract(power, ar.where(small, 64, 0))
    return mantissa, ar.cast(exponent, dtype="int32")
