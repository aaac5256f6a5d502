"""Powers and roots."""

from __future__ import annotations

from .common import (
    FORMATS,
    INF,
    NAN,
    Handler,
    Value,
    fast_two_sum,
    float_word,
    poly,
    two_product,
    two_sum,
)
from .exp_log import LN2, LN2_SHORT, LOG2_E, expm1_reduced, reduce, split_any

# (log1p(f) - f) / f**2 on [sqrt(1/2) - 1, sqrt(2) - 1], error of f times it 2**-39.9; and
# (exp(r) - 1 - r) / r**2 on |r| <= 0.3473, error of r**2 times it 2**-32.4: for float32 pow.
LOG_SHORT = (
    -0.49999999999820705,
    0.3333333332674602,
    -0.25000000137028106,
    0.20000001919978497,
    -0.1666665070394823,
    0.14285548798558848,
    -0.12500610205369486,
    0.11117336334911962,
    -0.09992412115497984,
    0.0897747491074773,
    -0.08298787919108902,
    0.08637944223751945,
    -0.08455622952110388,
    0.04401409864965619,
)
EXP_SHORT = (
    0.5000000013620138,
    0.16666666681794626,
    0.041666463386339524,
    0.008333310754576892,
    0.001393382048977602,
    0.00019891180158282143,
)
# (atanh(s)/s - 1 - u/3) / u**2 in u = s**2 on [0, 0.0295]; error of u**2 times it 2**-66.
LOG_TAIL = (
    0.2,
    0.14285714285714682,
    0.11111111110828116,
    0.09090909167657202,
    0.07692297485447729,
    0.06667402119112673,
    0.05853124270461193,
    0.058615255140488765,
)
THIRD = (0.3333333333333333148, 1.850371707708594e-17)
LN2_REST = 1.94704509238075e-31
# cbrt(z) on [1, 8] to 2**-9.1.
CBRT_START = (
    0.608434916,
    0.488812327,
    -0.112120107,
    0.0182516575,
    -0.00159688736,
    5.65525479e-05,
)


def _power_short(s: Handler, x: Value, y: Value) -> Value:
    """``x**y`` for x > 0 in float64, good to float32; overflow and underflow are the cast's."""
    m, e = split_any(s, x)
    f = m - 1.0
    v = y * s.fused(e, s.const(LN2["float64"][0], x), s.fused(f * f, poly(s, f, LOG_SHORT), f))
    v = s.select(v > 200.0, s.const(200.0, x), v)
    v = s.select(v < -200.0, s.const(-200.0, x), v)
    fmt = FORMATS["float64"]
    magic = s.const(fmt.whole, x)
    shifted = s.fused(v, s.const(LOG2_E, x), magic)
    r = s.fused(shifted - magic, s.const(-LN2["float64"][0], x), v)
    p = s.fused(r * r, poly(s, r, EXP_SHORT), r) + 1.0
    return s.scaled(p, s.bits(shifted), True)


def _log_double(s: Handler, x: Value) -> tuple[Value, Value]:
    """``log(x)`` as hi + lo, to about 2**-65 of its value, for finite x > 0 in float64."""
    m, e = split_any(s, x)
    num = m - 1.0
    one, above = s.const(1.0, x), m > 1.0
    den, den_low = fast_two_sum(s.select(above, m, one), s.select(above, one, m))
    q = num / den
    q_low = s.fused(-q, den, num) - q * den_low
    q_low = q_low / den  # log(m) = 2 atanh(q + q_low)
    u, u_low = two_product(s, q, q)
    u_low = s.fused(q + q, q_low, u_low)
    # series = 1 + u/3 + u**2 T(u), as 1 + (c + c_low)
    c, c_low = two_product(s, u, s.const(THIRD[0], x))
    c_low = s.fused(u_low, s.const(THIRD[0], x), s.fused(u, s.const(THIRD[1], x), c_low))
    rest = (u * u) * poly(s, u, LOG_TAIL)
    c, error = fast_two_sum(c, rest)
    c_low = c_low + error
    # 2 q (1 + c)
    q, q_low = q + q, q_low + q_low
    t, t_low = two_product(s, q, c)
    t_low = s.fused(q_low, c, s.fused(q, c_low, t_low))
    hi, lo = fast_two_sum(q, t)
    lo = lo + (q_low + t_low)
    short, short_low = LN2_SHORT["float64"]
    top, error = fast_two_sum(e * short, hi)
    low, low_error = two_product(s, e, s.const(short_low, x))
    low_error = s.fused(e, s.const(LN2_REST, x), low_error)
    a, b = two_sum(error, low)
    a, c = two_sum(a, lo)
    hi, lo = fast_two_sum(top, a)
    return hi, lo + (b + (c + low_error))


def _power_double(s: Handler, x: Value, y: Value) -> Value:
    """``x**y`` for finite x > 0 in float64."""
    log_hi, log_lo = _log_double(s, x)
    hi = y * log_hi
    lo = s.fused(y, log_hi, -hi) + y * log_lo
    inside = s.abs(hi) < 800.0
    lo = s.select(inside, lo, s.const(0.0, x))
    hi = s.select(hi > 800.0, s.const(800.0, x), s.select(hi < -800.0, s.const(-800.0, x), hi))
    r, n = reduce(s, hi)
    total, error = fast_two_sum(r, lo)
    z = expm1_reduced(s, total)
    p = z + 1.0
    p = p + s.fused(error, p, z - (p - 1.0))
    return s.scaled(p, n)


