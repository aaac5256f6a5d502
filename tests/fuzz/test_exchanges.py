"""Random programs that exchange tensors between places, and callers that do so between calls: both modes alike."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import frozen

PLACES = ("s.a", "s.b", "d['k']", "l[0]", "g.c")


def written(rng: random.Random) -> str:
    """The source of a function of x, and of state at PLACES, in s.n and in log."""
    lines, values = list[str](), [*PLACES, "x"]
    for _ in range(rng.randint(2, 7)):
        to, a, b = rng.choice(PLACES), rng.choice(values), rng.choice(values)
        lines.append(
            rng.choice((
                f"{to} = {a}*0.5 + {b}", f"{to} = {a}", f"{to} = {a}.clone()", f"{to} = {a}.flip(0)",
                f"{to} = {a}[:2].repeat(2)", f"{to}.add_({a})", f"{to}, {rng.choice(PLACES)} = {a}, {b}",
                f"{to} = {a}*2 if {b}.sum() > 0 else {a}-1", f"{to} = {a}.view(2, 2).t().reshape(4)",
                f"log.append({a}.sum().item())", f"log.append({a}.clone())", f"s.m = {a}.mean().item()",
                f"s.n += 1; {to} = {a} * s.n", f"v = {a}.tanh(); {to} = v",
            ))
        )  # fmt: skip
    results = ", ".join(rng.choice([*values, "s.v"]) for _ in range(rng.randint(1, 3)))
    return "def f(x):\n    " + "\n    ".join([*lines, f"return {results},"])


def watch(source: str, seed: int, wait: bool | None) -> list[Any]:
    """What eight calls give and leave; `wait` None: eagerly."""
    rng = random.Random(seed)
    dg.manual_seed(seed)
    s, g = SimpleNamespace(a=dg.randn(4), b=dg.randn(4), n=0), SimpleNamespace(c=dg.randn(4))
    s.v = g.c.view(4)
    d, held, log = {"k": dg.randn(4)}, [dg.randn(4)], list[Any]()
    space: dict[str, Any] = {"s": s, "g": g, "d": d, "l": held, "log": log}
    exec(source, space)
    f = space["f"] if wait is None else dg.compile(space["f"], wait=wait)
    shown, kept = list[Any](), list[Any]()
    for i in range(8):
        x, state = dg.randn(4), [s.a, s.b, d["k"], held[0], g.c]
        if i > 3:
            match rng.randrange(8):
                case 0:
                    s.a = dg.randn(4)
                case 1:
                    d["k"] = rng.choice(state)
                case 2:
                    held[0] = rng.choice([*state, g.c.flip(0), s.a.view(4)])
                case 3:
                    s.b = rng.choice(state)
                case 4:
                    x = rng.choice(state)
                case 5:
                    g.c = dg.randn(8)[::2]
        now = [*f(x), s.a, s.b, d["k"], held[0], g.c, *state, s.v]
        same = [[a is b for a in now] for b in now]
        kept += now[:-6]
        shown.append((frozen(kept[-24:]), same, s.n, frozen(log)))
    return shown


def check(seed: int) -> None:
    source = written(random.Random(seed))
    expected = watch(source, seed, None)
    for wait in (True, False):
        assert watch(source, seed, wait) == expected, f"seed {seed}, wait={wait}\n{source}"


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_tensors_that_change_places(first: int) -> None:
    for seed in range(first, first + 20):
        check(seed)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1000, 5000, 200))
def test_many_tensors_that_change_places(first: int) -> None:
    for seed in range(first, first + 200):
        check(seed)
