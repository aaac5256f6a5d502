"""Normalisation layers: batch, layer, group, instance and root-mean-square norm."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from ..eager import Tensor, ones, tensor, zeros
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Affine(Module):
    """A norm with a weight that starts at 1 and a bias that starts at 0, or without."""

    def _make_parameters(self, shape: Any, weight: bool, bias: bool, **how: Any) -> None:
        self.register_parameter("weight", Parameter(ones(shape, **how)) if weight else None)
        self.register_parameter("bias", Parameter(zeros(shape, **how)) if weight and bias else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _ChannelNorm(_Affine):
    """Weight, bias and running moments of each channel."""

    ndims: tuple[int, ...] = ()

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool,
        device: Any, dtype: Any, bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        how = {"device": device, "dtype": dtype}
        self._make_parameters(num_features, affine, bias, **how)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **how) if track else None)
        self.register_buffer("running_var", ones(num_features, **how) if track else None)
        self.register_buffer(
            "num_batches_tracked", tensor(0, dtype="int64", device=device) if track else None
        )

    def reset_running_stats(self) -> None:
        """Puts the running moments back to mean 0 and variance 1."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Puts weight, bias and running moments back to their start."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.ndims:
            wanted = " or ".join(map(str, self.ndims))
            raise ShapeError(
                f"{type(self).__name__}: input must have {wanted} axes, not shape {input.shape}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    """Norm by the mean and variance of each channel over the batch; running ones outside training."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        momentum: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the mean over all batches so far
                momentum = 1.0 / self.num_batches_tracked.to(dtype=self.running_mean.dtype)
        tracked = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if momentum is None else momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, C) or (N, C, L).

    >>> dg.nn.BatchNorm1d(3)(dg.ones(8, 3)).shape
    (8, 3)
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, C, H, W).

    >>> dg.nn.BatchNorm2d(3)(dg.ones(8, 3, 4, 4)).shape
    (8, 3, 4, 4)
    """

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch norm of (N, C, D, H, W).

    >>> dg.nn.BatchNorm3d(3)(dg.ones(8, 3, 4, 4, 4)).shape
    (8, 3, 4, 4, 4)
    """

    ndims = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch norm of (N, C, ...) over the batches of all processes: here there is one, so over its own.

    >>> dg.nn.SyncBatchNorm.convert_sync_batchnorm(dg.nn.Sequential(dg.nn.BatchNorm1d(3)))[0]
    SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    ndims = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with each batch norm in it made one of this class; parameters stay the same objects."""
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            out = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group,
            )  # fmt: skip
            for table in ("_parameters", "_buffers"):
                vars(out)[table].update(vars(module)[table])
            return out.train(module.training)
        for name, child in module.named_children():
            vars(module)["_modules"][name] = cls.convert_sync_batchnorm(child, process_group)
        return module


class _InstanceNorm(_ChannelNorm):
    """Norm by the mean and variance of each channel of each sample."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        single = input.ndim == self.ndims[0]
        x = input.reshape(1, *input.shape) if single else input
        out = F.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, self.momentum, self.eps,
        )  # fmt: skip
        return out.reshape(input.shape) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of (N, C, L) or (C, L).

    >>> dg.nn.InstanceNorm1d(3)(dg.ones(8, 3, 5)).shape
    (8, 3, 5)
    """

    ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of (N, C, H, W) or (C, H, W).

    >>> dg.nn.InstanceNorm2d(3)(dg.ones(8, 3, 5, 5)).shape
    (8, 3, 5, 5)
    """

    ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of (N, C, D, H, W) or (C, D, H, W).

    >>> dg.nn.InstanceNorm3d(3)(dg.ones(8, 3, 5, 5, 5)).shape
    (8, 3, 5, 5, 5)
    """

    ndims = (4, 5)


def _shape(normalized_shape: Any) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(_Affine):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes.

    >>> from dualgraph import nn
    >>> nn.LayerNorm(4)(dg.zeros(2, 4)).shape
    (2, 4)
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_parameters(
            self.normalized_shape, elementwise_affine, bias, device=device, dtype=dtype
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
            f", bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """``x / sqrt(mean(x**2) + eps) * weight`` over the last axes.

    >>> dg.nn.RMSNorm(4)(dg.ones(8, 4)).shape
    (8, 4)
    """

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = (
            Parameter(ones(self.normalized_shape, device=device, dtype=dtype))
            if elementwise_affine
            else None
        )
        self.register_parameter("weight", weight)

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Each sample's channels in `num_groups` groups, each brought to mean 0 and variance 1.

    >>> dg.nn.GroupNorm(2, 4)(dg.ones(8, 4, 5)).shape
    (8, 4, 5)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ShapeError(
                f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make_parameters(num_channels, affine, bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Each channel divided by a power of the mean square over neighbouring channels.

    >>> dg.nn.LocalResponseNorm(2)(dg.ones(8, 4, 5)).shape
    (8, 4, 5)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
