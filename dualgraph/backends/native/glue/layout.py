"""Layout: where fields lie in objects, found out from live objects and never taken on trust."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

HEADER = object.__basicsize__  # of an object: reference count and type
TYPE = HEADER - 8  # where an object points to its type


class LayoutError(Exception):
    """Objects of this interpreter or of this NumPy do not lie in memory as glue expects."""


def pointer_at(address: int) -> int:
    """The address that is kept at an address."""
    return ctypes.c_void_p.from_address(address).value or 0


def slot_offset(owner: type, name: str) -> int:
    """The place of a field from ``__slots__`` in the objects of a class: bytes from their address.

    Raises LayoutError where the descriptor does not say what its objects show.
    """
    descriptor = owner.__dict__[name]
    definition = pointer_at(id(descriptor) + HEADER + 3 * 8)  # after d_type, d_name, d_qualname
    offset = ctypes.c_ssize_t.from_address(definition + 16).value  # after name and type
    size = owner.__basicsize__
    if not HEADER <= offset <= size - 8:
        raise LayoutError(f"{owner.__name__}.{name} cannot be at {offset} of {size} bytes")
    probe, mark = owner.__new__(owner), object()
    descriptor.__set__(probe, mark)
    if pointer_at(id(probe) + offset) != id(mark):
        raise LayoutError(f"{owner.__name__}.{name} is not at {offset}")
    return int(offset)


@cache
def array_offsets() -> dict[str, int]:
    """Where NumPy's array objects have their fields; raises LayoutError where they do not."""
    places = dict(
        zip(
            ("DATA", "NDIM", "DIMS", "STRIDES", "BASE", "DESCR", "FLAGS"),
            range(HEADER, HEADER + 7 * 8, 8),
            strict=True,
        )
    )
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for probe in (whole, whole[:, ::2].T):
        _check(probe, places)
    return places


def _check(probe: Any, places: dict[str, int]) -> None:
    at = {name: id(probe) + offset for name, offset in places.items()}
    ndim = ctypes.c_int.from_address(at["NDIM"]).value
    if pointer_at(at["DATA"]) != probe.ctypes.data or ndim != probe.ndim:
        raise LayoutError("arrays do not start with their data and number of axes")
    for name, expected in (("DIMS", probe.shape), ("STRIDES", probe.strides)):
        found = (ctypes.c_ssize_t * ndim).from_address(pointer_at(at[name]))
        if tuple(found) != expected:
            raise LayoutError(f"{name} of arrays is elsewhere")
    if pointer_at(at["DESCR"]) != id(probe.dtype) or pointer_at(at["BASE"]) != id(probe.base):
        raise LayoutError("base and dtype of arrays are elsewhere")
    if ctypes.c_int.from_address(at["FLAGS"]).value & 0xFFFF != probe.flags.num & 0xFFFF:
        raise LayoutError("flags of arrays are elsewhere")
