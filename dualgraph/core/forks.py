"""Forks: a process that forks waits for the work its own threads have in hand, so that no child inherits a lock.

``with busy:`` marks such work. Threads do not survive a fork; `forget` registers what a child must do about that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 20.0  # seconds that a fork waits at most


class Busy:
    """Counts the work in hand. Work may begin while other work is in hand, even if a fork waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._holders: list[int] = []  # a thread's number, or 0 for work that is queued
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._wait, after_in_parent=self._release, after_in_child=self._release
            )

    def begin(self, holder: int = 0) -> None:
        """Notes work that another thread will end."""
        with self._changed:
            self._holders.append(holder)

    def end(self, holder: int = 0) -> None:
        """The work noted by `begin` is done."""
        with self._changed:
            self._holders.remove(holder)
            self._changed.notify_all()

    def __enter__(self) -> Busy:
        self.begin(threading.get_ident())
        return self

    def __exit__(self, *error: Any) -> None:
        self.end(threading.get_ident())

    def _wait(self) -> None:
        self._changed.acquire()
        own = threading.get_ident()
        self._changed.wait_for(lambda: not self._holders or own in self._holders, PATIENCE)

    def _release(self) -> None:
        self._changed.release()


busy = Busy()


def forget(reset: Callable[[], None]) -> None:
    """Calls `reset` in every child made by a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
