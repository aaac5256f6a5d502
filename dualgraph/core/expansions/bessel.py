"""Bessel functions of order 0 and 1, and the scaled complement of the error function, computed in float64.

Sums of Chebyshev polynomials, fitted with mpmath to 2**-60: near 0 in a range of x, far from it of what is left when
the leading behaviour (exp(x) / sqrt(x), or a wave; Abramowitz and Stegun, 9.2.5, 9.7) is divided out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, sqrt

from .common import INF, NAN, Handler, Value, poly
from .error_function import CENTRE, ERFC

# fmt: off
I0_NEAR = (
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764,
    0.04930528423967071, -0.02373741480589947, 0.010546460394594998, -0.004324309995050576,
    0.0016394756169413357, -0.0005763755745385824, 0.00018850288509584165, -5.754195010082104e-05,
    1.6448448070728896e-05, -4.4167383584587505e-06, 1.1173875391201037e-06, -2.670793853940612e-07,
    6.046995022541919e-08, -1.300025009986248e-08, 2.6598237246823866e-09, -5.189795601635263e-10,
    9.675809035373237e-11, -1.726826291441556e-11, 2.95505266312964e-12, -4.856446783111929e-13,
    7.676185498604936e-14, -1.1685332877993451e-14, 1.715391285555133e-15, -2.431279846547955e-16,
    3.3307945188222384e-17, -4.4153416464793395e-18, 5.669178006921496e-19,
)
I0_FAR = (
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06,
    2.0489185894690638e-07, 2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10,
    1.1889147107846439e-11, -3.1499165279632416e-11, -1.3215811840447713e-11,
    -1.7941785315068062e-12, 7.180124451383666e-13, 3.8527783827421426e-13, 1.54008621752141e-14,
    -4.150569347287222e-14, -9.554846698828307e-15, 3.8116806693526224e-15, 1.7725601330565263e-15,
    -3.425485619677219e-16, -2.8276239805165836e-16, 3.461222867697461e-17, 4.46562142029676e-17,
    -4.830504485944178e-18, -7.23318048787476e-18, 9.921475412173676e-19, 1.1936508908460063e-18,
)
I1_NEAR = (
    0.12629359322181682, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499,
    0.024726449030626516, -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532,
    0.0005122859561685758, -0.00016176081582589674, 4.781565107550054e-05, -1.3273163656039436e-05,
    3.4702513081376785e-06, -8.568720264695455e-07, 2.0032947535521353e-07, -4.445059128796328e-08,
    9.381537386495773e-09, -1.8872497517228294e-09, 3.625590281552117e-10, -6.663489723502027e-11,
    1.1736186298890901e-11, -1.9839743977649436e-12, 3.223793365945575e-13, -5.042185504727912e-14,
    7.600684294735408e-15, -1.1055969477353862e-15, 1.5536319577362005e-16, -2.111421214358166e-17,
    2.7779141127610464e-18, -3.541581772542136e-19,
)
I1_FAR = (
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06,
    -2.512236237870209e-07, -2.6314688468895196e-08, -3.835380385964237e-09, -5.589743462196584e-10,
    -1.8974958123505413e-11, 3.2526035830154884e-11, 1.4125807436613782e-11, 2.0356285441470896e-12,
    -7.198551776245908e-13, -4.0835511110921974e-13, -2.1015418427726643e-14, 4.272440016711951e-14,
    1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15,
    3.3082023109209285e-16, 2.96262899764595e-16, -3.209525921993424e-17, -4.650305368489358e-17,
    4.414348323071704e-18, 7.517296310842111e-18, -9.314178867326863e-19, -1.2421932751949152e-18,
)
K0_NEAR = (
    -0.2676636966169514, 0.3442898999246285, 0.0359799365153615, 0.001264615411446926,
    2.286212103119452e-05, 2.5347910790261494e-07, 1.904516377220209e-09, 1.0349695257633625e-11,
    4.2598161427910826e-14, 1.3744654358807508e-16, 3.5708965285083736e-19,
)
K0_FAR = (
    1.2201515410329777, -0.0314481013119645, 0.0015698838857300533, -0.00012849549581627802,
    1.39498137188765e-05, -1.8317555227191195e-06, 2.766813639445015e-07, -4.660489897687948e-08,
    8.574034017414225e-09, -1.6975345093890614e-09, 3.5773972814003283e-10, -7.957489244477396e-11,
    1.8559491149549264e-11, -4.514597883374519e-12, 1.1403405882073441e-12, -2.9800969231481784e-13,
    8.032890775068375e-14, -2.2275133267462965e-14, 6.340076476276646e-15, -1.848593377920907e-15,
    5.5120559994043335e-16, -1.6782311257549006e-16, 5.2103917776435543e-17,
    -1.6475805939842632e-17, 5.3004337711773354e-18, -1.7331712005821001e-18,
)
K1_NEAR = (
    0.7626501136694739, -0.3531559607765449, -0.12261118082265715, -0.006975723859639864,
    -0.0001730288957513052, -2.4334061415659684e-06, -2.213387630734726e-08,
    -1.4114883926335278e-10, -6.666901694199329e-13, -2.427449850519366e-15, -7.023863479386288e-18,
)
K1_FAR = (
    1.3603130952422213, 0.10392373657681724, -0.002857816859622779, 0.00019521551847135162,
    -1.936197974166083e-05, 2.406484947837217e-06, -3.5019606030878126e-07, 5.7410841254500495e-08,
    -1.0345762465678097e-08, 2.0150497551970347e-09, -4.1903547593419254e-10, 9.218315187605315e-11,
    -2.129967838427791e-11, 5.139639673482343e-12, -1.2891739609498229e-12, 3.348419666052243e-13,
    -8.976705182010146e-14, 2.4771544242195988e-14, -7.0198370892147685e-15, 2.038703166239861e-15,
    -6.057047270643018e-16, 1.8380935752430455e-16, -5.689462849193648e-17, 1.7940510478863572e-17,
    -5.7567444820733025e-18, 1.8778651901623268e-18,
)
J0_NEAR = (
    0.15772797147489012, -0.008723442352852221, 0.2651786132033368, -0.37009499387264977,
    0.15806710233209725, -0.034893769411408884, 0.004819180069467605, -0.00046062616620627504,
    3.246032882100508e-05, -1.7619469077621507e-06, 7.608163592418782e-08, -2.679253530557673e-09,
    7.848696314479465e-11, -1.9438346867370164e-12, 4.125320595634374e-14, -7.588508125447546e-16,
    1.2218515873961411e-17,
)
J1_NEAR = (
    0.08104484632565812, -0.1489751450676521, 0.1609992623572097, -0.08268049176681791,
    0.022213639654966037, -0.003646940600769276, 0.0004050337728354822, -3.255554866857259e-05,
    1.9858774049915165e-06, -9.521984756750436e-08, 3.687133759097148e-09, -1.178026622695885e-10,
    3.160154580348003e-12, -7.221755239651773e-14, 1.4232144003513942e-15, -2.4441972916190464e-17,
    3.6912682997929334e-19,
)
Y0_NEAR = (
    -0.03314611320328494, -0.2744743055297453, 0.17903431407718265, 0.26156734625504663,
    -0.17730201278114358, 0.04719668959576339, -0.007287962479552079, 0.0007531135932577742,
    -5.632079141056987e-05, 3.206532537654801e-06, -1.44072332740187e-07, 5.248794787330516e-09,
    -1.5837552541812015e-10, 4.02633081830612e-12, -8.747341203310769e-14, 1.6434898714919468e-15,
    -2.6977881152566837e-17, 3.9032584173475982e-19,
)
Y1_NEAR = (
    0.0025380132357417816, -0.01608717304766875, -0.09591204536083074, 0.08445197259652346,
    -0.028328123944594365, 0.005289897544167113, -0.0006414551451326356, 5.505982873338744e-05,
    -3.53808001868935e-06, 1.7707804556154404e-07, -7.11055004989928e-09, 2.344337905911516e-10,
    -6.4651518414115946e-12, 1.51429151205002e-13, -3.0511859694473254e-15, 5.34668038572867e-17,
    -8.224911372021585e-19,
)
P0_FAR = (
    0.9994603493475187, -0.0005365220468132117, 3.0751847875194745e-06, -5.1705945376060975e-08,
    1.6306464635151382e-09, -7.86409137723707e-11, 5.168262387349193e-12, -4.3045788699253914e-13,
    4.3265957431549404e-14, -5.069034095935236e-15, 6.748072215733873e-16, -1.0011513723467786e-16,
    1.6305919233744186e-17, -2.880866169482871e-18,
)
Q0_FAR = (
    -0.015555854605337009, 6.838519942611649e-05, -7.414498411060647e-07, 1.7972457247968992e-08,
    -7.27191593686632e-10, 4.2201219046687385e-11, -3.206747420996635e-12, 3.006145125351706e-13,
    -3.336328185322427e-14, 4.255225040245461e-15, -6.09993013164005e-16, 9.662128970303257e-17,
    -1.6686065214378146e-17, 3.1082440486738143e-18, -6.191115787358145e-19, 1.3091448717220122e-19,
    -2.9211627152642775e-20,
)
P1_FAR = (
    1.0009030408600137, 0.0008989898330859408, -3.987284300488908e-06, 6.177633960644299e-08,
    -1.8718907491063067e-09, 8.816898659582339e-11, -5.704863640395645e-12, 4.699195515230542e-13,
    -4.6842237839904895e-14, 5.452674896044717e-15, -7.221180842274018e-16, 1.0667689114335412e-16,
    -1.7312313216116335e-17, 3.0492991197665872e-18,
)
Q1_FAR = (
    0.04677778706953532, -9.62772354915708e-05, 9.138615257955454e-07, -2.0959781384083424e-08,
    8.229193327650554e-10, -4.686363688176945e-11, 3.5152187949686082e-12, -3.2643156743279e-13,
    3.5967765829165294e-14, -4.5612523950772974e-15, 6.508282957783384e-16, -1.0269147531823243e-16,
    1.767635548776479e-17, -3.2834519872981614e-18, 6.524081149589261e-19, -1.3765771484849487e-19,
)
# fmt: on
EDGE = 8.0  # between near and far, but for K
K_EDGE = 2.0
FAR_ERFCX = (1.0, -0.5, 0.75, -1.875, 6.5625, -29.53125, 162.421875, -1055.7421875)


def _sum(s: Handler, t: Value, coefficients: Sequence[float]) -> Value:
    """``c[0] + c[1] T1(t) + c[2] T2(t) + ...``: Clenshaw's recurrence."""
    after = behind = s.const(0.0, t)
    for c in reversed(coefficients[1:]):
        after, behind = (t + t) * after - behind + c, after
    return t * after - behind + coefficients[0]


