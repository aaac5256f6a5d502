"""Remainders and floor division of floats, exact as in C and Python."""

from __future__ import annotations

from .common import FORMATS, INF, NAN, Handler, Value, float_word


def _lift(s: Handler, x: Value) -> Value:
    return s.const(2.0 ** (FORMATS[s.dtype_of(x)].mantissa + 2), x)


def _far(s: Handler, a: Value, b: Value) -> Value:
    """Where a is huge and b is tiny but neither is out of bounds; both are positive."""
    fmt = FORMATS[s.dtype_of(a)]
    tiny, big = b < fmt.tiny * 2.0, a > 2.0 ** (fmt.top - fmt.mantissa - 4)
    return (a < INF) & (b > 0.0) & tiny & big


def _reduced(s: Handler, top: Value, bottom: Value) -> Value:
    """What is left of `top` after as many `bottom` as it has, both positive and the second one normal."""
    fmt = FORMATS[s.dtype_of(top)]
    step_bits = fmt.mantissa - 3  # quotient bits taken in one step, with room for rounding

    def more(state: tuple[Value, ...]) -> Value:
        return state[0] >= state[1]

    def step(state: tuple[Value, ...]) -> tuple[Value, ...]:
        r, d = state
        gap = (s.bits(r) >> fmt.mantissa) - (s.bits(d) >> fmt.mantissa) - step_bits
        gap = s.select(gap > 0, gap, gap - gap)
        scaled = s.from_bits(s.bits(d) + (gap << fmt.mantissa))
        r = s.fma(-s.trunc(r / scaled), scaled, r)
        return s.select(r < 0.0, r + scaled, r), d

    return s.loop((top, bottom), more, step)[0]


def _extreme(s: Handler, a: Value, b: Value) -> tuple[Value]:
    """a modulo b, lifted: by b 2**k first, which is exact, then by b."""
    far, zero, lift = _far(s, a, b), s.const(0.0, a), _lift(s, a)
    top = s.select(far, a, zero)
    bottom = s.select(far, b * lift, s.const(1.0, a))
    rest = s.select(far, _reduced(s, top, bottom), zero) * lift
    return (_reduced(s, rest, bottom),)


@float_word
def fmod(s: Handler, x: Value, y: Value) -> Value:
    """``x - y trunc(x / y)``, exact, with the sign of x; NaN for x infinite or y zero."""
    fmt = FORMATS[s.dtype_of(x)]
    a, b = s.abs(x), s.abs(y)
    lift = _lift(s, x)
    # subnormal divisors are lifted so that exponents can be read off the bits
    tiny = b < fmt.tiny * 2.0
    far = _far(s, a, b)
    plain = (a < INF) & (b > 0.0) & ~far
    left = s.select(plain, s.select(tiny, a * lift, a), s.const(0.0, x))
    base = s.select(plain, s.select(tiny, b * lift, b), s.const(1.0, x))
    base = s.select(base == INF, s.const(2.0**fmt.top, x), base)
    (out,) = s.rarely(far, _extreme, (a, b), (_reduced(s, left, base),))
    out = s.select(tiny, out * 2.0 ** -(fmt.mantissa + 2), out)
    out = s.select((b == INF) | (a < b), a, out)
    out = s.select((a < INF) & (b > 0.0), out, s.const(NAN, x))
    return s.select((x != x) | (y != y), x + y, s.copysign(out, x))


@float_word
def remainder(s: Handler, x: Value, y: Value) -> Value:
    """``x - y floor(x / y)`` with the sign of y (``%`` of Python); NaN for y zero."""
    out = s.fmod(x, y)
    out_of_sign = (out != 0.0) & ((out < 0.0) != (y < 0.0))
    return s.select(out == 0.0, s.copysign(out, y), s.select(out_of_sign, out + y, out))


@float_word
def floor_divide(s: Handler, x: Value, y: Value) -> Value:
    """``floor(x / y)`` from the exact remainder (``//`` of Python); ``x / y`` for y zero."""
    rest = s.fmod(x, y)
    quotient = (x - rest) / y
    quotient = s.select((rest != 0.0) & ((rest < 0.0) != (y < 0.0)), quotient - 1.0, quotient)
    whole = s.floor(quotient)
    whole = s.select(quotient - whole > 0.5, whole + 1.0, whole)
    whole = s.select(quotient == 0.0, s.copysign(s.const(0.0, x), x / y), whole)
    return s.select(y == 0.0, x / y, whole)
