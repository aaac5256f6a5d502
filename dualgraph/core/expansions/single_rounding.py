"""fma for handlers without one: ``a * b + c`` rounded once, from plain arithmetic."""

from __future__ import annotations

from .common import FORMATS, INF, Handler, Value, two_sum

SPLITTER = 134217729.0  # 2**27 + 1
FAR = 200  # exponents apart at which the lesser term only breaks ties


def _to_odd(s: Handler, hi: Value, lo: Value) -> Value:
    """``hi + lo`` (an exact sum, lo its error term) in float64, inexact results rounded to odd."""
    i = s.bits(hi)
    toward = s.select((lo > 0.0) == (hi > 0.0), s.const(1, i), s.const(-1, i))
    inexact = (lo != 0.0) & (lo == lo) & ((i & 1) == 0)
    return s.select(inexact, s.from_bits(i + toward), hi)


def dekker_product(a: Value, b: Value) -> tuple[Value, Value]:
    """``hi + lo == a * b`` exactly in float64 (Dekker), short of overflow and underflow."""
    hi = a * b
    t = a * SPLITTER
    a_hi = t - (t - a)
    a_lo = a - a_hi
    t = b * SPLITTER
    b_hi = t - (t - b)
    b_lo = b - b_hi
    return hi, ((a_hi * b_hi - hi) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


def _sum(s: Handler, high: Value, low: Value, c: Value) -> tuple[Value, Value]:
    """``high + low + c`` rounded once, and what is left of it (its sign is right)."""
    t, t_low = two_sum(c, low)
    v, v_low = two_sum(high, t)
    return two_sum(v, _to_odd(s, *two_sum(t_low, v_low)))


def _split(s: Handler, x: Value) -> tuple[Value, Value]:
    """``(m, e)`` with ``x = m * 2**e`` and |m| in [1, 2), for finite x that is not 0."""
    fmt = FORMATS["float64"]
    small = s.abs(x) < fmt.tiny
    x = s.select(small, x * 2.0**54, x)
    e = ((s.bits(x) >> fmt.mantissa) & 0x7FF) - fmt.bias
    m = s.from_bits(s.bits(x) - (e << fmt.mantissa))
    return m, s.select(small, e - 54, e)


def _at_scale(s: Handler, hi: Value, e: Value, top: Value) -> Value:
    """``hi * 2**(e - top)``, no further below than 2**-FAR."""
    fmt = FORMATS["float64"]
    gap = s.select(e - top < -FAR, s.const(-FAR, e), e - top)
    return hi * s.from_bits((gap + fmt.bias) << fmt.mantissa)


def _fma_any(s: Handler, a: Value, b: Value, c: Value) -> Value:
    """fma of any float64: the terms are brought near 1, and the sum back, with one rounding."""
    fmt = FORMATS["float64"]
    one = s.const(1.0, a)
    product = s.select((a == 0.0) | (b == 0.0), s.const(0.0, a), one) != 0.0
    m_a, e_a = _split(s, s.select(product, a, one))
    m_b, e_b = _split(s, s.select(product, b, one))
    m_c, e_c = _split(s, s.select(c == 0.0, one, c))
    e = e_a + e_b
    top = s.select((e > e_c) | (c == 0.0), e, e_c)
    high, low = dekker_product(m_a, m_b)
    high, low = _at_scale(s, high, e, top), _at_scale(s, low, e, top)
    hi, lo = _sum(s, high, low, s.select(c == 0.0, c, _at_scale(s, m_c, e_c, top)))
    # back by 2**top in two steps, of which only the second may round
    top = s.select(top < -1400, s.const(-1400, e), s.select(top > 1400, s.const(1400, e), top))
    half = top >> 1
    first = s.from_bits((half + fmt.bias) << fmt.mantissa)
    second = s.from_bits((top - half + fmt.bias) << fmt.mantissa)
    near = hi * first
    out = near * second
    # a subnormal out rounded from a tie in hi looks at lo
    least = 2.0**-1074
    back = s.from_bits((fmt.bias - (top - half)) << fmt.mantissa)
    rest = near - out * back
    tie = (s.abs(out) <= fmt.tiny) & (s.abs(rest) == back * least * 0.5) & (rest != 0.0)
    moved = out + s.copysign(s.const(least, a), rest)
    out = s.select(tie & ((rest > 0.0) == (lo > 0.0)) & (lo != 0.0), moved, out)
    finite = (s.abs(a) < INF) & (s.abs(b) < INF)
    plain = s.select(finite & ~(s.abs(c) < INF), c, a * b + c)
    finite = finite & (s.abs(c) < INF)
    return s.select(finite & product & (hi != 0.0), out, plain)


def fma(s: Handler, a: Value, b: Value, c: Value) -> Value:
    """``a * b + c`` rounded once.

    float16 and float32: the product is exact in float64 and the sum is rounded to odd before the
    last rounding. float64: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums".
    """
    dtype = s.dtype_of(a)
    if dtype != "float64":
        a, b, c = (s.cast(v, "float64") for v in (a, b, c))
        return s.cast(_to_odd(s, *two_sum(a * b, c)), dtype)
    high, low = dekker_product(a, b)
    out = _sum(s, high, low, c)[0]
    size = s.abs(high)
    far = (s.abs(a) > 2.0**500) | (s.abs(b) > 2.0**500) | (s.abs(c) > 2.0**1000)
    far = far | ~(size < 2.0**1000) | ((size < 2.0**-900) & (size > 0.0)) | (high == 0.0)
    return s.rarely(far, _fma_far, (a, b, c), (out,))[0]


def _fma_far(s: Handler, a: Value, b: Value, c: Value) -> tuple[Value]:
    return (_fma_any(s, a, b, c),)
