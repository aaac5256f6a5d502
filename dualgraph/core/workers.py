"""Workers: threads of our own that run jobs beside the caller. A fork waits for their jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .forks import forget, note

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")


class Workers:
    """Up to `count` threads, started when there is work; they finish it before the interpreter ends."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.count = count
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        forget(self._forget)

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
            note(0, thread)
            try:
                return job()
            finally:
                note(thread, None)

        note(None, 0)
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
