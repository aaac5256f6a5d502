"""Turns: how long a thread may have to wait for the interpreter while our own threads work beside it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading

BRIEF = (
    0.00002  # seconds until a thread that runs Python gives way to one that waits; usually 0.005
)
SLACK = 29, 1000  # Linux' PR_SET_TIMERSLACK, nanoseconds
MODEST = 5  # how much nicer a thread is that leaves the processors to callers


class Yielding:
    """From `enter` to `leave`, whichever threads call them, threads that run Python give way to others much sooner.

    A compilation in pure Python beside a caller would otherwise cost the caller five milliseconds each time that
    it comes back from a kernel. And a thread asks for its turn only when it has waited so long without being
    woken: a caller whose ops let go of the interpreter for a moment, more often than that, would keep it for good.
    The interval is the interpreter's; a value that a user sets meanwhile stays.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._before = 0.0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """One piece of work more is to be done beside callers."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = sys.getswitchinterval()
                if self._before > BRIEF:
                    sys.setswitchinterval(BRIEF)

    def leave(self) -> None:
        """One is done."""
        with self._lock:
            self._inside -= 1
            untouched = abs(sys.getswitchinterval() - BRIEF) < 1e-6
            if not self._inside and untouched and self._before > BRIEF:
                sys.setswitchinterval(self._before)


yielding = Yielding()


def punctual() -> None:
    """Has short waits of this thread end on time; Linux may let them last 50 microseconds longer."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            option, slack = SLACK
            ctypes.CDLL(None).prctl(option, ctypes.c_ulong(slack), *[ctypes.c_ulong(0)] * 3)


def modest() -> None:
    """Has this thread, and those that it starts, leave the processors to others where there are too few, on Linux.

    A call whose kernels run on all processors would wait for a turn on each of them.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            own = threading.get_native_id()
            nice = os.getpriority(os.PRIO_PROCESS, own)
            os.setpriority(os.PRIO_PROCESS, own, min(nice + MODEST, 19))
