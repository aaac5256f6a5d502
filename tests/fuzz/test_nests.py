"""Fuzzed nests of transforms, control flow and compiled functions: the bits of eager mode, and right derivatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.fuzz.random_nests import Nests
from tests.side_by_side import MODES, frozen

# vmap over a condition or loop in which there is a function of the user's own
BETWEEN = (dg.TransformError, dg.CaptureError)


class Twice(dg.autograd.Function):
    """``2 x + x ** 2``, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * 2 + x * x

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ct * (2 + 2 * x)


class World:
    """What a nest can reach, made afresh; ``f`` is its last function."""

    def __init__(self, nests: Nests, seed: int, wrap: Callable[..., Any], dtype: Any) -> None:
        rng = np.random.default_rng(seed)
        self.draw = lambda *shape: dg.tensor(rng.standard_normal(shape).astype(dtype))
        self.W, self.w = self.draw(5, 5).requires_grad_(), self.draw().requires_grad_()
        self.names: dict[str, Any] = {
            "dg": dg, "C": wrap, "W": self.W, "w": self.w, "N": rng.standard_normal(5).astype(dtype),
            "k": 1.5, "Twice": Twice,
        }  # fmt: skip
        exec(compile(nests.source, f"<nest {seed}>", "exec"), self.names)
        self.f = self.names[nests.top]


def shown(nests: Nests, seed: int, wrap: Callable[..., Any]) -> list[Any]:
    """Values, gradients and gradients of gradients over calls in which values, a number and a shape change."""
    world = World(nests, seed, wrap, np.float32)
    f, out = wrap(world.f), []
    for i in range(6):
        x = world.draw(4 if i > 3 and seed % 3 == 0 else 3)
        if i == 3:
            world.names["k"] = 0.75
        if i == 4:
            world.W.detach().mul_(0.5)
        wanted = (i + seed) % 3
        x.requires_grad_(wanted > 0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out += [frozen(v) for v in _seen(f(x), [x, world.w, world.W], wanted)]
        except (dg.DualgraphError, ValueError) as problem:
            out.append((type(problem).__name__, str(problem).partition("\n")[0]))
    return out


def _seen(y: Any, leaves: list[Any], wanted: int) -> list[Any]:
    seen = [y]
    if wanted == 0 or not y.requires_grad:
        return seen
    loss = (y * y).sum()
    if wanted == 1:
        loss.backward()
        return [*seen, [t.grad for t in leaves]]
    first = dg.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
    squares = [(g * g).sum() for g in first if g is not None and g.requires_grad]
    if squares:
        seen.append(list(dg.autograd.grad(sum(squares), leaves, allow_unused=True)))
    return [*seen, list(first)]


def check(seed: int, depth: int, mode: str = "compiled, waiting") -> None:
    """Asserts that a nest shows the same in `mode` as eagerly."""
    nests = Nests(seed, depth)
    expected = shown(nests, seed, lambda f: f)
    made: list[Any] = []

    def wrap(f: Any) -> Any:
        made.append(dg.compile(f, **MODES[mode]))
        return made[-1]

    found = shown(nests, seed, wrap)
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a == b, f"{mode}, seed {seed}: value {i}\n{nests.source}\n{a}\n{b}"
    failures = [p.failure for f in made for p in f.programs if p.failure is not None]
    assert not failures, f"seed {seed}: {failures!r}\n{nests.source}"


def near(a: Any, b: Any, tolerance: float) -> bool:
    return np.allclose(a, b, rtol=tolerance, atol=tolerance * (1 + np.abs(b).max()))


def check_derivatives(seed: int, depth: int) -> None:
    """Asserts of each function: jvp = finite differences, vjp = jvp transposed, vmap = a loop, to the bit."""
    nests = Nests(seed, depth)
    world = World(nests, seed, lambda f: f, np.float64)
    stops = "detach" in nests.source or "no_grad" in nests.source
    for i in range(nests.count):
        f, about = world.names[f"f{i}"], f"seed {seed}: f{i}\n{nests.source}"
        x, t, ct, xs = world.draw(3), world.draw(3).numpy(), world.draw(3).numpy(), world.draw(2, 3)

        def slope(h: float, f: Any = f, x: Any = x, t: Any = t) -> Any:
            return (
                f(dg.asarray(x.numpy() + h * t)) - f(dg.asarray(x.numpy() - h * t))
            ).detach().numpy() / (2 * h)

        wide, narrow = slope(1e-4), slope(5e-5)
        if not near(wide, narrow, 1e-4):
            continue  # a kink
        push = dg.jvp(f, (x,), (dg.asarray(t),))[1].detach().numpy()
        assert stops or near(push, narrow + (narrow - wide) / 3, 1e-5), about
        pull = dg.vjp(f, x)[1](dg.asarray(ct))[0].detach().numpy()
        assert near((pull * t).sum(), (push * ct).sum(), 1e-9), about

        def pulled(a: Any, f: Any = f) -> Any:
            return dg.vjp(f, a)[1](a)[0]

        for g in (f, pulled):
            try:
                rows = dg.vmap(g)(xs)
            except BETWEEN:
                continue
            assert dg.stack([g(a) for a in xs]).tolist() == rows.tolist(), about


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_nests_have_the_same_bits_in_both_modes(depth: int) -> None:
    for seed in range((0, 16, 4, 2)[depth]):
        check(seed, depth)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "compiled, waiting"])
def test_nests_have_the_same_bits_beside_and_on_numpy(mode: str) -> None:
    for seed in range(100, 108):
        check(seed, 1, mode)


def test_nests_have_the_right_derivatives() -> None:
    for seed in range(30):
        check_derivatives(seed, 1)
    for seed in (15, 140):
        check_derivatives(seed, 3)


@pytest.mark.parametrize(
    ("seed", "depth"),
    [(232, 3), (2021, 4), (130, 1), (338, 3), (344, 3), (6029, 2)],  # each has found something once
)
def test_nests_that_failed(seed: int, depth: int) -> None:
    check(seed, depth)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_many_nests(depth: int, block: int) -> None:
    for seed in range(10_000 + 20 * block, 10_020 + 20 * block):
        for mode in MODES:
            check(seed, depth, mode)
        check_derivatives(seed, depth)
