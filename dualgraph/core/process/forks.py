"""Forks: threads do not survive one, and what they hold locked stays locked in the child.

So a fork waits until the work that `note` tells of is done, and a child calls what `forget` was given.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

PATIENCE = 20.0  # seconds that a fork waits at most
_changed = threading.Condition(threading.Lock())
_doing: list[int] = []  # the thread of each piece of work in hand; 0 while it waits for one
_locks: list[AbstractContextManager[Any]] = []  # free in every child


def note(before: int | None, after: int | None) -> None:
    """Work passes from a thread (None: it is new) to another (0: none yet, None: it is done)."""
    with _changed:
        if before is not None:
            _doing.remove(before)
        if after is not None:
            _doing.append(after)
        _changed.notify_all()


def forget(reset: Callable[[], None]) -> None:
    """Calls `reset` in every child made by a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


def free(lock: AbstractContextManager[Any]) -> None:
    """Has a fork wait for a lock that any thread may hold for a moment, and that a child must find free."""
    _locks.append(lock)


def _before() -> None:
    _changed.acquire()
    own = threading.get_ident()
    _changed.wait_for(lambda: not _doing or own in _doing, PATIENCE)
    for lock in _locks:
        lock.__enter__()


def _after() -> None:
    for lock in reversed(_locks):
        lock.__exit__(None, None, None)
    _changed.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
