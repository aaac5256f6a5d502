"""Workers: threads of our own that run jobs beside the caller, and what a fork means to them.

Threads do not survive a fork, and what they hold locked stays locked in the child. So a fork waits until no
job is in hand, and a child starts workers of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

PATIENCE = 20.0  # seconds that a fork waits at most
T = TypeVar("T")
_changed = threading.Condition(threading.Lock())
_doing: list[int] = []  # the thread of each job in hand; 0 while it waits for one


def _note(before: int | None, after: int | None) -> None:
    with _changed:
        if before is not None:
            _doing.remove(before)
        if after is not None:
            _doing.append(after)
        _changed.notify_all()


def _before_fork() -> None:
    _changed.acquire()
    own = threading.get_ident()
    _changed.wait_for(lambda: not _doing or own in _doing, PATIENCE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_changed.release, after_in_child=_changed.release
    )


class Workers:
    """Up to `count` threads, started when there is work; they finish it before the interpreter ends."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._executor, self._lock = None, threading.Lock()

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                from concurrent.futures import ThreadPoolExecutor

                self._executor = ThreadPoolExecutor(self.count, thread_name_prefix=self.name)
            return self._executor

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Begins a job. When the interpreter ends, and no thread can be started, it is done at once."""

        def work() -> T:
            thread = threading.get_ident()
            _note(0, thread)
            try:
                return job()
            finally:
                _note(thread, None)

        _note(None, 0)
        try:
            return self._started().submit(work)
        except RuntimeError:
            return _at_once(work)


def _at_once(work: Callable[[], Any]) -> Future[Any]:
    from concurrent.futures import Future

    done: Future[Any] = Future()
    try:
        done.set_result(work())
    except Exception as error:
        done.set_exception(error)
    return done
