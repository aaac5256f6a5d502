"""Promotion of numbers that go through functions: `math`, NumPy, `dg.full`, bodies of loops and conditions."""

from __future__ import annotations

import math
import sys
from math import exp, sqrt
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import frozen
from tests.static.test_promote import COUNTS, ODD, World, follow, x

RATES = (0.1, 0.2, 0.35, 0.05, 0.7, 0.2, 0.9)
F = dg.nn.functional


def noise(size: Any, v: Any) -> Any:
    dg.manual_seed(3)
    return dg.bernoulli(dg.full(size, v))


def in_two_modules(here: Any) -> Any:
    return lambda a, v: a * here.sqrt(v) * math.tan(v) - here.log1p(v)


def written(a: Any, v: Any) -> Any:
    a = a.clone()
    a[0] = v
    return a


def decayed(a: Any, v: Any) -> Any:
    return dg.scan(lambda c, row: (c * v + row, c / (1 + v)), dg.zeros(4), a)


def grown(a: Any, v: Any) -> Any:
    return dg.while_loop(lambda c: c.sum() < 50, lambda c: c.abs() * (1 + v) + 1, a)


def chosen(a: Any, v: Any) -> Any:
    return dg.cond(a.sum() > v, lambda b: b * v, lambda b: b - v, a)


def gradient_of_loops(a: Any, v: Any) -> Any:
    def loss(b: Any) -> Any:
        last, rows = dg.scan(lambda c, row: (c * v + row * row, c), b[0], b)
        return (dg.cond(rows.sum() > v, lambda w: w * v, lambda w: w / 3, last) ** 2).sum()

    return dg.grad(loss)(a)


PROGRAMS: dict[str, Any] = {
    "square root": lambda a, v: a * math.sqrt(v),
    "imported by name": lambda a, v: a * sqrt(v) + exp(-v),
    "math in two places": in_two_modules(math),
    "cosine schedule": lambda a, v: a * (0.5 * (1 + math.cos(math.pi * v / 10))),
    "several operands": lambda a, v: a * math.pow(0.9, v) + math.hypot(v, 1) + math.atan2(1.0, v),
    "bias correction": lambda a, v: a * math.sqrt(1 - 0.999**v) / (1 - 0.9 ** (1 + v)),
    "condition": lambda a, v: a * v if math.isfinite(v) else a,
    "NumPy's functions": lambda a, v: a * np.sqrt(v) + np.exp(-v) * np.tanh(v),
    "a NumPy scalar beside it": lambda a, v: a * (np.float64(0.9) * v - v / np.float32(3)),
    "full": lambda a, v: a + dg.full((4,), v) * dg.full_like(a, 1 - v),
    "a tensor of it": lambda a, v: a * dg.tensor(v) + dg.asarray(1 / (1 + v)),
    "a list with it": lambda a, v: a * dg.tensor([v, 1, 0.5, math.cos(v)]),
    "beside tensors": lambda a, v: a * dg.tensor([a.mean(), v, 2, a[0].argmax()]),
    "a table of it": lambda a, v: a.double() @ dg.asarray([(v, 1 - v, v * v, 2)] * 4),
    "written": written,
    "filled": lambda a, v: a.clone().fill_(v) * a,
    "linspace": lambda a, v: a + dg.linspace(0, v, 4),
    "random": lambda a, v: a + noise((4,), v),
    "scan": decayed,
    "while_loop": grown,
    "cond": chosen,
    "map": lambda a, v: dg.map(lambda row: row * v - math.log1p(v), a),
    "gradient of loops": gradient_of_loops,
    "vmap": lambda a, v: dg.vmap(lambda row: row * math.sqrt(v) + dg.full((4,), v))(a),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_that_go_through_functions_take_one_program(name: str) -> None:
    compiled = follow(lambda: World(PROGRAMS[name]), RATES)
    assert len(compiled.programs) == 1, compiled.explain()


CONVERTED: dict[str, Any] = {
    "float": lambda a, v: a * (0.5 * float(v) + float(v) ** 2),
    "int": lambda a, v: a * int(v * 8) + int(v),
    "type": lambda a, v: a * v if type(v) in (float, int) and type(v * 2) is type(v) else a,
    "both": lambda a, v: a * float(int(v * 8) // 2) + float(a.sum()),
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code does not tell calls of globals")
@pytest.mark.parametrize("name", CONVERTED)
@pytest.mark.parametrize("values", [RATES, (1, 2, 5, 9, 3, -4)])
def test_numbers_that_are_converted_take_one_program(name: str, values: Any) -> None:
    compiled = follow(lambda: World(CONVERTED[name]), values)
    assert len(compiled.programs) == 1, compiled.explain()
    assert "float" not in globals() and "int" not in globals()


@pytest.mark.parametrize("name", CONVERTED)
def test_odd_numbers_that_are_converted_are_never_stale(name: str) -> None:
    follow(lambda: World(CONVERTED[name]), ODD)


def test_conversions_of_other_things_are_what_they_were() -> None:
    shown: list[Any] = []

    def f(a: Any, v: float) -> Any:
        shown.append((float("1.5"), int("11", 2), int(2.5), float(a.sum())))
        return a * float(v) if isinstance(v, float) else a

    follow(lambda: World(f), (*RATES, 2))
    assert {type(v) for row in shown for v in row} == {float, int}


@pytest.mark.parametrize("name", ["square root", "bias correction", "NumPy's functions", "full"])
@pytest.mark.parametrize("values", [ODD, COUNTS, (0.5, -1.0, 2.0, -3.0, float("nan"), 1e400)])
def test_odd_numbers_in_functions_are_never_stale(name: str, values: Any) -> None:
    with np.errstate(all="ignore"):
        follow(lambda: World(PROGRAMS[name]), values)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8])
def test_scalars_of_numpy_are_promoted(kind: Any) -> None:
    values = [kind(v) for v in (1, 2, 3, 5, 1, 4)]
    fn = PROGRAMS["square root"]
    assert len(follow(lambda: World(fn), values).programs) == 1
    assert len(follow(lambda: World(lambda a, v: a * (v * v / 3 - v)), values).programs) == 1

    def outside() -> World:
        held = {"v": values[0]}
        return World(lambda a: a * held["v"], args=lambda v: (x(),), set=lambda v: held.update(v=v))

    assert len(follow(outside, values).programs) == 1


def test_equal_scalars_of_other_kinds_are_other_numbers() -> None:
    third = np.float32(1 / 3)
    values = (
        third,
        float(third),
        np.float64(third),
        third,
        np.int64(3),
        3,
        np.float64(0.0),
        0.0,
        True,
    )
    with np.errstate(all="ignore"):
        follow(lambda: World(lambda a, v: a.to(dtype="float64") * (v * v * v)), values)
        follow(lambda: World(lambda a, v: a * (1 / v)), values)


def test_a_scalar_of_numpy_made_anew_is_the_same_number() -> None:
    compiled = dg.compile(lambda a, v: a * v, wait=True)
    for _ in range(4):
        compiled(x(), np.float32(0.3))
    assert len(compiled.programs) == 1 and compiled.programs[0].calls == 3


def test_math_is_as_it_was_when_the_capture_has_ended() -> None:
    before = dict(vars(math))
    compiled = dg.compile(lambda a, v: a * math.sqrt(v), wait=True)
    for v in (4.0, 9.0, -1.0, 16.0, 25.0):
        if v < 0:
            with pytest.raises(ValueError):
                compiled(x(), v)
        else:
            assert frozen(compiled(x(), v)) == frozen(x() * math.sqrt(v))
        assert dict(vars(math)) == before
