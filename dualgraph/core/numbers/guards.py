"""Guards: what was decided on symbolic sizes, as conditions under which other sizes would decide the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Mode(threading.local):
    """What a comparison of symbolic sizes does in this thread; `guarded` sets it."""

    guards: dict[str, None] | None = None  # conditions taken down, as Python source; None: none are
    proving = False  # equal only where that holds for all sizes
    known: frozenset[str] = frozenset()  # conditions that hold anyway
    # Is told of numbers that are read as such; None: guards say so.
    leak: Callable[[], None] | None = None


mode = Mode()


class guarded:
    """Context manager that takes down the guards of what is decided inside; they are the keys of what it gives.

    With `proving`, sizes count as equal only where they always are: that takes no guards, and suits code
    for which "not equal" is the careful answer. And sizes count as positive: where one is 0, nothing runs.
    `known` are conditions that hold anyway (None: those that do around it); what relies on one says so.
    `leak` is called where a number itself is read, in place of a guard that pins it.

    It is no generator: one that an interrupt has left open would put back what was before it when it is thrown away,
    whatever goes on then. What an interrupt leaves set, `core.context.as_before` puts back.
    """

    __slots__ = ("_before", "_inside")

    def __init__(
        self,
        proving: bool = False,
        known: Iterable[str] | None = None,
        leak: Callable[[], None] | None = None,
    ) -> None:
        self._inside = proving, known, leak

    def __enter__(self) -> dict[str, None]:
        self._before = mode.guards, mode.proving, mode.known, mode.leak
        guards: dict[str, None] = {}
        mode.guards = guards
        mode.proving, known, mode.leak = self._inside
        mode.known = mode.known if known is None else frozenset(known)
        return guards

    def __exit__(self, *exc: object) -> None:
        mode.guards, mode.proving, mode.known, mode.leak = self._before


class unguarded:
    """Context manager: sizes are compared as the numbers they are, for choices that are right either way."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = mode.guards, mode.proving
        mode.guards, mode.proving = None, False

    def __exit__(self, *exc: object) -> None:
        mode.guards, mode.proving = self._before


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
