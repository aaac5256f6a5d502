"""Calls from several Python threads, calls inside calls, and calls that are broken off."""

from __future__ import annotations

import gc
import itertools
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.core.context import state
from dualgraph.core.numbers import guards, live
from dualgraph.jit.pay import SAMPLES, Meter
from dualgraph.jit.program import MISMATCH
from dualgraph.jit.tracing import capturing


def network() -> Any:
    dg.manual_seed(3)
    return nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 5))


def test_threads_call_one_compiled_function_at_once() -> None:
    """While it is captured, compiled and in use, each thread gets the result of its own arguments."""
    model = network()
    f = dg.compile(lambda x: model(x).exp().sum(axis=1))
    xs = [dg.randn(n, 30) for n in (1, 7, 64, 300)] * 3
    with dg.no_grad():
        expected = [model(x).exp().sum(axis=1).numpy().tobytes() for x in xs]
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        start.wait()
        order = np.random.default_rng(seed).permutation(len(xs))
        with dg.no_grad():
            for i in itertools.chain(order, order):
                assert f(xs[i]).numpy().tobytes() == expected[i]

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, i) for i in range(6)]:
            done.result()
    f.wait()
    assert len(f.programs) <= 8


def test_threads_train_models_of_their_own() -> None:
    def train(compiled: bool) -> bytes:
        generator = np.random.default_rng(0)
        model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))
        with dg.no_grad():
            for p in model.parameters():
                p.copy_(dg.asarray(generator.standard_normal(p.shape).astype("float32")))
        optimizer = dg.optim.Adam(model.parameters(), lr=0.01)
        x = dg.asarray(generator.standard_normal((16, 12)).astype("float32"))

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = dg.compile(step) if compiled else step
        for _ in range(12):
            run(x)
        return b"".join(p.detach().numpy().tobytes() for p in model.parameters())

    expected = train(False)
    with ThreadPoolExecutor(4) as pool:
        assert {f.result() for f in [pool.submit(train, True) for _ in range(4)]} == {expected}


def test_compiled_functions_call_each_other() -> None:
    inner = dg.compile(lambda x: dg.tanh(x) * 2, wait=True)
    middle = dg.compile(lambda x: inner(x) + inner(-x * 3), wait=True)
    outer = dg.compile(lambda x: middle(x).sum() * inner(x).sum(), wait=True)
    x = dg.randn(50)
    plain = ((dg.tanh(x) * 2 + dg.tanh(-x * 3) * 2).sum() * (dg.tanh(x) * 2).sum()).item()
    for _ in range(3):
        assert outer(x).item() == plain
        assert inner(x).tolist() == (dg.tanh(x) * 2).tolist()


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_exception_on_one_call_spoils_no_other(at: int) -> None:
    calls = itertools.count()

    class Stop(Exception):
        pass

    def f(x: Any, n: int) -> Any:
        y = dg.exp(x)
        if n == at and next(calls) == 0:
            raise Stop
        return y * n

    compiled = dg.compile(f, wait=True)
    x = dg.randn(9)
    for n in [0, 0, 1, 1, 2, 3, 3, 0]:
        try:
            assert compiled(x, n).tolist() == (dg.exp(x) * n).tolist()
        except Stop:
            assert n == at
    assert compiled(x, at).tolist() == (dg.exp(x) * at).tolist()


class Interrupts:
    """Ctrl-C at a time in a call. A late alarm, which another thread may have got, interrupts nothing else."""

    armed = False

    def ring(self, *_: Any) -> None:
        if self.armed:
            signal.raise_signal(signal.SIGINT)

    def __call__(self, call: Callable[[], Any], after: float) -> bool:
        """Makes one call; whether Ctrl-C, so many seconds after its start, broke it off."""
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, after)
            call()
            self.armed = False
        except KeyboardInterrupt:
            return True
        finally:
            self.armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False


