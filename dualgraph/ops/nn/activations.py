"""Activations: the elementwise non-linearities of neural networks, each with PyTorch's gradient at its kinks.

A branch that could overflow gets a harmless operand where it is not taken, so that its gradient is
0 there and not NaN.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from ...core.composite import composite
from ...core.errors import ShapeError
from ..arithmetic import abs, divide, multiply, where
from ..axes import normalize_axis
from ..transcendental import erf, exp, expm1, log1p, logaddexp, sigmoid, tanh

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@composite
def relu(x: Any) -> Any:
    """``max(x, 0)``; gradient 0 at 0.

    >>> import dualgraph as dg
    >>> dg.nn.functional.relu(dg.asarray([-1., 0., 2.])).tolist()
    [0.0, 0.0, 2.0]
    """
    return where(x <= 0, 0, x)  # NaN stays NaN


@composite
def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x above 0, ``negative_slope * x`` elsewhere."""
    return where(x > 0, x, multiply(x, negative_slope))


@composite
def prelu(x: Any, weight: Any) -> Any:
    """x above 0, ``weight * x`` elsewhere; one weight, or one for each channel (axis 1)."""
    if not x.ndim:
        weight = weight.reshape(())
    elif weight.size > 1 and x.ndim > 1:
        weight = weight.reshape((-1,) + (1,) * (x.ndim - 2))
    return where(x > 0, x, multiply(x, weight))


@composite
def clip_flat(x: Any, low: float, high: float) -> Any:
    """x held in [low, high]; gradient 0 at both ends and beyond."""
    return where(x <= low, low, where(x >= high, high, x))


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x held in ``[min_val, max_val]``."""
    if x.dtype.is_integer:
        min_val, max_val = int(min_val), int(max_val)
    return clip_flat(x, min_val, max_val)


def relu6(x: Any) -> Any:
    """x held in [0, 6]."""
    return hardtanh(x, 0.0, 6.0)


@composite
def threshold(x: Any, threshold: float, value: float) -> Any:
    """x above the threshold, `value` elsewhere."""
    return where(x <= threshold, value, x)


@composite
def elu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, ``alpha * (e**x - 1)`` elsewhere."""
    return where(x > 0, x, multiply(expm1(where(x > 0, 0, x)), alpha))


@composite
def selu(x: Any) -> Any:
    """`elu` scaled so that mean 0 and variance 1 are kept (Klambauer et al., 2017)."""
    return multiply(elu(x, SELU_ALPHA), SELU_SCALE)


@composite
def celu(x: Any, alpha: float = 1.0) -> Any:
    """x above 0, ``alpha * (e**(x / alpha) - 1)`` elsewhere."""
    return where(x > 0, x, multiply(expm1(divide(where(x > 0, 0, x), alpha)), alpha))


@composite
def gelu(x: Any, approximate: str = "none") -> Any:
    """``x * P(Z <= x)`` for a normal Z: through erf, or its tanh approximation."""
    if approximate == "tanh":
        inner = multiply(x + 0.044715 * (x * x * x), sqrt(2 / pi))
        return multiply(x * 0.5, tanh(inner) + 1)
    return multiply(x * 0.5, erf(x * sqrt(0.5)) + 1)


@composite
def silu(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return multiply(x, sigmoid(x))


@composite
def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + e**(beta x)) / beta``; x itself where ``beta x`` is above the threshold."""
    scaled = x if beta == 1 else multiply(x, beta)
    linear = scaled > threshold
    curve = log1p(exp(where(linear, 0, scaled)))
    return where(linear, x, curve if beta == 1 else divide(curve, beta))


@composite
def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``."""
    return multiply(x, tanh(softplus(x)))


@composite
def logsigmoid(x: Any) -> Any:
    """``log(sigmoid(x))`` without overflow."""
    return -logaddexp(-x, 0)


@composite
def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return divide(x, abs(x) + 1)


@composite
def tanhshrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    return x - tanh(x)


@composite
def hardsigmoid(x: Any) -> Any:
    """``relu6(x + 3) / 6``."""
    return divide(relu6(x + 3), 6)


@composite
def hardswish(x: Any) -> Any:
    """``x * relu6(x + 3) / 6``."""
    return where(x <= -3, 0, where(x >= 3, x, divide(x * (x + 3), 6)))


@composite
def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 within ``[-lambd, lambd]``, x outside."""
    return where((x >= -lambd) & (x <= lambd), 0, x)


@composite
def softshrink(x: Any, lambd: float = 0.5) -> Any:
    """0 within ``[-lambd, lambd]``, x moved towards 0 by `lambd` outside."""
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, multiply(x, 0)))


@composite
def glu(x: Any, axis: int = -1) -> Any:
    """``a * sigmoid(b)`` for the two halves a, b of x along `axis`."""
    axis = normalize_axis(axis, x.ndim)
    half = x.shape[axis] // 2
    if half * 2 != x.shape[axis]:
        raise ShapeError(f"glu: axis {axis} has {x.shape[axis]} elements and cannot be halved")
    before = (slice(None),) * axis
    return multiply(x[(*before, slice(None, half))], sigmoid(x[(*before, slice(half, None))]))
