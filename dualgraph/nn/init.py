"""Initialisation: tensors filled in place with constants or random draws, as PyTorch's ``nn.init``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.errors import ArgumentError, ShapeError
from ..eager import Tensor, asarray, eye, no_grad, rand, randn
from ..ops.arithmetic import copysign, maximum, minimum, sqrt
from ..ops.transcendental import erf, exp, log

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_",
    "ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_",
    "zeros_",
]  # fmt: skip


def _fill(tensor: Tensor, value: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(value)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in [a, b).

    >>> w = dg.nn.init.uniform_(dg.empty((2, 3)), 1.0, 2.0)
    >>> bool(((w >= 1) & (w < 2)).all())
    True
    """
    draws = rand(*tensor.shape, dtype=_drawn(tensor), device=tensor.device, generator=generator)
    return _fill(tensor, draws * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with the given mean and standard deviation.

    >>> dg.nn.init.normal_(dg.empty((2, 3)), std=0.02).shape
    (2, 3)
    """
    draws = randn(*tensor.shape, dtype=_drawn(tensor), device=tensor.device, generator=generator)
    return _fill(tensor, draws * std + mean)


def _drawn(tensor: Tensor) -> str:
    """Narrow floats are drawn in float32 and rounded."""
    return "float64" if tensor.dtype.name == "float64" else "float32"


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, cut off at a and b: uniform draws through the inverse distribution function.

    >>> w = dg.nn.init.trunc_normal_(dg.empty(100), a=-1.0, b=1.0)
    >>> bool((w.abs() <= 1).all())
    True
    """
    low, high = (math.erf((v - mean) / (std * math.sqrt(2))) for v in (a, b))
    draws = rand(*tensor.shape, dtype="float64", device=tensor.device, generator=generator)
    inside = _erfinv(draws * (high - low) + low) * (std * math.sqrt(2)) + mean
    return _fill(tensor, minimum(maximum(inside, a), b))


def _erfinv(y: Tensor) -> Tensor:
    """The x with ``erf(x) = y``: Winitzki's approximation (2008), then Newton's steps."""
    y = minimum(maximum(y, -1 + 2.0**-53), 1 - 2.0**-53)
    k = 0.147
    tail = log(1 - y * y)
    half = tail * 0.5 + 2 / (math.pi * k)
    x = copysign(sqrt(sqrt(half * half - tail / k) - half), y)
    for _ in range(3):
        x = x - (erf(x) - y) * exp(x * x) * (math.sqrt(math.pi) / 2)
    return x


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`.

    >>> dg.nn.init.constant_(dg.empty(2), 3.0)
    tensor([3., 3.])
    """
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1.

    >>> dg.nn.init.ones_(dg.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0.

    >>> dg.nn.init.zeros_(dg.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """A matrix with ones on its diagonal.

    >>> dg.nn.init.eye_(dg.empty((2, 2)))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: only matrices have a diagonal, not shape {tensor.shape}")
    return _fill(tensor, eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight that passes its input channels on unchanged.

    >>> dg.nn.init.dirac_(dg.empty((1, 1, 3)))
    tensor([[[0., 1., 0.]]])
    """
    if tensor.ndim not in (3, 4, 5) or tensor.shape[0] % groups:
        raise ShapeError(
            f"dirac_: needs a convolution weight of 3 to 5 axes and {groups} groups, not {tensor.shape}"
        )
    zeros_(tensor)
    out = tensor.shape[0] // groups
    centre = tuple(k // 2 for k in tensor.shape[2:])
    with no_grad():
        for group in range(groups):
            for i in range(min(out, tensor.shape[1])):
                tensor[(group * out + i, i, *centre)] = 1.0
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a non-linearity shrinks the spread of its input, inverted.

    >>> dg.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    linear = ("linear", "sigmoid", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    known = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    if nonlinearity not in known:
        raise ArgumentError(
            f"no gain is known for {nonlinearity!r}; known are {', '.join((*linear, 'leaky_relu', *known))}"
        )
    return known[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(inputs an output depends on, outputs an input reaches) of a weight."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"fan in and fan out need a weight of 2 axes or more, not shape {tensor.shape}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform in ``+-gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010).

    >>> dg.nn.init.xavier_uniform_(dg.empty((2, 4)), gain=dg.nn.init.calculate_gain("tanh")).shape
    (2, 4)
    """
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal of deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio, 2010).

    >>> dg.nn.init.xavier_normal_(dg.empty((2, 4))).shape
    (2, 4)
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform in ``+-gain * sqrt(3 / fan)`` (He et al., 2015).

    >>> dg.nn.init.kaiming_uniform_(dg.empty((2, 4)), nonlinearity="relu").shape
    (2, 4)
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal of deviation ``gain / sqrt(fan)`` (He et al., 2015).

    >>> dg.nn.init.kaiming_normal_(dg.empty((2, 4)), mode="fan_out").shape
    (2, 4)
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Rows (or columns) orthonormal, times `gain` (Saxe et al., 2013).

    >>> w = dg.nn.init.orthogonal_(dg.empty((3, 3)))
    >>> dg.allclose(w @ w.mT, dg.eye(3), atol=1e-5)
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: needs 2 axes or more, not shape {tensor.shape}")
    rows, cols = tensor.shape[0], math.prod(tensor.shape[1:])
    wide = randn(
        min(rows, cols), max(rows, cols), dtype="float64", device=tensor.device, generator=generator
    )
    q, r = np.linalg.qr(wide.numpy().T)
    basis = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # the signs that make the draw uniform
    return _fill(tensor, asarray((basis.T if rows <= cols else basis) * gain).reshape(tensor.shape))


def __getattr__(name: str) -> Any:
    """PyTorch's older names, without the underscore."""
    if f"{name}_" in globals():
        return globals()[f"{name}_"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with the fraction `sparsity` of each column set to 0.

    >>> w = dg.nn.init.sparse_(dg.empty((4, 2)), sparsity=0.5)
    >>> (w == 0).sum(0)
    tensor([2, 2])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: only matrices have columns, not shape {tensor.shape}")
    normal_(tensor, 0.0, std, generator)
    rows = tensor.shape[0]
    zeros = math.ceil(sparsity * rows)
    order = rand(*tensor.shape, device=tensor.device, generator=generator).argsort(0).argsort(0)
    with no_grad():
        return tensor.mul_((order >= zeros).astype(tensor.dtype))
