"""Numbers that decide shapes and places: one program serves all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api
from dualgraph.jit import hot
from dualgraph.jit.compile import Compiled
from tests.side_by_side import frozen

VALUES = (3, 5, 7, 2, 10, 20, 4, 9, 8, 11, 16)
BEYOND = (0, 1, -1, -3, 30, 31, 6, -7, 40)  # narrow, negative, at and past the end

X = dg.reshape(dg.arange(180, dtype="float32"), (30, 6)) / 50 - 1
W = dg.reshape(dg.arange(36, dtype="float32"), (6, 6)) / 20


def written(n: int) -> Any:
    y = X.clone()
    y[n : n + 2] = 0.5
    y[n] += 1
    return y


def gradient(n: int) -> Any:
    return dg.grad(lambda w: (X[n : n + 8] @ w).tanh().sum())(W)


PROGRAMS: dict[str, Callable[[int], Any]] = {
    "start": lambda n: X[:n] * 2,
    "row": lambda n: X[n] * 2,
    "batch": lambda n: X[n : n + 4].mean(0),
    "from the end": lambda n: X[-n:].sum(0),
    "zeros": lambda n: dg.zeros(n, 6) + X[0],
    "arange": lambda n: dg.arange(n) * 2,
    "roll": lambda n: dg.roll(X, n, 0) * 2,
    "narrow": lambda n: X.narrow(0, n, 4) * 2,
    "select": lambda n: X.select(0, n) * 2,
    "halves": lambda n: dg.cat([X[n:], X[:n]]) * 2,
    "split": lambda n: dg.split(X, [n, 30 - n])[0] * 2,
    "as a number, too": lambda n: X[:n] * n + n / 2,
    "repeat": lambda n: X[:3].repeat(n, 1) * 2,
    "expand": lambda n: X[:1].expand(n, 6) * 2,
    "half of it": lambda n: X[: n // 2] * 2,
    "written": written,
    "gradient": gradient,
}


def outcome(fn: Callable[[], Any]) -> Any:
    """What a call gives, or the error that it raises."""
    try:
        return frozen(fn())
    except (dg.DualgraphError, IndexError, ValueError) as problem:
        return type(problem), str(problem)


@pytest.mark.parametrize("outside", [False, True], ids=["argument", "attribute"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_one_program_serves_all_numbers(name: str, outside: bool) -> None:
    fn, state = PROGRAMS[name], SimpleNamespace(n=0)
    by_state = dg.compile(lambda: fn(state.n), wait=True)
    by_argument = dg.compile(fn, wait=True)

    def call(n: int) -> Any:
        state.n = n
        return by_state() if outside else by_argument(n)

    for n in VALUES:
        assert outcome(lambda n=n: call(n)) == outcome(lambda n=n: fn(n)), n
    compiled = by_state if outside else by_argument
    assert len(compiled.programs) == 3, compiled.explain()  # two numbers, then all of them
    assert "is taken as a size: the code looks at its value" in compiled.explain()
    for n in BEYOND:
        assert outcome(lambda n=n: call(n)) == outcome(lambda n=n: fn(n)), n
    assert len(compiled.programs) <= 10, compiled.explain()


@pytest.mark.parametrize(
    "fn",
    [
        lambda n: sum((X[i] for i in range(n)), X[0]),
        lambda n: X * [1.0, 2.0, 3.0][n % 3],
        lambda n: dg.chunk(X, n)[0] * 2,
        lambda n: X * len(f"{n}"),
        lambda n: X[:n].sum().item() + n,
        lambda n: X[:n] * (2 if type(n) is int else 3),
        lambda n: X.sum(n % 2),
        lambda n: X[:n] * np.where(X.numpy()[:1] > 0, n, X.numpy()[:1]),
    ],
)
def test_numbers_that_decide_otherwise_have_programs_of_their_own(fn: Any) -> None:
    compiled = dg.compile(fn, wait=True)
    for n in (*VALUES, *BEYOND[:4], *VALUES):
        assert outcome(lambda n=n: compiled(n)) == outcome(lambda n=n: fn(n)), n


def test_numbers_and_sizes_are_one_where_they_go_together() -> None:
    compiled = dg.compile(lambda x, n: x[:n] * x.shape[0] + x.reshape(n, -1), wait=True)
    for n in (4, 5, 6, 7, 3, 9, 12):
        x = X[:n]
        assert frozen(compiled(x, n)) == frozen(x * n + x)
    assert len(compiled.programs) <= 4, compiled.explain()


def test_numbers_change_their_types_and_come_back() -> None:
    def fn(n: Any, k: Any) -> Any:
        return X[:n] * k

    compiled = dg.compile(fn, wait=True)
    for n, k in [
        (3, 2),
        (4, 2),
        (5, 2),
        (6, 0.5),
        (None, 2),
        (7, 3),
        (8, True),
        (9, 4),
        (2, 5),
        (None, 1.5),
    ]:
        assert frozen(compiled(n, k)) == frozen(fn(n, k)), (n, k)


def training(compiled: bool) -> Any:
    dg.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = dg.optim.Adam(net.parameters(), lr=0.01)

    def step(i: int, size: int = 4) -> Any:
        x = X[i : i + size]
        loss = ((net(x) - x[:, :2]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = dg.compile(step, wait=True) if compiled else step
    losses = [frozen(run(i)) for _ in range(4) for i in range(2, 27, 3)]
    return losses, [frozen(p) for p in net.parameters()], run


def test_a_training_step_takes_its_batches_by_number() -> None:
    *eager, _ = training(False)
    *found, step = training(True)
    assert found == eager
    assert len(step.programs) <= 4 and max(p.calls for p in step.programs) > 20, step.explain()


def test_threads_with_numbers_of_their_own() -> None:
    compiled = dg.compile(lambda n: (X[n : n + 6] @ W).sum(0), wait=True)
    expected = {n: frozen((X[n : n + 6] @ W).sum(0)) for n in range(2, 24)}
    for n in range(2, 24):
        compiled(n)
    wrong: list[int] = []

    def many(first: int) -> None:
        for i in range(200):
            n = 2 + (first + 5 * i) % 22
            if frozen(compiled(n)) != expected[n]:
                wrong.append(n)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(many, range(4)))  # which raises what they raised
    assert not wrong


def test_sizes_stored_by_a_call_that_fails_are_plain_numbers() -> None:
    state = SimpleNamespace(n=2, rows=0)

    def fn(x: Any) -> Any:
        y = X[: state.n] * 2
        state.n, state.rows = state.n + 1, x.shape[0]
        return y + x.narrow(0, 3, 1)

    compiled = dg.compile(fn, wait=True)
    for rows, n in [(5, 4), (5, 6), (5, 8), (3, 9), (6, 7), (2, 12), (7, 3)]:
        state.n = n
        outcome(lambda rows=rows: compiled(X[:rows]))
        assert (type(state.n), state.n, type(state.rows), state.rows) == (int, n + 1, int, rows)


COUNTERS: dict[str, Callable[[Any, Any], Any]] = {
    "a row": lambda s, x: X[s.i] * 2 + x,
    "the first": lambda s, x: X[: s.i].sum(0) + x,
    "a cache": lambda s, x: written_at(s.cache, s.i, x)[: s.i + 1].softmax(0).sum(0),
}


def written_at(cache: Any, i: int, x: Any) -> Any:
    cache[i] = x
    return cache


@pytest.mark.parametrize(
    "step",
    [lambda i: i + 1, lambda i: (i + 4) % 21, lambda i: 5],
    ids=["one", "around", "constant"],
)
@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_that_is_a_place_is_moved_on_by_one_program(name: str, step: Any) -> None:
    def steps(compiled: bool) -> Any:
        state, seen = SimpleNamespace(i=2, cache=dg.zeros(30, 6)), []

        def fn(x: Any) -> Any:
            y = COUNTERS[name](state, x)
            state.i = step(state.i)
            return y

        run = dg.compile(fn, wait=True) if compiled else fn
        for k in range(16):
            if k in (9, 12):
                state.i = k - 6
            seen.append((frozen(run(X[k])), type(state.i), state.i, frozen(state.cache)))
        return seen, run

    (eager, _), (found, compiled) = steps(False), steps(True)
    assert found == eager
    assert len(compiled.programs) <= 4, compiled.explain()


def test_numbers_that_are_sizes_meet_those_that_are_inputs() -> None:
    def fn(n: int, m: int) -> Any:
        return X[n] * (n - m), n - m, [abs(n + m), n * m, n / m, max(n, m)], n // m + n % m

    compiled = dg.compile(fn, wait=True)
    for n, m in [(5, 6), (15, 6), (15, 14), (7, 3), (8, 2), (9, 9), (10, 4), (11, 5), (11, 6)]:
        (a, *b), (c, *d) = compiled(n, m), fn(n, m)
        assert frozen(a) == frozen(c) and repr(b) == repr(d)
        assert type(b[0]) is int and {type(v) for v in b[1]} == {int, float} and type(b[2]) is int


def test_a_forecast_knows_of_other_numbers() -> None:
    compiled = dg.compile(lambda n: X[:n] * 2, wait=True)
    for n in (3, 5, 7):
        compiled(n)
    assert compiled.would_compile(12) and not compiled.would_compile(-12)
    assert "n = 's0'" in compiled.explain()


@pytest.fixture
def native() -> None:
    if not api.available():
        pytest.skip("there is no native code here")
    hot.install(Compiled, Compiled._run_hot)
    if not hot.Guard.installed:
        pytest.skip(f"no guard here: {hot.Guard.problem!r}")


NATIVE: dict[str, Callable[[int], Any]] = {
    "row": lambda n: X[n] * 2,
    "batch": lambda n: X[n : n + 4] @ W,
    "sum of so many": lambda n: X[:n].tanh().sum(0),
    "two results": lambda n: (X[n] + 1, X[n : n + 2].sum()),
    "gradient": gradient,
}


@pytest.mark.parametrize("outside", [False, True], ids=["argument", "attribute"])
@pytest.mark.parametrize("name", NATIVE)
def test_calls_at_ever_other_numbers_run_natively(
    name: str, outside: bool, native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "PATIENT", False)
    fn, state = NATIVE[name], SimpleNamespace(n=0)
    by_state = dg.compile(lambda: fn(state.n), wait=True)
    by_argument = dg.compile(fn, wait=True)

    def call(n: int) -> Any:
        state.n = n
        return by_state() if outside else by_argument(n)

    compiled = by_state if outside else by_argument
    for n in [*range(2, 22)] * 3:
        assert outcome(lambda n=n: call(n)) == outcome(lambda n=n: fn(n)), n
    record = next(r for r in compiled._hot if r.program.turned is not None)
    assert record._alone, compiled.explain()
    before = record.program.tally[0]
    for n in range(21, 1, -1):
        assert outcome(lambda n=n: call(n)) == outcome(lambda n=n: fn(n)), n
    assert record.program.tally[0] >= before + 18  # two have programs of their own
    for n in (5, 29, 30, -1, -4, 6, 40, 7, True, 8):  # beyond what it is made for, and back
        assert outcome(lambda n=n: call(n)) == outcome(lambda n=n: fn(n)), n


def test_native_calls_at_numbers_of_their_own_from_several_threads(
    native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "PATIENT", False)
    data = dg.reshape(dg.arange(400 * 300, dtype="float32"), (400, 300)) / 1e5

    def fn(n: int) -> Any:
        return (data[n : n + 200].T @ data[n : n + 200]).tanh().sum(0)

    compiled = dg.compile(fn, wait=True)
    expected = {n: frozen(fn(n)) for n in range(2, 42)}
    for n in [*expected] * 2:
        assert frozen(compiled(n)) == expected[n]
    assert any(r._alone and r.program.turned for r in compiled._hot), compiled.explain()
    wrong: list[int] = []

    def many(first: int) -> None:
        for i in range(60):
            n = 2 + (first * 7 + i) % 40
            if frozen(compiled(n)) != expected[n]:
                wrong.append(n)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(many, range(4)))  # which raises what they raised
    assert not wrong
