"""Pooling layers: largest or mean elements of windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from . import functional as F
from .functional.convolution import each_axis
from .module import Module


class _MaxPool(Module):
    """The largest element of each window: subclasses give the function, `pool`."""

    pool: Callable[..., Any]

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest element of each window of (N, C, L).

    >>> dg.nn.MaxPool1d(2)(dg.ones(1, 3, 8)).shape
    (1, 3, 4)
    """

    pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """Largest element of each window of (N, C, H, W).

    >>> dg.nn.MaxPool2d(2, stride=2)(dg.ones(1, 3, 8, 6)).shape
    (1, 3, 4, 3)
    """

    pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """Largest element of each window of (N, C, D, H, W).

    >>> dg.nn.MaxPool3d(2)(dg.ones(1, 3, 8, 6, 4)).shape
    (1, 3, 4, 3, 2)
    """

    pool = staticmethod(F.max_pool3d)


class AvgPool1d(Module):
    """Mean of each window of (N, C, L).

    >>> dg.nn.AvgPool1d(2)(dg.ones(1, 3, 8)).shape
    (1, 3, 4)
    """

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(AvgPool1d):
    """Mean of each window of (N, C, H, W).

    >>> dg.nn.AvgPool2d(2)(dg.ones(1, 3, 8, 6)).shape
    (1, 3, 4, 3)
    """

    pool: Callable[..., Tensor] = staticmethod(F.avg_pool2d)

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AvgPool3d(AvgPool2d):
    """Mean of each window of (N, C, D, H, W).

    >>> dg.nn.AvgPool3d(2)(dg.ones(1, 3, 8, 6, 4)).shape
    (1, 3, 4, 3, 2)
    """

    pool = staticmethod(F.avg_pool3d)


class _Adaptive(Module):
    """As many windows as are wanted: subclasses give the function, `pool`."""

    pool: Callable[..., Tensor]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means of `output_size` windows that cover (N, C, L).

    >>> dg.nn.AdaptiveAvgPool1d(2)(dg.ones(1, 3, 8)).shape
    (1, 3, 2)
    """

    pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive):
    """Means of `output_size` windows that cover (N, C, H, W).

    >>> dg.nn.AdaptiveAvgPool2d((2, 1))(dg.ones(1, 3, 8, 6)).shape
    (1, 3, 2, 1)
    """

    pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive):
    """Means of `output_size` windows that cover (N, C, D, H, W).

    >>> dg.nn.AdaptiveAvgPool3d(2)(dg.ones(1, 3, 8, 6, 4)).shape
    (1, 3, 2, 2, 2)
    """

    pool = staticmethod(F.adaptive_avg_pool3d)


class _AdaptiveMax(_Adaptive):
    """The largest elements of as many windows as are wanted, and their places if asked for."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Largest elements of `output_size` windows that cover (N, C, L).

    >>> dg.nn.AdaptiveMaxPool1d(2)(dg.ones(1, 3, 8)).shape
    (1, 3, 2)
    """

    pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Largest elements of `output_size` windows that cover (N, C, H, W).

    >>> dg.nn.AdaptiveMaxPool2d(2)(dg.ones(1, 3, 8, 6)).shape
    (1, 3, 2, 2)
    """

    pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Largest elements of `output_size` windows that cover (N, C, D, H, W).

    >>> dg.nn.AdaptiveMaxPool3d(2)(dg.ones(1, 3, 8, 6, 4)).shape
    (1, 3, 2, 2, 2)
    """

    pool = staticmethod(F.adaptive_max_pool3d)


class _MaxUnpool(Module):
    """The inverse of max pooling, with zeros elsewhere: subclasses give the function, `unpool`."""

    unpool: Callable[..., Tensor]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return type(self).unpool(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """What `MaxPool1d` with indices chose, put back into (N, C, L), zeros elsewhere.

    >>> pooled, places = dg.nn.MaxPool1d(2, return_indices=True)(dg.asarray([[[1.0, 5.0, 2.0, 3.0]]]))
    >>> dg.nn.MaxUnpool1d(2)(pooled, places)
    tensor([[[0., 5., 0., 3.]]])
    """

    unpool = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """What `MaxPool2d` with indices chose, put back into (N, C, H, W), zeros elsewhere.

    >>> pooled, places = dg.nn.MaxPool2d(2, return_indices=True)(dg.ones(1, 1, 4, 4))
    >>> dg.nn.MaxUnpool2d(2)(pooled, places).shape
    (1, 1, 4, 4)
    """

    unpool = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """What `MaxPool3d` with indices chose, put back into (N, C, D, H, W), zeros elsewhere.

    >>> pooled, places = dg.nn.MaxPool3d(2, return_indices=True)(dg.ones(1, 1, 4, 4, 4))
    >>> dg.nn.MaxUnpool3d(2)(pooled, places).shape
    (1, 1, 4, 4, 4)
    """

    unpool = staticmethod(F.max_unpool3d)


class _LPPool(Module):
    """Norms of windows: subclasses give the function, `pool`."""

    pool: Callable[..., Tensor]

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Norm of each window of (N, C, L).

    >>> dg.nn.LPPool1d(2, 3)(dg.ones(1, 3, 9)).shape
    (1, 3, 3)
    """

    pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """Norm of each window of (N, C, H, W).

    >>> dg.nn.LPPool2d(2, 3)(dg.ones(1, 3, 9, 9)).shape
    (1, 3, 3, 3)
    """

    pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """Norm of each window of (N, C, D, H, W).

    >>> dg.nn.LPPool3d(2, 3)(dg.ones(1, 3, 9, 9, 9)).shape
    (1, 3, 3, 3, 3)
    """

    pool = staticmethod(F.lp_pool3d)


class _FractionalMaxPool(Module):
    """The largest elements of windows at random places: subclasses give the function, `pool`."""

    axes: int
    pool: Callable[..., Any]

    def __init__(
        self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(f"{type(self).__name__}: takes one of output_size and output_ratio")
        self.kernel_size = each_axis(kernel_size, self.axes, "kernel_size")
        self.output_size, self.output_ratio = output_size, output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples, persistent=False)

    def forward(self, input: Tensor) -> Any:
        how = self.output_size, self.output_ratio, self.return_indices, self._random_samples
        return type(self).pool(input, self.kernel_size, *how)


class FractionalMaxPool2d(_FractionalMaxPool):
    """Largest elements of windows of (N, C, H, W) whose places are drawn; see `functional.fractional_max_pool2d`.

    >>> dg.nn.FractionalMaxPool2d(2, output_ratio=0.5)(dg.ones(1, 1, 8, 8)).shape
    (1, 1, 4, 4)
    """

    axes, pool = 2, staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """Largest elements of windows of (N, C, D, H, W) whose places are drawn.

    >>> dg.nn.FractionalMaxPool3d(2, output_size=3)(dg.ones(1, 1, 8, 8, 8)).shape
    (1, 1, 3, 3, 3)
    """

    axes, pool = 3, staticmethod(F.fractional_max_pool3d)
