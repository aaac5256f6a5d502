"""Memory for native code that each thread has of its own, kept from call to call.

Native code runs without the interpreter lock. A thread that is in it when the interpreter ends loses all that its
thread-local variables hold, while the code goes on; so what is held then is never given back.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Any

import numpy as np

from .addresses import address_of

ALIGN = 64
KEPT = 2**27  # bytes that are kept where a call needs less
_local = threading.local()
_keep = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))


class _Held:
    """Bytes that outlive their holder when the interpreter ends."""

    __slots__ = ("address", "array", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.array = np.empty(size + ALIGN, dtype=np.uint8)
        address = address_of(self.array)
        self.address = address + -address % ALIGN

    def __del__(self, ending: Any = sys.is_finalizing, keep: Any = _keep) -> None:
        if ending():
            keep(self.array)


def memory(name: str, size: int) -> int:
    """The address of memory for one purpose, this thread's own; kept for later calls until
    less is asked for than too much to keep."""
    held: _Held | None = getattr(_local, name, None)
    if held is None or held.size < size or (held.size > KEPT >= size):
        held = _Held(size)
        setattr(_local, name, held)
    return held.address