@pytest.fixture
def interrupted() -> Iterator[Interrupts]:
    if not hasattr(signal, "setitimer"):
        pytest.skip("timers are POSIX")
    interrupts = Interrupts()
    before = signal.signal(signal.SIGALRM, interrupts.ring)
    yield interrupts
    signal.signal(signal.SIGALRM, signal.SIG_IGN)  # drops an alarm on its way
    signal.signal(signal.SIGALRM, before)


def test_a_keyboard_interrupt_leaves_a_function_that_works(interrupted: Interrupts) -> None:
    x = dg.randn(200, 200)
    f = dg.compile(lambda x: dg.tanh(x @ x).sum(axis=0) / 3, wait=True)
    expected = (dg.tanh(x @ x).sum(axis=0) / 3).tolist()
    broken = 0
    for i in range(300):
        broken += interrupted(lambda: f(x), 1e-5 * (i % 60 + 1))
        assert f(x).tolist() == expected
    assert broken > 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a __del__
def test_a_keyboard_interrupt_during_capture_is_passed_on(interrupted: Interrupts) -> None:
    for i in range(25):
        f = dg.compile(lambda x, i=i: (dg.tanh(x) * (i + 1)).sum(), wait=True)
        x = dg.randn(64)
        interrupted(lambda f=f, x=x: f(x), 4e-4 * (i + 1))  # type: ignore[misc]
        expected = (dg.tanh(x) * (i + 1)).sum().item()
        assert f(x).item() == f(x).item() == expected
        assert f.wait() is f


def test_a_keyboard_interrupt_in_a_training_step_leaves_a_whole_number_of_steps(
    interrupted: Interrupts,
) -> None:
    """Its parameters are those before the step or those after it, none of each."""

    def make() -> tuple[Any, Any]:
        model = network()
        optimizer = dg.optim.SGD(model.parameters(), lr=0.01)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    def bits(model: Any) -> bytes:
        return b"".join(p.detach().numpy().tobytes() for p in model.parameters())

    x = dg.randn(40, 30)
    (model, step), (shadow, plain) = make(), make()
    compiled = dg.compile(step, wait=True)
    for _ in range(4):
        compiled(x)
        plain(x)
    assert bits(model) == bits(shadow)
    broken = 0
    for i in range(200):
        broken += interrupted(lambda: compiled(x), 5e-6 * (i % 60 + 1))
        if bits(model) != bits(shadow):
            plain(x)
        assert bits(model) == bits(shadow), f"half a step after {broken} interrupts"
    assert broken > 5


class InAnExit:
    """Ctrl-C in the first instruction of the `n`-th ``__exit__`` of captures, which then does nothing."""

    def __init__(
        self, n: int, during: Callable[[], bool] = lambda: state.tracer is not None
    ) -> None:
        self.n, self.during, self.kinds = n, during, Counter[str]()
        self.first: list[int] = []  # those that are the first ones of their kind

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == "__exit__" and self.during():
            assert frame.f_back is not None
            kind = f"{code.co_filename} {code.co_firstlineno} {frame.f_back.f_code.co_name}"
            self.kinds[kind] += 1
            if self.kinds[kind] == 1:
                self.first.append(self.kinds.total())
            if self.kinds.total() == self.n:
                raise KeyboardInterrupt


class Box:
    steps = 0
    last: Any = None


def captures_in(profile: Any) -> tuple[Any, Any]:
    """A function that is captured in several ways, and what broke one of them off."""
    box, seen = Box(), []
    box.steps = 0

    def step(x: Any, a: float) -> Any:
        box.steps += 1
        y = dg.vmap(lambda row: row * a)(x)
        y = dg.cond(y.sum() > 0, lambda v: v * 2, lambda v: v - 1, y)
        seen.append(y.sum().item())
        return y + box.steps

    f = dg.compile(step)
    sys.setprofile(profile)
    try:
        for i in range(5):
            f(dg.ones(3, 2), 0.5 + i)
    except KeyboardInterrupt as problem:
        return f, problem
    finally:
        sys.setprofile(None)
    return f, None


