"""Addresses: where an array's elements begin, found without NumPy's slow ``array.ctypes.data``.

CPython's array object starts with its header and then the pointer to the elements. That is checked once,
on an array whose address is known; where it does not hold, the slow way is taken.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

HEADER = object.__basicsize__
_pointer_at = ctypes.c_void_p.from_address


def _holds() -> bool:
    probe = np.empty(3, dtype=np.int8)
    try:
        return _pointer_at(id(probe) + HEADER).value == probe.ctypes.data
    except Exception:
        return False


DIRECT = _holds()


def address_of(array: Any) -> int:
    """The address of an array's first element."""
    if DIRECT:
        return _pointer_at(id(array) + HEADER).value or 0
    return int(array.ctypes.data)
