"""Guards: what was decided on symbolic sizes, as conditions under which other sizes would decide the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Mode(threading.local):
    """What a comparison of symbolic sizes does in this thread; `guarded` sets it."""

    guards: dict[str, None] | None = None  # conditions taken down, as Python source; None: none are
    proving = False  # equal only where that holds for all sizes
    known: frozenset[str] = frozenset()  # conditions that hold anyway
    # Is told of numbers that are read as such; None: guards say so.
    leak: Callable[[], None] | None = None


mode = Mode()


@contextmanager
def guarded(
    proving: bool = False,
    known: Iterable[str] | None = None,
    leak: Callable[[], None] | None = None,
) -> Iterator[dict[str, None]]:
    """Takes down the guards of what is decided inside; they are the keys of what it gives.

    With `proving`, sizes count as equal only where they always are: that takes no guards, and suits code
    for which "not equal" is the careful answer. And sizes count as positive: where one is 0, nothing runs.
    `known` are conditions that hold anyway (None: those that do around it); what relies on one says so.
    `leak` is called where a number itself is read, in place of a guard that pins it.
    """
    before = mode.guards, mode.proving, mode.known, mode.leak
    mode.guards, mode.proving, mode.leak = {}, proving, leak
    mode.known = mode.known if known is None else frozenset(known)
    try:
        yield mode.guards
    finally:
        mode.guards, mode.proving, mode.known, mode.leak = before


@contextmanager
def unguarded() -> Iterator[None]:
    """Inside, sizes are compared as the numbers they are: for choices that are right either way."""
    before = mode.guards, mode.proving
    mode.guards, mode.proving = None, False
    try:
        yield
    finally:
        mode.guards, mode.proving = before


def require(conditions: Iterable[str]) -> None:
    """Takes down guards."""
    if mode.guards is not None:
        mode.guards.update(dict.fromkeys(conditions))


def note(condition: str) -> None:
    """Takes down one condition, in Python source."""
    if mode.guards is not None:
        mode.guards[condition] = None


def number() -> int:
    """How many conditions were taken down."""
    return 0 if mode.guards is None else len(mode.guards)


def forget(since: int) -> None:
    """Drops the conditions that were taken down after the first `since`: what they were for came to nothing."""
    taken = mode.guards or {}
    for condition in list(taken)[since:]:
        del taken[condition]