def test_a_capture_that_is_broken_off_in_its_ends_leaves_nothing() -> None:
    """Also where what broke it off is kept, as interactive sessions do, and with it all that was not ended."""
    profiler, tracing, guarding = sys.getprofile(), sys.gettrace(), guards.mode.guards
    whole = InAnExit(0)
    try:
        captures_in(whole)
        assert len(whole.first) > 4
        for n in whole.first:
            f, problem = captures_in(InAnExit(n))
            assert problem is not None
            assert state.tracer is None and state.batching is None and state.grad
            assert sys.gettrace() is tracing
            assert live.mode.formulas is None and guards.mode.guards is guarding
            assert not capturing.lock._is_owned()  # type: ignore[attr-defined]
            assert f(dg.ones(3, 2), 1.0).shape == (3, 2)
    finally:
        sys.setprofile(profiler)


def compiled_in(profile: Any) -> BaseException | None:
    """What broke off a call that waits for the program of a second size."""
    f = dg.compile(lambda x: dg.maximum(x * 2, x.shape[0]), wait=True)
    f(dg.ones(3))
    sys.setprofile(profile)
    try:
        f(dg.ones(4))
    except KeyboardInterrupt as problem:
        return problem
    finally:
        sys.setprofile(None)
    return None


def test_compiling_that_is_broken_off_leaves_nothing_then_and_later() -> None:
    """Later: when what broke it off is thrown away, and with it all that was not ended."""
    profiler = sys.getprofile()
    compiled_in(None)  # makes the kernels
    whole = InAnExit(0, lambda: guards.mode.proving)
    try:
        compiled_in(whole)
        assert len(whole.first) > 1
        for n in whole.first:
            problem = compiled_in(InAnExit(n, whole.during))
            assert problem is not None
            assert guards.mode.guards is None and not guards.mode.proving
            del problem
            gc.collect()
            assert guards.mode.guards is None and not guards.mode.proving
    finally:
        sys.setprofile(profiler)


class Interrupted:
    """A lock; Ctrl-C comes when it has just been taken."""

    def __init__(self) -> None:
        self.lock, self.times = threading.RLock(), 0
        self._is_owned, self.release = self.lock._is_owned, self.lock.release  # type: ignore[attr-defined]

    def acquire(self, timeout: float) -> bool:
        assert self.lock.acquire(timeout=timeout)
        self.times += 1
        raise KeyboardInterrupt


def test_an_interrupt_when_a_capture_has_just_begun_leaves_it_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f, lock = dg.compile(lambda x: x * 2, wait=True), Interrupted()
    with monkeypatch.context() as m:
        m.setattr(capturing, "lock", lock)
        with pytest.raises(KeyboardInterrupt):
            f(dg.ones(2))
    assert lock.times == 1 and not lock._is_owned()
    assert f(dg.ones(2)).tolist() == [2.0, 2.0] and f.programs


def test_numbers_that_calls_go_through_are_not_changed_by_other_threads() -> None:
    f = dg.compile(lambda x, a, b: x * a + b, wait=True)
    for a in (1.0, 2.0, 3.0):
        f(dg.ones(2), a, 1.0)
    (held,) = f._promotion.leaves.values()
    going = iter(held)  # as a call of another thread does
    assert next(going) == 1
    f(dg.ones(2), 3.0, 2.0)
    assert list(going) == [] and set(*f._promotion.leaves.values()) == {1, 2}


def test_what_was_timed_may_be_thrown_away_by_another_thread_at_any_time() -> None:
    class Torn(Meter):
        """What it timed is there when it is first looked at, and then no more."""

        found = iter([[1.0], []])
        eager: Any = property(lambda self: next(self.found), lambda self, new: None)

    meter = Torn()
    meter.looks = 1
    assert meter._wanted() == SAMPLES


def test_a_program_that_another_thread_forgets_is_no_error() -> None:
    f = dg.compile(lambda x: x * 2 + 1, wait=True, backend="numpy")
    for _ in range(3):
        f(dg.ones(2))
    (program,) = f.programs
    program._executable = None  # as for sizes that were not asked for in a long time
    assert program.call([dg.ones(2)]) is MISMATCH
    assert f(dg.ones(2)).tolist() == [3.0, 3.0]
