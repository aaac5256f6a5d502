"""Workers: what is submitted is done for whoever asks for it, whatever ends meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dualgraph.core.process import workers


def test_a_job_that_comes_as_the_interpreter_ends_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it may hold a lock that another job waits for, which the end waits for."""
    crew = workers.Workers("ending", 1)
    assert crew.submit(lambda: 1).result() == 1
    ending = threading.Thread(target=crew._finish)
    tell, own = workers.note, threading.get_ident()

    def told(before: Any, after: Any) -> None:
        if after == 0 and threading.get_ident() == own:  # not for what other threads submit
            ending.start()
            ending.join(0.3)  # the end comes in the middle of `submit`
        tell(before, after)

    monkeypatch.setattr(workers, "note", told)
    job = crew.submit(lambda: 7)
    ending.join(60)
    assert not ending.is_alive() and job.result() == 7
    assert crew.submit(lambda: 8).given() == 8  # at once, since no thread is left


def test_an_interrupt_of_whoever_waits_leaves_nothing_locked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may come in any function of Python: those of conditions and events would then leave their lock taken."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    crew = workers.Workers("interrupted", 1)
    assert crew.submit(lambda: 1).result() == 1
    monkeypatch.setattr(threading.Condition, "__enter__", interrupt)
    monkeypatch.setattr(threading.Condition, "__exit__", interrupt)
    assert crew.submit(lambda: 2).result() == 2


def test_what_is_not_begun_when_the_interpreter_ends_is_dropped() -> None:
    """It is done where somebody asks for it after all; a worker's job that needs it is given up, too."""
    crew, others = workers.Workers("dropped", 1), workers.Workers("asking", 1)
    begun, go, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait(60)
        done.append("first")

    def asking() -> Any:
        begun.wait(60)
        ending.join(60)
        return crew.submit(lambda: done.append("asked")).result()

    crew.submit(first)
    second = crew.submit(lambda: done.append("second"))
    third = others.submit(lambda: second.result())
    ending = threading.Thread(target=crew._finish)
    fourth = others.submit(asking)
    begun.wait(60)
    ending.start()
    while crew.count:
        ending.join(0.001)
    go.set()
    ending.join(60)
    others._finish()
    assert done == ["first"] and not ending.is_alive()
    assert third.given() is fourth.given() is None
    second.result()
    assert done == ["first", "second"]


def test_a_thorough_worker_does_all() -> None:
    crew, done = workers.Workers("thorough", 1, thorough=True), []
    for i in range(20):
        crew.submit(lambda i=i: done.append(i))
    crew._finish()
    assert done == list(range(20))
