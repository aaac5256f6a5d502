"""RAdam: Adam that trusts its second moment only once there is enough of it (Liu et al., 2020)."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import sqrt, where
from .adam import begin, check_options, growth
from .optimizer import Group, Optimizer, State, check_plain, count_in, counter, like
from .update import stands_alone


class RAdam(Optimizer):
    """``p -= lr * m' * r / (sqrt(v') + eps)``, and ``p -= lr * m'`` while the rectification r is not defined.

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.RAdam(params, lr=0.1)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_options(self, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        check_plain("RAdam", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                "foreach": foreach, "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p), "exp_avg": like(p), "exp_avg_sq": like(p)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        step, m, v = state["step"], state["exp_avg"], state["exp_avg_sq"]
        start, grad = begin(p, grad, state, group)
        count = count_in(step, p)
        grown = growth(beta2, count)  # beta2**t - 1
        most = 2 / (1 - beta2) - 1
        # How many steps the moving average of squares covers.
        length = most + count * (grown + 1) * 2 / grown
        ready = length > 5.0
        held = where(ready, length, 6.0)
        share = (held - 4) * (held - 2) * most / (held * ((most - 4) * (most - 2)))
        scale = sqrt(-grown) * sqrt(share) / (sqrt(v) + group["eps"])
        p.copy_(start + m * where(ready, scale, 1.0) * (lr / growth(beta1, count)))
