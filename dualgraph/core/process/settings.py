"""Interpreter settings - thread switching, garbage collection - that differ while the package's own threads work."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from .forks import forget

# Seconds until a thread that runs Python gives way to one that waits; usually 0.005.
BRIEF = 0.00002
SELDOM = 10_000  # objects made, more than freed, until a search for cycles begins; usually 700
T = TypeVar("T")


class Meanwhile(Generic[T]):
    """A setting that is another from the first `enter` to the last `leave`, whichever threads call them.

    A value that a user sets meanwhile stays. A child made by a fork begins outside.
    """

    def __init__(
        self, read: Callable[[], T], write: Callable[[T], object], other: Callable[[T], T]
    ) -> None:
        self._read, self._write, self._other = read, write, other
        self._before = self._ours = read()
        self._begin()
        forget(self._leave_all)

    def _begin(self) -> None:
        self._inside, self._lock = 0, threading.Lock()

    def _leave_all(self) -> None:
        if self._inside:
            self._restore()
        self._begin()

    def _restore(self) -> None:
        if self._read() == self._ours != self._before:
            self._write(self._before)

    def enter(self) -> None:
        """One piece of work more is in hand."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = self._ours = self._read()
                other = self._other(self._before)
                if other != self._before:
                    self._write(other)
                    self._ours = self._read()

    def leave(self) -> None:
        """One is done."""
        with self._lock:
            if self._inside == 1:
                self._restore()
            self._inside = max(self._inside - 1, 0)

    __enter__ = enter

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()


def _seldom(usual: tuple[int, int, int]) -> tuple[int, int, int]:
    return (SELDOM, *usual[1:]) if 0 < usual[0] < SELDOM else usual


yielding = Meanwhile(sys.getswitchinterval, sys.setswitchinterval, lambda usual: min(usual, BRIEF))
"""Threads that run Python give way to others much sooner.

A compilation in pure Python beside a caller would otherwise cost the caller five milliseconds each time that
it comes back from a kernel. And a thread asks for its turn only when it has waited so long without being
woken: a caller whose ops let go of the interpreter for a moment, more often than that, would keep it for good.
"""

undisturbed = Meanwhile(gc.get_threshold, lambda usual: gc.set_threshold(*usual), _seldom)
"""Python's search for reference cycles begins seldom.

A search costs up to ten milliseconds, and is made the sooner the more objects were made. Those of a capture
stay, so a search in the midst of it finds nothing.
"""
