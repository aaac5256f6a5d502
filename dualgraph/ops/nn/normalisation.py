"""Normalisation: values brought to mean 0 and variance 1 over a batch, a layer or groups of channels."""

from __future__ import annotations

from math import prod
from typing import Any

from ...core.composite import composite
from ...core.context import grad_mode
from ...core.dtypes import bfloat16, float32, float64
from ...core.errors import ArgumentError, ShapeError
from ..arithmetic import divide, multiply, rsqrt, square, subtract
from ..composites import accumulating, mean
from ..movement import pad, reshape

Axes = tuple[int, ...]


def _moments(x: Any, axes: Axes) -> tuple[Any, Any, Any]:
    """(x - mean, mean, variance) over `axes`, which keep length 1."""
    centre = mean(x, axis=axes, keepdims=True)
    centred = subtract(x, centre)
    return centred, centre, mean(square(centred), axis=axes, keepdims=True)


def _scale(x: Any, weight: Any, bias: Any) -> Any:
    x = x if weight is None else multiply(x, weight)
    return x if bias is None else x + bias


def _by_channel(p: Any, ndim: int) -> Any:
    """A tensor of one value a channel, shaped to meet (N, C, ...)."""
    return None if p is None else reshape(p, shape=(1, p.shape[0], *(1,) * (ndim - 2)))


@composite
@accumulating
def layer_norm(
    x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes, those of `normalized_shape`."""
    axes = _last_axes("layer_norm", x, normalized_shape, weight, bias)
    centred, _, variance = _moments(x, axes)
    return _scale(multiply(centred, rsqrt(variance + eps)), weight, bias)


@composite
@accumulating
def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """``x / sqrt(mean(x**2) + eps) * weight`` over the last axes; eps is the dtype's epsilon unless given."""
    axes = _last_axes("rms_norm", x, normalized_shape, weight)
    eps = _EPSILON.get(x.dtype, 2.0**-10) if eps is None else eps
    return _scale(multiply(x, rsqrt(mean(square(x), axis=axes, keepdims=True) + eps)), weight, None)


_EPSILON = {float32: 2.0**-23, float64: 2.0**-52, bfloat16: 2.0**-7}


def _last_axes(op: str, x: Any, normalized_shape: Any, *scales: Any) -> Axes:
    """The axes of `normalized_shape`; raises unless operand and scales have them."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    k = len(shape)
    if k == 0 or x.shape[x.ndim - k :] != shape or k > x.ndim:
        raise ShapeError(
            f"{op}: an operand of shape {x.shape} does not end in the normalised shape {shape}"
        )
    for p in scales:
        if p is not None and p.shape != shape:
            raise ShapeError(
                f"{op}: weight and bias must have the normalised shape {shape}, not {p.shape}"
            )
    return tuple(range(x.ndim - k, x.ndim))


@composite
@accumulating
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` for each channel of (N, C, ...).

    In training the moments are those of the batch, and the running ones (if any) move towards them
    by `momentum`, in place; otherwise the running ones are used.
    """
    _check_channels("batch_norm", x, running_mean, running_var, weight, bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean and running_var are needed outside training"
            )
        centred = subtract(x, _by_channel(running_mean, x.ndim))
        return _scaled_by_channel(
            multiply(centred, rsqrt(_by_channel(running_var, x.ndim) + eps)), weight, bias
        )
    axes = (0, *range(2, x.ndim))
    n = prod(x.shape[a] for a in axes)
    if n <= 1:
        raise ShapeError(
            f"batch_norm: more than 1 value a channel is needed in training, got shape {x.shape}"
        )
    centred, centre, variance = _moments(x, axes)
    _track(running_mean, centre, momentum)
    _track(running_var, multiply(variance, n / (n - 1)), momentum)
    return _scaled_by_channel(multiply(centred, rsqrt(variance + eps)), weight, bias)


def _check_channels(op: str, x: Any, *given: Any) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{op}: input must have axes (N, C, ...), not shape {x.shape}")
    for p in given:
        if p is not None and p.shape != (x.shape[1],):
            problem = f"input of shape {x.shape} has {x.shape[1]} channels on axis 1"
            raise ShapeError(f"{op}: {problem}, and takes one value for each, not {p.shape}")


def _scaled_by_channel(x: Any, weight: Any, bias: Any) -> Any:
    return _scale(x, _by_channel(weight, x.ndim), _by_channel(bias, x.ndim))


def _track(running: Any, current: Any, momentum: Any) -> None:
    """running = (1 - momentum) * running + momentum * current, in place."""
    if running is None:
        return
    with grad_mode(False):
        current = reshape(current, shape=running.shape)
        running.copy_(multiply(running, 1 - momentum) + multiply(current, momentum))


@composite
@accumulating
def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Each sample's channels, in `num_groups` groups, brought to mean 0 and variance 1; then weight and bias."""
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: the channels of shape {x.shape} do not divide into {num_groups} groups"
        )
    _check_channels("group_norm", x, weight, bias)
    n, c = x.shape[:2]
    grouped = reshape(x, shape=(n, num_groups, prod(x.shape[2:]) * (c // num_groups)))
    centred, _, variance = _moments(grouped, (2,))
    out = reshape(multiply(centred, rsqrt(variance + eps)), shape=x.shape)
    return _scaled_by_channel(out, weight, bias)


@composite
@accumulating
def instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample brought to mean 0 and variance 1; running moments as in `batch_norm`."""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    _check_channels("instance_norm", x, running_mean, running_var, weight, bias)
    axes = tuple(range(2, x.ndim))
    n = prod(x.shape[a] for a in axes)
    if n <= 1:
        raise ShapeError(
            f"instance_norm: more than 1 value a channel is needed, got shape {x.shape}"
        )
    centred, centre, variance = _moments(x, axes)
    if running_mean is not None:
        _track(running_mean, mean(centre, axis=0), momentum)
        _track(running_var, mean(multiply(variance, n / (n - 1)), axis=0), momentum)
    return _scaled_by_channel(multiply(centred, rsqrt(variance + eps)), weight, bias)


@composite
def local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """``x / (k + alpha * mean of x**2 over `size` neighbouring channels)**beta`` (Krizhevsky et al., 2012)."""
    from_left, from_right = size // 2, (size - 1) // 2
    squares = square(x)
    widths = ((0, 0), (from_left, from_right)) + ((0, 0),) * (x.ndim - 2)
    padded = pad(squares, widths=widths, value=0.0)
    seen = windows_sum(padded, size)
    return divide(x, (multiply(seen, alpha / size) + k) ** beta)


def windows_sum(padded: Any, size: int) -> Any:
    """Sum over each run of `size` neighbours along axis 1."""
    n = padded.shape[1] - size + 1
    total = padded[:, :n]
    for i in range(1, size):
        total = total + padded[:, i : i + n]
    return total
