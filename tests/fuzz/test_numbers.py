"""Fuzzed programs whose Python numbers change from call to call: eager = compiled, to the bit, and few programs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz import test_programs
from tests.fuzz.random_programs import random_program

RATES = (0.5, 0.25, -0.75, 1.5, 0.125, 2.5, -0.0, 0.3, 1.1, 0.7)


class Changing(test_programs.World):
    """A world in which a number in the arguments, an element of a list and an entry of a dict change all the time."""

    def next_call(self, i: int) -> tuple[Any, ...]:
        fresh, b, _, flag = super().next_call(i)
        rate = RATES[(i + self.seed) % len(RATES)]
        if i % 2:
            self.names["C"][0] = rate + 1
        if i % 3:
            self.names["D"]["scale"] = rate * 2
        return fresh, b, rate if self.seed % 2 else 1 + i % 3, flag


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs one program in both modes; how many calls of it ran compiled."""
    monkeypatch.setattr(test_programs, "World", Changing)
    return test_programs.check(seed, calls=10)


@pytest.mark.parametrize("block", range(2))
def test_programs_with_changing_numbers_have_the_same_bits(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = sum(check(seed, monkeypatch) for seed in range(700 + 6 * block, 706 + 6 * block))
    assert used > 4, "hardly anything ran compiled"


@pytest.mark.soak
@pytest.mark.parametrize("block", range(40))
def test_many_programs_with_changing_numbers(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1000 + 10 * block, 1010 + 10 * block):
        check(seed, monkeypatch)


def test_the_programs_do_read_the_numbers() -> None:
    sources = [random_program(seed) for seed in range(700, 712)]
    assert sum("D['scale']" in s or "C[0]" in s or "k" in s for s in sources) > 6
