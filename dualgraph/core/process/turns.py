"""Turns: when Linux gives threads of the package a processor - timers on time, callers first."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading

SLACK = 29, 1000  # Linux' PR_SET_TIMERSLACK, nanoseconds
MODEST = 5  # how much nicer a thread is that leaves the processors to callers


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
