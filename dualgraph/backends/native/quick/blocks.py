"""The caching allocator as Python sees it: its state, its limit, and NumPy's handler over the glue functions."""

from __future__ import annotations

import contextvars
import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ....core.process.forever import forever
from ....core.process.forks import forget
from ..glue import HEADER, ONE, LayoutError, Library, capi, pointer_at

SMALL = 1 << 16  # bytes up to which the system's allocator is quick enough
CLASSES = 160
BINS = 7 * 8
LOOK = 4096  # blocks freed between two looks for idle ones
MOST = 1 << 29  # bytes that wait at most, unless DUALGRAPH_MEMORY_CACHE says otherwise

CALLS = "malloc", "calloc", "realloc", "free"
ENTRIES = (*(f"memory_{name}" for name in CALLS), "release_idle", "probe_memory")  # of glue

STATE = np.zeros(BINS // 8 + 2 * CLASSES, dtype=np.int64)
NAMES = ("lock", "cached", "limit", "hits", "misses", "freed", "ready")
READY = NAMES.index("ready")


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("state", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


_handler = _Handler()
handler_name = np._core.multiarray.get_handler_name


def _capsule() -> Any:
    make = ctypes.pythonapi.PyCapsule_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(ctypes.addressof(_handler), b"mem_handler", None)


CAPSULE = _capsule()


def numbers() -> dict[str, int]:
    """What the glue of memory calls by numbers."""
    offsets = {name.upper(): 8 * i for i, name in enumerate(NAMES)}
    return offsets | {
        "SMALL": SMALL, "CLASSES": CLASSES, "BINS": BINS, "LOOK": LOOK, "OWNED": 4,
        "OWN_ROWS": 0x501, "A_HANDLER": HEADER + 9 * 8, "TRACE_DOMAIN": 389047,
    }  # fmt: skip


def _limit() -> int:
    wish = os.environ.get("DUALGRAPH_MEMORY_CACHE", "")
    return int(wish) if wish.isdecimal() else MOST


def install(library: Library) -> Callable[[], Any]:
    """Fills the handler in; gives a function that makes it the one of the current context.

    Raises LayoutError where NumPy does not take it.
    """
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)
    set_handler = kind(capi.address("PyDataMem_SetHandler"))
    probe = np.ones(3)
    own = ctypes.PYFUNCTYPE(ctypes.py_object)(capi.address("PyDataMem_GetHandler"))()
    if pointer_at(id(probe) + numbers()["A_HANDLER"]) != id(own):
        raise LayoutError("arrays do not keep their memory handler where it is expected")
    _handler.name, _handler.version = b"dualgraph", 1
    _handler.state = STATE.ctypes.data
    for kept in (STATE, _handler, CAPSULE):  # arrays are freed after the modules are
        forever(kept)
    for name in CALLS:
        setattr(_handler, name, library.address(f"memory_{name}"))
    STATE[NAMES.index("limit")] = _limit()
    STATE[READY] = 1  # other glue, which may be there sooner, takes memory from here from now on
    forget(_unlock)
    _context.run(set_handler, CAPSULE)
    _release.append(ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 2)(library.address("release_idle")))
    large = in_context(np.zeros, SMALL)
    made = library.builtin("new", "probe_memory", ONE)(np.dtype(np.float64))
    for array in (large, made):
        if handler_name(array) != "dualgraph" or not array.flags.owndata or array.base is not None:
            STATE[READY] = 0
            raise LayoutError("arrays do not take the memory handler that they are given")
    return functools.partial(set_handler, CAPSULE)


_context = contextvars.copy_context()
_release: list[Any] = []


def in_context(fn: Callable[..., Any], *args: Any) -> Any:
    """Calls a function so that NumPy takes memory for large arrays here."""
    return _context.run(fn, *args)


def release() -> None:
    """Gives all blocks that wait back to the system."""
    for call in _release:
        call(STATE.ctypes.data, 1)


def _unlock() -> None:
    """In the child of a fork nobody else holds the lock."""
    STATE[0] = 0


def statistics() -> dict[str, int]:
    """Bytes that wait, the most that may, and how often a block was there or was not."""
    return {
        name: int(STATE[i])
        for i, name in enumerate(NAMES)
        if name in ("cached", "limit", "hits", "misses")
    }
