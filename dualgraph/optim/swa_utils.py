"""Averages of models along their training: of equal weight (SWA), or fading (EMA).

Izmailov et al., Averaging weights leads to wider optima and better generalization (2018).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, no_grad, tensor, where
from ..nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from .lr_scheduler.base import LRScheduler
from .optimizer import Optimizer

__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Tensor], Tensor]


def get_swa_avg_fn() -> Average:
    """The mean of all models so far.

    >>> mean = dg.optim.swa_utils.get_swa_avg_fn()
    >>> mean(dg.tensor(1.0), dg.tensor(4.0), dg.tensor(2)).item()  # the third model
    2.0
    """

    def swa_update(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged + (current - averaged) / (num_averaged + 1).to(averaged.dtype)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * average + (1 - decay) * model``.

    >>> average = dg.optim.swa_utils.get_ema_avg_fn(decay=0.5)
    >>> average(dg.ones(1), dg.zeros(1), 1)
    tensor([0.5000])
    """
    if not 0 <= decay <= 1:
        raise ArgumentError(f"get_ema_avg_fn: decay is in [0, 1], not {decay}")

    def ema_update(averaged: Tensor, current: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged * decay + current * (1 - decay)

    return ema_update


def _each(average: Average) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    def update(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor) -> None:
        for a, c in zip(averaged, current, strict=True):
            a.copy_(average(a, c, num_averaged))

    return update


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """`get_swa_avg_fn` over lists, in place.

    >>> average = [dg.tensor([1.0])]
    >>> dg.optim.swa_utils.get_swa_multi_avg_fn()(average, [dg.tensor([4.0])], dg.tensor(2))
    >>> average[0].tolist()
    [2.0]
    """
    return _each(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:  # fmt: skip
    """`get_ema_avg_fn` over lists, in place.

    >>> average = [dg.tensor([1.0])]
    >>> dg.optim.swa_utils.get_ema_multi_avg_fn(0.5)(average, [dg.tensor([4.0])], dg.tensor(2))
    >>> average[0].tolist()
    [2.5]
    """
    return _each(get_ema_avg_fn(decay))


class AveragedModel(Module):
    """A copy of a model, ``module``, whose parameters are averages of the model's at each ``update_parameters``.

    The first update copies. Buffers are averaged with `use_buffers`, else copied at each update.

    >>> model = dg.nn.Linear(2, 1)
    >>> ema = dg.optim.swa_utils.AveragedModel(model, avg_fn=dg.optim.swa_utils.get_ema_avg_fn(0.9))
    >>> ema.update_parameters(model)
    >>> bool((ema(dg.ones(1, 2)) == model(dg.ones(1, 2))).all())
    True
    """

    n_averaged: Tensor
    module: Module

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Average | None = None, multi_avg_fn: Any = None,
        use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype="int64", device=device))
        self.use_buffers = use_buffers
        self._update = multi_avg_fn or _each(avg_fn or get_swa_avg_fn())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Tensor]:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else ())]

    def update_parameters(self, model: Module) -> None:
        """Takes the model's parameters, as they are now, into the average."""
        with no_grad():
            own, new = self._averaged(self.module), [t.detach() for t in self._averaged(model)]
            self._update(own, new, self.n_averaged)
            first = self.n_averaged == 0
            for a, c in zip(own, new, strict=True):
                a.copy_(where(first, c, a))
            if not self.use_buffers:
                for a, c in zip(self.module.buffers(), model.buffers(), strict=True):
                    a.copy_(c)
            self.n_averaged.add_(1)


class SWALR(LRScheduler):
    """Leads the rate to `swa_lr` within `anneal_epochs` steps, along a cosine or a line, and holds it there.

    >>> optimizer = dg.optim.SGD([dg.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = dg.optim.swa_utils.SWALR(optimizer, 0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> rates = []
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     schedule.step()
    ...     rates.append(schedule.get_last_lr()[0])
    >>> rates
    [0.75, 0.5, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"SWALR: anneal_strategy is cos or linear, not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(f"SWALR: anneal_epochs is a whole number, not {anneal_epochs!r}")
        groups = optimizer.param_groups
        targets = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(groups)
        for group, lr in zip(groups, targets, strict=True):
            group["swa_lr"] = lr
        self.anneal_epochs, self._cosine = anneal_epochs, anneal_strategy == "cos"
        super().__init__(optimizer, last_epoch)

    def _share(self, t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2 if self._cosine else t

    def get_lr(self) -> list[Any]:
        """The rates of the groups at this step."""
        step, n = self.last_epoch, max(1, self.anneal_epochs)
        before = self._share(max(0.0, min(1.0, (step - 1) / n)))
        share = self._share(max(0.0, min(1.0, step / n)))
        out = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            out.append(goal * share + start * (1 - share))
        return out


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Sets the running moments of batch norms to those over a loader's batches: tensors, or pairs with one first.

    >>> norm = dg.nn.BatchNorm1d(2)
    >>> dg.optim.swa_utils.update_bn([dg.ones(4, 2), 3 * dg.ones(4, 2)], norm)
    >>> norm.running_mean
    tensor([2., 2.])
    """
    norms = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    momenta = [m.momentum for m in norms]
    if not norms:
        return
    was_training = model.training
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # the mean over all batches
    with no_grad():
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    model.train(was_training)
