"""NAdam: Adam with Nesterov's momentum (Dozat, 2016)."""

from __future__ import annotations

import math
from typing import Any

from ..eager import Tensor, ones
from ..ops.arithmetic import sqrt
from ..ops.transcendental import exp
from .adam import begin, check_options, growth
from .optimizer import Group, Optimizer, State, check_plain, count_in, counter, like
from .update import stands_alone


class NAdam(Optimizer):
    """Adam whose step looks ahead: a part ``1 - mu`` of the gradient itself, and ``mu`` of the next step of m.

    ``mu = beta1 * (1 - 0.5 * 0.96**(t * momentum_decay))`` grows with the steps.

        >>> params = [dg.nn.Parameter(dg.ones(2))]
        >>> optimizer = dg.optim.NAdam(params, lr=0.1)
        >>> (params[0] ** 2).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_options(
            self,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
        )
        check_plain("NAdam", differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize, "foreach": foreach, "capturable": capturable,
                "differentiable": differentiable,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        product = ones((), dtype=count_in(counter(p), p).dtype, device=p.device)
        return {
            "step": counter(p), "mu_product": product, "exp_avg": like(p), "exp_avg_sq": like(p),
        }  # fmt: skip

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        step, m, v, product = (state[k] for k in ("step", "exp_avg", "exp_avg_sq", "mu_product"))
        start, grad = begin(p, grad, state, group)
        count = count_in(step, p)
        slope = group["momentum_decay"] * math.log(0.96)
        mu, following = (beta1 * (1 - 0.5 * exp(t * slope)) for t in (count, count + 1))
        product.copy_(product * mu)
        spread = sqrt(v * (-1.0 / growth(beta2, count))) + group["eps"]
        now = grad / spread * (lr * (1 - mu) / (1 - product))
        ahead = m / spread * (lr * following / (1 - product * following))
        p.copy_(start - now - ahead)
