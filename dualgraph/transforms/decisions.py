"""Decisions: whether derivatives are recorded is decided once; a function that is run again does as it did."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


class _Running(threading.local):
    def __init__(self) -> None:
        self.levels: list[Decisions] = []


_running = _Running()


class Decisions:
    """Context manager: notes what is decided inside (``made``); with `given`, decides as it was then."""

    def __init__(self, given: Sequence[bool] | None = None) -> None:
        self.given = None if given is None else iter(given)
        self.made: list[bool] = []

    def __enter__(self) -> Decisions:
        _running.levels.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _running.levels.pop()


def decided(decide: Callable[[], bool]) -> bool:
    """What `decide` says, or said in the run that is repeated."""
    noting: list[Decisions] = []
    for level in reversed(_running.levels):
        if level.given is not None:
            value = next(level.given, None)
            break
        noting.append(level)
    else:
        value = None
    value = decide() if value is None else value
    for level in noting:
        level.made.append(value)
    return value
