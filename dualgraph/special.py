"""Special functions under the names of ``torch.special``; elementwise, of floats, differentiable, in both modes.

>>> dg.special.ndtr(dg.tensor([0.0, 1.0])).tolist()
[0.5, 0.8413447141647339]
>>> dg.special.expit is dg.sigmoid
True
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

from .core import dtypes as dt
from .eager.methods.elementwise import logit, round, sinc, xlogy
from .eager.methods.reduction import logsumexp
from .eager.methods.special import mvlgamma as multigammaln
from .eager.methods.special import polygamma
from .eager.operands import as_operand
from .eager.statistics import log_softmax, softmax
from .eager.tensor import Tensor
from .ops import arithmetic as ar
from .ops import comparison as cp
from .ops.special import digamma, erfinv
from .ops.special import digamma as psi
from .ops.special import lgamma as gammaln
from .ops.transcendental import erf, erfc, exp2, expm1, log1p
from .ops.transcendental import log as ln
from .ops.transcendental import sigmoid as expit

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]


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
    return ar.multiply(erfinv(ar.subtract(ar.multiply(as_operand(p), 2), 1)), sqrt(2))


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
