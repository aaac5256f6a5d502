"""Comparison, logic and bits: elementwise ops whose results are truth values or bit patterns; no gradients."""

from __future__ import annotations

from ..core import dtypes as dt
from ..core.kinds import elementwise, integer, integral, logical, ordered, to_bool


@elementwise(dtype=to_bool, commutative=True)
def equal(s, x, y):
    """``x == y``; NaN equals nothing."""
    return x == y


@elementwise(dtype=to_bool, commutative=True)
def not_equal(s, x, y):
    """``x != y``."""
    return x != y


@elementwise(dtype=ordered)
def less(s, x, y):
    """``x < y``."""
    return x < y


@elementwise(dtype=ordered)
def less_equal(s, x, y):
    """``x <= y``."""
    return x <= y


@elementwise(dtype=ordered)
def greater(s, x, y):
    """``x > y``."""
    return x > y


@elementwise(dtype=ordered)
def greater_equal(s, x, y):
    """``x >= y``."""
    return x >= y


@elementwise(dtype=logical, commutative=True)
def logical_and(s, x, y):
    """Both are true (not zero)."""
    return s.logical_and(x, y)


@elementwise(dtype=logical, commutative=True)
def logical_or(s, x, y):
    """Either is true (not zero)."""
    return s.logical_or(x, y)


@elementwise(dtype=logical, commutative=True)
def logical_xor(s, x, y):
    """Exactly one is true (not zero)."""
    return s.logical_xor(x, y)


@elementwise(dtype=logical)
def logical_not(s, x):
    """x is false (zero)."""
    return s.logical_not(x)


def _inspecting(dtypes: tuple[dt.DType, ...]) -> tuple[tuple[dt.DType, ...], dt.DType]:
    return dtypes, dt.bool_


@elementwise(dtype=_inspecting)
def isnan(s, x):
    """x is not a number."""
    return s.isnan(x)


@elementwise(dtype=_inspecting)
def isinf(s, x):
    """x is an infinity."""
    return s.isinf(x)


@elementwise(dtype=_inspecting)
def isfinite(s, x):
    """x is neither infinite nor NaN."""
    return s.isfinite(x)


@elementwise(dtype=_inspecting)
def signbit(s, x):
    """The sign bit is set: negative numbers and -0.0."""
    return s.signbit(x)


# --- bits --------------------------------------------------------------------------------------


@elementwise(dtype=integral, commutative=True)
def bitwise_and(s, x, y):
    """Bits set in both."""
    return x & y


@elementwise(dtype=integral, commutative=True)
def bitwise_or(s, x, y):
    """Bits set in either."""
    return x | y


@elementwise(dtype=integral, commutative=True)
def bitwise_xor(s, x, y):
    """Bits set in exactly one."""
    return x ^ y


@elementwise(dtype=integral)
def bitwise_invert(s, x):
    """All bits flipped."""
    return ~x


@elementwise(dtype=integer, domain=(0, 6))
def bitwise_left_shift(s, x, y):
    """x shifted left by y bits; y at or past the width gives 0."""
    return s.shift_left(x, y)


@elementwise(dtype=integer, domain=(0, 6))
def bitwise_right_shift(s, x, y):
    """x shifted right by y bits, keeping the sign."""
    return s.shift_right(x, y)
