"""Workers: threads of our own that run jobs beside the caller. A fork waits for their jobs; the interpreter ends when
those in hand are done, and drops what is not begun.

Not those of `concurrent.futures`: they lock what every fork locks, too, so a fork could not wait for them; and
importing them takes longer than many a job.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from .forks import forget, note
from .settings import undisturbed, yielding
from .turns import punctual

T = TypeVar("T")
_here = threading.local()  # `worker`: whether the thread is one
_at_last: list[Callable[[], Any]] = []
_ending: list[bool] = []  # not empty: the interpreter ends
# Jobs that are not done any more: what they hold is not for the garbage collector
_left: list[Job[Any]] = []


class Ended(BaseException):
    """The interpreter ends, and a worker's job needs another that is not begun any more: it is given up, too."""


def _in_worker() -> bool:
    return getattr(_here, "worker", False)


def check_ending() -> None:
    """Raises Ended in a worker's job once the interpreter ends: for work of many parts, between them."""
    if _ending and _in_worker():
        raise Ended


def at_last(work: Callable[[], Any]) -> None:
    """Calls `work` when the interpreter ends, after all workers are done; daemon threads still run then."""
    _at_last.append(work)


@atexit.register  # first of all, so it comes last
def _ended() -> None:
    for work in _at_last:
        work()


def _held() -> threading.Lock:
    """A lock that whoever waits for it gets once it is released. An event is Python inside, where an interrupt of one
    that waits would leave it locked for who sets it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Job(Generic[T]):
    """Work that was begun; ``result()`` waits for it, and gives what it gave or raises what it raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._ready = False
        self._dropped = False
        self._running = _held()
        self._process = os.getpid()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Does the work, in the thread that calls."""
        try:
            assert self._work is not None
            self._value = self._work()
        except Ended:
            self.drop()
            return
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error
        self._work, self._ready = None, True
        self._running.release()

    def drop(self) -> None:
        """Leaves the work to who asks for the result, if anybody does."""
        self._dropped = True
        _left.append(self)
        self._running.release()

    @property
    def done(self) -> bool:
        """Whether nobody has to wait for the result any more."""
        return self._ready

    def given(self) -> T | None:
        """What the work gave, or None: it is not done yet, or failed."""
        return self._value if self._ready and self._error is None else None

    def result(self) -> T:
        """What the work gave. A child made by a fork, which has not the thread that was to do it, does it now; so does
        a thread of the user's when the interpreter ends."""
        if not self._ready and self._process != os.getpid():
            self._process, self._running = os.getpid(), _held()
            self.run()
        with self._running:
            pass
        if self._dropped:
            if _in_worker():
                raise Ended
            self._dropped, self._running = False, _held()
            self.run()
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value


class Workers:
    """Up to `count` threads, started when there is work. The interpreter does not end before the jobs in hand are done,
    nor, with `thorough`, before all are."""

    def __init__(self, name: str, count: int, thorough: bool = False) -> None:
        self.name = name
        self.count = count
        self._thorough = thorough
        self._forget()
        forget(self._forget)
        atexit.register(self._end)

    def _forget(self) -> None:
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def _end(self) -> None:
        _ending.append(True)
        self._finish()

    def _finish(self) -> None:
        with self._lock:
            threads, self._threads, self.count = self._threads, [], 0
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        """What each thread does: job after job, until it is given None."""
        own, queue = threading.get_ident(), self._queue
        _here.worker = True
        punctual()
        while (job := queue.get()) is not None:
            note(0, own)
            try:
                with undisturbed:
                    if self._thorough or not (_ending or self.count == 0):
                        job.run()
                    else:
                        job.drop()
                    del job  # what it holds may be large, and takes LLVM's lock to be freed
            finally:
                yielding.leave()
                note(own, None)

    def check(self) -> None:
        """Raises Ended in a worker whose job would not be done any more."""
        if (_ending or self.count == 0) and not self._thorough and _in_worker():
            raise Ended

    def submit(self, work: Callable[[], T]) -> Job[T]:
        """Begins work. Where no thread can be started, as when the interpreter ends, it is done at once; but a worker
        that asks then is to end, too, and gets Ended."""
        self.check()
        job = Job(work)
        yielding.enter()  # until it is done: a caller that waits for its turn has begun to by the time the job runs
        with self._lock:
            if len(self._threads) < self.count:
                self._start()
            if self._threads:  # under the lock: after `_finish` nobody would take the job up
                note(None, 0)
                self._queue.put(job)
                return job
        job.run()
        yielding.leave()
        return job

    def _start(self) -> None:
        """One thread more, where there can be one."""
        name = f"{self.name}-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        self._threads.append(thread)
