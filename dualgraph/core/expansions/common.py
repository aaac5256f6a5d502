"""What the expansions share: float formats, polynomials, error-free sums and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

Value = Any  # what a handler computes with: an array, or an LLVM value
Handler = Any  # a handler of the scalar language
Table = dict[str, tuple[float, ...]]  # polynomial coefficients by dtype, constant term first

IN_PAIRS = 5
INF = float("inf")
NAN = float("nan")


class Format(NamedTuple):
    """An IEEE binary format. ``magic`` is 1.5 * 2**mantissa: adding it rounds to an integer.

    ``whole`` is that and twice the bias: the low bits of what it is added to are shares of two exponents.
    """

    mantissa: int
    bias: int
    integer: str
    one: int  # the bits of 1.0
    half: int  # the bits of 0.5
    root: int  # the bits of sqrt(0.5)
    magic: float
    magic_bits: int
    whole: float
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
        whole=1.5 * 2.0**23 + 254,
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
        whole=1.5 * 2.0**52 + 2046,
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
    """``c[0] + c[1] x + c[2] x**2 + ...``: Horner's rule; from 5 terms on in ``x**2``, over pairs of terms, which wait
    for nothing (Estrin's first step)."""
    terms = [s.const(c, x) for c in coefficients]
    if len(terms) < IN_PAIRS:
        return _horner(s, x, terms)
    pairs = [s.mul_add(b, x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)]
    return _horner(s, x * x, pairs + terms[-1:] * (len(terms) % 2))


def _horner(s: Handler, x: Value, terms: Sequence[Value]) -> Value:
    out = terms[-1]
    for term in reversed(terms[:-1]):
        out = s.mul_add(out, x, term)
    return out


def with_sign(s: Handler, magnitude: Value, x: Value) -> Value:
    """``copysign(magnitude, x)`` for a magnitude whose sign bit is not set, or NaN."""
    bits = s.bits(x)
    return s.from_bits(s.bits(magnitude) | (bits & (-1 << FORMATS[s.dtype_of(x)].sign)))


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
