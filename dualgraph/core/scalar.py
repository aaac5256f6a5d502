"""The scalar language: what the body of an elementwise op is written in.

A body ``body(s, x, y)`` is run by a handler ``s``: over arrays of NumPy or CuPy, or into LLVM IR.
Values support ``+ - * /`` (division of floats), unary ``-``, comparisons, and ``& | ^ ~ << >>`` on
integers and bools; a Python literal takes the dtype of the operand that it meets. All else is a
method of ``s``.

A handler writes the primitive words. It gets the expanded words from this class and may override
them if it has better. A value has one dtype, named ``"float32"``, ``"bool"``...; operands of one
word share it. Every word acts on each element alone: its bits depend on no neighbour and on no
vector width.

The two figures of an expanded word are its largest errors seen in float32 and in float64, in units
in the last place, against mpmath over random bit patterns and edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from . import expansions

Value = Any
State = tuple[Value, ...]

LITERALS = (bool, int, float)
FLOATS = ("float16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *SIGNED, *UNSIGNED, *FLOATS)
BITS_OF_FLOAT = {"float16": "int16", "float32": "int32", "float64": "int64"}
FLOAT_OF_BITS = {bits: name for name, bits in BITS_OF_FLOAT.items()}


def wrap_int(value: int, dtype: str) -> int:
    """`value` modulo 2**width, in the range of the integer `dtype`."""
    width = int(dtype.lstrip("uint"))
    value &= (1 << width) - 1
    return value - (1 << width) if dtype[0] == "i" and value >> (width - 1) else value


def int_range(dtype: str) -> tuple[int, int]:
    """The least and the greatest value of an integer dtype."""
    width = int(dtype.lstrip("uint"))
    return (
        (0, (1 << width) - 1) if dtype[0] == "u" else (-(1 << (width - 1)), (1 << (width - 1)) - 1)
    )


class Scalar:
    """A handler of the scalar language: primitive words to be written, all others given."""

    # Primitive words.

    def dtype_of(self, x: Value) -> str:
        """The name of the dtype of `x`."""
        raise NotImplementedError

    def const(self, value: bool | int | float, like: Value) -> Value:
        """A constant with the dtype of `like`; integers wrap."""
        raise NotImplementedError

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """`x` where `condition`, else `y`."""
        raise NotImplementedError

    def cast(self, x: Value, dtype: str) -> Value:
        """`x` in another dtype.

        Integers wrap; floats round to nearest even; a float goes to an integer toward 0,
        saturating, NaN to 0; to bool is ``x != 0``. Integers reach float16 by way of float32.
        """
        raise NotImplementedError

    def bits(self, x: Value) -> Value:
        """The bits of a float as a signed integer of its width."""
        raise NotImplementedError

    def from_bits(self, i: Value) -> Value:
        """The float whose bits are the signed integer `i`."""
        raise NotImplementedError

    def floor(self, x: Value) -> Value:
        """The greatest integer not above `x`; integers are unchanged, as by the next three."""
        raise NotImplementedError

    def ceil(self, x: Value) -> Value:
        """The least integer not below `x`."""
        raise NotImplementedError

    def trunc(self, x: Value) -> Value:
        """`x` rounded toward 0."""
        raise NotImplementedError

    def rint(self, x: Value) -> Value:
        """`x` rounded to the nearest integer, ties to even."""
        raise NotImplementedError

    def sqrt(self, x: Value) -> Value:
        """Square root, correctly rounded; NaN below 0, -0.0 at -0.0."""
        raise NotImplementedError

    def abs(self, x: Value) -> Value:
        """``|x|``; the least integer of a signed dtype stays."""
        raise NotImplementedError

    def copysign(self, x: Value, y: Value) -> Value:
        """``|x|`` with the sign bit of `y`."""
        raise NotImplementedError

    def quotient(self, x: Value, y: Value) -> Value:
        """Integer ``x / y`` rounded toward 0; 0 for ``y == 0``, the least integer by -1 stays."""
        raise NotImplementedError

    def gather_table(self, table: Sequence[float], index: Value, like: Value) -> Value:
        """``table[index]`` in the dtype of `like`; every index must be inside the table."""
        raise NotImplementedError

    def rarely(
        self, condition: Value, slow: Callable[..., State], given: State, fast: State
    ) -> State:
        """``select(condition, slow(self, *given), fast)`` for each of a tuple; `slow` computed only if needed.

        `slow` is a function of a module that depends on its arguments alone, none of which is a bool.
        """
        raise NotImplementedError

    def loop(
        self, state: State, more: Callable[[State], Value], step: Callable[[State], State]
    ) -> State:
        """``while more(state): state = step(state)``; an element that is done keeps its state."""
        raise NotImplementedError

    # Words that follow from the primitive ones.

    def lift(self, *xs: Value) -> State:
        """`xs` with each Python literal made a constant of the dtype of the others."""
        like = next(x for x in xs if type(x) not in LITERALS)  # numpy.float64 is a float
        return tuple(self.const(x, like) if type(x) in LITERALS else x for x in xs)

    def is_float(self, x: Value) -> bool:
        """Whether the dtype of `x` is floating."""
        return self.dtype_of(x) in FLOATS

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c`` of floats, rounded once."""
        return expansions.fma(self, *self.lift(a, b, c))

    def mul_add(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c`` of floats, rounded once or twice: an fma where that is quick."""
        return self.fma(a, b, c)

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c`` with an exact product: an fma, or nearly so where fma is emulated."""
        return self.fma(a, b, c)

    def scaled(self, p: Value, n: Value, normal: bool = False) -> Value:
        """``p * 2**n`` rounded once, for p near 1; `n` is the bits of an integer plus the format's ``whole``.

        ``normal``: the result is no subnormal, and finite.
        """
        return expansions.scale(self, p, n, normal)

    def minimum(self, x: Value, y: Value) -> Value:
        """The lesser; NaN if either is; `y` of two zeros."""
        x, y = self.lift(x, y)
        return self.select((x < y) | (x != x), x, y)

    def maximum(self, x: Value, y: Value) -> Value:
        """The greater; NaN if either is; `y` of two zeros."""
        x, y = self.lift(x, y)
        return self.select((x > y) | (x != x), x, y)

    def isnan(self, x: Value) -> Value:
        """Whether `x` is a NaN."""
        return x != x

    def isinf(self, x: Value) -> Value:
        """Whether `x` is infinite."""
        if not self.is_float(x):
            return x != x
        return self.abs(x) == float("inf")

    def isfinite(self, x: Value) -> Value:
        """Whether `x` is neither infinite nor NaN."""
        if not self.is_float(x):
            return x == x
        return self.abs(x) < float("inf")

    def signbit(self, x: Value) -> Value:
        """Whether the sign bit of `x` is set."""
        return (self.bits(x) if self.is_float(x) else x) < 0

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; +0 for either zero, NaN for NaN."""
        if self.dtype_of(x) == "bool":
            return x
        zero, one = self.const(0, x), self.const(1, x)
        out = self.select(x == 0, zero, x)
        if self.dtype_of(x) not in UNSIGNED:
            out = self.select(x < 0, self.const(-1, x), out)
        return self.select(x > 0, one, out)

    def fmod(self, x: Value, y: Value) -> Value:
        """``x - y trunc(x / y)``, exact, with the sign of `x`; 0 for an integer `y` of 0."""
        x, y = self.lift(x, y)
        if self.is_float(x):
            return expansions.fmod(self, x, y)
        return self.select(y == 0, self.const(0, x), x - self.quotient(x, y) * y)

    def remainder(self, x: Value, y: Value) -> Value:
        """``x - y floor(x / y)``, exact, with the sign of `y`; 0 for an integer `y` of 0."""
        x, y = self.lift(x, y)
        if self.is_float(x):
            return expansions.remainder(self, x, y)
        rest = self.fmod(x, y)
        if self.dtype_of(x) in UNSIGNED:
            return rest
        return self.select((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)

    def floor_divide(self, x: Value, y: Value) -> Value:
        """``floor(x / y)``; 0 for an integer `y` of 0, the least integer by -1 stays."""
        x, y = self.lift(x, y)
        if self.is_float(x):
            return expansions.floor_divide(self, x, y)
        out = self.quotient(x, y)
        if self.dtype_of(x) in UNSIGNED:
            return out
        rest = x - out * y
        below = (rest != 0) & ((rest < 0) != (y < 0)) & (y != 0)
        return self.select(below, out - 1, out)

    def logical_and(self, x: Value, y: Value) -> Value:
        """``x and y`` of bools."""
        return x & y

    def logical_or(self, x: Value, y: Value) -> Value:
        """``x or y`` of bools."""
        return x | y

    def logical_xor(self, x: Value, y: Value) -> Value:
        """``x != y`` of bools."""
        return x ^ y

    def logical_not(self, x: Value) -> Value:
        """``not x`` of bools."""
        return ~x

    def shift_left(self, x: Value, n: Value) -> Value:
        """``x << n`` of integers; 0 where n is negative or at least the width."""
        return x << n

    def shift_right(self, x: Value, n: Value) -> Value:
        """``x >> n`` of integers, filling with the sign; only the sign where n leaves the width."""
        return x >> n

    def mulhi_u32(self, x: Value, y: Value) -> Value:
        """The high 32 bits of the 64-bit product of two uint32."""
        x, y = self.lift(x, y)
        return self.cast((self.cast(x, "uint64") * self.cast(y, "uint64")) >> 32, "uint32")

    def int_pow(self, x: Value, y: Value) -> Value:
        """``x**y`` of integers; for ``y < 0`` the inverse rounded toward 0, and 0 for x = 0."""
        return expansions.int_pow(self, *self.lift(x, y))

    def gcd(self, x: Value, y: Value) -> Value:
        """The greatest common divisor of integers, by Euclid; 0 of two zeros."""
        x, y = self.lift(x, y)
        pair = (x, y) if self.dtype_of(x) in UNSIGNED else (self.abs(x), self.abs(y))
        return self.loop(pair, lambda p: p[1] != 0, lambda p: (p[1], self.fmod(*p)))[0]

    # Expanded words.

    def exp(self, x: Value) -> Value:
        """``e**x``. 1.1, 1.0 ulp."""
        return expansions.exp(self, x)

    def exp2(self, x: Value) -> Value:
        """``2**x``; exact for integers. 1.1, 1.1 ulp."""
        return expansions.exp2(self, x)

    def expm1(self, x: Value) -> Value:
        """``e**x - 1``, accurate near 0. 1.6, 1.8 ulp."""
        return expansions.expm1(self, x)

    def log(self, x: Value) -> Value:
        """Natural logarithm; -inf at 0, NaN below. 1.0, 0.9 ulp."""
        return expansions.log(self, x)

    def log2(self, x: Value) -> Value:
        """Logarithm to base 2; exact for powers of 2. 1.2, 1.1 ulp."""
        return expansions.log2(self, x)

    def log10(self, x: Value) -> Value:
        """Logarithm to base 10. 1.0, 1.1 ulp."""
        return expansions.log10(self, x)

    def log1p(self, x: Value) -> Value:
        """``log(1 + x)``, accurate near 0. 1.0, 1.0 ulp."""
        return expansions.log1p(self, x)

    def sin(self, x: Value) -> Value:
        """Sine of radians, for any finite x. 1.5, 1.5 ulp."""
        return expansions.sin(self, x)

    def cos(self, x: Value) -> Value:
        """Cosine of radians, for any finite x. 1.5, 1.5 ulp."""
        return expansions.cos(self, x)

    def tan(self, x: Value) -> Value:
        """Tangent of radians, for any finite x. 1.2, 1.2 ulp."""
        return expansions.tan(self, x)

    def asin(self, x: Value) -> Value:
        """Inverse sine in [-pi/2, pi/2]; NaN outside [-1, 1]. 0.7, 0.7 ulp."""
        return expansions.asin(self, x)

    def acos(self, x: Value) -> Value:
        """Inverse cosine in [0, pi]; NaN outside [-1, 1]. 0.6, 0.7 ulp."""
        return expansions.acos(self, x)

    def atan(self, x: Value) -> Value:
        """Inverse tangent in [-pi/2, pi/2]. 1.4, 1.4 ulp."""
        return expansions.atan(self, x)

    def sinh(self, x: Value) -> Value:
        """``(e**x - e**-x) / 2``. 1.6, 1.6 ulp."""
        return expansions.sinh(self, x)

    def cosh(self, x: Value) -> Value:
        """``(e**x + e**-x) / 2``. 1.5, 1.4 ulp."""
        return expansions.cosh(self, x)

    def tanh(self, x: Value) -> Value:
        """``sinh(x) / cosh(x)``. 1.8, 1.9 ulp."""
        return expansions.tanh(self, x)

    def asinh(self, x: Value) -> Value:
        """Inverse hyperbolic sine. 0.9, 1.0 ulp."""
        return expansions.asinh(self, x)

    def acosh(self, x: Value) -> Value:
        """Inverse hyperbolic cosine; NaN below 1. 1.0, 1.0 ulp."""
        return expansions.acosh(self, x)

    def atanh(self, x: Value) -> Value:
        """Inverse hyperbolic tangent; infinite at 1, NaN beyond. 0.7, 0.7 ulp."""
        return expansions.atanh(self, x)

    def erf(self, x: Value) -> Value:
        """``2/sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to x. 1.2, 1.2 ulp."""
        return expansions.erf(self, x)

    def erfc(self, x: Value) -> Value:
        """``1 - erf(x)``, accurate for large x. 0.6, 1.3 ulp."""
        return expansions.erfc(self, x)

    def erfinv(self, x: Value) -> Value:
        """The y of ``erf(y) = x``; infinite at 1 and -1, NaN beyond. 0.5, 2.9 ulp."""
        return expansions.erfinv(self, x)

    def cbrt(self, x: Value) -> Value:
        """The real cube root. 0.6, 0.5 ulp."""
        return expansions.cbrt(self, x)

    def rsqrt(self, x: Value) -> Value:
        """``1 / sqrt(x)``, in two roundings. 1.5, 1.5 ulp."""
        return expansions.rsqrt(self, x)

    def sigmoid(self, x: Value) -> Value:
        """``1 / (1 + e**-x)``. 1.5, 1.5 ulp."""
        return expansions.sigmoid(self, x)

    def softplus(self, x: Value) -> Value:
        """``log(1 + e**x)``. 1.5, 1.3 ulp."""
        return expansions.softplus(self, x)

    def lgamma(self, x: Value) -> Value:
        """``log(|gamma(x)|)``, for x > 0; its error is absolute near the zeros at x < 0. 0.5, 3.3 ulp."""
        return expansions.lgamma(self, x)

    def digamma(self, x: Value) -> Value:
        """``gamma'(x) / gamma(x)``; its error is absolute near its zeros. 0.5, 2.7 ulp."""
        return expansions.digamma(self, x)

    def polygamma(self, x: Value, n: int) -> Value:
        """The n-th derivative of `digamma` for a Python number n >= 1. 0.5, 4.2 ulp for x > 0, n < 5."""
        return expansions.polygamma(self, x, n)

    def atan2(self, y: Value, x: Value) -> Value:
        """Angle of the point (x, y) in [-pi, pi]. 1.2, 1.3 ulp."""
        return expansions.atan2(self, *self.lift(y, x))

    def pow(self, x: Value, y: Value) -> Value:
        """``x**y`` of floats, with the special values of C99. 0.6, 1.0 ulp."""
        return expansions.pow(self, *self.lift(x, y))

    def hypot(self, x: Value, y: Value) -> Value:
        """``sqrt(x**2 + y**2)`` without undue overflow. 0.5, 0.5 ulp."""
        return expansions.hypot(self, *self.lift(x, y))

    def logaddexp(self, x: Value, y: Value) -> Value:
        """``log(e**x + e**y)``, relative to the larger operand. 1.2, 1.2 ulp."""
        return expansions.logaddexp(self, *self.lift(x, y))


def without_trace(s: Scalar, x: Any) -> Any:
    """The largest or smallest of floats, whatever the order of comparison was: 0.0 for -0.0, and one NaN for all."""
    return s.select(x != x, math.nan, x + 0.0)
