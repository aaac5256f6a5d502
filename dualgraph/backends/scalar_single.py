"""The scalar language on single numbers: an fma by Python's numbers, in the place of dozens of NumPy's functions."""

from __future__ import annotations

from math import copysign, inf, isfinite, nextafter
from struct import pack, unpack

from ..core.scalar import Value
from .scalar_numpy import ExactArrayScalar


class SingleScalar(ExactArrayScalar):
    """The same bits as `ExactArrayScalar`, sooner for operands without axes: optimisers work on such numbers."""

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        a, b, c = self.lift(a, b, c)
        if a.ndim or b.ndim or c.ndim:
            return super().fma(a, b, c)
        rounded = fma if self.dtype_of(a) == "float64" else fma_to_odd
        return a.dtype.type(rounded(float(a), float(b), float(c)))


def fma(a: float, b: float, c: float) -> float:
    """``a * b + c`` rounded once: by whole numbers, whose quotient Python rounds rightly."""
    if not (isfinite(a) and isfinite(b)):
        return a * b + c
    if not isfinite(c):
        return c
    (m, p), (n, q), (k, r) = a.as_integer_ratio(), b.as_integer_ratio(), c.as_integer_ratio()
    above = m * n * r + k * p * q
    if above == 0:  # a * b is exact here unless it is not zero: then +0
        return a * b + c if m * n == 0 else 0.0
    try:
        return above / (p * q * r)
    except OverflowError:
        return inf if above > 0 else -inf


def fma_to_odd(a: float, b: float, c: float) -> float:
    """``a * b + c`` of floats of 32 bits or fewer, where it is inexact rounded to the neighbour that is odd: rounded
    once more, to these, it is what one rounding gives (Boldo and Melquiond)."""
    high = a * b  # exact
    total = high + c
    part = total - high
    low = (high - (total - part)) + (c - part)
    if low == 0.0 or low != low or unpack("<q", pack("<d", total))[0] & 1:
        return total
    return nextafter(total, copysign(inf, low))