def in_float64(fn: Callable[[Handler, Value], Value]) -> Callable[[Handler, Value], Value]:
    """A function of floats that is computed in float64 and rounded once (float16 by way of float32)."""

    def word(s: Handler, x: Value) -> Value:
        dtype = s.dtype_of(x)
        between = "float32" if dtype == "float16" else dtype
        out = fn(s, s.cast(s.cast(x, between), "float64"))
        return s.cast(s.cast(out, between), dtype)

    word.__name__, word.__doc__ = fn.__name__, fn.__doc__
    return word


def _size(s: Handler, x: Value) -> tuple[Value, Value]:
    """``|x|`` where it is near, the edge elsewhere; and where it is far, likewise."""
    size, edge = s.abs(x), s.const(EDGE, x)
    return s.select(size <= EDGE, size, edge), s.select(size > EDGE, size, edge)


# --- modified, first kind ------------------------------------------------------------------------


def _scaled_i(
    s: Handler, x: Value, near_table: Sequence[float], far_table: Sequence[float]
) -> tuple[Value, Value]:
    near, far = _size(s, x)
    return _sum(s, near / 4.0 - 1.0, near_table), _sum(s, 16.0 / far - 1.0, far_table) / s.sqrt(far)


def _i0e(s: Handler, x: Value) -> Value:
    near, far = _scaled_i(s, x, I0_NEAR, I0_FAR)
    near = s.select(x == 0.0, s.const(1.0, x), near)
    return s.select(x != x, x, s.select(s.abs(x) <= EDGE, near, far))


