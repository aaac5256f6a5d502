"""L-BFGS: quasi-Newton steps from the last few changes of the gradient (Nocedal and Wright, 2006, chapters 3 and 7)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.errors import ArgumentError
from ..eager import Tensor, concat, enable_grad, no_grad, zeros
from ..ops.arithmetic import abs
from ..ops.reduce import reduce_max, reduce_sum
from .optimizer import Optimizer, check_range

WOLFE = "strong_wolfe"


class LBFGS(Optimizer):
    """Minimises by ``step(closure)``: `closure` clears gradients, computes the loss, calls backward and gives it.

    All parameters are one vector, in one group. A step does up to `max_iter` iterations; with
    ``line_search_fn="strong_wolfe"`` each searches for its length.

    >>> from dualgraph import optim
    >>> p = dg.tensor([3.0, -1.0], requires_grad=True)
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> _ = optimizer.step(closure)
    >>> [round(v, 4) for v in p.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self, params: Any, lr: Any = 1.0, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_range("LBFGS", "lr", lr)
        if line_search_fn not in (None, WOLFE):
            raise ArgumentError(
                f"LBFGS: line_search_fn is None or {WOLFE!r}, not {line_search_fn!r}"
            )
        super().__init__(
            params,
            {
                "lr": lr, "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
                "history_size": history_size, "line_search_fn": line_search_fn,
            },
        )  # fmt: skip
        if len(self.param_groups) != 1:
            raise ArgumentError("LBFGS takes all parameters in one group")

    # --- the parameters as one vector ------------------------------------------------------------

    @property
    def _params(self) -> list[Any]:
        return list(self.param_groups[0]["params"])

    def _gradient(self) -> Tensor:
        parts = [
            (zeros(p.shape, dtype=p.dtype) if p.grad is None else p.grad.detach()).reshape(-1)
            for p in self._params
        ]
        return concat(parts)

    def _move(self, size: float, direction: Any) -> None:
        at = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction[at : at + n].reshape(p.shape), alpha=size)
            at += n

    # --- a step ----------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterates until little changes, or `max_iter` or `max_eval` is reached; gives the first loss."""
        if closure is None:
            raise ArgumentError("LBFGS.step needs a closure that computes the loss anew")

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        with no_grad():
            first = evaluate()
            own = self._state_of(self._params[0], self.param_groups[0])
            own.setdefault("func_evals", 0)
            own.setdefault("n_iter", 0)
            own["func_evals"] += 1
            g = self._gradient()
            if largest(g) > self.param_groups[0]["tolerance_grad"]:
                self._iterate(own, evaluate, float(first), g)
        return first

    def _iterate(
        self, own: dict[str, Any], evaluate: Callable[[], Any], loss: float, g: Tensor
    ) -> None:
        group = self.param_groups[0]
        lr, least = float(group["lr"]), group["tolerance_change"]
        evals = 1
        for turn in range(1, group["max_iter"] + 1):
            own["n_iter"] += 1
            d = own["d"] = self._direction(own, g)
            own["prev_flat_grad"], own["prev_loss"] = g, loss
            t = lr if own["n_iter"] > 1 else min(1.0, 1.0 / total(abs(g))) * lr
            slope = total(g * d)
            if slope > -least:
                own["t"] = t
                return
            before, used = loss, 0
            if group["line_search_fn"]:
                start = [p.detach().clone() for p in self._params]

                def probe(size: float, d: Tensor = d, start: list[Tensor] = start) -> Point:
                    self._move(size, d)
                    value = float(evaluate())
                    gradient = self._gradient()
                    for p, x in zip(self._params, start, strict=True):
                        p.copy_(x)
                    return Point(size, value, gradient, total(gradient * d))

                found, used = strong_wolfe(probe, t, Point(0.0, loss, g, slope), largest(d))
                t, loss, g = found.t, found.loss, found.g
                self._move(t, d)
            else:
                self._move(t, d)
                if turn != group["max_iter"]:
                    loss, g, used = float(evaluate()), self._gradient(), 1
            own["t"] = t
            evals += used
            own["func_evals"] += used
            if (
                evals >= group["max_eval"]
                or largest(g) <= group["tolerance_grad"]
                or largest(d * t) <= least
                or math.fabs(loss - before) < least
            ):
                return

    def _direction(self, own: dict[str, Any], g: Tensor) -> Tensor:
        """Minus the gradient times the inverse Hessian as the last changes have it (two loops)."""
        if own["n_iter"] == 1:
            own.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        y, s = g - own["prev_flat_grad"], own["d"] * own["t"]
        along = total(y * s)
        dirs, steps, weights = own["old_dirs"], own["old_stps"], own["ro"]
        if along > 1e-10:
            if len(dirs) == self.param_groups[0]["history_size"]:
                for kept in (dirs, steps, weights):
                    kept.pop(0)
            dirs.append(y)
            steps.append(s)
            weights.append(1.0 / along)
            own["H_diag"] = along / total(y * y)
        q, shares = -g, []
        for y, s, weight in zip(reversed(dirs), reversed(steps), reversed(weights), strict=True):
            shares.append(total(s * q) * weight)
            q = q - y * shares[-1]
        r = q * own["H_diag"]
        for y, s, weight, share in zip(dirs, steps, weights, reversed(shares), strict=True):
            r = r + s * (share - total(y * r) * weight)
        return r

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over options and state; lists of past changes are copied."""
        super().load_state_dict(state_dict)
        for own in self.state.values():
            own.update({k: list(v) for k, v in own.items() if isinstance(v, list)})


# --- the length of a step ------------------------------------------------------------------------


def total(x: Tensor) -> float:
    """The sum of all elements."""
    return float(reduce_sum(x, axes=(0,), keepdims=False))


def largest(x: Tensor) -> float:
    """The largest absolute value."""
    return float(reduce_max(abs(x), axes=(0,), keepdims=False))


class Point(NamedTuple):
    """A place on the line: how far, the loss, the gradient, and the slope along the line."""

    t: float
    loss: float
    g: Tensor
    slope: float


def cubic(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with their slopes is least, within [low, high]."""
    mean = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mean * mean - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    left, right = (a, b) if a.t <= b.t else (b, a)
    root = math.sqrt(square)
    share = (right.slope + root - mean) / (right.slope - left.slope + 2 * root)
    return sorted((low, high, right.t - (right.t - left.t) * share))[1]


