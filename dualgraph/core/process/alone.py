"""Alone: what one thread of the process does at a time; others wait, or do without. Children of a fork are free."""

from __future__ import annotations

import threading

from .forks import forget


class Alone:
    """Its `lock` may be taken several times by the thread that has it, and is another one in a child.

    >>> alone = Alone()
    >>> with alone.lock:
    ...     alone.lock.acquire(timeout=0.1)
    True
    """

    def __init__(self) -> None:
        self._free()
        forget(self._free)

    def _free(self) -> None:
        self.lock = threading.RLock()
