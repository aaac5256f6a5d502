"""Trigonometric words and their inverses."""

from __future__ import annotations

from .common import (
    FORMATS,
    INF,
    Handler,
    Table,
    Value,
    fast_two_sum,
    float_word,
    poly,
    two_product,
    two_sum,
)

# In u = r**2 for |r| <= pi/4 (a little more): (sin(r)/r - 1) / u.
SIN: Table = {
    "float32": (
        -0.166666672,
        0.00833333191,
        -0.000198400623,
        2.72468606e-06,
    ),
    "float64": (
        -0.16666666666666666,
        0.008333333333333331,
        -0.00019841269841264821,
        2.7557319219150304e-06,
        -2.5052106167171305e-08,
        1.605852132415535e-10,
        -7.586093283910409e-13,
    ),
}
# (cos(r) - 1 + u/2) / u**2.
COS: Table = {
    "float32": (
        0.0416666642,
        -0.00138882909,
        2.45454121e-05,
    ),
    "float64": (
        0.041666666666666664,
        -0.0013888888888887322,
        2.4801587298651e-05,
        -2.755731721253751e-07,
        2.0876133993327844e-09,
        -1.1381752459316457e-11,
    ),
}
# (tan(r)/r - 1) / u; errors of u times it 2**-26.9, 2**-55.4.
TAN: Table = {
    "float32": (
        0.333333343,
        0.133332238,
        0.053996101,
        0.0216083024,
        0.0100068972,
        0.00111418671,
        0.00388514041,
    ),
    "float64": (
        0.3333333333333333,
        0.13333333333332942,
        0.053968253968721805,
        0.021869488514143123,
        0.008863236070774766,
        0.0035921200588416337,
        0.0014559108900535028,
        0.0005895268349608254,
        0.0002414291285087263,
        8.939287454931057e-05,
        5.679905346903637e-05,
        -1.2710750935691498e-05,
        3.806824672602509e-05,
        -1.9149667768532377e-05,
        8.683257052852089e-06,
    ),
}
# (asin(z)/z - 1) / u in u = z**2 on [0, 1/4].
ASIN: Table = {
    "float32": (
        0.166666657,
        0.0750009492,
        0.0445993207,
        0.0311017279,
        0.017143717,
        0.0337007269,
    ),
    "float64": (
        0.16666666666666669,
        0.07499999999998425,
        0.04464285714637338,
        0.030381944137085216,
        0.022372173002005596,
        0.017352391265909227,
        0.013971235301124539,
        0.011478952690257387,
        0.010324318288744113,
        0.005450878187720551,
        0.017419357964884856,
        -0.014881409392818063,
        0.02877844261259304,
    ),
}
# (atan(z)/z - 1) / u in u = z**2 on [0, 1].
ATAN: Table = {
    "float32": (
        -0.333333313,
        0.199997395,
        -0.142785683,
        0.110337645,
        -0.0865688026,
        0.0625016913,
        -0.0358715393,
        0.0135077713,
        -0.00238699722,
    ),
    "float64": (
        -0.3333333333333333,
        0.19999999999999554,
        -0.14285714285648404,
        0.11111111107234799,
        -0.09090908969557403,
        0.07692305354678655,
        -0.06666636435777692,
        0.05882074956371294,
        -0.05261265735709454,
        0.04752086773576656,
        -0.04308119655330471,
        0.03872640214042632,
        -0.033750132001619734,
        0.027567942297344678,
        -0.020238706986393514,
        0.012756172907694298,
        -0.006575683344151699,
        0.002622977891906089,
        -0.0007518472526973822,
        0.0001368724853148122,
        -1.1832505417555692e-05,
    ),
}

TWO_OVER_PI = 0.6366197723675813431
# pi/2 in three terms of the format, for r = x - n pi/2 while |x| <= REDUCED.
HALF_PI: Table = {
    "float32": (
        1.5707963705062866,
        -4.371138828673793e-08,
        -1.7151245100058819e-15,
    ),
    "float64": (
        1.5707963267948966,
        6.123233995736766e-17,
        -1.4973849048591698e-33,
    ),
}
REDUCED = {"float32": 65536.0, "float64": 2.0**30}
PI: Table = {
    "float32": (
        3.1415927410125732,
        -8.742277657347586e-08,
    ),
    "float64": (
        3.141592653589793,
        1.2246467991473532e-16,
    ),
}


def _two_over_pi(words: int, width: int) -> tuple[float, ...]:
    """The binary digits of 2/pi after the point, in words of `width` bits (Machin's formula)."""
    one = 1 << (words * width + 64)

    def arctan_inverse(n: int) -> int:
        term, total, k = one // n, 0, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term, k = term // (n * n), k + 2
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    digits = (2 * one << (words * width)) // pi
    mask = (1 << width) - 1
    return tuple(float((digits >> (width * (words - 1 - i))) & mask) for i in range(words))


WORD = 48
TWO_OVER_PI_WORDS = _two_over_pi(26, WORD)


