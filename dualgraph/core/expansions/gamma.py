"""The logarithm of the gamma function and its derivatives, computed in float64."""

from __future__ import annotations

from math import factorial

from .common import INF, NAN, Handler, Value, float_word, poly
from .exp_log import log1p_tail

# lgamma(2 + d) / d on [-0.586, 0.501]; error 2**-57.
LGAMMA = (
    0.42278433509846713,
    0.3224670334241132,
    -0.06735230105320027,
    0.020580808427783304,
    -0.0073855510284537886,
    0.002890510330817871,
    -0.0011927539202966583,
    0.0005096695219495353,
    -0.0002231545897048368,
    9.945757449157136e-05,
    -4.492811162716122e-05,
    2.050641187583573e-05,
    -9.427116627329923e-06,
    4.380924935926471e-06,
    -2.0876611585625263e-06,
    9.291163005782703e-07,
    -3.4317122331176494e-07,
    2.6991183712967715e-07,
    -2.0851034164033337e-07,
)
# Stirling's series, B(2k) / (2k (2k - 1)), in 1/x**2.
STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)
# The asymptotic series of digamma, B(2k) / (2k), in 1/x**2.
DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
# digamma(ROOT + d) / d for ROOT + d in [1, 2], ROOT = hi + lo its zero; error 2**-57.
ROOT = (1.4616321449683622, 9.549995429965697e-17)
DIGAMMA_NEAR = (
    0.9676722454476212,
    -0.4427631689835921,
    0.2584997609556486,
    -0.16394270544241185,
    0.1078240506916922,
    -0.07219956125611147,
    0.048804288134436574,
    -0.03316112647814546,
    0.02259764928437279,
    -0.015424766261277919,
    0.010538769938576956,
    -0.007204519666511045,
    0.0049270580267742016,
    -0.0033700680515484165,
    0.0023028895420557894,
    -0.00157420216813665,
    0.0010901225234458578,
    -0.0007549229618596274,
    0.0004717939701691318,
    -0.0002843132292526133,
    0.0002805343686746867,
    -0.0002785074876883787,
    0.00011881232908510335,
)
# Bernoulli numbers B(2), B(4), ...
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
HALF_LOG_2PI = 0.9189385332046727418
PI = 3.14159265358979323846


def _lgamma_positive(s: Handler, x: Value) -> Value:
    """``lgamma`` of positive x: a polynomial around 2 after shifts by 1, Stirling's series from 7.5 on."""
    one = s.const(1.0, x)
    # into [1.41, 2.5): lgamma(x) = lgamma(x + up) - log(x ...) = lgamma(x - down) + log(...)
    low, lowest = x < 1.4142, x < 0.5
    z = s.select(lowest, x + 2.0, s.select(low, x + 1.0, x))
    product = s.select(lowest, x * (x + 1.0), s.select(low, x, one))
    for k in range(1, 6):
        down = (x >= k + 1.5) & (x < 7.5)
        product = s.select(down, product * (x - float(k)), product)
        z = s.select(down, x - float(k), z)
    d = z - 2.0
    shift = s.log(product)
    near = s.mul_add(d, poly(s, d, LGAMMA), s.select(low, -shift, shift))
    # near 1 both terms vanish: log(x) = (x - 1) + tail, and LGAMMA[0] - 1 = -0.577...
    f = x - 1.0
    tail = log1p_tail(s, f)
    one_off = f * (LGAMMA[0] - 1.0) + (f * f * poly(s, f, LGAMMA[1:]) - tail)
    near = s.select((x > 0.7072) & (x < 1.4142), one_off, near)
    inverse = 1.0 / x
    series = inverse * poly(s, inverse * inverse, STIRLING)
    far = (x - 0.5) * (s.log(x) - 1.0) + ((HALF_LOG_2PI - 0.5) + series)
    return s.select(x < 7.5, near, far)


def _distance(s: Handler, x: Value) -> Value:
    """``x - rint(x)``, in [-1/2, 1/2]."""
    return x - s.rint(x)


@float_word
def lgamma(s: Handler, x: Value) -> Value:
    """``log(|gamma(x)|)``; infinite at 0, -1, -2, ..."""
    wide = s.cast(x, "float64")
    a = s.abs(wide)
    negative = wide < 0.5
    mirrored = _lgamma_positive(s, s.select(negative, 1.0 - wide, wide))
    angle = s.abs(s.sin(_distance(s, wide) * PI))
    out = s.select(negative, s.log(PI / angle) - mirrored, mirrored)
    out = s.select(a < 2.0**-60, -s.log(a), out)
    out = s.select((wide < 0.0) & (s.rint(wide) == wide), s.const(INF, wide), out)
    out = s.select(a == INF, a, s.select(wide != wide, wide, out))
    return s.cast(out, s.dtype_of(x))


