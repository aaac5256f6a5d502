"""Fuzzed functions that branch on values, differentiated from outside: bits of values and gradients in all modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.fuzz.branching_programs import source

MODES: dict[str, dict[str, Any]] = {
    "waiting": {"wait": True},
    "beside": {},
    "budget": {"wait": True, "memory": "100KB"},
}


def bits(t: Any) -> Any:
    return None if t is None else t.detach().numpy().tobytes()


def shown(seed: int, wrap: Callable[[Any], Any]) -> tuple[list[Any], Any]:
    """What ten calls and their gradients show, some taken twice and some differentiated again; and the function."""
    dg.manual_seed(seed)
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return dg.tensor(rng.standard_normal(shape).astype("f4"))

    w, W = draw(4).requires_grad_(), draw(4, 4).requires_grad_()
    names: dict[str, Any] = {"dg": dg, "w": w, "W": W}
    exec(compile(source(seed), f"<branching {seed}>", "exec"), names)
    f, seen = wrap(names["f"]), []
    for i in range(10):
        x, y = draw(4, 4).requires_grad_(i % 2 == 0), draw(4, 4)
        a, b = f(x, y)
        seen += [bits(a), bits(b), a.requires_grad, b.requires_grad]
        loss = (a * a).sum() + (b.sum() if i % 3 else 0)
        if loss.requires_grad and i == 7:
            (slope,) = dg.autograd.grad(loss, [w], create_graph=True, allow_unused=True)
            if slope is not None and slope.requires_grad:
                (slope * slope).sum().backward()
        elif loss.requires_grad:
            loss.backward(retain_graph=i == 4)
            if i == 4:
                loss.backward()
        seen += [bits(t.grad) for t in (x, w, W)]
        if i % 4 == 3:
            w.grad = W.grad = None
    return seen, f


def check(seed: int, mode: str) -> int:
    """Asserts that a function shows the same compiled; how many of its paths had compiled gradients."""
    expected, _ = shown(seed, lambda f: f)
    found, f = shown(seed, lambda f: dg.compile(f, **MODES[mode]))
    f.wait()
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a == b, f"{mode}, seed {seed}: value {i}\n{source(seed)}"
    failures = [p.failure for p in f.programs if p.failure is not None]
    assert not failures, f"{mode}, seed {seed}: {failures!r}\n{source(seed)}"
    taped = [p.gradients for p in f.programs if p.path is not None and p.gradients is not None]
    return sum(g.keeping is not None for g in taped)


@pytest.mark.parametrize("mode", MODES)
def test_branching_functions_have_the_gradients_of_eager_mode(mode: str) -> None:
    kept = sum(check(seed, mode) for seed in range(10))
    assert kept or mode == "beside"


@pytest.mark.parametrize("seed", [21, 155, 233])
def test_functions_that_failed(seed: int) -> None:
    check(seed, "waiting")


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_many_branching_functions(block: int) -> None:
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        for mode in MODES:
            check(seed, mode)
