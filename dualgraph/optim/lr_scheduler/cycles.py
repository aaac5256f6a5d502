"""Cycles: schedules along cosines, and the one-cycle policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.errors import ArgumentError
from ...core.numbers.live_calls import MODULE as math  # captures follow what it gives
from ..optimizer import Group, Optimizer
from .base import LRScheduler, set_rate


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to `eta_min` over `T_max` epochs (Loshchilov and Hutter, 2017).

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.8536
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, low = self.last_epoch, self.eta_min
        if t == 0:
            return self._rates()
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up again from eta_min
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                rate + (base - low) * rise
                for base, rate in zip(self.base_lrs, self._rates(), strict=True)
            ]
        share = (1 + math.cos(math.pi * t / self.T_max)) / (
            1 + math.cos(math.pi * (t - 1) / self.T_max)
        )
        return [share * (rate - low) + low for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosines from the initial rate to `eta_min`, each `T_mult` times as long (Loshchilov and Hutter, 2017).

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.8536
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if T_0 <= 0 or T_mult < 1:
            raise ArgumentError(
                f"T_0 must be positive and T_mult at least 1, not {T_0} and {T_mult}"
            )
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _position(self) -> tuple[float, float]:
        """(epochs since the last restart, length of this cosine)."""
        t, length = self.last_epoch * 1.0, self.T_0 * 1.0
        if self.T_mult == 1:
            return t % length, length
        while t >= length:
            t, length = t - length, length * self.T_mult
        return t, length

    def get_lr(self) -> list[float]:
        t, length = self._position()
        share = (1 + math.cos(math.pi * t / length)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


def set_momentum(owner: str, group: Group, momentum: float) -> None:
    """Sets a group's momentum: its first beta, or the option of that name."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = momentum
    else:
        raise ArgumentError(f"{owner}: the optimiser has no momentum; pass cycle_momentum=False")


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then far down, momentum the other way (Smith and Topin, 2018); one step a batch.

    >>> optimizer = dg.optim.SGD([dg.nn.Parameter(dg.ones(1))], lr=1.0)
    >>> scheduler = dg.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=4, cycle_momentum=False)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(optimizer.param_groups[0]["lr"], 4)
    0.8117
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
        cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if not total_steps or total_steps <= 0:
            raise ArgumentError(
                "OneCycleLR needs total_steps, or epochs and steps_per_epoch, above 0"
            )
        if anneal_strategy not in ("cos", "linear") or not 0 <= pct_start <= 1:
            raise ArgumentError(
                "OneCycleLR: anneal_strategy is 'cos' or 'linear', pct_start in [0, 1]"
            )
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self._ends = self._phase_ends(total_steps, pct_start, three_phase)
        tops = (
            list(max_lr)
            if isinstance(max_lr, (list, tuple))
            else [max_lr] * len(optimizer.param_groups)
        )
        for group, top in zip(optimizer.param_groups, tops, strict=True):
            low = top / div_factor
            group["max_lr"], group["min_lr"] = top, low / final_div_factor
            if cycle_momentum:
                group["base_momentum"], group["max_momentum"] = base_momentum, max_momentum
            if last_epoch == -1:
                group["initial_lr"] = low
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _phase_ends(total: int, pct: float, three_phase: bool) -> list[float]:
        if three_phase:
            return [pct * total - 1, 2 * pct * total - 2, float(total - 1)]
        return [pct * total - 1, float(total - 1)]

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))

    def _between(self, group: Group, names: Sequence[str]) -> float:
        """Where a group's option is now, on its way from one to the next of the options of these names."""
        first, *middle, last = (group[name] for name in names)
        back = [first] if len(self._ends) == 3 else []
        return self._at([first, *middle, *back, last])

    def _at(self, points: Sequence[float]) -> float:
        t, start = self.last_epoch, 0.0
        for i, end in enumerate(self._ends):
            if t <= end or i == len(self._ends) - 1:
                return self._anneal(points[i], points[i + 1], (t - start) / (end - start))
            start = end
        raise AssertionError

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {self.last_epoch + 1} of {self.total_steps}")
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            momentum = self._between(group, ("max_momentum", "base_momentum", "max_momentum"))
            set_momentum("OneCycleLR", group, momentum)
        rates = ("initial_lr", "max_lr", "min_lr")
        return [self._between(group, rates) for group in self.optimizer.param_groups]


_HEIGHTS: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda cycle, gamma: 1.0),
    "triangular2": ("cycle", lambda cycle, gamma: 1 / 2.0 ** (cycle - 1)),
    "exp_range": ("iterations", lambda step, gamma: gamma**step),
}  # fmt: skip


class CyclicLR(LRScheduler):
    """Up and down between `base_lr` and `max_lr` in straight lines (Smith, 2017); one step a batch.

    >>> optimizer = dg.optim.SGD([dg.ones(1, requires_grad=True)], lr=1.0)
    >>> schedule = dg.optim.lr_scheduler.CyclicLR(optimizer, 1.0, 3.0, step_size_up=2, cycle_momentum=False)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(schedule.get_last_lr()[0])
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle",
        cycle_momentum: bool = True, base_momentum: Any = 0.8, max_momentum: Any = 0.9, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if scale_fn is None and mode not in _HEIGHTS:
            raise ArgumentError(f"CyclicLR: mode is one of {', '.join(_HEIGHTS)}, not {mode!r}")
        n = len(optimizer.param_groups)
        self.total_size = float(step_size_up + (step_size_down or step_size_up))
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _HEIGHTS[mode][0]
        self.cycle_momentum = cycle_momentum
        self.max_lrs = _one_each(max_lr, n)
        self.base_momentums, self.max_momentums = (
            _one_each(base_momentum, n),
            _one_each(max_momentum, n),
        )
        momenta = zip(self.base_momentums, self.max_momentums, strict=True)
        for group, (low, top) in zip(optimizer.param_groups, momenta, strict=True):
            if cycle_momentum:
                group["base_momentum"], group["max_momentum"] = low, top
        lows = _one_each(base_lr, n)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lows, strict=True):
                set_rate(group, rate)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows  # whatever rates other schedules begin with

    def _height(self) -> float:
        """How far up: 0 at the base, 1 at the top of the first cycle."""
        turns = 1 + self.last_epoch / self.total_size
        cycle = math.floor(turns)
        at = turns - cycle
        rise = at / self.step_ratio if at <= self.step_ratio else (at - 1) / (self.step_ratio - 1)
        given = cycle if self.scale_mode == "cycle" else self.last_epoch
        if self.scale_fn is not None:
            return rise * self.scale_fn(given)
        return rise * _HEIGHTS[self.mode][1](given, self.gamma)

    def get_lr(self) -> list[float]:
        height = self._height()
        if self.cycle_momentum:
            ranges = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, top) in zip(self.optimizer.param_groups, ranges, strict=True):
                set_momentum("CyclicLR", group, top - (top - low) * height)
        return [
            low + (top - low) * height for low, top in zip(self.base_lrs, self.max_lrs, strict=True)
        ]


def _one_each(value: Any, n: int) -> list[float]:
    return list(value) if isinstance(value, (list, tuple)) else [value] * n
