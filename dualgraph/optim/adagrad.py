"""Adagrad: steps scaled by the root of all squared gradients so far (Duchi, Hazan and Singer, 2011)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import sqrt
from .optimizer import Group, Optimizer, State, check_plain, check_range, count_in, counter, like
from .update import stands_alone


class Adagrad(Optimizer):
    """``p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum of g**2) + eps)``.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.Adagrad(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    >>> params[0]
    Parameter containing:
    tensor([0.9000, 0.9000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        options = (("lr", lr), ("lr_decay", lr_decay), ("weight_decay", weight_decay), ("eps", eps))
        for name, value in (*options, ("initial_accumulator_value", initial_accumulator_value)):
            check_range("Adagrad", name, value)
        check_plain("Adagrad", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
                "differentiable": differentiable, "fused": fused,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p), "sum": like(p, group["initial_accumulator_value"])}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        step, total = state["step"], state["sum"]
        step.add_(1)
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        total.copy_(total + grad * grad)
        rate = group["lr"]
        if group["lr_decay"]:
            rate = rate / (1 + (count_in(step, p) - 1) * group["lr_decay"])
        p.copy_(p - grad / (sqrt(total) + group["eps"]) * rate)
