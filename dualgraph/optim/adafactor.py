"""Adafactor: second moments of a matrix as the product of a column and a row (Shazeer and Stern, 2018)."""

from __future__ import annotations

from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, zeros
from ..eager.dtype_info import finfo
from ..ops.arithmetic import maximum, minimum, rsqrt, sqrt
from .optimizer import Group, Optimizer, State, check_range, count_in, counter, like
from .update import stands_alone


def _rms(x: Tensor) -> Tensor:
    return sqrt((x * x).sum() / x.numel())


class Adafactor(Optimizer):
    """``p -= max(eps2, rms(p)) * min(lr, 1 / sqrt(t)) * u / max(1, rms(u) / d)`` for ``u = g / sqrt(v)``.

    v is the running mean of g**2, with the weight ``t**beta2_decay`` of the newest; of a matrix (and of the last two
    axes of more) only the means of its rows and columns are kept, so that the state is small.

        >>> params = [dg.nn.Parameter(dg.ones(2, 3))]
        >>> optimizer = dg.optim.Adafactor(params)
        >>> (params[0] ** 2).sum().backward()
        >>> optimizer.step()
        >>> optimizer.state[params[0]]["row_var"].shape
        (2, 1)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, beta2_decay: float = -0.8, eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0, weight_decay: float = 0.0, *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        for name, value in {"lr": lr, "weight_decay": weight_decay, "eps[1]": eps[1]}.items():
            check_range("Adafactor", name, value)
        if beta2_decay > 0 or d < 1:
            problem = f"beta2_decay is at most 0 and d at least 1, not {beta2_decay} and {d}"
            raise ArgumentError(f"Adafactor: {problem}")
        super().__init__(
            params,
            {
                "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
                "foreach": foreach, "maximize": maximize,
            },
        )  # fmt: skip

    def _new_state(self, p: Tensor, group: Group) -> State:
        if p.ndim < 2:
            return {"step": counter(p), "variance": like(p)}
        *lead, m, n = p.shape
        row, column = (
            zeros(shape, dtype=p.dtype, device=p.device) for shape in ((*lead, m, 1), (*lead, 1, n))
        )
        return {"step": counter(p), "row_var": row, "col_var": column}

    @stands_alone
    def _update(self, p: Tensor, grad: Tensor, state: State, group: Group) -> None:
        least, floor = group["eps"]
        least = finfo(p.dtype).eps if least is None else least
        state["step"].add_(1)
        count = count_in(state["step"], p)
        newest = count ** group["beta2_decay"]
        size = maximum(_rms(p), floor) * minimum(rsqrt(count), group["lr"])
        square = grad * grad
        if p.ndim < 2:
            v = state["variance"]
            v.copy_(v + (square - v) * newest)
        else:
            row, column = state["row_var"], state["col_var"]
            row.copy_(row + (square.mean(-1, keepdim=True) - row) * newest)
            column.copy_(column + (square.mean(-2, keepdim=True) - column) * newest)
            v = row @ column / maximum(row.mean(-2, keepdim=True), least)
        u = rsqrt(maximum(v, least * least)) * grad
        step = u * (size / maximum(_rms(u) / group["d"], 1.0))
        start = p - p * group["lr"] * group["weight_decay"] if group["weight_decay"] else p
        p.copy_(start - step)
