"""Clocks in compiled functions: programs look at them where the code does, once and in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn, optim
from dualgraph.core.numbers import draws
from dualgraph.passes import pipeline
from tests.side_by_side import frozen
from tests.static.modes import normal

CALLS = 16
Make = Callable[[Any], Any]  # a function of a tensor and the number of a call, and what it logs


def steps() -> tuple[Any, Any]:
    net = nn.Linear(3, 2)
    return net, optim.SGD(net.parameters(), lr=0.1)


def by_phase(wrap: Make, log: list[Any]) -> Any:
    net, optimiser = steps()

    def step(x: Any, i: int) -> Any:
        t0 = time.perf_counter()
        loss = net(x).square().mean()
        t1 = time.perf_counter()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        log.append((loss.item(), t1 - t0, (time.perf_counter() - t1) * 1000))
        return loss

    return wrap(step)


def in_the_middle_of_a_statement(wrap: Make, log: list[Any]) -> Any:
    spent = {"forward": 0.0}

    def f(x: Any, i: int) -> Any:
        log.append(("begin", time.time()))
        for _ in range(2):
            start = time.perf_counter()
            x = x.tanh() * 2
            log.append(time.perf_counter() - start)
        spent["forward"] += time.perf_counter() - start
        return x * x, spent["forward"]

    return wrap(f)


def given(wrap: Make, log: list[Any]) -> Any:
    def f(x: Any, i: int) -> Any:
        start = time.perf_counter_ns()
        y = x.exp()
        return y, (time.perf_counter_ns() - start) / 1e6, x + start % 7

    return wrap(f)


def until(wrap: Make, log: list[Any]) -> Any:
    def f(x: Any, i: int) -> Any:
        end, n = time.monotonic() + 2.0, 0
        while time.monotonic() < end:
            x, n = x * 1.5, n + 1
        if i % 5 == 0:
            print(f"{time.monotonic() - end:.2f}", file=Log(log))
        return x, n

    return wrap(f)


class Log:
    """A file of lines."""

    def __init__(self, lines: list[Any]) -> None:
        self.lines = lines

    def write(self, text: str) -> None:
        self.lines.append(text)


class Trainer:
    last = 0.0

    def step(self, x: Any, i: int) -> Any:
        now = time.time()
        gap, self.last = now - self.last, now
        return x * 2, gap


def since_the_last_call(wrap: Make, log: list[Any]) -> Any:
    trainer = Trainer()
    trainer.last = 0.0
    return wrap(trainer.step)


def tick(patch: pytest.MonkeyPatch) -> list[Any]:
    """Exchanges the clocks for such as go on by themselves, in uneven steps; what each has still to tell."""
    clocks = []
    patch.setattr(pipeline, "time", SimpleNamespace(perf_counter=time.perf_counter))
    for name in ("perf_counter", "perf_counter_ns", "monotonic", "time"):
        whole = name.endswith("_ns")
        left = [i * 3000 + i % 4 if whole else i * 0.5 + i % 3 * 0.125 for i in range(400)][::-1]
        patch.setattr(time, name, left.pop)
        patch.setattr(draws, "CLOCKS", draws.CLOCKS | {left.pop})
        clocks.append(left)
    return clocks


PROGRAMS = [by_phase, in_the_middle_of_a_statement, given, until, since_the_last_call]


@pytest.mark.parametrize("make", PROGRAMS)
def test_programs_look_at_clocks_where_eager_mode_does(make: Callable[..., Any]) -> None:
    def run(compiled: bool) -> tuple[list[Any], Any]:
        dg.manual_seed(0)
        made: list[Any] = []

        def wrap(f: Any) -> Any:
            made.append(dg.compile(f, wait=True) if compiled else f)
            return made[-1]

        log: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            clocks = tick(patch)
            f, seen = make(wrap, log), []
            for i in range(CALLS):
                seen.append(frozen((f(normal(4, 3, seed=i), i), list(log))))
                seen.append([len(c) for c in clocks])
        return seen, made[0]

    (eager, _), (seen, f) = run(False), run(True)
    for i, (a, b) in enumerate(zip(eager, seen, strict=True)):
        assert a == b, (i, f.explain())
    assert sum(p.calls for p in f.programs) > CALLS // 3, f.explain()


def test_clocks_tell_the_time() -> None:
    logger, told = logging.getLogger("clocks"), []

    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        begin = time.monotonic()
        y = x.exp()
        logger.warning("%d", 1)  # which looks at a clock of its own
        told.append((begin, time.monotonic()))
        return y * y

    for _ in range(CALLS):
        before = time.monotonic()
        f(dg.ones(3))
        begin, end = told[-1]
        assert before <= begin <= end <= time.monotonic()
    assert len(f.programs) == 1 and f.programs[0].calls > CALLS // 3, f.explain()
    assert "taken[0] = 'any float'" in f.explain()


def test_what_else_the_module_does_stays_eager() -> None:
    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        time.sleep(0)
        return x * 2

    for _ in range(3):
        f(dg.ones(2))
    assert not f.programs and "time" in f.explain()
