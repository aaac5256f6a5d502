"""Tables: offsets of elements in bytes, as int64 arrays."""

from __future__ import annotations

from functools import cache
from math import prod
from operator import attrgetter
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


name_of = cache(attrgetter("name"))  # of NumPy dtypes, which put it together each time


def table(*axes: tuple[int, int], start: int = 0) -> Any:
    """The offsets ``start + sum of i * step`` over axes (extent, step), row-major, as int64."""
    out = np.full(1, start, dtype=np.int64)
    for extent, step in axes:
        out = (out[:, None] + np.arange(extent, dtype=np.int64) * step).reshape(-1)
    return out


def crossed(x: Any, y: Any) -> Any:
    """The sums of entries of two tables, row-major."""
    return (x[:, None] + y).reshape(-1)


def contiguous_strides(shape: Ints, size: int) -> Ints:
    """Strides in bytes of a row-major array."""
    return tuple(size * prod(shape[i + 1 :]) for i in range(len(shape)))
