"""Alone: what one thread of the process does at a time; others wait, or do without. Children of a fork are free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .forks import forget


class Alone:
    """A lock that its thread may take several times.

    >>> alone = Alone()
    >>> with alone.within(0.1) as mine, alone.waiting():
    ...     mine
    True
    """

    def __init__(self) -> None:
        self._free()
        forget(self._free)

    def _free(self) -> None:
        self._lock = threading.RLock()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, no other thread is; waits until that is so."""
        with self._lock:
            yield

    @contextmanager
    def within(self, seconds: float) -> Iterator[bool]:
        """Whether no other thread is inside, by so many seconds from now; if so, none will be."""
        lock = self._lock
        mine = lock.acquire(timeout=seconds)
        try:
            yield mine
        finally:
            if mine:
                lock.release()
