"""Special functions: the gamma function's logarithm and its derivatives, inverse error function, common divisors."""

from __future__ import annotations

from math import pi, sqrt

from ..core.kinds import elementwise, integer, real_float
from .arithmetic import square
from .transcendental import exp


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def lgamma(s, x):
    """``log(|gamma(x)|)``; infinite at 0, -1, -2, ..."""
    return s.lgamma(x)


@lgamma.vjp
def _(ct, _out, x):
    return (ct * digamma(x),)


@elementwise(dtype=real_float, domain=(0.3, 6.0))
def digamma(s, x):
    """``gamma'(x) / gamma(x)``; NaN at -1, -2, ..., -inf at 0."""
    return s.digamma(x)


@digamma.vjp
def _(ct, _out, x):
    return (ct * polygamma_from_one(x, n=1),)


def _polygamma_samples(rng):
    return [((rng.uniform(0.3, 6.0, 5),), {"n": n}) for n in (1, 2, 5)]


@elementwise(dtype=real_float, samples=_polygamma_samples, name="polygamma")
def polygamma_from_one(s, x, *, n=1):
    """The n-th derivative of `digamma`, for n of 1 or more."""
    return s.polygamma(x, n)


@polygamma_from_one.vjp
def _(ct, _out, x, n):
    return (ct * polygamma_from_one(x, n=n + 1),)


@elementwise(dtype=real_float, domain=(-0.9, 0.9))
def erfinv(s, x):
    """The y of ``erf(y) = x``; infinite at 1 and -1, NaN beyond."""
    return s.erfinv(x)


@erfinv.vjp
def _(ct, out, _x):
    return (ct * (exp(square(out)) * (sqrt(pi) / 2)),)


@elementwise(dtype=integer, domain=(-60, 60), commutative=True)
def gcd(s, x, y):
    """The greatest common divisor, never negative; ``gcd(0, 0)`` is 0 (Euclid).

    >>> dg.gcd(dg.asarray([12, 18]), dg.asarray([8, 27]))
    tensor([4, 9])
    """
    return s.gcd(x, y)
