"""Hyperbolic words and their inverses."""

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
    two_product,
    with_sign,
)
from .exp_log import (
    EXP,
    EXP_RANGE,
    LN2,
    LOG2_E,
    clamp,
    expm1_reduced,
    log1p_pair,
    log_pair,
    reduce,
)

# In u = x**2: (sinh(x)/x - 1) / u on |x| <= 1.
SINH: Table = {
    "float32": (
        0.166666672,
        0.00833333936,
        0.000198381022,
        2.80628024e-06,
    ),
    "float64": (
        0.16666666666666666,
        0.008333333333333299,
        0.00019841269841324198,
        2.7557319191381816e-06,
        2.5052117695907823e-08,
        1.6057679623801638e-10,
        7.746178593018827e-13,
    ),
}
# (asinh(x)/x - 1) / u on |x| <= 0.5.
ASINH: Table = {
    "float32": (
        -0.166666642,
        0.0749958232,
        -0.0445065126,
        0.0287836064,
        -0.0142885083,
    ),
    "float64": (
        -0.16666666666666666,
        0.0749999999999864,
        -0.044642857140252436,
        0.030381944248546365,
        -0.022372151449922602,
        0.01735258771519257,
        -0.013962235682232349,
        0.011526210169675569,
        -0.009591452221673173,
        0.007622309427481728,
        -0.004992717198142511,
        0.0018854117655039003,
    ),
}
# (atanh(x)/x - 1) / u on |x| <= 0.5.
ATANH: Table = {
    "float32": (
        0.333333313,
        0.200004727,
        0.142639801,
        0.114698753,
        0.0649348944,
        0.157517806,
    ),
    "float64": (
        0.3333333333333333,
        0.20000000000000864,
        0.14285714285490106,
        0.11111111133938968,
        0.09090907881509189,
        0.07692345940270638,
        0.06665886352701884,
        0.05893099692590042,
        0.05160769881147162,
        0.05441915418234587,
        0.012292448728540531,
        0.13557903913692299,
        -0.14450491183414468,
        0.21098097885975797,
    ),
}
# tanh rounds to 1 from here on.
TANH_ONE = {"float32": 9.1, "float64": 19.1}


def _odd(s: Handler, x: Value, table: Table) -> Value:
    u = x * x
    return s.fused(x * u, poly(s, u, table[s.dtype_of(x)]), x)


def _half_exp(s: Handler, a: Value) -> Value:
    """``exp(a) / 2`` for ``a >= 0``, infinite only where it overflows."""
    dtype = s.dtype_of(a)
    r, n = reduce(s, clamp(s, a, 0.0, EXP_RANGE[dtype][1] + 1.0))
    return s.scaled(expm1_reduced(s, r) + 1.0, n - 1)


@float_word
def sinh(s: Handler, x: Value) -> Value:
    """``(e**x - e**-x) / 2``."""
    a = s.abs(x)
    half = _half_exp(s, a)
    return s.copysign(s.select(a < 1.0, _odd(s, a, SINH), half - 0.25 / half), x)


@float_word
def cosh(s: Handler, x: Value) -> Value:
    """``(e**x + e**-x) / 2``."""
    half = _half_exp(s, s.abs(x))
    return half + 0.25 / half


@float_word
def tanh(s: Handler, x: Value) -> Value:
    """``m - m m / (h + 1)`` with ``h = (e**2|x| - 1) / 2`` and ``m = min(h, 1)``.

    Up to 1/2 that is ``h - h**2 / (h + 1)``, then ``1 - 1 / (h + 1)``: both are ``h / (h + 1)``, and errors of the
    quotient matter less in them.
    """
    dtype = s.dtype_of(x)
    fmt = FORMATS[dtype]
    a = s.abs(x)
    a = s.select(a > TANH_ONE[dtype], s.const(TANH_ONE[dtype], x), a)
    magic = s.const(fmt.magic + (fmt.bias - 1), x)
    shifted = s.fused(a, s.const(2.0 * LOG2_E, x), magic)
    # 2 a = r + n ln 2 for ln 2 as rounded: of a large n nothing is seen in the result
    r = s.fused(shifted - magic, s.const(-LN2[dtype][0], x), a + a)
    half = s.from_bits(s.bits(shifted) << fmt.mantissa)  # 2**(n - 1)
    first = r * half
    h = s.fused(first * r, poly(s, r, EXP[dtype]), first + (half - 0.5))
    m = s.select(h < 1.0, h, s.const(1.0, x))
    return with_sign(s, s.fused(m, m / (-1.0 - h), m), x)


@float_word
def asinh(s: Handler, x: Value) -> Value:
    """Inverse hyperbolic sine, ``log(|x| + sqrt(x**2 + 1))`` with the sign of x."""
    a = s.abs(x)
    huge = a > 2.0 ** (FORMATS[s.dtype_of(x)].mantissa + 4)
    b = s.select(huge, s.const(1.0, x), a)
    square, low = two_product(s, b, b)
    one, large = s.const(1.0, x), b > 1.0
    top, error = fast_two_sum(s.select(large, square, one), s.select(large, one, square))
    root = s.sqrt(top)
    error = (s.fused(-root, root, top) + (error + low)) / (root + root)
    hi, lo = fast_two_sum(root, b)
    hi, lo = s.select(huge, a, hi), s.select(huge, s.const(0.0, x), lo + error)
    out = log_pair(s, hi, lo) + s.select(huge, s.const(LN2["float64"][0], x), s.const(0.0, x))
    out = s.select(a < 0.5, _odd(s, a, ASINH), out)
    return s.copysign(s.select(a < INF, out, a), x)


@float_word
def acosh(s: Handler, x: Value) -> Value:
    """Inverse hyperbolic cosine, ``log1p(t + sqrt(t**2 + 2 t))`` with t = x - 1; NaN below 1."""
    huge = x > 2.0 ** (FORMATS[s.dtype_of(x)].mantissa + 4)
    t = s.select(huge, s.const(1.0, x), x) - 1.0
    square, low = two_product(s, t, t)
    swap = t > 2.0
    top, error = fast_two_sum(s.select(swap, square, t + t), s.select(swap, t + t, square))
    root = s.sqrt(top)
    error = (s.fused(-root, root, top) + (error + low)) / (root + root)
    error = s.select(root == 0.0, root, error)
    hi, lo = fast_two_sum(root, t)
    near = log1p_pair(s, s.select(huge, x, hi), s.select(huge, s.const(0.0, x), lo + error))
    out = near + s.select(huge, s.const(LN2["float64"][0], x), s.const(0.0, x))
    out = s.select(x < 1.0, s.const(NAN, x), out)
    return s.select(x < INF, out, x)


@float_word
def atanh(s: Handler, x: Value) -> Value:
    """Inverse hyperbolic tangent, ``log((1 + x) / (1 - x)) / 2``; infinite at 1, NaN beyond."""
    a = s.abs(x)
    b = s.select(a < 1.0, a, s.const(0.5, x))
    num, num_low = fast_two_sum(s.const(1.0, x), b)
    den = 1.0 - b  # exact where it is used, b >= 1/2
    hi = num / den
    lo = (s.fused(-hi, den, num) + num_low) / den
    out = s.select(a < 0.5, _odd(s, a, ATANH), log_pair(s, hi, lo) * 0.5)
    other = s.select(a == 1.0, s.const(INF, x), s.const(NAN, x))
    return s.copysign(s.select(a < 1.0, out, other), x)
