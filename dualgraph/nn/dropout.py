"""Dropout layers: nothing outside training."""

from __future__ import annotations

from collections.abc import Callable

from ..core.errors import ArgumentError
from ..eager import Tensor
from . import functional as F
from .module import Module


class _Dropout(Module):
    """What all layers share that drop at random: subclasses give the function, `drop`."""

    drop: Callable[..., Tensor]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p is a probability in [0, 1], not {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).drop(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Elements are 0 with probability p in training, scaled by ``1 / (1 - p)`` otherwise.

    >>> layer = dg.nn.Dropout(0.5).eval()
    >>> layer(dg.ones(3))
    tensor([1., 1., 1.])
    """

    drop = staticmethod(F.dropout)


class Dropout1d(_Dropout):
    """Whole channels of (N, C, L) are dropped.

    >>> dg.nn.Dropout1d(0.5)(dg.ones(2, 3, 4)).shape
    (2, 3, 4)
    """

    drop = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Whole channels of (N, C, H, W) are dropped.

    >>> dg.nn.Dropout2d(0.5)(dg.ones(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    drop = staticmethod(F.dropout2d)


class Dropout3d(_Dropout):
    """Whole channels of (N, C, D, H, W) are dropped.

    >>> dg.nn.Dropout3d(0.5)(dg.ones(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    drop = staticmethod(F.dropout3d)


class AlphaDropout(_Dropout):
    """Dropout that keeps the mean and variance of `SELU` activations.

    >>> dg.nn.AlphaDropout(0.5)(dg.ones(3)).shape
    (3,)
    """

    drop = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...).

    >>> dg.nn.FeatureAlphaDropout(0.5)(dg.ones(2, 3, 4)).shape
    (2, 3, 4)
    """

    drop = staticmethod(F.feature_alpha_dropout)
