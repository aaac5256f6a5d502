"""Gradients of compiled calls whose programs take Python numbers: compiled, with the bits of eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
import dualgraph.nn.functional as F

NUMBERS = (0.5, 0.25, 1.5, 2.0, 3.0, 0.0, 1.0, 0.1)
FUNCTIONS: dict[str, Callable[[Any, Any, float], Any]] = {
    "scale": lambda x, w, s: (x @ w * s).tanh() + x**2 * (1 - s**3),
    "number over tensor": lambda x, w, s: s / (x * x + 1) - (x @ w) / (s + 0.5),
    "base": lambda x, w, s: (s + 0.5) ** (x @ w),
    "where": lambda x, w, s: dg.where(x > s, x * s, x @ w).clamp(-s - 1, s + 1),
    "leaky": lambda x, w, s: F.leaky_relu(x @ w, s),
    "full": lambda x, w, s: (x @ w).double() * dg.full((2,), s, dtype=dg.float64),
    "both operands": lambda x, w, s: dg.atan2(x @ w, s + 0.5),
    "scan": lambda x, w, s: dg.scan(lambda c, v: ((c * s + v).tanh(), c), dg.zeros(2), x @ w)[1],
    "cond": lambda x, w, s: dg.cond(x.sum() > 0, lambda a: a * s @ w, lambda a: a @ w - s, x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_with_promoted_numbers_are_compiled(name: str) -> None:
    fn = FUNCTIONS[name]
    compiled = dg.compile(fn, wait=True)
    replayed: list[float] = []
    for i, number in enumerate(NUMBERS):
        shown = []
        for f in (fn, compiled):
            dg.manual_seed(i)
            x, w = dg.randn(3, 2, requires_grad=True), dg.randn(2, 2, requires_grad=True)
            y = f(x, w, number)
            (y * y).sum().backward()
            shown.append([t.detach().numpy().tobytes() for t in (y, x.grad, w.grad)])
        assert shown[0] == shown[1], (number, compiled.explain())
        replayed = [p.gradients.spent for p in compiled.programs if p.gradients]
        if i == 5:
            before = replayed
    assert len(compiled.programs) == 1 and replayed == before


def test_rules_that_look_at_a_number_do_otherwise_for_others() -> None:
    f = dg.compile(lambda x, s: ((x * x + 1) ** s).sum(), wait=True)
    for s in (2.5, 1.5, 3.5, 0.75, 1.0, 2.0, 4.5):
        x = dg.tensor([0.5, -2.0], requires_grad=True)
        f(x, s).backward()
        y = dg.tensor([0.5, -2.0], requires_grad=True)
        ((y * y + 1) ** s).sum().backward()
        assert x.grad.numpy().tobytes() == y.grad.numpy().tobytes(), s


def test_ops_that_a_gradient_of_a_gradient_runs_once_more_are_counted() -> None:
    f = dg.compile(lambda x: (x.sin() * x).sum(), wait=True)
    for _ in range(3):
        x = dg.ones(4, requires_grad=True)
        (g,) = dg.autograd.grad(f(x), x, create_graph=True)
        (g * g).sum().backward()
    assert f.programs[0].gradients.spent > 0
