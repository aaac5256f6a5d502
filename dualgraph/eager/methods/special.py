"""Special functions as methods: the gamma function's relatives, inverse error function, divisors, powers of two."""

from __future__ import annotations

from math import log, pi
from typing import Any

from ...core.errors import ArgumentError, describe
from ...ops import arithmetic as ar
from ...ops import comparison as cp
from ...ops import special as sp
from ...ops import transcendental as tr
from ...ops.neighbours import nextafter
from .. import functions as fn
from .. import shapes as sh
from ..attach import as_method, method, methods
from ..creation import arange
from ..operands import as_operand
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
        raise ArgumentError(describe("mvlgamma", str(x.type), f"p = {p} is not positive"))
    steps = ar.divide(arange(p, device=x.device, dtype=x.dtype if x.dtype.is_inexact else None), 2)
    terms = sp.lgamma(ar.subtract(sh.expand_dims(x, axis=-1), steps))
    return ar.add(fn.sum(terms, axis=-1), p * (p - 1) / 4 * log(pi))


@method
def lcm(x: Tensor, other: Any) -> Tensor:
    """The least common multiple, never negative; 0 beside 0."""
    divisor = sp.gcd(x, other)
    whole = ar.floor_divide(x, ar.where(cp.equal(divisor, 0), 1, divisor))
    return ar.abs(ar.multiply(whole, other))


@method
def ldexp(x: Tensor, other: Any) -> Tensor:
    """``x * 2**other``."""
    return ar.multiply(x, tr.exp2(as_operand(other)))
