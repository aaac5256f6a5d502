"""Adamax: Adam with the largest gradient of the recent past in place of the second moment (Kingma and Ba, 2015)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import abs, maximum
from .adam import growth
from .optimizer import Group, Optimizer, State, check_plain, check_range, count_in, counter, like
from .update import stands_alone


class Adamax(Optimizer):
    """``p -= lr / (1 - beta1**t) * m / u`` for the running mean m of g and ``u = max(beta2 * u, |g| + eps)``.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.Adamax(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    >>> params[0]
    Parameter containing:
    tensor([0.9000, 0.9000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, foreach: bool | None = None, *, maximize: bool = False,
        differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            check_range("Adamax", name, value)
        for i, beta in enumerate(betas):
            check_range("Adamax", f"betas[{i}]", beta, below=1.0)
        check_plain("Adamax", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
                "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p), "exp_avg": like(p), "exp_inf": like(p)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        step, m, u = state["step"], state["exp_avg"], state["exp_inf"]
        step.add_(1)
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        m.copy_(m + (grad - m) * (1 - beta1))
        u.copy_(maximum(u * beta2, abs(grad) + group["eps"]))
        p.copy_(p + m / u * (group["lr"] / growth(beta1, count_in(step, p))))