def _i1e(s: Handler, x: Value) -> Value:
    near, far = _scaled_i(s, x, I1_NEAR, I1_FAR)
    out = s.select(s.abs(x) <= EDGE, near * x, s.copysign(far, x))
    return s.select(x != x, x, out)


def _grown(s: Handler, x: Value, scaled: Value) -> Value:
    """``exp(|x|) * scaled``, in two factors that overflow no sooner than the whole."""
    half = s.exp(s.abs(x) * 0.5)
    return s.select(s.abs(x) == INF, s.copysign(s.abs(x), scaled), half * scaled * half)


@in_float64
def i0e(s: Handler, x: Value) -> Value:
    """``exp(-|x|) I0(x)``."""
    return _i0e(s, x)


@in_float64
def i1e(s: Handler, x: Value) -> Value:
    """``exp(-|x|) I1(x)``."""
    return _i1e(s, x)


@in_float64
def i0(s: Handler, x: Value) -> Value:
    """The modified Bessel function I0."""
    return _grown(s, x, _i0e(s, x))


@in_float64
def i1(s: Handler, x: Value) -> Value:
    """The modified Bessel function I1."""
    return _grown(s, x, _i1e(s, x))


# --- modified, second kind -----------------------------------------------------------------------


def _k(s: Handler, x: Value, order: int) -> tuple[Value, Value]:
    """K of 0 < x <= 2, and ``exp(x) K`` of x > 2."""
    edge = s.const(K_EDGE, x)
    near, far = s.select((x > 0.0) & (x <= K_EDGE), x, edge), s.select(x > K_EDGE, x, edge)
    log, t = s.log(near * 0.5), near * near * 0.5 - 1.0
    if order:
        close = log * _grown(s, near, _i1e(s, near)) + _sum(s, t, K1_NEAR) / near
    else:
        close = _sum(s, t, K0_NEAR) - log * _grown(s, near, _i0e(s, near))
    return close, _sum(s, 4.0 / far - 1.0, K1_FAR if order else K0_FAR) / s.sqrt(far)