@float_word
def pow(s: Handler, x: Value, y: Value) -> Value:
    """``x**y`` with the special values of C99: ``x**0 == 1**y == 1``, NaN for a broken root."""
    dtype = s.dtype_of(x)
    a = s.abs(x)
    one = s.const(1.0, x)
    plain = (a > 0.0) & (a < INF)
    base = s.select(plain, a, one)
    if dtype == "float32":
        out = s.cast(_power_short(s, s.cast(base, "float64"), s.cast(y, "float64")), dtype)
    else:
        finite = s.select(s.abs(y) < 2.0**70, y, s.copysign(s.const(2.0**70, y), y))
        out = _power_double(s, base, s.select(y == y, finite, y))
    grows = (a > 1.0) == (y > 0.0)
    edge = s.select(grows, s.const(INF, x), s.const(0.0, x))
    out = s.select(plain, out, edge)
    out = s.select((s.abs(y) == INF) & (a != 1.0), edge, out)
    whole = s.rint(y) == y
    half = y * 0.5
    odd = whole & (s.rint(half) != half)
    out = s.select(odd & s.signbit(x), -out, out)
    out = s.select((x < 0.0) & (a < INF) & ~whole, s.const(NAN, x), out)
    out = s.select((x != x) | (y != y), x + y, out)
    settled = (y == 0.0) | (x == 1.0) | ((a == 1.0) & (s.abs(y) == INF))
    return s.select(settled, one, out)


def int_pow(s: Handler, x: Value, y: Value) -> Value:
    """``x**y`` of integers modulo 2**width; for y < 0 the inverse rounded toward 0, 0 for x = 0."""
    zero, one = (x - x) + (y - y), s.const(1, x)  # of the shape of both
    unsigned = s.dtype_of(x).startswith("u")

    def more(state: tuple[Value, ...]) -> Value:
        return state[2] > 0

    def step(state: tuple[Value, ...]) -> tuple[Value, ...]:
        out, square, left = state
        out = s.select((left & 1) != 0, out * square, out)
        return out, square * square, left >> 1

    out = s.loop((one + zero, x, s.select(y > 0, y, zero)), more, step)[0]
    if unsigned:
        return out
    inverse = s.select(x == -1, s.select((y & 1) != 0, x, one), s.select(x == 1, x, zero))
    return s.select(y < 0, inverse, out)


@float_word
def rsqrt(s: Handler, x: Value) -> Value:
    """``1 / sqrt(x)``."""
    return 1.0 / s.sqrt(x)


@float_word
def cbrt(s: Handler, x: Value) -> Value:
    """The real cube root, odd in x."""
    dtype = s.dtype_of(x)
    wide = s.cast(x, "float64")
    fmt = FORMATS["float64"]
    a = s.abs(wide)
    small = a < fmt.tiny
    i = s.bits(s.select(small, a * 2.0**54, a))
    e = (i >> fmt.mantissa) + s.select(small, s.const(2 * 1023 - 54, i), s.const(2 * 1023, i))
    third = (e * 21846) >> 16  # e // 3 for 0 <= e < 2**13
    m = (i & ((1 << fmt.mantissa) - 1)) | fmt.one
    z = s.from_bits(m + ((e - third * 3) << fmt.mantissa))  # in [1, 8)
    y = poly(s, z, CBRT_START)
    for _ in range(1 if dtype == "float32" else 2):  # Halley: the error is cubed
        cube = y * y * y
        y = y - y * ((cube - z) / (cube + cube + z))
    if dtype == "float64":
        square, low = two_product(s, y, y)
        cube, cube_low = two_product(s, square, y)
        residual = (cube - z) + s.fused(low, y, cube_low)
        y = y - residual / (square * 3.0)
    out = y * s.from_bits(third << fmt.mantissa)
    out = s.select((a > 0.0) & (a < INF), out, a)
    return s.cast(s.copysign(out, wide), dtype)


@float_word
def hypot(s: Handler, x: Value, y: Value) -> Value:
    """``sqrt(x**2 + y**2)`` without undue overflow; infinite if either operand is."""
    dtype = s.dtype_of(x)
    if dtype == "float32":
        x, y = s.cast(x, "float64"), s.cast(y, "float64")
    a, b = s.abs(x), s.abs(y)
    infinite = (a == INF) | (b == INF)
    hi, lo = s.select(a < b, b, a), s.select(a < b, a, b)
    one = s.const(1.0, x)
    if dtype == "float64":
        up = s.select(hi < 2.0**-500, s.const(2.0**600, x), one)
        unit = s.select(hi > 2.0**500, s.const(2.0**-600, x), up)
        back = s.select(hi < 2.0**-500, s.const(2.0**-600, x), one)
        back = s.select(hi > 2.0**500, s.const(2.0**600, x), back)
        hi, lo = hi * unit, lo * unit
        square, low = two_product(s, hi, hi)
        other, other_low = two_product(s, lo, lo)
        total, error = fast_two_sum(square, other)
        root = s.sqrt(total)
        error = s.fused(-root, root, total) + (error + (low + other_low))
        fix = error / (root + root)
        root = s.select(total > 0.0, root + fix, root)
        out = root * back
    else:
        out = s.sqrt(s.fused(hi, hi, lo * lo))
    return s.cast(s.select(infinite, s.const(INF, x), out), dtype)
