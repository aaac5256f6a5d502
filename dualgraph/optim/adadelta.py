"""Adadelta: steps scaled by running means of past gradients and past steps (Zeiler, 2012)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import sqrt
from .optimizer import Group, Optimizer, State, check_plain, check_range, counter, like
from .update import stands_alone


class Adadelta(Optimizer):
    """``p -= lr * d`` with ``d = sqrt(s + eps) / sqrt(v + eps) * g`` for running means v of g**2, s of d**2.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.Adadelta(params)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            check_range("Adadelta", name, value)
        check_range("Adadelta", "rho", rho, below=1.0 + 1e-12)
        check_plain("Adadelta", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p), "square_avg": like(p), "acc_delta": like(p)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        rho, eps = group["rho"], group["eps"]
        v, s = state["square_avg"], state["acc_delta"]
        state["step"].add_(1)
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        v.copy_(v * rho + grad * grad * (1 - rho))
        move = sqrt(s + eps) / sqrt(v + eps) * grad
        s.copy_(s * rho + move * move * (1 - rho))
        p.copy_(p - move * group["lr"])
