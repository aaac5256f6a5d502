"""Rprop: a step size for each number, told by the signs of gradients alone (Riedmiller and Braun, 1993)."""

from __future__ import annotations

from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..ops.arithmetic import maximum, minimum, sign, where
from .optimizer import Group, Optimizer, State, check_plain, check_range, counter, like
from .update import stands_alone


class Rprop(Optimizer):
    """Step sizes grow by ``etas[1]`` while gradients keep their sign and shrink by ``etas[0]`` where they turn.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.Rprop(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    >>> params[0]
    Parameter containing:
    tensor([0.9000, 0.9000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_range("Rprop", "lr", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ArgumentError(f"Rprop: etas must be 0 < etas[0] < 1 < etas[1], not {etas}")
        check_plain("Rprop", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
                "differentiable": differentiable, "capturable": capturable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        size = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
        return {"step": counter(p), "prev": like(p), "step_size": like(p, size)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        shrink, grow = group["etas"]
        least, most = group["step_sizes"]
        before, size = state["prev"], state["step_size"]
        step = state["step"].add_(1)
        # Schedulers may have changed it since the construction
        size.copy_(where(step == 1, group["lr"], size))
        turn = sign(grad * before)
        wanted = where(turn > 0, size * grow, where(turn < 0, size * shrink, size))
        size.copy_(minimum(maximum(wanted, least), most))
        grad = where(turn < 0, 0.0, grad)
        p.copy_(p - sign(grad) * size)
        before.copy_(grad)
