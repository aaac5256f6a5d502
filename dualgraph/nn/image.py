"""Image layers: resizing, padding, pixel shuffling, patches."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from . import functional as F
from .module import Module


class Upsample(Module):
    """Resizes (N, C, ...) to `size` or by `scale_factor`.

    >>> dg.nn.Upsample(scale_factor=2)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = size
        self.scale_factor = (
            float(scale_factor) if isinstance(scale_factor, (int, float)) else scale_factor
        )
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        which = "size" if self.scale_factor is None else "scale_factor"
        return f"{which}={getattr(self, which)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resizes (N, C, H, W) to the nearest pixels.

    >>> dg.nn.UpsamplingNearest2d(scale_factor=2)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resizes (N, C, H, W) linearly, corners kept where they are.

    >>> dg.nn.UpsamplingBilinear2d(scale_factor=2)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class _Pad(Module):
    """Padding of the last `axes` axes by a `mode`."""

    axes = 0
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (padding,) * 2 * self.axes if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad1d(_Pad):
    """Zeros around the last axis.

    >>> dg.nn.ZeroPad1d(1)(dg.ones(1, 3, 4)).shape
    (1, 3, 6)
    """

    axes = 1


class ZeroPad2d(_Pad):
    """Zeros around the last 2 axes.

    >>> dg.nn.ZeroPad2d((1, 1, 0, 0))(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 4, 6)
    """

    axes = 2


class ZeroPad3d(_Pad):
    """Zeros around the last 3 axes.

    >>> dg.nn.ZeroPad3d(1)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 6, 6, 6)
    """

    axes = 3


class _ConstantPad(_Pad):
    """Padding with one value."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """One value around the last axis.

    >>> dg.nn.ConstantPad1d((1, 2), 0.5)(dg.ones(1, 3, 4)).shape
    (1, 3, 7)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """One value around the last 2 axes.

    >>> dg.nn.ConstantPad2d(1, 0.5)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 6, 6)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """One value around the last 3 axes.

    >>> dg.nn.ConstantPad3d(1, 0.5)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 6, 6, 6)
    """

    axes = 3


class ReflectionPad1d(_Pad):
    """The last axis mirrored at its ends.

    >>> dg.nn.ReflectionPad1d(1)(dg.ones(1, 3, 4)).shape
    (1, 3, 6)
    """

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last 2 axes mirrored at their ends.

    >>> dg.nn.ReflectionPad2d(1)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 6, 6)
    """

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The last 3 axes mirrored at their ends.

    >>> dg.nn.ReflectionPad3d(1)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 6, 6, 6)
    """

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The ends of the last axis repeated.

    >>> dg.nn.ReplicationPad1d(1)(dg.ones(1, 3, 4)).shape
    (1, 3, 6)
    """

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The ends of the last 2 axes repeated.

    >>> dg.nn.ReplicationPad2d(1)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 6, 6)
    """

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The ends of the last 3 axes repeated.

    >>> dg.nn.ReplicationPad3d(1)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 6, 6, 6)
    """

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last axis continued from its other end.

    >>> dg.nn.CircularPad1d(1)(dg.ones(1, 3, 4)).shape
    (1, 3, 6)
    """

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last 2 axes continued from their other ends.

    >>> dg.nn.CircularPad2d(1)(dg.ones(1, 3, 4, 4)).shape
    (1, 3, 6, 6)
    """

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The last 3 axes continued from their other ends.

    >>> dg.nn.CircularPad3d(1)(dg.ones(1, 3, 4, 4, 4)).shape
    (1, 3, 6, 6, 6)
    """

    axes, mode = 3, "circular"


class PixelShuffle(Module):
    """(..., C * r * r, H, W) to (..., C, H * r, W * r).

    >>> dg.nn.PixelShuffle(2)(dg.ones(1, 8, 2, 3)).shape
    (1, 2, 4, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H * r, W * r) to (..., C * r * r, H, W).

    >>> dg.nn.PixelUnshuffle(2)(dg.ones(1, 2, 4, 6)).shape
    (1, 8, 2, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Channels of `groups` groups taken in turn: (N, C, ...).

    >>> dg.nn.ChannelShuffle(2)(dg.ones(1, 4, 3)).shape
    (1, 4, 3)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """Patches of (N, C, H, W) as columns.

    >>> dg.nn.Unfold(kernel_size=2)(dg.ones(1, 2, 4, 4)).shape
    (1, 8, 9)
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """Columns of patches summed into (N, C, *output_size).

    >>> dg.nn.Fold(output_size=(4, 4), kernel_size=2)(dg.ones(1, 8, 9)).shape
    (1, 2, 4, 4)
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