def strong_wolfe(
    probe: Callable[[float], Point], t: float, start: Point, size: float,
    c1: float = 1e-4, c2: float = 0.9, least: float = 1e-9, most: int = 25,
) -> tuple[Point, int]:  # fmt: skip
    """A point whose loss and slope fell enough, and how many were tried: bracketing, then zooming in."""

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    before, now, turn, done = start, probe(t), 0, False
    bracket: list[Point] = []
    while turn < most:
        if too_high(now) or (turn > 1 and now.loss >= before.loss) or now.slope >= 0:
            flat = math.fabs(now.slope) <= -c2 * start.slope
            done = flat and not too_high(now) and not (turn > 1 and now.loss >= before.loss)
            bracket = [now] if done else [before, now]
            break
        if math.fabs(now.slope) <= -c2 * start.slope:
            bracket, done = [now], True
            break
        further = cubic(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now, turn = now, probe(further), turn + 1
    tried = turn + 1
    if not bracket:
        bracket = [start, now]
    low, high = (0, -1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    little = False
    while not done and turn < most:
        left, right = sorted(p.t for p in bracket)
        if (right - left) * size < least:
            break
        t = cubic(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if little or t >= right or t <= left:
                t = right - margin if math.fabs(t - right) < math.fabs(t - left) else left + margin
                little = False
            else:
                little = True
        else:
            little = False
        now, turn, tried = probe(t), turn + 1, tried + 1
        if too_high(now) or now.loss >= bracket[low].loss:
            bracket[high] = now
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if math.fabs(now.slope) <= -c2 * start.slope:
            done = True
        elif now.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
    return bracket[low], tried
