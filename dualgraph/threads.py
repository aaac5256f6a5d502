"""Threads: how many the kernels may use. The number never changes a bit."""

from __future__ import annotations

from .backends.native.threads import pool
from .core.context import unrepeatable
from .core.errors import ArgumentError


def get_num_threads() -> int:
    """The most threads that one op or program uses.

    >>> dg.get_num_threads() >= 1
    True
    """
    unrepeatable("it asks for the number of threads")
    return pool.size


def set_num_threads(n: int) -> None:
    """Sets the most threads that one op or program uses (all cores unless set).

    >>> before = dg.get_num_threads()
    >>> dg.set_num_threads(1)
    >>> dg.get_num_threads()
    1
    >>> dg.set_num_threads(before)
    """
    if not isinstance(n, int) or n < 1:
        raise ArgumentError(f"the number of threads is an integer of at least 1, not {n!r}")
    unrepeatable("it sets the number of threads")
    pool.size = n
