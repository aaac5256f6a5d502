"""Special functions under the names of ``torch.special``; elementwise, of floats, differentiable, in both modes.

>>> dg.special.ndtr(dg.tensor([0.0, 1.0])).tolist()
[0.5, 0.8413447141647339]
>>> dg.special.expit is dg.sigmoid
True
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import factorial, log, pi, sqrt
from typing import Any

from .core import dtypes as dt
from .core.composite import composite
from .eager.methods.elementwise import logit, round, sinc, xlogy
from .eager.methods.reduction import logsumexp
from .eager.methods.special import mvlgamma as multigammaln
from .eager.methods.special import polygamma
from .eager.operands import as_operand, astype
from .eager.statistics import log_softmax, softmax
from .eager.tensor import Tensor
from .ops import arithmetic as ar
from .ops import comparison as cp
from .ops.bessel import bessel_j0, bessel_j1, bessel_y0, bessel_y1, erfcx, i0, i0e, i1, i1e
from .ops.bessel import i0 as modified_bessel_i0
from .ops.bessel import i1 as modified_bessel_i1
from .ops.bessel import k0 as modified_bessel_k0
from .ops.bessel import k0e as scaled_modified_bessel_k0
from .ops.bessel import k1 as modified_bessel_k1
from .ops.bessel import k1e as scaled_modified_bessel_k1
from .ops.incomplete_gamma import gamma_above, gamma_below
from .ops.special import digamma, erfinv
from .ops.special import digamma as psi
from .ops.special import lgamma as gammaln
from .ops.transcendental import erf, erfc, exp2, expm1, log1p, pow, sin
from .ops.transcendental import log as ln
from .ops.transcendental import sigmoid as expit

__all__ = [
    "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
    "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr",
    "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
    "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e",
    "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy",
    "zeta",
]  # fmt: skip


def entr(x: Any) -> Tensor:
    """``-x log(x)``; 0 at 0 and -inf below.

    >>> dg.special.entr(dg.asarray([0.0, 1.0]))
    tensor([-0., -0.])
    """
    x = as_operand(x)
    inside = ar.negative(xlogy(x, x))
    return ar.where(cp.less(x, 0), float("-inf"), inside)


def xlog1py(x: Any, other: Any) -> Tensor:
    """``x log(1 + other)``; 0 where x is 0, unless `other` is NaN.

    >>> dg.special.xlog1py(dg.asarray([0.0]), dg.asarray([-1.0]))
    tensor([0.])
    """
    x, other = as_operand(x), as_operand(other)
    endless = cp.logical_or(cp.less_equal(other, -1), cp.equal(other, float("inf")))
    held = cp.logical_and(cp.equal(x, 0), endless)  # elsewhere log(1 + other) is the slope at 0
    return ar.where(held, 0.0, ar.multiply(x, log1p(ar.where(held, 0.0, other))))


def ndtr(x: Any) -> Tensor:
    """The probability that a standard normal number is at most x.

    >>> dg.special.ndtr(dg.asarray([0.0]))
    tensor([0.5000])
    """
    return ar.multiply(erfc(ar.multiply(as_operand(x), -sqrt(0.5))), 0.5)


def ndtri(p: Any) -> Tensor:
    """The x with ``ndtr(x) = p``; infinite at 0 and 1, NaN outside.

    >>> dg.special.ndtri(dg.asarray([0.5]))
    tensor([0.])
    """
    p = as_operand(p)
    p = p if p.dtype.is_inexact else astype(p, dt.get_default_dtype())
    return ar.multiply(erfinv(ar.subtract(ar.multiply(p, 2), 1)), sqrt(2))


def log_ndtr(x: Any) -> Tensor:
    """``log(ndtr(x))``, also far on the left, where the probability itself is 0 (there by its asymptotic series).

    >>> dg.special.log_ndtr(dg.asarray([0.0]))
    tensor([-0.6931])
    """
    x = as_operand(x)
    edge = -30.0 if x.dtype is dt.float64 else -10.0
    far = cp.less(x, edge)
    near = ln(ndtr(ar.where(far, edge, x)))
    t = ar.where(far, x, edge)
    inverse = ar.reciprocal(ar.square(t))
    series: Any = 0.0  # -1/x**2 + 3/x**4 - 15/x**6 + ...
    for factor in (9.0, 7.0, 5.0, 3.0, 1.0):
        series = ar.multiply(
            ar.multiply(inverse, -factor), ar.add(series, 1.0) if factor < 9 else 1.0
        )
    tail = ar.subtract(log1p(series), ln(ar.negative(t)))
    tail = ar.subtract(tail, ar.add(ar.multiply(ar.square(t), 0.5), log(2 * pi) / 2))
    return ar.where(far, tail, near)


def spherical_bessel_j0(x: Any) -> Tensor:
    """``sin(x) / x``; 1 at 0.

    >>> dg.special.spherical_bessel_j0(dg.asarray([0.0]))
    tensor([1.])
    """
    x = as_operand(x)
    zero = cp.equal(x, 0)
    far = cp.isinf(x)
    inside = ar.where(cp.logical_or(zero, far), 1.0, x)
    return ar.where(zero, 1.0, ar.where(far, 0.0, ar.divide(sin(inside), inside)))


BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
TERMS = 10  # of a sum that are added one by one before its rest


@composite
def zeta(x: Any, q: Any) -> Tensor:
    """``sum((q + k) ** -x)`` over k = 0, 1, ... for q > 0 (Hurwitz; by Euler and Maclaurin).

    Infinite at x = 1 and NaN below; infinite for q of 0, -1, ... and NaN for other negative q.

        >>> dg.special.zeta(dg.tensor([2.0]), 1.0).allclose(dg.tensor([dg.pi**2 / 6]))
        True
    """
    x, q = as_operand(x), as_operand(q)
    real = astype(x, dt.get_default_dtype()) if not x.dtype.is_inexact else x
    above, right = cp.greater(real, 1), cp.greater(q, 0)
    s, a = ar.where(above, real, 2.0), ar.where(right, q, 1.0)
    minus = ar.negative(s)
    end = ar.add(a, float(TERMS))
    last = pow(end, minus)
    rest, factor = ar.add(ar.divide(end, ar.subtract(s, 1)), 0.5), s
    inverse = ar.reciprocal(end)
    part = inverse
    for k, b in enumerate(BERNOULLI, 1):  # s (s + 1) ... (s + 2k - 2) B(2k) / (2k)! / end**(2k - 1)
        rest = ar.add(rest, ar.multiply(ar.multiply(factor, b / factorial(2 * k)), part))
        factor = ar.multiply(factor, ar.multiply(ar.add(s, 2 * k - 1.0), ar.add(s, 2.0 * k)))
        part = ar.multiply(part, ar.square(inverse))
    total = ar.multiply(last, rest)
    for k in reversed(range(TERMS)):
        total = ar.add(total, pow(ar.add(a, float(k)), minus))
    pole = cp.equal(ar.floor(q), q)
    total = ar.where(right, total, ar.where(pole, float("inf"), float("nan")))
    return ar.where(above, total, ar.where(cp.equal(real, 1), float("inf"), float("nan")))


def _floats(*xs: Any) -> list[Tensor]:
    """The operands in one floating dtype."""
    given = [as_operand(x) for x in xs]
    wide = reduce(dt.promote, (x.dtype for x in given))
    wide = wide if wide.is_inexact else dt.get_default_dtype()
    return [astype(x, wide, copy=False) for x in given]


def gammainc(input: Any, other: Any) -> Tensor:
    """The share of gamma numbers of shape `input` that are at most `other`: the regularised lower incomplete gamma
    function, ``integral of t**(input - 1) exp(-t) over 0 < t < other`` by ``gamma(input)``.

    Floats that broadcast; NaN where one is below 0. Gradients of any order flow to both.

        >>> dg.special.gammainc(dg.tensor([1.0]), 2.0).allclose(1 - dg.exp(dg.tensor([-2.0])))
        True
    """
    return gamma_below(*_floats(input, other))  # type: ignore[no-any-return]


def gammaincc(input: Any, other: Any) -> Tensor:
    """``1 - gammainc(input, other)``, with all its digits where that is small, too.

    >>> dg.special.gammaincc(dg.tensor([1.0]), 50.0).allclose(dg.exp(dg.tensor([-50.0])), atol=0)
    True
    """
    return gamma_above(*_floats(input, other))  # type: ignore[no-any-return]


# --- orthogonal polynomials ----------------------------------------------------------------------


def _polynomial(
    name: str, formula: str, first: Callable[[Tensor], Any], following: Callable[..., Any]
) -> Callable[[Any, Any], Tensor]:
    """A family of polynomials p0 = 1, p1 = ``first(x)``, p(k + 1) = ``following(k, x, p(k), p(k - 1))``."""

    def polynomial(x: Any, n: Any) -> Tensor:
        x, degree = as_operand(x), ar.trunc(as_operand(n))
        x = x if x.dtype.is_inexact else astype(x, dt.get_default_dtype())
        most = n if isinstance(n, int) else int(degree.max()) if degree.size else 0  # type: ignore[attr-defined]
        one = ar.add(ar.multiply(x, 0), 1.0)
        found = [one, first(x)][: max(most, 0) + 1]
        for k in range(1, most):
            found.append(following(float(k), x, found[-1], found[-2]))
        if isinstance(n, int):
            return found[-1] if n >= 0 else ar.multiply(one, 0)
        out: Any = 0.0
        for k, values in enumerate(found):
            out = ar.where(cp.equal(degree, k), values, out)
        return out  # type: ignore[no-any-return]

    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = (
        f"{formula}, of degree n (0 for n < 0): a number, or numbers in a tensor, cut to whole ones.\n\n"
        f"    >>> dg.special.{name}(dg.asarray([1.0]), 0)\n    tensor([1.])\n    "
    )
    return polynomial


def _chebyshev(name: str, formula: str, first: Callable[[Tensor], Any]) -> Any:
    def of(x: Tensor) -> Tensor:
        return ar.subtract(ar.multiply(x, 2), 1)

    plain = _polynomial(name, formula, first, lambda k, x, p, q: 2 * x * p - q)
    turned = _polynomial(
        f"shifted_{name}", f"{formula} at 2x - 1", lambda x: first(of(x)), lambda k, x, p, q: 2 * of(x) * p - q
    )  # fmt: skip
    return plain, turned


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _chebyshev(
    "chebyshev_polynomial_t", "The Chebyshev polynomial of the first kind", lambda x: x
)
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _chebyshev(
    "chebyshev_polynomial_u", "The Chebyshev polynomial of the second kind", lambda x: 2 * x
)
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _chebyshev(
    "chebyshev_polynomial_v", "The Chebyshev polynomial of the third kind", lambda x: 2 * x - 1
)
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _chebyshev(
    "chebyshev_polynomial_w", "The Chebyshev polynomial of the fourth kind", lambda x: 2 * x + 1
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h", "The Hermite polynomial of physics", lambda x: 2 * x,
    lambda k, x, p, q: 2 * x * p - 2 * k * q,
)  # fmt: skip
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he", "The Hermite polynomial of probability", lambda x: x, lambda k, x, p, q: x * p - k * q
)  # fmt: skip
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l", "The Laguerre polynomial", lambda x: 1 - x,
    lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
)  # fmt: skip
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p", "The Legendre polynomial", lambda x: x,
    lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1),
)  # fmt: skip
