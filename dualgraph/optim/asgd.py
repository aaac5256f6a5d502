"""ASGD: descent whose average over the steps is kept beside the parameters (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor, full
from ..ops.arithmetic import maximum, where
from ..ops.transcendental import pow
from .optimizer import Group, Optimizer, State, check_plain, check_range, count_in, counter, like
from .update import stands_alone


class ASGD(Optimizer):
    """``p = p * (1 - lambd * eta) - eta * g`` with a falling eta; state ``ax`` is the average of p from step t0 on.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.ASGD(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0.0, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        check_range("ASGD", "lr", lr)
        check_range("ASGD", "weight_decay", weight_decay)
        check_plain("ASGD", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
                "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
                "capturable": capturable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        size = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
        kind = {"dtype": count_in(counter(p), p).dtype, "device": p.device}
        return {
            "step": counter(p), "eta": full((), size, **kind), "mu": full((), 1.0, **kind), "ax": like(p),
        }  # fmt: skip

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        step, eta, mu, average = (state[k] for k in ("step", "eta", "mu", "ax"))
        lr, lambd = group["lr"], group["lambd"]
        step.add_(1)
        # What schedulers have made of the rate since the construction
        eta.copy_(where(step == 1, lr, eta))
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        p.copy_(p * (1 - eta * lambd) - grad * eta)
        average.copy_(average + (p - average) * mu)
        count = count_in(step, p)
        eta.copy_(lr / pow(1 + count * lambd * lr, group["alpha"]))
        mu.copy_(1 / maximum(count - group["t0"], 1.0))