def _k_word(order: int, scaled: bool) -> Callable[[Handler, Value], Value]:
    """The word for K of an order, times ``exp(x)`` where `scaled`."""

    def k(s: Handler, x: Value) -> Value:
        near, far = _k(s, x, order)
        if scaled:
            near = near * s.exp(s.select((x > 0.0) & (x <= K_EDGE), x, s.const(0.0, x)))
        else:
            far = far * s.exp(-s.select(x > K_EDGE, x, s.const(K_EDGE, x)))
        out = s.select(x <= K_EDGE, near, far)
        out = s.select(x == 0.0, s.const(INF, x), s.select(x == INF, s.const(0.0, x), out))
        return s.select((x < 0.0) | (x != x), s.const(NAN, x), out)

    k.__doc__ = f"The modified Bessel function K{order}{', times exp(x)' * scaled}; NaN below 0, infinite at 0."
    return in_float64(k)


k0, k1, k0e, k1e = _k_word(0, False), _k_word(1, False), _k_word(0, True), _k_word(1, True)


# --- first and second kind -----------------------------------------------------------------------


def _wave(s: Handler, far: Value, order: int) -> tuple[Value, Value]:
    """J and Y of the order at x > 8: ``sqrt(2 / (pi x))`` times a wave of slowly changing size and phase."""
    z = EDGE / far
    p = _sum(s, z * z * 2.0 - 1.0, P1_FAR if order else P0_FAR)
    q = _sum(s, z * z * 2.0 - 1.0, Q1_FAR if order else Q0_FAR) * z
    sin, cos = s.sin(far) * sqrt(0.5), s.cos(far) * sqrt(0.5)
    c, d = (sin - cos, -(sin + cos)) if order else (cos + sin, sin - cos)  # of x - pi/4 (or 3/4 pi)
    size = s.sqrt((2.0 / pi) / far)
    return size * (p * c - q * d), size * (p * d + q * c)


