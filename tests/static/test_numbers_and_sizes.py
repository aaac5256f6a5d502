"""Numbers and sizes that change together: one program takes both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import frozen

SIZES = (4, 5, 6, 7, 4, 9, 12, 3, 8)
held = SimpleNamespace(rate=0.1)


def rows(n: int) -> Any:
    return dg.reshape(dg.arange(3 * n, dtype="float32"), (n, 3)) / 7 - 1


def follow(fn: Any, calls: Any, **how: Any) -> Any:
    """Runs `fn` in both modes on these calls; the results are equal to the bit."""
    compiled = dg.compile(fn, wait=True, **how)
    for n, v in calls:
        assert frozen(compiled(rows(n), v)) == frozen(fn(rows(n), v)), (n, v)
    return compiled


PROGRAMS: dict[str, Any] = {
    "float": lambda x, v: x * v / x.shape[0],
    "two uses": lambda x, v: (x * v).sum(0) + v / 2,
    "in a container": lambda x, v: {"y": x - v, "n": [x.sum() * v]},
    "NumPy": lambda x, v: dg.asarray(np.ones(3)) * v + x,
    "gradient": lambda x, v: dg.grad(lambda y: (y * y * v).mean())(x),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("how", [{}, {"dynamic": {"x": {0: "n"}}}], ids=["found", "declared"])
def test_sizes_and_numbers_that_change_in_each_call_take_one_more_program(
    name: str, how: Any
) -> None:
    compiled = follow(PROGRAMS[name], [(n, n * 0.1) for n in SIZES], **how)
    assert len(compiled.programs) == 2, compiled.explain()


def test_a_number_outside_and_sizes_take_one_more_program() -> None:
    compiled = dg.compile(lambda x: x * held.rate, wait=True)
    for n in SIZES:
        held.rate = n * 0.1
        assert frozen(compiled(rows(n))) == frozen(rows(n) * held.rate)
    assert len(compiled.programs) == 2, compiled.explain()


@pytest.mark.parametrize(
    "calls",
    [
        [(4, 0.1), (5, 0.1), (6, 0.1), (7, 0.2), (8, 0.3), (9, 0.4), (4, 0.5), (5, 0.6)],
        [(4, 0.1), (4, 0.2), (4, 0.3), (5, 0.3), (6, 0.2), (7, 0.4), (4, 0.5), (5, 0.6)],
        [(4, 0.1), (4, 0.2), (5, 0.3), (4, 0.3), (5, 0.3), (6, 0.2), (7, 0.4), (5, 0.6)],
    ],
    ids=["sizes first", "numbers first", "in turns"],
)
def test_sizes_and_numbers_may_begin_to_change_in_any_order(calls: Any) -> None:
    compiled = follow(lambda x, v: x * v, calls)
    assert len(compiled.programs) <= 3, compiled.explain()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, v: x[: int(v)] * 2,
        lambda x, v: x * v if v > 5 else x + v,
        lambda x, v: x * v if v != x.shape[0] else x,
        lambda x, v: x * v if type(v) is int else x + v,
    ],
    ids=["looked at", "condition", "equal by accident", "told apart"],
)
def test_numbers_that_meet_sizes_are_never_stale(fn: Any) -> None:
    follow(fn, [(n, n) for n in SIZES] + [(5, 3), (3, 5), (1, 1), (0, 2), (2, 0), (7, 6), (6, 7)])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, v: x.sum() * (v / x.shape[0]),
        lambda x, v: x * (len(x) * v) + x.shape[0] / (x.shape[1] * v),
        lambda x, v: x * v if v / 4 < x.shape[0] else x - x.shape[0] % v,
        lambda x, v: (x * 2, v / x.shape[0]),
    ],
    ids=["average", "products", "condition", "result"],
)
def test_floats_that_meet_sizes_have_a_program_for_each_size(fn: Any) -> None:
    compiled = follow(fn, [(SIZES[i % 3], i * 0.1 + 0.05) for i in range(18)])
    assert len(compiled.programs) <= 5, compiled.explain()
    assert sum(p.calls for p in compiled.programs) >= 8, compiled.explain()


def test_what_a_float_was_found_to_be_beside_a_size_is_for_that_size() -> None:
    def near(x: Any, v: float) -> Any:
        return x + 1 if abs(v - x.shape[0]) < 2.0 else x

    follow(near, [(5, 0.25), (6, 2.0), (2, 2.0), (3, 2.0), (3, 0.25)])
    follow(near, [(5, 1.5), (2, 1.5), (2, 4.0), (6, 1.5), (5, 0.25), (5, 0.25), (5, 4.0)])


def stored(s: Any, n: int, given: Any) -> None:
    s.n = n


def entered(s: Any, n: int, given: Any) -> None:
    s.table["n"] = [(n, 2)]


def looked_up(s: Any, n: int, given: Any) -> None:
    if n not in s.table:
        s.table[n] = SimpleNamespace(n=n * 2)


def handed_on(s: Any, n: int, given: Any) -> None:
    if n not in given:
        given[n] = {n}


@pytest.mark.parametrize("write", [stored, entered, looked_up, handed_on], ids=lambda f: f.__name__)
def test_sizes_that_are_stored_are_plain_numbers(write: Any) -> None:
    s, given = SimpleNamespace(n=0, table={}), dict[Any, Any]()

    @dg.compile(wait=True)
    def f(x: Any, given: Any) -> Any:
        write(s, x.shape[0], given)
        return x * 2

    for n in (3, 3, 4, 3, 5, 4, 6):
        f(dg.ones(n), given)
        held = [
            s.n,
            *(k for k in s.table if k != "n"),
            *given,
            *(k for v in given.values() for k in v),
        ]
        held += [v[0][0] if isinstance(v, list) else v.n for v in s.table.values()]
        assert {type(v) for v in held} == {int}
