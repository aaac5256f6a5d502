"""Composed and reactive schedules: one after the other, or led by a metric."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...core.errors import ArgumentError
from ...eager import Tensor
from ..optimizer import Optimizer
from .base import rate_of, set_rate


class SequentialLR:
    """Schedules one after the other; each takes over at its milestone, from its own epoch 0.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> warm = dg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.1, total_iters=2)
    >>> then = dg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = dg.optim.lr_scheduler.SequentialLR(optimizer, [warm, then], milestones=[2])
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.1
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[Any],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ArgumentError(
                f"{len(schedulers)} schedules need {len(schedulers) - 1} milestones"
            )
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        for scheduler in self._schedulers:
            scheduler.last_epoch -= 1
        self._schedulers[0].step()

    def step(self) -> None:
        """Goes on to the next epoch."""
        self.last_epoch += 1
        which = bisect_right(self._milestones, self.last_epoch)
        if which and self._milestones[which - 1] == self.last_epoch:
            self._schedulers[which].step(0)
        else:
            self._schedulers[which].step()

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return [rate_of(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The epoch and the states of the schedules."""
        return {
            "last_epoch": self.last_epoch,
            "_schedulers": [s.state_dict() for s in self._schedulers],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.last_epoch = state_dict["last_epoch"]
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler:
    """Schedules of one optimiser side by side: each step is one of each, and their factors multiply.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> halves = dg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> tenths = dg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.1)
    >>> scheduler = dg.optim.lr_scheduler.ChainedScheduler([halves, tenths])
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.05
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError("ChainedScheduler needs at least one schedule")
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        if any(s.optimizer is not self.optimizer for s in schedulers):
            raise ArgumentError("ChainedScheduler takes schedules of one optimiser")
        self._schedulers = list(schedulers)

    def step(self) -> None:
        """Goes on to the next epoch."""
        for scheduler in self._schedulers:
            scheduler.step()

    def get_last_lr(self) -> list[float]:
        """The current rates."""
        return [rate_of(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The states of the schedules."""
        return {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau:
    """Times `factor` when a metric has not improved for `patience` epochs.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    >>> scheduler.step(2.0)
    >>> scheduler.step(3.0)
    >>> optimizer.param_groups[0]["lr"]
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0.0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1.0 or mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                "ReduceLROnPlateau: factor below 1, mode 'min' or 'max', threshold_mode 'rel' or 'abs'"
            )
        n = len(optimizer.param_groups)
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * n
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = [rate_of(group["lr"]) for group in optimizer.param_groups]
        self._reset()

    def _reset(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * value < sign * self.best - self.threshold
        return sign * value < sign * self.best * (1 - sign * self.threshold)

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Tells the metric of an epoch."""
        value = metrics.item() if isinstance(metrics, Tensor) else metrics
        value = value if isinstance(value, float) else float(value)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr[:] = [rate_of(group["lr"]) for group in self.optimizer.param_groups]

    def _reduce(self) -> None:
        for group, low in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            old = rate_of(group["lr"])
            new = max(old * self.factor, low)
            if old - new > self.eps:
                set_rate(group, new)

    def get_last_lr(self) -> list[float]:
        """The current rates."""
        return [*self._last_lr]

    def state_dict(self) -> dict[str, Any]:
        """All settings but the optimiser."""
        own = {k: v for k, v in self.__dict__.items() if k != "optimizer"}
        return own | {"_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.__dict__.update(state_dict | {"_last_lr": [*state_dict["_last_lr"]]})
