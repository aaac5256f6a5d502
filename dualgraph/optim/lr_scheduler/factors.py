"""Factors: schedules that multiply the rate by something at each epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ...core.errors import ArgumentError
from ..optimizer import Optimizer
from .base import LRScheduler


class LambdaLR(LRScheduler):
    """The initial rate times ``lr_lambda(epoch)``.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: 0.5**epoch)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.5
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self._lambdas = _one_each(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * fn(self.last_epoch)
            for fn, base in zip(self._lambdas, self.base_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_lambdas"}


class MultiplicativeLR(LambdaLR):
    """The current rate times ``lr_lambda(epoch)``.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.MultiplicativeLR(optimizer, lr_lambda=lambda epoch: 0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.5
    """

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._rates()
        return [
            rate * fn(self.last_epoch)
            for fn, rate in zip(self._lambdas, self._rates(), strict=True)
        ]

    def _get_closed_form_lr(self) -> list[float]:
        pairs = zip(self._lambdas, self._rates(), strict=True)
        return [rate * fn(self.last_epoch) for fn, rate in pairs]


def _one_each(optimizer: Optimizer, fns: Any) -> list[Callable[[int], float]]:
    n = len(optimizer.param_groups)
    out = list(fns) if isinstance(fns, (list, tuple)) else [fns] * n
    if len(out) != n:
        raise ArgumentError(
            f"expected one function for each of {n} parameter groups, got {len(out)}"
        )
    return out


class _Share(LRScheduler):
    """At each epoch the rate is a share of the initial one."""

    def share(self) -> float:
        """The share at ``last_epoch``."""
        raise NotImplementedError

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.share() for base in self.base_lrs]


class _Factor(_Share):
    """The current rate times a factor of the epoch."""

    def factor(self) -> float:
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        rates = self._rates()
        return rates if self.last_epoch == 0 else [rate * self.factor() for rate in rates]


class StepLR(_Factor):
    """Times `gamma` every `step_size` epochs.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    1.0
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self) -> float:
        return self.gamma if self.last_epoch % self.step_size == 0 else 1.0

    def share(self) -> float:
        return self.gamma ** (self.last_epoch // self.step_size) * 1.0


class MultiStepLR(_Factor):
    """Times `gamma` at each milestone.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.1)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.1
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = dict(Counter(milestones))
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self) -> float:
        here = [times for epoch, times in self.milestones.items() if epoch == self.last_epoch]
        return self.gamma ** sum(here) * 1.0

    def share(self) -> float:
        past = [times for epoch, times in self.milestones.items() if epoch <= self.last_epoch]
        return self.gamma ** sum(past) * 1.0


class ExponentialLR(_Factor):
    """Times `gamma` every epoch.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.5
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self) -> float:
        return self.gamma

    def share(self) -> float:
        return self.gamma**self.last_epoch * 1.0


class ConstantLR(_Share):
    """Times `factor` for the first `total_iters` epochs.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= factor <= 1:
            raise ArgumentError(f"ConstantLR: factor must be in [0, 1], not {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        return [
            rate / self.factor if self.last_epoch == self.total_iters else rate
            for rate in self._rates()
        ]

    def share(self) -> float:
        return self.factor if self.last_epoch < self.total_iters else 1.0


class LinearLR(_Share):
    """From ``start_factor`` to ``end_factor`` of the rate, evenly over `total_iters` epochs.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.625
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ArgumentError(
                f"LinearLR: factors must be in (0, 1] and [0, 1], not {start_factor} and {end_factor}"
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _share_at(self, epoch: int) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * epoch / self.total_iters

    def share(self) -> float:
        return self._share_at(min(self.total_iters, self.last_epoch))

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self.last_epoch > self.total_iters:
            return self._rates()
        return [
            rate * self._share_at(self.last_epoch) / self._share_at(self.last_epoch - 1)
            for rate in self._rates()
        ]


class PolynomialLR(_Factor):
    """The initial rate times ``(1 - epoch / total_iters)**power``.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.75
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def factor(self) -> float:
        if self.last_epoch > self.total_iters:
            return 1.0
        left, before = self.total_iters - self.last_epoch, self.total_iters - self.last_epoch + 1
        rate: float = (left / before) ** self.power
        return rate

    def share(self) -> float:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return left**self.power * 1.0