def _modulo_4(s: Handler, x: Value) -> Value:
    return x - s.rint(x * 0.25) * 4.0


def reduce_huge(s: Handler, x: Value) -> tuple[Value, Value, Value]:
    """``(hi, lo, n)`` with ``x = hi + lo + n pi/2`` + 2 pi k in float64 (Payne-Hanek).

    Words of 2/pi whose product with x is a multiple of 4 are skipped; the next five give the
    product modulo 4 to 2**-137.
    """
    fmt = FORMATS["float64"]
    exponent = ((s.bits(x) >> fmt.mantissa) & 0x7FF) - fmt.bias
    past = exponent - 54
    past = s.select(past < 0, past - past, past)
    first = (past * 1366) >> 16  # past // 48
    y = x * s.from_bits((fmt.bias - WORD - first * WORD) << fmt.mantissa)
    hi = lo = tail = s.const(0.0, x)
    for i in range(5):
        word = s.gather_table(TWO_OVER_PI_WORDS, first + i, x)
        product, error = two_product(s, y * 2.0 ** (-WORD * i), word)
        for term in (_modulo_4(s, product), _modulo_4(s, error)):
            hi, carry = two_sum(hi, term)
            lo, carry = two_sum(lo, carry)
            tail = tail + carry
    n = s.rint(hi)
    hi, lo = two_sum(hi - n, lo)
    lo = lo + tail
    half_pi = HALF_PI["float64"]
    out, error = two_product(s, hi, s.const(half_pi[0], x))
    out, error = fast_two_sum(out, error + (hi * half_pi[1] + lo * half_pi[0]))
    return out, error, s.bits(n + fmt.magic)


def reduce_any(s: Handler, x: Value) -> tuple[Value, Value, Value]:
    """``reduce_huge``, in the dtype of x."""
    dtype = s.dtype_of(x)
    if dtype == "float64":
        return reduce_huge(s, x)
    hi, lo, n = reduce_huge(s, s.cast(x, "float64"))
    top = s.cast(hi, dtype)
    rest = s.cast((hi - s.cast(top, "float64")) + lo, dtype)
    return top, rest, s.cast(n & 3, FORMATS[dtype].integer)


def reduce(s: Handler, x: Value) -> tuple[Value, Value, Value]:
    """``(hi, lo, n)`` with ``x = hi + lo + n pi/2``, low bits of n counting."""
    dtype = s.dtype_of(x)
    fmt = FORMATS[dtype]
    p1, p2, p3 = (s.const(-p, x) for p in HALF_PI[dtype])
    magic = s.const(fmt.magic, x)
    shifted = s.fused(x, s.const(TWO_OVER_PI, x), magic)
    n = shifted - magic
    first = s.fused(n, p1, x)  # exact
    product, rest = two_product(s, n, p2)
    hi, lo = two_sum(first, product)
    hi, lo = fast_two_sum(hi, s.fused(n, p3, lo + rest))

    far = ~(s.abs(x) <= REDUCED[dtype])
    hi, lo, n = s.rarely(far, reduce_any, (x,), (hi, lo, s.bits(shifted)))
    return hi, lo, n


def _sin_cos(s: Handler, x: Value, quarter_turns: int) -> Value:
    dtype = s.dtype_of(x)
    r, _, n = reduce(s, x)
    n = n + quarter_turns
    u = r * r
    sine = s.fused(r * u, poly(s, u, SIN[dtype]), r)
    cosine = s.fused(u, s.fused(u, poly(s, u, COS[dtype]), s.const(-0.5, x)), s.const(1.0, x))
    out = s.select((n & 1) == 0, sine, cosine)
    return s.from_bits(s.bits(out) ^ ((n & 2) << (FORMATS[dtype].sign - 1)))


@float_word
def sin(s: Handler, x: Value) -> Value:
    """Sine of `x` radians, for any finite x; NaN at infinities."""
    return s.select(x == 0.0, x, _sin_cos(s, x, 0))  # -0.0


@float_word
def cos(s: Handler, x: Value) -> Value:
    """Cosine of `x` radians, for any finite x; NaN at infinities."""
    return _sin_cos(s, x, 1)


@float_word
def tan(s: Handler, x: Value) -> Value:
    """Tangent of `x` radians, for any finite x; NaN at infinities."""
    r, low, n = reduce(s, x)
    u = r * r
    rise = r * u * poly(s, u, TAN[s.dtype_of(x)])
    slope = s.fused(r + rise, r + rise, s.const(1.0, x))
    hi, lo = fast_two_sum(r, s.fused(low, slope, rise))
    inverse = -1.0 / hi
    # one Newton step on -1 / (hi + lo)
    residual = s.fused(inverse, lo, s.fused(inverse, hi, s.const(1.0, x)))
    finite = s.abs(inverse) < INF
    inverse = s.select(finite, s.fused(inverse, residual, inverse), inverse)
    out = s.select((n & 1) == 0, hi, inverse)
    return s.select(x == 0.0, x, out)  # -0.0


