"""Lazy layers: the size of what comes in is taken from the first input, and the layer is the plain one from then on."""

from __future__ import annotations

from typing import Any, ClassVar

from ..core.context import state
from ..core.errors import ShapeError
from ..eager import Tensor, no_grad
from ..eager.random import get_rng_state, set_rng_state
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .normalisation import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .parameter import Uninitialized, UninitializedBuffer, UninitializedParameter


class _Lazy(Module):
    """What lazy layers share: the attribute `size` is taken from an axis of the first input."""

    plain: ClassVar[type[Module]]
    size: ClassVar[str]
    axis: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        before = get_rng_state()  # what stands in for the parameters until then draws none
        try:
            self.plain.__init__(self, int(kwargs.get("groups", 1)), *args, **kwargs)  # type: ignore[misc]
        finally:
            set_rng_state(before)
        setattr(self, self.size, 0)
        self._pending = args, kwargs
        for name, param in self._parameters.items():
            if param is not None:
                self._parameters[name] = UninitializedParameter(
                    param.requires_grad, param.device, param.dtype
                )
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.ndim:
                self._buffers[name] = UninitializedBuffer(False, buffer.device, buffer.dtype)

    def has_uninitialized_params(self) -> bool:
        """Whether neither an input nor a state has given the tensors their shapes."""
        tensors = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(t, Uninitialized) for t in tensors)

    def initialize_parameters(self, input: Tensor) -> None:
        """Makes parameters and buffers for inputs like this one, unless a state has."""
        if not -input.ndim <= self.axis < input.ndim:
            raise ShapeError(
                f"{type(self).__name__}: an input of shape {input.shape} has too few axes"
            )
        size = int(input.shape[self.axis])
        if self.has_uninitialized_params():
            args, kwargs = self._pending
            made = self.plain(size, *args, **kwargs)
            for own, new in ((self._parameters, made._parameters), (self._buffers, made._buffers)):
                for name, value in own.items():
                    if isinstance(value, Uninitialized):
                        value.materialize(new[name].shape)  # type: ignore[index]
                        with no_grad():
                            value.copy_(new[name])  # type: ignore[attr-defined]
        setattr(self, self.size, size)

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if state.tracer is not None:
            state.tracer.foreign("first call of a lazy layer")
        self.initialize_parameters(input)
        del self._pending
        self.__class__ = self.plain  # type: ignore[assignment]
        out: Tensor = self.forward(input, *args, **kwargs)
        return out


class LazyLinear(_Lazy, Linear):
    """`Linear` of inputs with any number of features.

    >>> layer = dg.nn.LazyLinear(4)
    >>> layer(dg.zeros(2, 3)).shape, layer
    ((2, 4), Linear(in_features=3, out_features=4, bias=True))
    """

    plain, size, axis = Linear, "in_features", -1


class LazyConv1d(_Lazy, Conv1d):
    """`Conv1d` of inputs of any number of channels.

    >>> dg.nn.LazyConv1d(8, 3)(dg.ones(1, 3, 16)).shape
    (1, 8, 14)
    """

    plain, size, axis = Conv1d, "in_channels", -2


class LazyConv2d(_Lazy, Conv2d):
    """`Conv2d` of inputs of any number of channels.

    >>> dg.nn.LazyConv2d(8, 3)(dg.ones(1, 3, 16, 16)).shape
    (1, 8, 14, 14)
    """

    plain, size, axis = Conv2d, "in_channels", -3


class LazyConv3d(_Lazy, Conv3d):
    """`Conv3d` of inputs of any number of channels.

    >>> dg.nn.LazyConv3d(8, 3)(dg.ones(1, 3, 6, 6, 6)).shape
    (1, 8, 4, 4, 4)
    """

    plain, size, axis = Conv3d, "in_channels", -4


class LazyConvTranspose1d(_Lazy, ConvTranspose1d):
    """`ConvTranspose1d` of inputs of any number of channels.

    >>> dg.nn.LazyConvTranspose1d(8, 2)(dg.ones(1, 3, 8)).shape
    (1, 8, 9)
    """

    plain, size, axis = ConvTranspose1d, "in_channels", -2


class LazyConvTranspose2d(_Lazy, ConvTranspose2d):
    """`ConvTranspose2d` of inputs of any number of channels.

    >>> dg.nn.LazyConvTranspose2d(8, 2)(dg.ones(1, 3, 8, 8)).shape
    (1, 8, 9, 9)
    """

    plain, size, axis = ConvTranspose2d, "in_channels", -3


class LazyConvTranspose3d(_Lazy, ConvTranspose3d):
    """`ConvTranspose3d` of inputs of any number of channels.

    >>> dg.nn.LazyConvTranspose3d(8, 2)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 8, 5, 5, 5)
    """

    plain, size, axis = ConvTranspose3d, "in_channels", -4


class LazyBatchNorm1d(_Lazy, BatchNorm1d):
    """`BatchNorm1d` of inputs of any number of channels.

    >>> dg.nn.LazyBatchNorm1d()(dg.ones(8, 3)).shape
    (8, 3)
    """

    plain, size, axis = BatchNorm1d, "num_features", 1


class LazyBatchNorm2d(_Lazy, BatchNorm2d):
    """`BatchNorm2d` of inputs of any number of channels.

    >>> dg.nn.LazyBatchNorm2d()(dg.ones(8, 3, 4, 4)).shape
    (8, 3, 4, 4)
    """

    plain, size, axis = BatchNorm2d, "num_features", 1


class LazyBatchNorm3d(_Lazy, BatchNorm3d):
    """`BatchNorm3d` of inputs of any number of channels.

    >>> dg.nn.LazyBatchNorm3d()(dg.ones(8, 3, 4, 4, 4)).shape
    (8, 3, 4, 4, 4)
    """

    plain, size, axis = BatchNorm3d, "num_features", 1


class LazyInstanceNorm1d(_Lazy, InstanceNorm1d):
    """`InstanceNorm1d` of inputs of any number of channels.

    >>> dg.nn.LazyInstanceNorm1d()(dg.ones(8, 3, 5)).shape
    (8, 3, 5)
    """

    plain, size, axis = InstanceNorm1d, "num_features", -2


class LazyInstanceNorm2d(_Lazy, InstanceNorm2d):
    """`InstanceNorm2d` of inputs of any number of channels.

    >>> dg.nn.LazyInstanceNorm2d()(dg.ones(8, 3, 5, 5)).shape
    (8, 3, 5, 5)
    """

    plain, size, axis = InstanceNorm2d, "num_features", -3


class LazyInstanceNorm3d(_Lazy, InstanceNorm3d):
    """`InstanceNorm3d` of inputs of any number of channels.

    >>> dg.nn.LazyInstanceNorm3d()(dg.ones(8, 3, 5, 5, 5)).shape
    (8, 3, 5, 5, 5)
    """

    plain, size, axis = InstanceNorm3d, "num_features", -4
