"""Remainders and floor division of floats, exact as in C and Python."""

from __future__ import annotations

from .common import FORMATS, INF, NAN, Handler, Value, float_word


@float_word
def fmod(s: Handler, x: Value, y: Value) -> Value:
    """``x - y trunc(x / y)``, exact, with the sign of x; NaN for x infinite or y zero."""
    fmt = FORMATS[s.dtype_of(x)]
    step_bits = fmt.mantissa - 3  # quotient bits taken in one step, with room for rounding
    a, b = s.abs(x), s.abs(y)
    zero = s.const(0.0, x)
    lift = s.const(2.0 ** (fmt.mantissa + 2), x)
    # subnormal divisors are lifted so that exponents can be read off the bits
    tiny = b < fmt.tiny * 2.0
    big = a > 2.0 ** (fmt.top - fmt.mantissa - 4)
    valid = (a < INF) & (b > 0.0) & (b == b)
    plain = valid & ~(tiny & big)
    left = s.select(plain, s.select(tiny, a * lift, a), zero)
    base = s.select(plain, s.select(tiny, b * lift, b), s.const(1.0, x))
    base = s.select(base == INF, s.const(2.0**fmt.top, x), base)

    def more(state: tuple[Value, ...]) -> Value:
        return state[0] >= state[1]

    def step(state: tuple[Value, ...]) -> tuple[Value, ...]:
        r, d = state
        gap = (s.bits(r) >> fmt.mantissa) - (s.bits(d) >> fmt.mantissa) - step_bits
        gap = s.select(gap > 0, gap, gap - gap)
        scaled = s.from_bits(s.bits(d) + (gap << fmt.mantissa))
        r = s.fma(-s.trunc(r / scaled), scaled, r)
        return s.select(r < 0.0, r + scaled, r), d

    def reduced(top: Value, bottom: Value) -> Value:
        return s.loop((top, bottom), more, step)[0]

    out = reduced(left, base)

    def extreme() -> tuple[Value, ...]:
        # x huge and y tiny: reduce by y 2**k first, which is exact, then by y
        far = valid & tiny & big
        top = s.select(far, a, zero)
        bottom = s.select(far, b * lift, s.const(1.0, x))
        rest = s.select(far, reduced(top, bottom), zero) * lift
        return (s.loop((rest, bottom), more, step)[0],)

    (out,) = s.rarely(valid & tiny & big, extreme, (out,))
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
