"""Lengths: while a capture with symbolic sizes goes on, ``len(x)`` of its tensors gives a size that can be followed.

What ``x.__len__()`` gives goes through C code, which makes a plain int of it. So the name ``len`` stands for a function
here that looks at tensors of symbolic sizes first; all else, and all other threads, get what they always do.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..core.context import state
from ..core.process import forks

_plain = builtins.len
_lock = forks.lock()
_running = 0  # captures that want lengths followed


def _length(obj: Any, /) -> int:
    if state.tracer is not None and hasattr(type(obj), "_dims") and obj.ndim:
        return obj.shape[0]  # type: ignore[no-any-return]
    return _plain(obj)


_length.__name__ = _length.__qualname__ = "len"


def as_usual(builtin: Any) -> Any:
    """What there is in the place of a builtin when no capture goes on."""
    return _plain if builtin is _length else builtin


@contextmanager
def followed_lengths() -> Iterator[None]:
    """Inside, ``len`` gives symbolic sizes of tensors that have some."""
    global _running
    with _lock:
        _running += 1
        if builtins.len is _plain:
            builtins.len = _length
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running and builtins.len is _length:
                builtins.len = _plain