def _asin_small(s: Handler, z: Value, u: Value) -> Value:
    return z * u * poly(s, u, ASIN[s.dtype_of(z)])


def _asin_parts(s: Handler, x: Value) -> tuple[Value, Value, Value, Value]:
    """``(large, z, rest, low)``: asin |x| is z + rest, or pi/2 - 2 (z + low + rest) where large."""
    a = s.abs(x)
    large = a > 0.5
    u = s.select(large, (1.0 - a) * 0.5, a * a)
    root = s.sqrt(u)
    low = s.fused(-root, root, u) / (root + root)
    low = s.select(root == 0.0, root, low)
    z = s.select(large, root, a)
    return large, z, _asin_small(s, z, u), low


@float_word
def asin(s: Handler, x: Value) -> Value:
    """Inverse sine in [-pi/2, pi/2]; NaN outside [-1, 1]."""
    half_hi, half_lo = HALF_PI[s.dtype_of(x)][:2]
    large, z, rest, low = _asin_parts(s, x)
    top, error = fast_two_sum(s.const(half_hi, x), z * -2.0)
    far = top + (error + s.fused(rest + low, s.const(-2.0, x), s.const(half_lo, x)))
    return s.copysign(s.select(large, far, z + rest), x)


@float_word
def acos(s: Handler, x: Value) -> Value:
    """Inverse cosine in [0, pi]; NaN outside [-1, 1]."""
    dtype = s.dtype_of(x)
    half_hi, half_lo = HALF_PI[dtype][:2]
    large, z, rest, low = _asin_parts(s, x)
    near_1 = (z + (rest + low)) * 2.0
    top, error = fast_two_sum(s.const(PI[dtype][0], x), z * -2.0)
    near_minus_1 = top + (error + s.fused(rest + low, s.const(-2.0, x), s.const(PI[dtype][1], x)))
    top, error = fast_two_sum(s.const(half_hi, x), -s.copysign(z, x))
    middle = top + (error + (half_lo - s.copysign(rest, x)))
    return s.select(large, s.select(x > 0.0, near_1, near_minus_1), middle)


def _atan_unit(s: Handler, z: Value) -> Value:
    """``atan(z) - z`` for z in [0, 1]."""
    u = z * z
    return z * u * poly(s, u, ATAN[s.dtype_of(z)])


@float_word
def atan(s: Handler, x: Value) -> Value:
    """Inverse tangent in [-pi/2, pi/2]."""
    half_hi, half_lo = HALF_PI[s.dtype_of(x)][:2]
    a = s.abs(x)
    large = a > 1.0
    z = s.select(large, 1.0 / a, a)
    rest = _atan_unit(s, z)
    top, error = fast_two_sum(s.const(half_hi, x), -z)
    far = top + (error + (half_lo - rest))
    return s.copysign(s.select(large, far, z + rest), x)


@float_word
def atan2(s: Handler, y: Value, x: Value) -> Value:
    """Angle of the point (x, y) in [-pi, pi], as in C99 for zeros and infinities."""
    dtype = s.dtype_of(x)
    fmt, pi, half_pi = FORMATS[dtype], PI[dtype], HALF_PI[dtype]
    a, b = s.abs(x), s.abs(y)
    steep = b > a
    num, den = s.select(steep, a, b), s.select(steep, b, a)
    both = (a == INF) & (b == INF)
    num, den = s.select(both, s.const(1.0, x), num), s.select(both, s.const(1.0, x), den)
    # a common scale keeps the quotient's residual clear of underflow and overflow
    unit = s.const(1.0, x)
    unit = s.select(den < 2.0 ** (30 - fmt.top), s.const(2.0 ** (fmt.mantissa * 2), x), unit)
    unit = s.select(den > 2.0 ** (fmt.top - 2), s.const(0.25, x), unit)
    num, den = num * unit, den * unit
    z = num / den
    z = s.select((num == 0.0) & (den == 0.0), s.const(0.0, x), z)
    low = s.fused(-z, den, num) / den
    low = s.select(s.abs(low) < INF, low, s.const(0.0, x))
    low = low / s.fused(z, z, s.const(1.0, x))  # atan'(z)
    rest = _atan_unit(s, z) + low
    # out = base + sign * (z + rest), where the signbit of x counts for a zero too
    left = s.signbit(x)
    zero = s.const(0.0, x)
    base_hi = s.select(steep, s.const(half_pi[0], x), s.select(left, s.const(pi[0], x), zero))
    base_lo = s.select(steep, s.const(half_pi[1], x), s.select(left, s.const(pi[1], x), zero))
    minus = left ^ steep
    z, rest = s.select(minus, -z, z), s.select(minus, -rest, rest)
    top, error = fast_two_sum(base_hi, z)
    out = s.copysign(top + (error + (base_lo + rest)), y)
    return s.select((x != x) | (y != y), x + y, out)
