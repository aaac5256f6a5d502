"""SparseAdam: Adam for tables of which each step touches some rows."""

from __future__ import annotations

from typing import Any

from ..eager import Tensor
from ..ops.arithmetic import sqrt, where
from ..ops.comparison import not_equal
from ..ops.reduce import reduce_any
from .adam import check_options, growth
from .optimizer import Group, Optimizer, State, count_in, counter, like
from .update import stands_alone


class SparseAdam(Optimizer):
    """`Adam` that leaves rows alone, with their moments, whose gradient is zero throughout: rows of an embedding that
    no index named. Gradients are plain tensors here, so that a step takes as long as Adam's.

    >>> table = dg.nn.Parameter(dg.ones(3, 2))
    >>> optimizer = dg.optim.SparseAdam([table], lr=0.5)
    >>> table[1].sum().backward()
    >>> optimizer.step(); table.detach()
    tensor([[1.0000, 1.0000],
            [0.5000, 0.5000],
            [1.0000, 1.0000]])
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        check_options(self, lr=lr, betas=betas, eps=eps)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _new_state(self, p: Tensor, group: Group) -> State:
        return {"step": counter(p), "exp_avg": like(p), "exp_avg_sq": like(p)}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        (beta1, beta2), m, v = group["betas"], state["exp_avg"], state["exp_avg_sq"]
        state["step"].add_(1)
        count = count_in(state["step"], p)
        named = reduce_any(not_equal(grad, 0), axes=tuple(range(1, p.ndim)), keepdims=True)
        m.copy_(where(named, m + (grad - m) * (1 - beta1), m))
        v.copy_(where(named, v + (grad * grad - v) * (1 - beta2), v))
        spread = sqrt(v) + group["eps"]
        rate = sqrt(-growth(beta2, count)) / growth(beta1, count) * group["lr"]
        p.copy_(where(named, p + m / spread * rate, p))
