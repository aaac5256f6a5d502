"""RMSprop: steps scaled by the running root mean square of the gradient (Tieleman and Hinton, 2012)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import sqrt
from .optimizer import Group, Optimizer, State, check_plain, check_range, counter, like
from .update import stands_alone


class RMSprop(Optimizer):
    """``p -= lr * g / (sqrt(v) + eps)`` for a running mean v of g**2; `centered` takes the variance of g.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.RMSprop(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    >>> params[0]
    Parameter containing:
    tensor([5.9605e-08, 5.9605e-08], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
        momentum: float = 0.0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        options = (
            ("lr", lr),
            ("alpha", alpha),
            ("eps", eps),
            ("weight_decay", weight_decay),
            ("momentum", momentum),
        )
        for name, value in options:
            check_range("RMSprop", name, value)
        check_plain("RMSprop", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
                "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
                "differentiable": differentiable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        state = {"step": counter(p), "square_avg": like(p)}
        if group["momentum"]:
            state["momentum_buffer"] = like(p)
        if group["centered"]:
            state["grad_avg"] = like(p)
        return state

    def _state_of(self, p: Tensor, group: Group) -> State:
        """As in the base; schedulers may have switched momentum on after the state was made."""
        state = super()._state_of(p, group)
        if group["momentum"] and "momentum_buffer" not in state:
            state["momentum_buffer"] = like(p)
        return state

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        alpha, v = group["alpha"], state["square_avg"]
        state["step"].add_(1)
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        v.copy_(v * alpha + grad * grad * (1 - alpha))
        spread: Any = v
        if group["centered"]:
            mean = state["grad_avg"]
            mean.copy_(mean + (grad - mean) * (1 - alpha))
            spread = v - mean * mean
        move = grad / (sqrt(spread) + group["eps"])
        if group["momentum"]:
            move = state["momentum_buffer"].copy_(
                state["momentum_buffer"] * group["momentum"] + move
            )
        p.copy_(p - move * group["lr"])
