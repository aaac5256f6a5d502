"""Heap: memory that was freed goes back to the system, where the C library would keep it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim  # of glibc
    except (AttributeError, OSError, TypeError):
        return None


def give_back() -> None:
    """Gives back what is free; takes some milliseconds where there is much."""
    trim = _trim()
    if trim is not None:
        trim(0)
