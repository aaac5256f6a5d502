"""Awaited: whether a caller waits for machine code that is not there yet, or does without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Unmade(Exception):
    """Code is not there yet, and the caller said that it does without."""


class _Caller(threading.local):
    waits = True


_caller = _Caller()


def waits() -> bool:
    """Whether the caller in this thread waits for code."""
    return _caller.waits


def or_unmade(fn: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """``fn(*args, **named)``; raises Unmade rather than wait for code. What few have asked for is not even begun: many
    a kernel is never asked for again."""
    _caller.waits = False
    try:
        return fn(*args, **named)
    finally:
        _caller.waits = True
