"""Adam and AdamW: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import maximum, sqrt
from ..ops.transcendental import expm1
from .optimizer import Group, Optimizer, State, check_plain, check_range, count_in, counter, like
from .update import stands_alone


def growth(beta: float, step: Tensor) -> Any:
    """``beta**step - 1``, through expm1: without the cancellation that a beta near 1 brings."""
    return expm1(step * math.log(beta)) if beta else -1.0


def check_options(optimizer: Optimizer, betas: tuple[float, float], **options: Any) -> None:
    """Raises ArgumentError unless all options are at least 0 and both betas below 1."""
    owner = type(optimizer).__name__
    for name, value in options.items():
        check_range(owner, name, value)
    for i, beta in enumerate(betas):
        check_range(owner, f"betas[{i}]", beta, below=1.0)


def begin(p: Tensor, grad: Tensor, state: State, group: Group) -> tuple[Tensor, Tensor]:
    """Counts a step and follows both moments; gives the parameter and the gradient with weight decay in one of them."""
    (beta1, beta2), decay = group["betas"], group["weight_decay"]
    m, v = state["exp_avg"], state["exp_avg_sq"]
    state["step"].add_(1)
    start = p
    if decay and group["decoupled_weight_decay"]:
        start = p - p * group["lr"] * decay
    elif decay:
        grad = grad + p * decay
    m.copy_(m + (grad - m) * (1 - beta1))
    v.copy_(v * beta2 + grad * grad * (1 - beta2))
    return start, grad


class Adam(Optimizer):
    """``p -= lr * m' / (sqrt(v') + eps)`` for bias-corrected running means m of g and v of g**2.

    With `decoupled_weight_decay` it is `AdamW`. Source: Kingma and Ba, 2015; `amsgrad`: Reddi, Kale
    and Kumar, 2018.

    >>> from dualgraph import optim
    >>> p = dg.tensor([1.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> optim.Adam([p], lr=0.5).step()
    >>> round(p.item(), 6)
    0.5
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check_options(self, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        check_plain(type(self).__name__, differentiable)
        super().__init__(
            params,
            {
                "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                "maximize": maximize, "foreach": foreach, "capturable": capturable,
                "differentiable": differentiable, "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        state = {"step": counter(p), "exp_avg": like(p), "exp_avg_sq": like(p)}
        return state | ({"max_exp_avg_sq": like(p)} if group["amsgrad"] else {})

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        step, m, v = state["step"], state["exp_avg"], state["exp_avg_sq"]
        start, grad = begin(p, grad, state, group)
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"].copy_(maximum(state["max_exp_avg_sq"], v))
        count = count_in(step, p)
        spread = sqrt(v * (-1.0 / growth(beta2, count))) + group["eps"]
        p.copy_(start + m / spread * (lr / growth(beta1, count)))


class AdamW(Adam):
    """`Adam` whose weight decay acts on the parameters and not through the gradient (Loshchilov and Hutter, 2019).

    >>> params = [dg.nn.Parameter(dg.ones(2))]
    >>> optimizer = dg.optim.AdamW(params, lr=0.1, weight_decay=0.0)
    >>> (params[0] ** 2).sum().backward()
    >>> optimizer.step()
    >>> params[0]
    Parameter containing:
    tensor([0.9000, 0.9000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, foreach=foreach, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip
