"""The error function, its complement and its inverse."""

from __future__ import annotations

import math

from .common import INF, NAN, Handler, Table, Value, float_word, poly, with_sign
from .exp_log import expm1_reduced, reduce

# In u = x**2 on |x| <= 1: erf(x)/x - 1.
ERF: Table = {
    "float32": (
        0.128379166,
        -0.37612626,
        0.112835944,
        -0.0268542115,
        0.00518908724,
        -0.00080168643,
        7.87587487e-05,
    ),
    "float64": (
        0.12837916709551256,
        -0.37612638903183543,
        0.11283791670945006,
        -0.02686617064323777,
        0.0052239776071164225,
        -0.0008548325975389692,
        0.00012055294904839707,
        -1.492473690741966e-05,
        1.6447424703317362e-06,
        -1.6208483801871705e-07,
        1.3720064546777686e-08,
        -7.795898827002142e-10,
    ),
}
# log(erfc(x)) in t = x - 1 for x from 1 to where erf rounds to 1; error of its exponential 2**-29.9 and 2**-55.9.
ERF_TAIL: Table = {
    "float32": (
        -1.84960556,
        -2.6389668,
        -0.84311831,
        -0.0415006801,
        0.00989087578,
        -0.00182614976,
        0.000185570301,
    ),
    "float64": (
        -1.8496055099332482,
        -2.6389675142347757,
        -0.8431072563594125,
        -0.04156109802508166,
        0.010033825179123932,
        -0.001977901215759668,
        0.0002373164344688006,
        2.6296327982725713e-05,
        -2.7198975128193307e-05,
        9.671380978130837e-06,
        -2.131944477381861e-06,
        2.0481576779622082e-07,
        5.800934567066093e-08,
        -3.339033013729827e-08,
        8.51850851185163e-09,
        -1.3190539559805658e-09,
        1.1932052831966778e-10,
        -4.864759527301724e-12,
    ),
}
ERF_ONE = {"float32": 4.0, "float64": 5.95}
# (1 + 2 x) exp(x**2) erfc(x) in t = (x - 3) / (x + 3): to 2**-30.5 on [1/2, 11] (float32 results,
# evaluated in float64) and to 2**-58 on [1/2, 28].
ERFC: Table = {
    "float32": (
        1.2530080589556936,
        -0.1356211017480423,
        -0.047562395034422084,
        0.1296449141651821,
        -0.11927131586583109,
        0.0683121614226268,
        -0.023789615173273482,
        0.002499429429574521,
        0.0019518922578518946,
        -0.000681463229184422,
        -0.00017685548433071335,
    ),
    "float64": (
        1.2530080582697296,
        -0.1356211061245812,
        -0.0475622943534507,
        0.12964515870276203,
        -0.11927366341531179,
        0.06830802734394434,
        -0.02377051491853638,
        0.002529391816335117,
        0.0018886903564002055,
        -0.0007798322714918795,
        -0.00010515976008945177,
        0.00012509932758636072,
        4.9491714476033325e-06,
        -2.0100376113106087e-05,
        -7.300550882569987e-07,
        3.471616676593574e-06,
        3.52693258412998e-07,
        -6.146346341425417e-07,
        -1.3432312409451292e-07,
        9.877438074940672e-08,
        3.42329907978226e-08,
        -1.0659628807393203e-08,
        -4.325370719107278e-09,
    ),
}
CENTRE = 3.0
WINITZKI = 0.147  # of log(1 - erf(y)**2), about -y**2 (4/pi + a y**2) / (1 + a y**2)


def _erf_small(s: Handler, x: Value) -> Value:
    return s.fused(x, poly(s, x * x, ERF[s.dtype_of(x)]), x)


@float_word
def erf(s: Handler, x: Value) -> Value:
    """``2/sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to x."""
    dtype = s.dtype_of(x)
    a = s.abs(x)
    t = s.select(a > ERF_ONE[dtype], s.const(ERF_ONE[dtype], x), a) - 1.0
    r, n = reduce(s, poly(s, t, ERF_TAIL[dtype]))
    tail = s.scaled(expm1_reduced(s, r) + 1.0, n, True)
    return with_sign(s, s.select(a < 1.0, _erf_small(s, a), 1.0 - tail), x)


def erfc_positive(s: Handler, a: Value, precision: str) -> Value:
    """``erfc(a)`` in float64 for a in [1/2, 28], to the precision of the dtype named."""
    inverse = 1.0 / (a + CENTRE)
    t = (a - CENTRE) * inverse
    t = s.fused(s.fused(-t, a + CENTRE, a - CENTRE), inverse, t)
    coefficients = ERFC[precision]
    first = s.const(coefficients[0], a)
    slope = poly(s, t, coefficients[1:])
    top = s.fused(t, slope, first)
    top_low = s.fused(t, slope, first - top)
    # g = top / (1 + 2 a) with its residual
    den = s.fused(a, s.const(2.0, a), s.const(1.0, a))
    den_low = s.fused(a, s.const(2.0, a), 1.0 - den)
    inverse = 1.0 / den
    g = top * inverse
    g_low = ((s.fused(-g, den, top) + top_low) - g * den_low) * inverse
    # exp(-a**2) = (p + p_low) 2**n
    square = a * a
    square_low = s.fused(a, a, -square)
    r, n = reduce(s, -square)
    z = expm1_reduced(s, r)
    p = z + 1.0
    p_low = s.fused(-p, square_low, z - (p - 1.0))
    return s.scaled(s.fused(p, g, s.fused(p, g_low, p_low * g)) * 32.0, n - 5)


@float_word
def erfc(s: Handler, x: Value) -> Value:
    """``1 - erf(x)``, accurate to the last subnormal."""
    dtype = s.dtype_of(x)
    wide = s.cast(x, "float64")
    a = s.abs(wide)
    far = s.select(a > 28.0, s.const(28.0, wide), s.select(a < 0.5, s.const(0.5, wide), a))
    if dtype == "float32":
        far = s.select(far > 11.0, s.const(11.0, wide), far)
    far = erfc_positive(s, far, dtype)
    out = s.select(wide < 0.0, 2.0 - far, far)
    out = s.select(a < 0.5, 1.0 - _erf_small(s, wide), out)
    return s.cast(out, dtype)


@float_word
def erfinv(s: Handler, x: Value) -> Value:
    """The y of ``erf(y) = x``: Winitzki's approximation (2008), then two steps of Halley's method."""
    wide = s.cast(x, "float64")
    a = s.abs(wide)
    inside = s.select(a < 1.0, a, s.const(0.5, a))
    spare = 1.0 - inside  # exact where it is used: from 1/2 on
    logarithm = s.log1p(-inside) + s.log1p(inside)
    b = logarithm * 0.5 + 2.0 / (math.pi * WINITZKI)
    y = s.sqrt(-logarithm / (WINITZKI * (s.sqrt(b * b - logarithm / WINITZKI) + b)))
    far = inside > 0.5
    for _ in range(2):
        off = s.select(far, spare - s.erfc(y), s.erf(y) - inside)
        step = off * s.exp(y * y) * (0.5 * math.sqrt(math.pi))
        y = y - step / (1.0 + y * step)
    y = s.select(a < 1e-150, a * (0.5 * math.sqrt(math.pi)), y)
    y = s.select(a < 1.0, y, s.select(a == 1.0, s.const(INF, a), s.const(NAN, a)))
    return s.cast(s.copysign(y, wide), s.dtype_of(x))
