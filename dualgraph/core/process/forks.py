"""Forks: threads do not survive one, and what they hold locked stays locked in the child.

So a fork waits until the work that `note` tells of is done, and until locks are free under which what belongs together
is written; a child calls what `forget` was given, and finds other locks (`lock`) free.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

PATIENCE = 20.0  # seconds that a fork waits at most
# Entered itself, not by the condition, whose ways in and out are Python: an interrupt there would leave it locked.
_own = threading.Lock()
_changed = threading.Condition(_own)
_doing: list[int] = []  # the thread of each piece of work in hand; 0 while it waits for one
_locks: list[AbstractContextManager[Any]] = []  # free in every child
_made: weakref.WeakSet[Any] = weakref.WeakSet()


def note(before: int | None, after: int | None) -> None:
    """Work passes from a thread (None: it is new) to another (0: none yet, None: it is done)."""
    with _own:
        if before is not None:
            _doing.remove(before)
        if after is not None:
            _doing.append(after)
        _changed.notify_all()


def forget(reset: Callable[[], None]) -> None:
    """Calls `reset` in every child made by a fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


def free(held: AbstractContextManager[Any]) -> None:
    """Has a fork wait for a lock that any thread may hold for a moment, and that a child must find free."""
    _locks.append(held)


# Held while entries, programs and sizes are put into the records of any compiled function: one lock, for a fork to wait
# for. It is the first of those, as who holds it may ask for the others.
records = threading.RLock()
free(records)


def lock() -> threading.Lock:
    """A lock that is free in every child, whoever held it: for what is whole wherever it is cut short."""
    made = threading.Lock()
    _made.add(made)
    return made


def _free_all() -> None:
    for each in list(_made):
        each._at_fork_reinit()


def _before() -> None:
    _own.acquire()
    own = threading.get_ident()
    _changed.wait_for(lambda: not _doing or own in _doing, PATIENCE)
    for held in _locks:
        held.__enter__()


def _after() -> None:
    for held in reversed(_locks):
        held.__exit__(None, None, None)
    _own.release()


forget(_free_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
