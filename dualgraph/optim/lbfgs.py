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
        closure = self._begun(closure)
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
        return self._ended(closure, first)

    def _iterate(
        self, own: dict[str, Any], evaluate: Callable[[], Any], loss: float, g: Tensor
    ) -> None:
        group = self.param_groups[0]
        lr, least, turns = float(group["lr"]), group["tolerance_change"], group["max_iter"]
        evals = 1
        for turn in range(1, turns + 1):
            own["n_iter"] += 1
            d = own["d"] = self._direction(own, g)
            own["prev_flat_grad"], own["prev_loss"] = g, loss
            own["t"] = lr if own["n_iter"] > 1 else min(1.0, 1.0 / total(abs(g))) * lr
            here = Point(0.0, loss, g, total(g * d))
            if here.slope > -least:
                return
            most = group["max_eval"] - evals
            own["t"], loss, g, used = self._advance(
                own["t"], d, here, evaluate, turn == turns, most
            )
            evals += used
            own["func_evals"] += used
            if (
                evals >= group["max_eval"]
                or largest(g) <= group["tolerance_grad"]
                or largest(d * own["t"]) <= least
                or math.fabs(loss - here.loss) < least
            ):
                return

    def _advance(
        self, t: float, d: Tensor, here: Point, evaluate: Callable[[], Any], last: bool, most: int
    ) -> tuple[float, float, Tensor, int]:
        """Goes `t` far along d, or as far as a search of at most so many turns says: how far, the loss and the gradient
        there, and how often the loss was computed. After the `last` step nobody asks for a loss: it is the one before.
        """
        if self.param_groups[0]["line_search_fn"]:
            found, used = strong_wolfe(self._probe(d, evaluate), t, here, largest(d), most)
            self._move(found.t, d)
            return found.t, found.loss, found.g, used
        self._move(t, d)
        if last:
            return t, here.loss, here.g, 0
        return t, float(evaluate()), self._gradient(), 1

    def _probe(self, d: Tensor, evaluate: Callable[[], Any]) -> Callable[[float], Point]:
        """A function that looks at the point so far along d, and leaves the parameters where they are."""
        start = [p.detach().clone() for p in self._params]

        def probe(size: float) -> Point:
            self._move(size, d)
            value = float(evaluate())
            gradient = self._gradient()
            for p, x in zip(self._params, start, strict=True):
                p.copy_(x)
            return Point(size, value, gradient, total(gradient * d))

        return probe

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
    probe: Callable[[float], Point], t: float, start: Point, size: float, most: int
) -> tuple[Point, int]:
    """A point whose loss and slope fell enough, and how many were tried; `t` is tried first.

    `size` is the largest change that a step of length 1 makes to a parameter; at most `most` others are tried.
    """
    search = _Search(probe, start, size, most)
    bracket = search.bracket(t)
    return (bracket[0] if len(bracket) == 1 else search.zoom(bracket)), search.tried


class _Search:
    """The two phases of the search: two points with a good one between them, then ever closer ones."""

    FALL = 1e-4  # the share of the first slope by which the loss has to fall
    FLAT = 0.9  # the share of the first slope below which a slope is flat
    LEAST = 1e-9  # the change of a parameter that is worth a look

    def __init__(
        self, probe: Callable[[float], Point], start: Point, size: float, most: int
    ) -> None:
        self._probe, self.start, self.size, self.most = probe, start, size, most
        self.tried = 0

    def probe(self, t: float) -> Point:
        """The point at `t`, counted."""
        self.tried += 1
        return self._probe(t)

    def too_high(self, point: Point) -> bool:
        """Whether the loss fell too little for the way there."""
        return point.loss > self.start.loss + self.FALL * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        """Whether the slope is small enough."""
        return math.fabs(point.slope) <= -self.FLAT * self.start.slope

    def bracket(self, t: float) -> list[Point]:
        """One point that is good enough, or two with such points between them: goes further until the loss rises."""
        before, now = self.start, self.probe(t)
        while self.tried <= self.most:
            high = self.too_high(now) or (self.tried > 2 and now.loss >= before.loss)
            if self.flat(now) and not high:
                return [now]
            if high or now.slope >= 0:
                return [before, now]
            further = cubic(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
            before, now = now, self.probe(further)
        return [self.start, now]

    def zoom(self, ends: list[Point]) -> Point:
        """The first good point between two, or the lower one where nothing is left between them."""
        low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
        near = False  # whether the last point was close to an end
        while self.tried <= self.most:
            if math.fabs(ends[1].t - ends[0].t) * self.size < self.LEAST:
                break
            t, near = self.between(ends, near)
            now = self.probe(t)
            if self.too_high(now) or now.loss >= ends[low].loss:
                ends[high] = now
                low, high = (0, 1) if ends[0].loss <= ends[1].loss else (1, 0)
                continue
            if self.flat(now):
                return now
            if now.slope * (ends[high].t - ends[low].t) >= 0:
                ends[high] = ends[low]
            ends[low] = now
        return ends[low]

    def between(self, ends: list[Point], near: bool) -> tuple[float, bool]:
        """Where to look next, and whether that is close to an end: the second time in a row it is moved inwards."""
        left, right = sorted(p.t for p in ends)
        t = cubic(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if not (right - t < margin or t - left < margin):
            return t, False
        if not near and left < t < right:
            return t, True
        return (right - margin if right - t < t - left else left + margin), False
