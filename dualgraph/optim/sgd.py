"""SGD: stochastic gradient descent, with momentum (Polyak, 1964; Nesterov, 1983)."""

from __future__ import annotations

from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..ops.arithmetic import where
from .optimizer import Group, Optimizer, State, check_plain, check_range, counter, like
from .update import stands_alone


class SGD(Optimizer):
    """``p -= lr * v`` with ``v = momentum * v + (1 - dampening) * g`` (at first ``v = g``), g with decay.

    >>> from dualgraph import optim
    >>> p = dg.tensor([1.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> optim.SGD([p], lr=0.25).step()
    >>> p.tolist()
    [0.5]
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            check_range("SGD", name, value)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("SGD: nesterov needs a momentum above 0 and no dampening")
        check_plain("SGD", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
                "fused": fused,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        if not group["momentum"]:
            return {}
        # with dampening the first step differs, so a count tells it apart: in the state, as it may be captured
        return {"momentum_buffer": like(p)} | ({"step": counter(p)} if group["dampening"] else {})

    def _state_of(self, p: Tensor, group: Group) -> State:
        """As in the base; options may have been switched on after the state was made."""
        state = super()._state_of(p, group)
        if group["momentum"] and "momentum_buffer" not in state:
            state["momentum_buffer"] = like(p)
        if group["momentum"] and group["dampening"] and "step" not in state:
            state["step"] = counter(p)
        return state

    def _take_over(self, p: Tensor, group: Group, given: State) -> None:
        started = (
            given.get("momentum_buffer") is not None and "step" not in given and group["dampening"]
        )
        super()._take_over(p, group, {**given, "step": counter(p) + 1} if started else given)

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        momentum = group["momentum"]
        if momentum:
            velocity, fresh = state["momentum_buffer"], grad
            if group["dampening"]:
                damped = grad * (1 - group["dampening"])
                fresh = where(state["step"] == 0, grad, damped)
                state["step"].add_(1)
            velocity.copy_(velocity * momentum + fresh)
            grad = grad + velocity * momentum if group["nesterov"] else velocity
        p.copy_(p - grad * group["lr"])
