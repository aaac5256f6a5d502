"""Dropout: elements or whole channels set to 0 at random, the rest scaled up to keep the mean."""

from __future__ import annotations

from ...core.devices import Device
from ...core.errors import ArgumentError
from ...eager import Tensor, rand
from ...ops.arithmetic import where


def kept(shape: tuple[int, ...], p: float, device: Device) -> Tensor:
    """Which elements stay, each with probability ``1 - p``."""
    _check(p)
    return rand(*shape, dtype="float32", device=device) >= p  # the same draws for every dtype


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p is a probability in [0, 1], not {p}")


def _drop(input: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool) -> Tensor:
    _check(p)
    if not training or p == 0:
        return input
    if p == 1:
        out = input * 0.0
    else:
        out = where(kept(shape, p, input.device), input * (1.0 / (1.0 - p)), 0.0)
    return input.copy_(out) if inplace else out


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element is 0 with probability `p` and scaled by ``1 / (1 - p)`` otherwise; nothing outside training.

    The draws come from the default generator: one seed gives one result, eager or captured.

        >>> dg.nn.functional.dropout(dg.ones(3), p=0.5, training=False)
        tensor([1., 1., 1.])
    """
    return _drop(input, input.shape, p, training, inplace)


def _channels(input: Tensor) -> tuple[int, ...]:
    return (*input.shape[:2], *(1,) * (input.ndim - 2))


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, L) or (C, L) are dropped.

    >>> dg.nn.functional.dropout1d(dg.ones(1, 2, 3), p=0.0).shape
    (1, 2, 3)
    """
    shape = (input.shape[0], 1) if input.ndim == 2 else _channels(input)
    return _drop(input, shape, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, H, W) are dropped.

    >>> dg.nn.functional.dropout2d(dg.ones((1, 2, 4, 4)), training=False).shape
    (1, 2, 4, 4)
    """
    return _drop(input, _channels(input), p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (N, C, D, H, W) are dropped.

    >>> dg.nn.functional.dropout3d(dg.ones(1, 2, 3, 3, 3), p=0.0).shape
    (1, 2, 3, 3, 3)
    """
    shape = (input.shape[0], 1, 1, 1) if input.ndim == 4 else _channels(input)
    return _drop(input, shape, p, training, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps the mean and variance of `selu` activations (Klambauer et al., 2017).

    >>> dg.nn.functional.alpha_dropout(dg.ones(2), 0.5, training=False)
    tensor([1., 1.])
    """
    return _alpha(input, input.shape, p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...).

    >>> x = dg.nn.functional.feature_alpha_dropout(dg.ones(2, 3, 4), training=True)
    >>> bool((x == x[..., :1]).all())  # a channel is kept or dropped as a whole
    True
    """
    return _alpha(input, _channels(input), p, training, inplace)


def _alpha(
    input: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool
) -> Tensor:
    """Alpha dropout (Klambauer et al., 2017): draws of this shape; mean and variance of SELU's results are kept."""
    _check(p)
    if not training or p == 0:
        return input
    if p == 1:
        out = input * 0.0
    else:
        low = -1.7580993408473766
        scale = ((low * low * p + 1) * (1 - p)) ** -0.5
        dropped = where(kept(shape, p, input.device), input, low)
        out = dropped * scale - scale * p * low
    return input.copy_(out) if inplace else out
