"""Collecting: Python's search for reference cycles, put off while much is made that stays."""

from __future__ import annotations

import gc
import threading
from types import TracebackType

SELDOM = 10_000  # objects made, more than freed, until a search begins; usually 700


class Undisturbed:
    """While any thread is inside, searches for cycles begin seldom.

    A search costs up to ten milliseconds, and is made the sooner the more objects were made. Those of a
    capture stay, so a search in the midst of it finds nothing. The thresholds are the interpreter's; values
    that a user sets meanwhile stay.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._before = gc.get_threshold()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = gc.get_threshold()
                if 0 < self._before[0] < SELDOM:
                    gc.set_threshold(SELDOM, *self._before[1:])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and gc.get_threshold()[0] == SELDOM:
                gc.set_threshold(*self._before)


undisturbed = Undisturbed()
