"""DataParallel: the name under which scripts wrap a model for several devices; here one device has all of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import ArgumentError
from .module import Module


class DataParallel(Module):
    """Calls `module`: what PyTorch's does with no or one GPU. Parameters are saved as ``module.<name>``, as there.

    Kernels share a batch among all cores without it. More than one device raises ArgumentError.

    >>> from dualgraph import nn
    >>> nn.DataParallel(nn.Linear(3, 2))(dg.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:  # fmt: skip
        super().__init__()
        if device_ids is not None and len(device_ids) > 1:
            raise ArgumentError(
                f"DataParallel: a batch is not split over the devices {list(device_ids)}; name one device or none"
            )
        self.module = module
        self.device_ids = list(device_ids or ())
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
