"""Models for several devices or processes: `DataParallel`, where one device has all of a batch, and
`DistributedDataParallel`, which averages gradients over processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..core.errors import ArgumentError
from ..distributed import ProcessGroup, ReduceOp, all_reduce, broadcast, get_world_size
from ..eager import Tensor
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


class DistributedDataParallel(Module):
    """Calls `module`; parameters and buffers begin as those of rank 0, and each `backward` leaves gradients that are
    averaged over all processes (see `dualgraph.distributed`). Parameters are saved as ``module.<name>``.

    All processes take the same parameters into a step. Alone, it is `module` and nothing else; steps of several
    processes run eagerly, as those with hooks do.

    >>> from dualgraph import nn
    >>> dg.distributed.init_process_group(rank=0, world_size=1)
    >>> nn.parallel.DistributedDataParallel(nn.Linear(3, 2))(dg.ones(5, 3)).shape
    (5, 2)
    >>> dg.distributed.destroy_process_group()
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool = True, process_group: ProcessGroup | None = None, **_: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.module, self.process_group, self.require_sync = module, process_group, True
        if get_world_size(process_group) == 1:
            return
        for t in (*module.parameters(), *module.buffers()):
            broadcast(t, 0, process_group)
        for p in module.parameters():
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(self._average)

    def _average(self, p: Tensor) -> None:
        if self.require_sync and p.grad is not None:
            all_reduce(p.grad, ReduceOp.AVG, self.process_group)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A context in which gradients stay those of this process, to be added up."""
        before, self.require_sync = self.require_sync, False
        try:
            yield
        finally:
            self.require_sync = before

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
