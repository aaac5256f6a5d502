"""Exponentials and logarithms."""

from __future__ import annotations

from .common import (
    FORMATS,
    INF,
    NAN,
    Handler,
    Table,
    Value,
    fast_two_sum,
    float_word,
    poly,
    two_sum,
)

# (exp(r) - 1 - r) / r**2 on |r| <= 0.3473; error of r**2 times it: 2**-26.9 and 2**-61.7.
EXP: Table = {
    "float32": (
        0.5,
        0.166665763,
        0.0416665524,
        0.00836329255,
        0.00139263261,
    ),
    "float64": (
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.008333333333326025,
        0.001388888888888367,
        0.00019841269875205077,
        2.4801587325822283e-05,
        2.75572549134867e-06,
        2.7557273295539724e-07,
        2.5105419192016337e-08,
        2.091483135138041e-09,
    ),
}

# float32: (log1p(f) - f) / f**2 on [sqrt(1/2) - 1, sqrt(2) - 1]; error of f times it 2**-26.4.
# float64: (atanh(s)/s - 1) / s**2 in u = s**2 on [0, 0.0295]; error of u times it 2**-57.6.
LOG: Table = {
    "float32": (
        -0.49999997,
        0.333333313,
        -0.250007808,
        0.200012341,
        -0.166266456,
        0.142048553,
        -0.13127555,
        0.127226725,
        -0.0767364129,
    ),
    "float64": (
        0.3333333333333335,
        0.19999999999949752,
        0.14285714312987743,
        0.1111110556739754,
        0.09091444562630861,
        0.07665860800278021,
        0.07308224842521703,
    ),
}

LOG2_E = 1.4426950408889634
# ln 2 = hi + lo, hi rounded to the format: for r = x - n ln 2.
LN2 = {
    "float32": (0.693147182464599609375, -1.904654323148236017e-09),
    "float64": (0.6931471805599453094, 2.319046813846299558e-17),
}
# ln 2 = hi + lo, hi short enough for n * hi to be exact.
LN2_SHORT = {
    "float32": (0.693145751953125, 1.428606765330187e-06),
    "float64": (0.693147180559663, 2.8235290563031577e-13),
}
# log10(2) = hi + lo, hi short; 1 / ln 10 and 1 / ln 2 = hi + lo, hi rounded to the format.
LOG10_2_SHORT = {
    "float32": (0.301025390625, 4.605039066518657e-06),
    "float64": (0.30102999566383914, 1.42050232272661e-13),
}
LOG10_E = {
    "float32": (0.4342944920063019, -1.0103049952192578e-08),
    "float64": (0.4342944819032518, 1.098319650216765e-17),
}
LOG2_E_PAIR = {
    "float32": (1.4426950216293335, 1.925963033500011e-08),
    "float64": (1.4426950408889634, 2.0355273740931033e-17),
}
# Beyond these exp is 0 and inf whatever x is; the second pair is in powers of two.
EXP_RANGE = {"float32": (-105.0, 89.0), "float64": (-746.0, 710.0)}
EXP2_RANGE = {"float32": (-151.0, 129.0), "float64": (-1076.0, 1025.0)}
EXPM1_RANGE = {"float32": (-20.0, 89.0), "float64": (-40.0, 710.0)}


def clamp(s: Handler, x: Value, lo: float, hi: float) -> Value:
    """`x` moved into [lo, hi]; NaN stays."""
    x = s.select(x < lo, s.const(lo, x), x)
    return s.select(x > hi, s.const(hi, x), x)


def scale(s: Handler, p: Value, n: Value, normal: bool = False) -> Value:
    """``p * 2**n`` with one rounding, for p near 1; `n` as `reduce` gives it.

    Two steps, so that subnormal results and overflow come out of the last multiplication, and a
    NaN in p whatever n then is. One where the result is known to be `normal`.
    """
    fmt = FORMATS[s.dtype_of(p)]
    if normal:
        return p * s.from_bits((n << fmt.mantissa) - fmt.one)
    first = (n >> 1) << fmt.mantissa
    second = (n << fmt.mantissa) - first
    return p * s.from_bits(first) * s.from_bits(second)


