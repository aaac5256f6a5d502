"""Convolution layers of one to three spatial axes, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, empty
from . import functional as F
from . import init
from .functional.convolution import each_axis
from .module import Module
from .parameter import Parameter

Ints = tuple[int, ...]


class _ConvNd(Module):
    """What all convolutions share: sizes, weight, bias, padding mode."""

    axes = 0
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: int, bias: bool, padding_mode: str, output_padding: Any, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        name, n = type(self).__name__, self.axes
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: in_channels={in_channels} and out_channels={out_channels} must divide by groups={groups}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(
                f"{name}: padding_mode {padding_mode!r} is not zeros, reflect, replicate or circular"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = each_axis(kernel_size, n, "kernel_size")
        self.stride = each_axis(stride, n, "stride")
        self.padding = padding if isinstance(padding, str) else each_axis(padding, n, "padding")
        if self.padding == "same" and any(s != 1 for s in self.stride):
            raise ArgumentError(
                f"{name}: padding='same' is not defined for stride {self.stride}; give the padding in numbers"
            )
        self.dilation = each_axis(dilation, n, "dilation")
        self.output_padding = each_axis(output_padding, n, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        ends = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (ends[0], ends[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew: uniform in ``+-1 / sqrt(fan_in)``."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init.fans(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ]
        if isinstance(self.padding, str) or any(self.padding):
            parts.append(f"padding={self.padding}")
        if any(d != 1 for d in self.dilation):
            parts.append(f"dilation={self.dilation}")
        if any(self.output_padding):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    """A convolution of `axes` spatial axes: subclasses give the function, `convolve`."""

    convolve: Callable[..., Tensor]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, 0,
            device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._ends(), mode=self.padding_mode)
            padding = 0
        return type(self).convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _ends(self) -> list[int]:
        """The padding as `F.pad` takes it: last axis first."""
        if self.padding == "valid":
            return [0] * 2 * self.axes
        if self.padding == "same":
            totals = [d * (k - 1) for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            return [end for t in reversed(totals) for end in (t // 2, t - t // 2)]
        return [p for p in reversed(self.padding) for _ in range(2)]


class Conv1d(_Conv):
    """Cross-correlation: (N, in_channels, L) to (N, out_channels, L').

    >>> dg.nn.Conv1d(3, 8, kernel_size=3, padding=1)(dg.ones(1, 3, 16)).shape
    (1, 8, 16)
    """

    axes = 1
    convolve = staticmethod(F.conv1d)


class Conv2d(_Conv):
    """Cross-correlation: (N, in_channels, H, W) to (N, out_channels, H', W').

    >>> from dualgraph import nn
    >>> nn.Conv2d(3, 8, 3, padding=1)(dg.zeros(1, 3, 5, 5)).shape
    (1, 8, 5, 5)
    """

    axes = 2
    convolve = staticmethod(F.conv2d)


class Conv3d(_Conv):
    """Cross-correlation: (N, in_channels, D, H, W) to (N, out_channels, D', H', W').

    >>> dg.nn.Conv3d(3, 8, 3)(dg.ones(1, 3, 6, 6, 6)).shape
    (1, 8, 4, 4, 4)
    """

    axes = 3
    convolve = staticmethod(F.conv3d)


class _ConvTranspose(_ConvNd):
    """The transpose of a convolution: subclasses give the function, `convolve`."""

    transposed = True
    convolve: Callable[..., Tensor]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ArgumentError(f"{type(self).__name__}: only padding_mode='zeros' is supported")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            output_padding, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = (
            self.output_padding
            if output_size is None
            else self._extra_for(input, tuple(output_size))
        )
        return type(self).convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _extra_for(self, input: Tensor, size: Ints) -> Ints:
        """The output padding that gives the wanted spatial size."""
        n = self.axes
        smallest = tuple(
            (d - 1) * s - 2 * p + g * (k - 1) + 1
            for d, s, p, g, k in zip(
                input.shape[-n:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        extra = tuple(wanted - low for wanted, low in zip(size[-n:], smallest, strict=True))
        if any(
            not 0 <= e < max(s, g)
            for e, s, g in zip(extra, self.stride, self.dilation, strict=True)
        ):
            raise ArgumentError(
                f"output_size {size} is out of reach: the smallest is {smallest}, stride {self.stride}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """Transpose of `Conv1d`: (N, in_channels, L) to (N, out_channels, L').

    >>> dg.nn.ConvTranspose1d(3, 8, 2, stride=2)(dg.ones(1, 3, 8)).shape
    (1, 8, 16)
    """

    axes = 1
    convolve = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Transpose of `Conv2d`: (N, in_channels, H, W) to (N, out_channels, H', W').

    >>> dg.nn.ConvTranspose2d(3, 8, 2, stride=2)(dg.ones(1, 3, 8, 8)).shape
    (1, 8, 16, 16)
    """

    axes = 2
    convolve = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """Transpose of `Conv3d`: (N, in_channels, D, H, W) to (N, out_channels, D', H', W').

    >>> dg.nn.ConvTranspose3d(3, 8, 2, stride=2)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 8, 8, 8, 8)
    """

    axes = 3
    convolve = staticmethod(F.conv_transpose3d)
