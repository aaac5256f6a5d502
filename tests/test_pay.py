"""Programs that do not pay are not used; forecasts say what a call would do; assumptions say what they are about."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.jit import compile as compile_module
from dualgraph.jit import hot, pay
from dualgraph.jit.compile import Compiled
from dualgraph.jit.pay import Meter
from dualgraph.jit.program import Program
from tests.side_by_side import Wrap, both_modes, frozen

CALLS = pay.WARM + 2 * pay.SAMPLES * pay.ROUNDS + pay.WARM * pay.ROUNDS + 10


def entry_of(f: Any) -> Any:
    (entry,) = f._entries.values()
    return entry


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "PATIENT", True)


def run_slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Makes compiled calls take longer, and run in Python, where that is felt."""
    start = Program.start

    def slow(self: Program, leaves: list[Any]) -> Any:
        time.sleep(seconds)
        return start(self, leaves)

    monkeypatch.setattr(Program, "start", slow)
    monkeypatch.setattr(hot, "run_of", lambda *_: None)


def test_a_program_that_is_slower_is_not_used_and_explain_says_so(
    patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = dg.compile(lambda x: x * 2 + 1 if x.sum() >= 0 else x, wait=True)
    run_slowly(monkeypatch, 0.002)
    for i in range(CALLS):
        assert f(dg.ones(3) * i).tolist() == [2.0 * i + 1] * 3
    assert "does not pay and is not used" in f.explain()
    assert not f.would_compile(dg.ones(3))
    used = f.programs[0].calls
    for _ in range(20):
        f(dg.ones(3))
    assert f.programs[0].calls == used


def test_calls_that_leave_their_programs_get_an_answer_soon() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = x * 1.5 - x
        return x + float(f"{x.sum().item()}")  # nothing can follow a text

    compiled = dg.compile(f, wait=True)
    for i in range(40):
        x = dg.ones(3) * i
        assert frozen(compiled(x)) == frozen(f(x))
    meter = entry_of(compiled).meter
    assert meter.settled and not meter.used, compiled.explain()


def test_calls_whose_gradient_is_differentiated_get_an_answer_soon() -> None:
    f = dg.compile(lambda x: (x * x).tanh().sum(), wait=True)
    x = dg.ones(3, requires_grad=True)
    f(x)
    for n in range(1, pay.FEW):  # their ops run once more, on the tape
        dg.autograd.grad(f(x), x, create_graph=True)
        assert entry_of(f).meter.left == n


def test_a_refused_function_is_called_straight(guarded: None) -> None:
    seen: list[Any] = []

    def fn(x: Any) -> Any:
        seen.append(x)
        return x * len(seen)

    f = dg.compile(fn, wait=True)
    for i in range(60):
        assert f(dg.ones(2)).tolist() == [i + 1.0] * 2
    assert not f.programs and f._passed, f.explain()


def test_a_program_that_is_faster_stays_in_use(patient: None) -> None:
    def slow(x: Any) -> Any:
        for _ in range(60):
            x = x + 1
        return x

    f = dg.compile(slow, wait=True)
    for _ in range(CALLS):
        f(dg.ones(3))
    meter = entry_of(f).meter
    assert meter.settled and meter.used, f.explain()
    assert "an eager one" in f.explain()
    assert f.programs[0].calls > CALLS - 30


def test_few_calls_are_never_timed() -> None:
    f = dg.compile(lambda x: x * 2, wait=True)
    for _ in range(pay.WARM):
        f(dg.ones(2))
    assert f.programs[0].calls == pay.WARM - 1
    assert entry_of(f).meter.times is None


def test_timing_leaves_writes_and_random_numbers_as_they_are(patient: None) -> None:
    def world() -> Any:
        total = dg.zeros(2)

        def f(x: Any) -> Any:
            total.add_(x)
            return total + dg.rand(2)

        return f

    shown = []
    for wrap in (lambda fn: fn, lambda fn: dg.compile(fn, wait=True)):
        dg.manual_seed(3)
        f = wrap(world())
        shown.append([frozen(f(dg.ones(2))) for _ in range(CALLS)])
    assert shown[0] == shown[1]


def test_a_meter_asks_again() -> None:
    meter = Meter()
    for _ in range(pay.ROUNDS):
        meter.compiled, meter.eager = [2.0] * pay.SAMPLES, [1.0] * pay.SAMPLES
        assert not meter.settled
        meter.decide(0.0)
    assert meter.settled and not meter.used
    assert [meter.skip() for _ in range(pay.AGAIN)] == [False] * (pay.AGAIN - 1) + [True]
    assert not meter.settled and meter.used


def test_a_meter_asks_seldom_what_was_answered_often() -> None:
    meter = Meter()
    waits = []
    for _ in range(5):
        while not meter.settled:
            meter.compiled, meter.eager = [2.0] * pay.SAMPLES, [1.0] * pay.SAMPLES
            meter.decide(0.0)
        waits.append(next(i for i in range(1, 1 << 20) if meter.skip()))
    assert waits == [pay.AGAIN * n for n in (1, 4, 16, 16, 16)]


def test_an_answer_from_a_busy_moment_does_not_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(pay, "perf_counter", lambda: now[0])
    meter = Meter()
    for seconds, used in ((0.5, True), (2.0, False), (0.5, True), (2.0, False)):
        while not meter.settled:
            meter.compiled, meter.eager = [seconds] * 50, [1.0] * 50
            meter.decide(0.0)
        assert meter.used is used
        now[0] += 10.0
        while meter.settled:
            if meter.used:
                meter.use(hot.BATCH)
            else:
                meter.skip(hot.BATCH)


@pytest.fixture
def guarded() -> None:
    """Calls are told natively from here on, where they can be."""
    hot.install(Compiled, Compiled._run_hot)
    if not hot.Guard.installed:
        pytest.skip("calls are not told natively here")


def test_calls_that_run_natively_are_counted_and_asked_about_again(
    patient: None, guarded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pay, "LATER", ((500, 0.0),))
    f, x = dg.compile(lambda x: (x * 2 + 1).tanh() * x - 3, wait=True), dg.ones(3)
    f(x)
    meter = entry_of(f).meter
    looks = []
    for _ in range(500 + 4 * hot.BATCH):
        f(x)
        looks.append(meter.looks)
    assert meter.refused or looks[-1] > 0  # settled by what was timed, and then timed again


def test_a_function_that_does_not_pay_is_called_straight_and_still_told_apart(
    patient: None, guarded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fn(x: Any, k: float = 1.0) -> Any:
        return [x * k]

    f = dg.compile(fn, wait=True)
    run_slowly(monkeypatch, 0.006)
    x = dg.ones(3)
    for _ in range(CALLS):
        f(x)
    assert f._hot and f._hot.fn is fn
    assert [f(x, k=2.0)[0].tolist(), f(x, 3.0)[0].tolist()] == [[2.0] * 3, [3.0] * 3]
    with pytest.raises(TypeError):
        f()
    other = dg.ones(5)
    for _ in range(hot.BATCH + 2):  # a kind of call that was not met gets a program of its own
        seen.append(f(other)[0].tolist())
    assert seen == [[1.0] * 5] * len(seen)
    assert len(f._entries) > 1


def test_values_seen_before_a_number_was_promoted_keep_no_call_in_python(
    patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = dg.compile(lambda x, a: x * a, wait=True)
    run_slowly(monkeypatch, 0.002)
    for i in range(CALLS):
        assert f(dg.ones(2), i + 0.5).tolist() == [i + 0.5] * 2
    (program,) = f.programs
    assert f._passed == hot.BATCH and program.calls < CALLS


def test_what_gradients_cost_later_counts() -> None:
    meter = Meter()
    meter.compiled, meter.eager = [1.0] * pay.SAMPLES, [1.5] * pay.SAMPLES
    meter.decide(1.0)
    assert meter.lost == 1


# --- forecasts -----------------------------------------------------------------------------------


SCALE = 2.0


def test_forecasts_run_nothing_and_say_why() -> None:
    ran: list[int] = []
    model = dg.nn.Linear(2, 2)

    @dg.compile(wait=True)
    def f(x: Any, k: float = 1.0) -> Any:
        return model(x).sum() * SCALE * k

    forecast = f.would_compile(dg.ones(2))
    assert not forecast and "never called" in forecast.reason
    f(dg.ones(2))
    assert f.would_compile(dg.ones(2))
    assert not f.would_compile(dg.ones(3)) and "shape" in f.would_compile(dg.ones(3)).reason
    assert "structure" in f.would_compile(dg.ones(2), k=2.0).reason
    assert "dtype" in f.would_compile(dg.ones(2).double()).reason
    with dg.no_grad():
        assert "gradient mode" in f.would_compile(dg.ones(2)).reason
    global SCALE
    SCALE = 3.0
    try:
        assert "SCALE changed" in f.would_compile(dg.ones(2)).reason
    finally:
        SCALE = 2.0
    assert f.would_compile(dg.ones(2))
    assert f.programs[0].calls == 0
    assert not ran


def test_forecasts_of_functions_that_run_eagerly_and_of_branches() -> None:
    f = dg.compile(lambda x: (print(end=""), x)[1], wait=True)
    f(dg.ones(2))
    assert "print" in f.would_compile(dg.ones(2)).reason
    g = dg.compile(lambda x: x + 1 if x.sum() > 0 else x, wait=True)
    g(dg.ones(2))
    assert g.would_compile(dg.ones(2))
    assert "test_pay.py" in g.would_compile(dg.ones(2)).reason


# --- assumptions ---------------------------------------------------------------------------------


class Config:
    rate = 0.5

    def __init__(self) -> None:
        self.depth = 3


def test_assumptions_say_what_kind_they_are_and_where() -> None:
    config, table, local = Config(), {"a": 1.5}, 4.0
    array = np.ones(2, np.float32)

    def f(x: Any, k: float) -> Any:
        scaled = x * SCALE * local * config.depth * table["a"] * config.rate * k
        return scaled + array if x.sum() > 0 else x

    compiled = dg.compile(f, wait=True)
    compiled(dg.ones(2), 7.0)
    (program,) = compiled.programs
    found = {a.name.rpartition(".")[2]: a for a in program.assumptions}
    kinds = {name: a.kind for name, a in found.items()}
    assert kinds["SCALE"] == "global"
    assert kinds["local"] == "closure"
    assert kinds["depth"] == "attribute"
    assert kinds["rate"] == "class attribute"
    assert kinds["table['a']"] == "item"
    assert kinds["array"] in ("array", "closure")
    assert kinds["k"] == "argument"
    assert found["k"].value == 7.0
    assert found["depth"].value == 3
    for name in ("SCALE", "local", "depth", "table['a']", "k"):
        assert "test_pay.py" in str(found[name].where), name


def test_explain_lists_what_tells_something_and_counts_the_rest() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.Linear(4, 2))
    f = dg.compile(net, wait=True)
    f(dg.ones(2, 4))
    text, every = f.explain(), f.programs[0].assumptions
    assert "Sequential._modules['1'].p = 0.1" in text and "<Missing>" not in text
    assert text.count("assumes") < 20 and len(every) > 90
    assert f"and that {len(every) - text.count('assumes ')} names" in text


def test_arguments_are_told_by_their_names() -> None:
    def f(x: Any, batch: Any, *, k: Any) -> Any:
        return x * batch["y"][0] + k

    x, compiled = dg.ones(2), dg.compile(f, wait=True)
    compiled(x, {"y": (x, 1)}, k=x)
    names = [a.name for a in compiled.programs[0].assumptions if a.kind == "argument"]
    assert names == ["x", "batch['y'][0]", "batch['y'][1]", "k"]
    told = compiled.would_compile(x, {"y": (dg.ones(1), 1)}, k=x.to(dg.float64)).reason
    assert "argument batch['y'][0] (shape (1,), not (2,)" in told
    assert "argument k (dtype" in told and "were not seen before" in told
    layer = dg.compile(nn.Linear(2, 2), wait=True)
    layer(x)
    assert "argument input (shape (3, 2), not (2,)" in layer.would_compile(dg.ones(3, 2)).reason


TABLE = {"act": "relu", "scale": 3.0}


def test_explain_names_the_change_that_made_a_program() -> None:
    f = dg.compile(lambda x: x * TABLE["scale"] if TABLE["act"] == "relu" else -x, wait=True)
    f(dg.ones(2))
    TABLE["act"] = "none"
    f(dg.ones(2))
    TABLE["act"] = "relu"
    TABLE["scale"] = 4.0
    f(dg.ones(3, dtype=dg.float64))
    assert "TABLE['act'] changed" in f.explain()
    assert "the keys of TABLE = ('act', 'scale')" in str(list(map(str, f.programs[0].assumptions)))
    assert "shape (3,), not (2,)" in f.explain() and "dtype dualgraph.float64" in f.explain()
    TABLE["scale"] = 3.0


@both_modes(0)
def test_many_calls_in_turn(wrap: Wrap) -> Iterator[Any]:
    w = dg.ones(3).requires_grad_()

    @wrap
    def f(x: Any) -> Any:
        return (x * w).exp() if x.sum() > 0 else x - w

    for i in range(CALLS):
        out = f(dg.ones(3) * (1 if i % 3 else -1))
        if i % 7 == 0:
            out.sum().backward()
        yield out, w.grad


def test_sizes_that_come_once_run_eagerly_where_making_ready_takes_longer():
    f = dg.compile(lambda x: (x * 2).sum(0), wait=True)
    for n in (8, 16, 3):
        f(dg.ones(n, 5))
    template = f.programs[1]
    f._arrivals.settled, f._arrivals.used = True, False
    for served in (0, 1, 2):  # the same sizes again: by the program
        before = template.calls
        np.testing.assert_array_equal(f(dg.ones(50, 5)).numpy(), np.full(5, 100, np.float32))
        assert template.calls - before == bool(served)
    f._arrivals.used = True
    before = template.calls
    f(dg.ones(60, 5))
    assert template.calls == before + 1 and f._captures == 2


def test_calls_are_not_looked_at_while_each_brings_new_sizes(monkeypatch):
    monkeypatch.setattr(compile_module, "ROW", 4)
    f = dg.compile(lambda x: (x * 2).sum(0), wait=True)
    for n in (8, 16, 3):
        f(dg.ones(n, 5))
    f._arrivals.settled, f._arrivals.used = True, False
    for n in range(20, 26):
        assert not f._passed
        f(dg.ones(n, 5))
        if n == 22:
            f(dg.ones(16, 5))  # known sizes in between
    for n in (26, 27):
        f(dg.ones(n, 5))
    assert f._passed
    np.testing.assert_array_equal(f(dg.ones(50, 5)).numpy(), np.full(5, 100, np.float32))