def reduce(s: Handler, x: Value) -> tuple[Value, Value]:
    """``(r, n)`` with ``x = r + n ln 2``; `n` as the bits of ``n + whole``, whose low bits are n and twice the bias."""
    dtype = s.dtype_of(x)
    (hi, lo), magic = LN2[dtype], s.const(FORMATS[dtype].whole, x)
    shifted = s.fused(x, s.const(LOG2_E, x), magic)
    n = shifted - magic
    return s.fused(n, s.const(-lo, x), s.fused(n, s.const(-hi, x), x)), s.bits(shifted)


def expm1_reduced(s: Handler, r: Value) -> Value:
    """``exp(r) - 1`` for ``|r| <= 0.347``."""
    return s.fused(r * r, poly(s, r, EXP[s.dtype_of(r)]), r)


@float_word
def exp(s: Handler, x: Value) -> Value:
    """``e**x``."""
    r, n = reduce(s, clamp(s, x, *EXP_RANGE[s.dtype_of(x)]))
    return s.scaled(expm1_reduced(s, r) + 1.0, n)


@float_word
def exp2(s: Handler, x: Value) -> Value:
    """``2**x``, exact for integers."""
    dtype = s.dtype_of(x)
    x = clamp(s, x, *EXP2_RANGE[dtype])
    shifted = x + FORMATS[dtype].whole
    r = (x - (shifted - FORMATS[dtype].whole)) * LN2[dtype][0]
    return s.scaled(expm1_reduced(s, r) + 1.0, s.bits(shifted))


@float_word
def expm1(s: Handler, x: Value) -> Value:
    """``e**x - 1``, accurate near 0."""
    dtype = s.dtype_of(x)
    fmt = FORMATS[dtype]
    r, n = reduce(s, clamp(s, x, *EXPM1_RANGE[dtype]))
    p = expm1_reduced(s, r)
    double = fmt.one + (1 << fmt.mantissa)
    half = s.from_bits((n << fmt.mantissa) - double)  # 2**(n - 1): 2**n may overflow
    out = s.fused(p, half, half - 0.5) * 2.0
    return s.copysign(s.select(n == fmt.magic_bits + 2 * fmt.bias, p, out), x)


def split(s: Handler, x: Value) -> tuple[Value, Value]:
    """``(m, e)`` with ``x = m * 2**e``, m in [sqrt(1/2), sqrt(2)), for normal x > 0."""
    fmt = FORMATS[s.dtype_of(x)]
    i = s.bits(x)
    e = (i - fmt.root) >> fmt.mantissa
    return s.from_bits(i - (e << fmt.mantissa)), e


def split_any(s: Handler, x: Value) -> tuple[Value, Value]:
    """``split`` for every positive finite x, with e as a float."""
    dtype = s.dtype_of(x)
    fmt = FORMATS[dtype]
    small = x < fmt.tiny
    shift = fmt.mantissa + 1
    m, e = split(s, s.select(small, x * 2.0**shift, x))
    e = s.cast(e, dtype)
    return m, s.select(small, e - float(shift), e)


def log1p_tail(s: Handler, f: Value) -> Value:
    """``log1p(f) - f`` for f in [sqrt(1/2) - 1, sqrt(2) - 1]."""
    dtype = s.dtype_of(f)
    if dtype == "float32":
        return (f * f) * poly(s, f, LOG[dtype])
    ratio = f / (f + 2.0)  # log1p(f) = 2 atanh(ratio) = f - ratio * (f - 2 u R(u))
    u = ratio * ratio
    return -(ratio * s.fused(u * -2.0, poly(s, u, LOG[dtype]), f))


def log_specials(s: Handler, x: Value, out: Value) -> Value:
    """`out` for positive finite x, else -inf at 0, NaN below 0, inf at inf, NaN at NaN."""
    other = s.select(x < 0.0, s.const(NAN, x), x)
    other = s.select(x == 0.0, s.const(-INF, x), other)
    return s.select((x > 0.0) & (x < INF), out, other)


def log_pair(s: Handler, hi: Value, lo: Value) -> Value:
    """``log(hi + lo)`` for normal ``hi > 0`` and ``|lo| <= ulp(hi)``."""
    m, e = split_any(s, hi)
    return log_sum(s, m - 1.0, e, lo / hi)


