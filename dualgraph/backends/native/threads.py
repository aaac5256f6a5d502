"""Threads: a loop's range split between Python threads that each run native code without the interpreter lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np

from ...core.process import forks

Range = Callable[[int, int, int], None]  # (begin, end, thread number)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class Job:
    """A call split in parts; done when all parts are."""

    def __init__(self, parts: int) -> None:
        self.left = parts
        self.lock = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self.error: BaseException | None = None

    def run(self, fn: Range, begin: int, end: int, number: int) -> None:
        """Runs a part; the last one lets the caller go on."""
        try:
            fn(begin, end, number)
        except BaseException as error:  # handed to the caller
            self.error = error
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.done.release()


class Pool:
    """Worker threads that sleep until there is work. The calling thread takes the first part itself."""

    def __init__(self) -> None:
        self.word = np.zeros(1, dtype=np.int64)  # the size, where native code reads it
        self.size = int(os.environ.get("DUALGRAPH_NUM_THREADS", "0")) or _cores()
        self.queue: SimpleQueue[tuple[Job, Range, int, int, int]] = SimpleQueue()
        self.started = 0
        self.owner = os.getpid()
        self.lock = forks.lock()

    @property
    def size(self) -> int:
        """How many threads share a call."""
        return self._size

    @size.setter
    def size(self, n: int) -> None:
        self._size = self.word[0] = n

    def _start(self) -> None:
        """Starts the threads that are missing."""
        with self.lock:
            if self.owner != os.getpid():  # threads do not survive a fork
                self.queue, self.started, self.owner = SimpleQueue(), 0, os.getpid()
            while self.started < self.size - 1:
                self.started += 1
                threading.Thread(
                    target=self._work, name=f"dualgraph-{self.started}", daemon=True
                ).start()

    def _work(self) -> None:
        queue = self.queue
        while True:
            job, fn, begin, end, number = queue.get()
            job.run(fn, begin, end, number)

    def split(self, fn: Range, extent: int, grain: int) -> None:
        """Runs ``fn(begin, end, number)`` over all of ``range(extent)``, cut at multiples of `grain`."""
        units = -(-extent // grain)
        parts = min(self.size, units)
        if parts <= 1:
            fn(0, extent, 0)
            return
        self._start()
        cuts = [min(extent, units * i // parts * grain) for i in range(parts + 1)]
        job = Job(parts)
        for i in range(1, parts):
            self.queue.put((job, fn, cuts[i], cuts[i + 1], i))
        job.run(fn, 0, cuts[1], 0)
        job.done.acquire()
        if job.error is not None:
            raise job.error


pool = Pool()


def get_num_threads() -> int:
    """How many threads native kernels use."""
    return pool.size


def set_num_threads(n: int) -> None:
    """Sets how many threads native kernels use; results do not depend on it."""
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, not {n}")
    pool.size = n
