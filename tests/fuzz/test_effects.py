"""Fuzzed effects: eager = compiled - results, prints, lists, counters, tensors - over calls."""

from __future__ import annotations

from typing import Any

import pytest

import dualgraph as dg
from tests.fuzz.effect_programs import effect_program, run_program

SLICE = 25  # programs of one test


def compare(first: int, count: int) -> int:
    """Runs programs both ways; how many of them ran compiled."""
    used = 0
    for seed in range(first, first + count):
        text, name = effect_program(seed), f"<effects {seed}>"
        expected, _ = run_program(text, name, lambda f: f)
        got, fn = run_program(text, name, lambda f: dg.compile(f, wait=True))
        if got != expected:  # the texts are long, and pytest would compare them
            pytest.fail(f"{text}\n{fn.explain()}")
        used += sum(p.calls for p in fn.programs) > 2
    return used


@pytest.mark.parametrize("first", [0, 862, 1550])
def test_effects_are_as_in_eager_mode(first: int) -> None:
    assert compare(first, SLICE) > SLICE / 5


@pytest.mark.soak
@pytest.mark.parametrize("first", range(2000, 4000, 250))
def test_many_effects_are_as_in_eager_mode(first: int) -> None:
    compare(first, 250)


def test_an_effect_that_reads_nothing_of_the_call_happens() -> None:
    """The program of such a function is one that maps a tensor to a tensor, but for the effect."""
    counts: dict[str, Any] = {"n": 0}

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        counts["n"] += 1
        return x * 2 + 1

    for i in range(8):
        f(dg.ones(3))
        assert counts["n"] == i + 1
    assert f.programs[0].calls > 3
