"""Turns: how long a thread may have to wait for the interpreter while our own threads work beside it."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

BRIEF = 0.0001  # seconds until a thread that runs Python gives way to one that waits; usually 0.005


class Yielding:
    """While any thread is inside, threads that run Python give way to others fifty times as soon.

    A compilation in pure Python beside a caller would otherwise cost the caller five milliseconds each time that
    it comes back from a kernel. The interval is the interpreter's; a value that a user sets meanwhile stays.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._before = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = sys.getswitchinterval()
                if self._before > BRIEF:
                    sys.setswitchinterval(BRIEF)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            untouched = abs(sys.getswitchinterval() - BRIEF) < 1e-6
            if not self._inside and untouched and self._before > BRIEF:
                sys.setswitchinterval(self._before)


yielding = Yielding()
