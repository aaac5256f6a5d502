"""Schedules: what all of them share - epochs, the rates of the groups, their state."""

from __future__ import annotations

from typing import Any

from ...core.errors import ArgumentError
from ...eager import Tensor, no_grad
from ..optimizer import Group, Optimizer


def rate_of(rate: Any) -> float:
    """A rate as a Python float."""
    return float(rate) if isinstance(rate, Tensor) else rate * 1.0


def set_rate(group: Group, rate: float) -> None:
    """Sets a group's learning rate; one that is a tensor is written in place."""
    if isinstance(group["lr"], Tensor):
        with no_grad():
            group["lr"].fill_(rate)
    else:
        group["lr"] = rate


class LRScheduler:
    """Base of the schedules: subclasses define ``get_lr``, the rates for ``last_epoch``.

    Most rates are made from the current ones, as in PyTorch, so that schedules of one optimiser
    multiply.

    >>> optimizer = dg.optim.SGD([dg.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = dg.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    >>> optimizer.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__} takes an Optimizer, not {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", rate_of(group["lr"]))
            elif "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: group {i} has no 'initial_lr' to resume from"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr = self._rates()
        self.step()

    def get_lr(self) -> list[float]:
        """The rate of each group at ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    def _get_closed_form_lr(self) -> list[float]:
        """The same from the initial rates alone, where the schedule has such a formula; PyTorch's name for it."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return [*self._last_lr]

    def step(self, epoch: int | None = None) -> None:
        """Goes on to the next epoch; or to a given one, whatever the rates are by now."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        rates = self.get_lr() if epoch is None else self._get_closed_form_lr()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr[:] = self._rates()  # captured steps exchange the numbers of this very list

    def _rates(self) -> list[float]:
        return [rate_of(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All settings but the optimiser and functions."""
        own = {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}
        return own | {"_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.__dict__.update(state_dict | {"_last_lr": [*state_dict["_last_lr"]]})
