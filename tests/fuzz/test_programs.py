"""Fuzzed programs: eager = compiled, to the bit - results, written tensors, gradients, random numbers - over calls."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.trees import flatten
from tests.fuzz.random_programs import random_program, sizes
from tests.side_by_side import MODES, frozen


class World:
    """What a program can reach: parameters, state, numbers and arrays, each made afresh."""

    def __init__(self, source: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        m, n = sizes(seed)
        draw = lambda *shape: dg.tensor(rng.standard_normal(shape).astype(np.float32))  # noqa: E731
        self.names: dict[str, Any] = {
            "dg": dg, "W": draw(m, n).requires_grad_(), "V": draw(n, m).requires_grad_(), "S": draw(m, n),
            "C": [1.5, -0.5], "D": {"scale": 2.0}, "N": rng.standard_normal((m, n)).astype(np.float32),
        }  # fmt: skip
        exec(compile(source, f"<program {seed}>", "exec"), self.names)
        self.rng, self.seed = rng, seed
        self.inputs = draw(m, n), draw(n)

    def next_call(self, i: int) -> tuple[Any, ...]:
        """Arguments of call `i`; at the fourth something else changes, and later a number and a flag."""
        names, rng = self.names, self.rng
        m, n = sizes(self.seed)
        a, b = self.inputs
        fresh = dg.tensor(rng.standard_normal((m, n)).astype(np.float32) * (-1) ** (i // 3))
        changes = (
            lambda: names["C"].__setitem__(0, 3.5), lambda: names["S"].zero_(), lambda: names["N"].__imul__(2),
            lambda: names["C"].append(0.75), lambda: names["D"].update(extra=1), lambda: names["W"].detach().mul_(2),
            lambda: names.update(W=dg.tensor(rng.standard_normal((m, n)).astype(np.float32), requires_grad=True)),
        )  # fmt: skip
        if self.seed % 3 == 1:  # columns first
            fresh = fresh.T.clone().T
        if i == 4:
            changes[self.seed % len(changes)]()
        if i == 2:
            names["W"].grad = None
        return (a if i == 1 else fresh), b, 0.5 if i == 6 else 2, i != 7

    def look(self, out: Any) -> list[Any]:
        """Values of the results and of all that can be reached."""
        names = self.names
        seen = [
            out,
            names["S"],
            names["W"],
            names["W"].grad,
            names["V"].grad,
            names["N"],
            dg.get_rng_state(),
        ]
        return [frozen(v) for v in seen]


def run(source: str, seed: int, calls: int, wrap: Any) -> list[Any]:
    """All that the program shows over several calls, and the gradients that flow out of its results."""
    dg.manual_seed(seed)
    world = World(source, seed)
    f = wrap(world.names["f"])
    shown: list[Any] = []
    for i in range(calls):
        args = world.next_call(i)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out = f(*args)
                tracked = [
                    t for t in flatten(out)[0] if isinstance(t, dg.Tensor) and t.requires_grad
                ]
                shown.append([*world.look(out), frozen(args[0])])
                if tracked and i % 2:
                    sum((t * 0.7).tanh().sum() for t in tracked).backward()
                    shown.append(world.look(None))
        except (dg.DualgraphError, ValueError, AssertionError) as problem:
            shown.append(type(problem).__name__)
    return shown


def check(seed: int, calls: int = 8, modes: Any = ("compiled, waiting",)) -> int:
    """Asserts that a program shows the same in `modes` as eagerly; how many of its calls ran compiled."""
    source = random_program(seed)
    expected = run(source, seed, calls, lambda fn: fn)
    used = 0
    for mode in modes:
        made: list[Any] = []

        def wrap(fn: Any, mode: str = mode, made: list[Any] = made) -> Any:
            made.append(dg.compile(fn, **MODES[mode]))
            return made[-1]

        found = run(source, seed, calls, wrap)
        (f,) = made
        f.wait()
        for i, (a, b) in enumerate(zip(expected, found, strict=True)):
            parts = [j for j, (p, q) in enumerate(zip(a, b, strict=False)) if p != q]
            assert a == b, (
                f"{mode}, seed {seed}: step {i} differs in {parts}\n{source}\n{a}\n{b}\n{f.explain()}"
            )
        failures = [p.failure for p in f.programs if p.failure is not None]
        assert not failures, f"seed {seed}: {failures!r}\n{source}"
        used += sum(p.calls for p in f.programs)
    return used


@pytest.mark.parametrize("block", range(3))
def test_random_programs_have_the_same_bits_in_both_modes(block: int) -> None:
    used = sum(check(seed) for seed in range(10 * block, 10 * block + 10))
    assert used > 20, "hardly anything ran compiled"


@pytest.mark.parametrize("mode", [m for m in MODES if m != "compiled, waiting"])
def test_random_programs_have_the_same_bits_beside_and_on_numpy(mode: str) -> None:
    for seed in range(1000, 1005):
        check(seed, modes=(mode,))


@pytest.mark.soak
@pytest.mark.parametrize("block", range(40))
def test_many_random_programs_have_the_same_bits(block: int) -> None:
    for seed in range(10_000 + 50 * block, 10_050 + 50 * block):
        check(seed, modes=tuple(MODES))