def _both(s: Handler, x: Value, order: int) -> tuple[Value, Value, Value, Value]:
    """``|x|`` where near, J there (over x for order 1) and J and Y far away, all 0 at infinity."""
    near, far = _size(s, x)
    endless = far == INF
    waves = _wave(s, s.select(endless, s.const(EDGE, x), far), order)
    j, y = (s.select(endless, s.const(0.0, x), w) for w in waves)
    return near, _sum(s, near * near / 32.0 - 1.0, J1_NEAR if order else J0_NEAR), j, y


@in_float64
def j0(s: Handler, x: Value) -> Value:
    """The Bessel function J0; its error is absolute near its zeros."""
    _, near, far, _ = _both(s, x, 0)
    near = s.select(x == 0.0, s.const(1.0, x), near)
    return s.select(x != x, x, s.select(s.abs(x) <= EDGE, near, far))


@in_float64
def j1(s: Handler, x: Value) -> Value:
    """The Bessel function J1; its error is absolute near its zeros."""
    _, near, far, _ = _both(s, x, 1)
    far = s.select(x < 0.0, -far, far)
    return s.select(x != x, x, s.select(s.abs(x) <= EDGE, near * x, far))


def _second(s: Handler, x: Value, near: Value, far: Value) -> Value:
    out = s.select(x <= EDGE, near, far)
    out = s.select(x == 0.0, s.const(-INF, x), out)
    return s.select((x < 0.0) | (x != x), s.const(NAN, x), out)


@in_float64
def y0(s: Handler, x: Value) -> Value:
    """The Bessel function Y0; -inf at 0, NaN below; its error is absolute near its zeros."""
    near, j, _, far = _both(s, x, 0)
    close = s.select(near == 0.0, s.const(1.0, x), near)
    rest = _sum(s, near * near / 32.0 - 1.0, Y0_NEAR)
    return _second(s, x, s.log(close) * j * (2.0 / pi) + rest, far)


@in_float64
def y1(s: Handler, x: Value) -> Value:
    """The Bessel function Y1; -inf at 0, NaN below; its error is absolute near its zeros."""
    near, j, _, far = _both(s, x, 1)
    close = s.select(near == 0.0, s.const(1.0, x), near)
    rest = _sum(s, near * near / 32.0 - 1.0, Y1_NEAR) * near
    return _second(s, x, (s.log(close) * (j * near) - 1.0 / close) * (2.0 / pi) + rest, far)


# --- the complement of the error function --------------------------------------------------------


@in_float64
def erfcx(s: Handler, x: Value) -> Value:
    """``exp(x**2) erfc(x)``."""
    low, high = x < 0.5, x > 28.0
    inside = s.select(low | high, s.const(1.0, x), x)
    middle = poly(s, (inside - CENTRE) / (inside + CENTRE), ERFC["float64"]) / (1.0 + inside * 2.0)
    below = s.select(low, x, s.const(0.0, x))
    square = below * below  # e**(x*x) needs more digits of the square than it has
    split = s.fused(below, below, -square)
    near = s.exp(square) * (1.0 + split) * s.erfc(below)
    near = s.select(below < -27.0, s.const(INF, x), near)
    inverse = 1.0 / s.select(high, x, s.const(28.0, x))
    series = poly(s, inverse * inverse, FAR_ERFCX)
    far = inverse * series * (1.0 / sqrt(pi))
    return s.select(x != x, x, s.select(low, near, s.select(high, far, middle)))
