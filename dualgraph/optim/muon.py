"""Muon: the momentum of a matrix made orthogonal (Jordan, Muon: an optimizer for hidden layers, 2024)."""

from __future__ import annotations

from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor
from ..eager.functions import matmul
from ..ops.arithmetic import maximum, sqrt
from .optimizer import Group, Optimizer, State, check_range, like
from .update import stands_alone

COEFFICIENTS = (3.4445, -4.775, 2.0315)


def orthogonalized(x: Tensor, coefficients: tuple[float, ...], steps: int, eps: float) -> Tensor:
    """x with singular values near 1 and its singular vectors, by steps ``a x + b (x x^T) x + c (x x^T)**2 x``."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    x = x / maximum(sqrt((x * x).sum()), eps)
    for _ in range(steps):
        gram = matmul(x, x.mT)
        x = x * a + matmul(gram * b + matmul(gram, gram) * c, x)
    return x.mT if tall else x


def _factor(how: str | None, shape: tuple[int, ...]) -> float:
    m, n = shape
    return 0.2 * float(max(m, n) ** 0.5) if how == "match_rms_adamw" else max(1.0, m / n) ** 0.5


class Muon(Optimizer):
    """``p -= lr * s * orthogonal(m)`` for the running mean m of the gradients of a matrix p.

    The factor s is ``sqrt(max(1, rows / columns))``, or with ``adjust_lr_fn="match_rms_adamw"``
    ``0.2 * sqrt(max(rows, columns))``. Takes matrices only; give other parameters to AdamW. The steps that make m
    orthogonal run in the dtype of p (PyTorch's in bfloat16), so its values lie closer to what the formula says.

        >>> p = dg.nn.Parameter(dg.eye(2))
        >>> (p * dg.tensor([[3.0, 0.0], [0.0, 2.0]])).sum().backward()
        >>> dg.optim.Muon([p], lr=0.1).step()
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95, nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS, eps: float = 1e-7, ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        for name, value in {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}.items():
            check_range("Muon", name, value)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            known = "'original' or 'match_rms_adamw'"
            raise ArgumentError(f"Muon: adjust_lr_fn is {known}, not {adjust_lr_fn!r}")
        if len(ns_coefficients) != 3 or ns_steps >= 100:
            raise ArgumentError("Muon: takes three coefficients, and fewer than 100 steps")
        super().__init__(
            params,
            {
                "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
                "ns_coefficients": tuple(ns_coefficients), "eps": eps, "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )  # fmt: skip

    def _check_params(self, params: list[Any]) -> None:
        super()._check_params(params)
        for p in params:
            if p.ndim != 2:
                raise ArgumentError(
                    f"Muon takes matrices, not a parameter of shape {p.shape}; use AdamW for it"
                )

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"momentum_buffer": like(p)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        mean, momentum, lr = state["momentum_buffer"], group["momentum"], group["lr"]
        mean.copy_(mean + (grad - mean) * (1 - momentum))
        ahead = grad + (mean - grad) * momentum if group["nesterov"] else mean
        turn = orthogonalized(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
        start = p - p * lr * group["weight_decay"] if group["weight_decay"] else p
        p.copy_(start - turn * lr * _factor(group["adjust_lr_fn"], p.shape))
