"""What the expansions share: float formats, polynomials, error-free sums and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

Value = Any  # what a handler computes with: an array, or an LLVM value
Handler = Any  # a handler of the scalar language
Table = dict[str, tuple[float, ...]]  # polynomial coefficients by dtype, constant term first

SIDE_BY_SIDE = 5
INF = float("inf")
NAN = float("nan")


class Format(NamedTuple):
    """An IEEE binary format. ``magic`` is 1.5 * 2**mantissa: adding it rounds to an integer."""

    mantissa: int
    bias: int
    integer: str
    one: int  # the bits of 1.0
    half: int  # the bits of 0.5
    root: int  # the bits of sqrt(0.5)
    magic: float
    magic_bits: int
    tiny: float  # the least normal number
    sign: int  # the place of the sign bit
    top: int  # the exponent of the greatest power of two


FORMATS = {
    "float32": Format(
        mantissa=23,
        bias=127,
        integer="int32",
        one=0x3F800000,
        half=0x3F000000,
        root=0x3F3504F3,
        magic=1.5 * 2.0**23,
        magic_bits=0x4B400000,
        tiny=2.0**-126,
        sign=31,
        top=127,
    ),
    "float64": Format(
        mantissa=52,
        bias=1023,
        integer="int64",
        one=0x3FF0000000000000,
        half=0x3FE0000000000000,
        root=0x3FE6A09E667F3BCD,
        magic=1.5 * 2.0**52,
        magic_bits=0x4338000000000000,
        tiny=2.0**-1022,
        sign=63,
        top=1023,
    ),
}


def float_word(fn: Callable[..., Value]) -> Callable[..., Value]:
    """A word over floats: float16 is computed in float32 and rounded once."""

    @wraps(fn)
    def word(s: Handler, *xs: Value) -> Value:
        xs = s.lift(*xs)
        dtype = s.dtype_of(xs[0])
        if dtype == "float16":
            return s.cast(fn(s, *(s.cast(x, "float32") for x in xs)), "float16")
        if dtype not in FORMATS:
            raise TypeError(f"{fn.__name__} of {dtype}: floats only; cast the operand first")
        return fn(s, *xs)

    return word


def poly(s: Handler, x: Value, coefficients: Sequence[float]) -> Value:
    """``c[0] + c[1] x + c[2] x**2 + ...``: Horner's rule, for even and odd powers side by side from 5 terms on."""
    if len(coefficients) < SIDE_BY_SIDE:
        return _horner(s, x, coefficients)
    square = x * x
    even, odd = (_horner(s, square, coefficients[k::2]) for k in (0, 1))
    return s.mul_add(odd, x, even)


def _horner(s: Handler, x: Value, coefficients: Sequence[float]) -> Value:
    out = s.const(coefficients[-1], x)
    for c in reversed(coefficients[:-1]):
        out = s.mul_add(out, x, s.const(c, x))
    return out


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """``hi + lo == a + b`` exactly (Knuth)."""
    hi = a + b
    t = hi - a
    return hi, (a - (hi - t)) + (b - t)


def fast_two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """``hi + lo == a + b`` exactly, given ``|a| >= |b|`` or ``a == 0`` (Dekker)."""
    hi = a + b
    return hi, (a - hi) + b


def two_product(s: Handler, a: Value, b: Value) -> tuple[Value, Value]:
    """``hi + lo == a * b`` exactly unless ``lo`` underflows."""
    hi = a * b
    return hi, s.fused(a, b, -hi)