def log_sum(s: Handler, f: Value, e: Value, small: Value | None = None) -> Value:
    """``e ln 2 + log1p(f) + small``."""
    ln2_hi, ln2_lo = LN2_SHORT[s.dtype_of(f)]
    low = s.fused(e, s.const(ln2_lo, f), log1p_tail(s, f))
    total, error = fast_two_sum(e * ln2_hi, f)
    return total + (error + (low if small is None else low + small))


@float_word
def log(s: Handler, x: Value) -> Value:
    """Natural logarithm."""
    m, e = split_any(s, x)
    return log_specials(s, x, log_sum(s, m - 1.0, e))


def log_base(s: Handler, x: Value, of_e: tuple[float, float], of_2: tuple[float, float]) -> Value:
    """``log(x) * of_e`` where `of_e`, `of_2` are the logarithms of e and 2 in the wanted base."""
    m, e = split_any(s, x)
    f = m - 1.0
    c = s.const(of_e[0], x)
    product = f * c
    low = s.fused(f, c, -product) + f * of_e[1]
    low = s.fused(log1p_tail(s, f), c, low) + e * of_2[1]
    total, error = fast_two_sum(e * of_2[0], product)
    return log_specials(s, x, total + (error + low))


@float_word
def log2(s: Handler, x: Value) -> Value:
    """Logarithm to base 2, exact for powers of 2."""
    return log_base(s, x, LOG2_E_PAIR[s.dtype_of(x)], (1.0, 0.0))


@float_word
def log10(s: Handler, x: Value) -> Value:
    """Logarithm to base 10."""
    dtype = s.dtype_of(x)
    return log_base(s, x, LOG10_E[dtype], LOG10_2_SHORT[dtype])


def log1p_pair(s: Handler, hi: Value, lo: Value) -> Value:
    """``log1p(hi + lo)`` for finite ``hi > -1`` and ``|lo|`` at most an ulp of `hi` (0 if none)."""
    dtype = s.dtype_of(hi)
    fmt = FORMATS[dtype]
    u, error = two_sum(s.const(1.0, hi), hi)
    error = error + lo
    m, e = split(s, u)
    unit = s.from_bits(fmt.one - (e << fmt.mantissa))  # 2**-e
    error = s.select(e > fmt.mantissa + 2, s.const(0.0, hi), error * unit)
    f, rest = fast_two_sum(m - 1.0, error)
    # m == 1 leaves f == error: fast_two_sum asks |a| >= |b| or a == 0.
    return log_sum(s, f, s.cast(e, dtype), s.fused(-rest, f, rest))


@float_word
def log1p(s: Handler, x: Value) -> Value:
    """``log(1 + x)``, accurate near 0."""
    out = log1p_pair(s, x, s.const(0.0, x))
    other = s.select(x < -1.0, s.const(NAN, x), x)  # inf, NaN
    other = s.select(x == -1.0, s.const(-INF, x), other)
    out = s.select((x > -1.0) & (x < INF), out, other)
    return s.select(s.abs(x) < FORMATS[s.dtype_of(x)].tiny, x, out)  # keeps -0.0


@float_word
def logaddexp(s: Handler, x: Value, y: Value) -> Value:
    """``log(e**x + e**y)``; its absolute error is an ulp of the larger operand."""
    gap = s.copysign(x - y, -1.0)
    out = s.maximum(x, y) + s.log1p(s.exp(gap))
    return s.select(x == y, x + LN2["float64"][0], out)  # inf - inf


@float_word
def softplus(s: Handler, x: Value) -> Value:
    """``log(1 + e**x)``."""
    return s.select(x > 0.0, x, s.const(0.0, x)) + s.log1p(s.exp(s.copysign(x, -1.0)))


@float_word
def sigmoid(s: Handler, x: Value) -> Value:
    """``1 / (1 + e**-x)`` from ``e**-|x|``, so nothing overflows; one correction."""
    e = s.exp(s.copysign(x, -1.0))
    num = s.select(x < 0.0, e, s.const(1.0, x))
    den = e + 1.0
    den_low = e - (den - 1.0)
    inverse = 1.0 / den
    out = num * inverse
    return s.fused(s.fused(-out, den, num) - out * den_low, inverse, out)
