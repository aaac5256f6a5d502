"""Forever: objects that native code touches until the process is gone, when modules have been cleared, too."""

from __future__ import annotations

import ctypes
from typing import TypeVar

T = TypeVar("T")


def forever(x: T) -> T:
    """x, which nothing frees any more: what it holds stays where it is until the very end of the process."""
    api = getattr(ctypes, "pythonapi", None)
    if api is not None:
        api.Py_IncRef(ctypes.py_object(x))
    return x