def _digamma_positive(s: Handler, x: Value) -> Value:
    """``digamma`` of positive x: a polynomial around its zero after shifts by 1, the asymptotic series from 10 on."""
    # near its zero: into [1, 2) by digamma(x) = digamma(x + 1) - 1/x = digamma(x - 1) + 1/(x - 1)
    low = x < 1.0
    z = s.select(low, x + 1.0, x)
    total = s.select(low, -1.0 / x, s.const(0.0, x))
    for k in range(1, 9):
        down = (x >= k + 1.0) & (x < 10.0)
        total = s.select(down, total + 1.0 / (x - float(k)), total)
        z = s.select(down, x - float(k), z)
    d = (z - ROOT[0]) - ROOT[1]
    near = s.mul_add(d, poly(s, d, DIGAMMA_NEAR), total)
    inverse = 1.0 / x
    square = inverse * inverse
    far = (s.log(x) - 0.5 * inverse) - square * poly(s, square, DIGAMMA)
    return s.select(x < 10.0, near, far)


@float_word
def digamma(s: Handler, x: Value) -> Value:
    """``gamma'(x) / gamma(x)``; NaN at -1, -2, ..., -inf at 0."""
    wide = s.cast(x, "float64")
    negative = wide < 0.0
    out = _digamma_positive(s, s.select(negative, 1.0 - wide, wide))
    angle = s.tan(_distance(s, wide) * PI)
    out = s.select(negative, out - PI / angle, out)
    out = s.select(negative & (s.rint(wide) == wide), s.const(NAN, wide), out)
    out = s.select(wide == 0.0, s.copysign(s.const(INF, wide), -wide), out)
    return s.cast(s.select(wide == INF, wide, out), s.dtype_of(x))


def _powers(x: Value, n: int) -> Value:
    """``x**n`` for a number n of 1 or more, by squaring."""
    out = x if n % 2 else None
    while n := n // 2:
        x = x * x
        if n % 2:
            out = x if out is None else out * x
    return out


def _zeta(s: Handler, power: int, x: Value) -> Value:
    """``sum((x + k)**-power)`` over k = 0, 1, ..., for x > 0: terms first, then Euler and Maclaurin's formula."""
    terms = 10 + power
    y = x + float(terms)
    inverse = 1.0 / y
    factor, series = 1.0, []
    for k, b in enumerate(BERNOULLI, 1):  # power (power + 1) ... (power + 2k - 2) B(2k) / (2k)!
        factor *= power if k == 1 else (power + 2 * k - 3) * (power + 2 * k - 2)
        series.append(factor * b / factorial(2 * k))
    tail = inverse * poly(s, inverse * inverse, series) + 0.5
    out = _powers(inverse, power) * (tail + y * (1.0 / (power - 1)))
    for k in reversed(range(terms)):
        out = out + _powers(1.0 / (x + float(k)), power)
    return out


def _cotangent_polynomial(n: int) -> list[float]:
    """Coefficients of the n-th derivative of cot(x), a polynomial in cot(x): c' = -(1 + c**2)."""
    found = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(found)][1:]
        padded = [*slope, 0.0, 0.0]
        found = [-a - b for a, b in zip(padded, [0.0, 0.0, *slope], strict=True)]
    return found


def polygamma(s: Handler, x: Value, n: int) -> Value:
    """The n-th derivative of `digamma`, n >= 1; left of 0 by reflection."""
    dtype = s.dtype_of(x)
    wide = s.cast(s.cast(x, "float32") if dtype == "float16" else x, "float64")
    sign, size = (-1.0) ** (n + 1), float(factorial(n))
    negative = wide < 0.0
    series = _zeta(s, n + 1, s.select(negative, 1.0 - wide, wide))
    cot = 1.0 / s.tan(_distance(s, wide) * PI)
    turned = s.const(0.0, cot)
    for c in reversed(_cotangent_polynomial(n)):
        turned = turned * cot + c
    # reflection: (-1)**n psi_n(1 - x) - psi_n(x) = pi d^n/dx^n cot(pi x)
    out = s.select(negative, -series * size - turned * PI ** (n + 1), series * (size * sign))
    pole = negative & (s.rint(wide) == wide)
    out = s.select(pole, s.const(INF if n % 2 else NAN, wide), out)
    out = s.select(wide == INF, s.const(0.0, wide), out)
    return s.cast(s.cast(out, "float32") if dtype == "float16" else out, dtype)
