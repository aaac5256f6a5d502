"""Tables: offsets of elements in bytes, as int64 arrays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


LIMIT = 1024  # tables kept
_kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
name_of = cache(attrgetter("name"))  # of NumPy dtypes, which put it together each time


def table(*axes: tuple[int, int], start: int = 0) -> Any:
    """The offsets ``start + sum of i * step`` over axes (extent, step), row-major, as int64; not to be written."""
    if not axes:
        return _offsets(axes, start)
    (rows, step), *inner = axes
    what = (step, *inner, start)
    return grown(what, rows, lambda rows: _offsets([(rows, step), *inner], start))


def _offsets(axes: Sequence[tuple[int, int]], start: int) -> Any:
    out = np.full(1, start, dtype=np.int64) if start or not axes else None
    for extent, step in axes:
        own = np.arange(extent, dtype=np.int64) * step
        out = own if out is None else (out[:, None] + own).reshape(-1)
    return out


def grown(what: Any, rows: int, make: Callable[[int], Any]) -> Any:
    """The beginning of a table that may be needed longer: ``make(rows)``, whose rows say how many there are and
    nothing else; `what` names it. So batches of all sizes share one."""
    found, there = _kept.get(what, (None, -1))
    if there < rows:
        there = 1 << (rows - 1).bit_length() if there > 0 else rows  # two sizes: there may be more
        found = make(there)
        found.flags.writeable = False
        _kept[what] = found, there
        while len(_kept) > LIMIT:
            with suppress(KeyError):  # another thread was faster
                _kept.popitem(last=False)
    return found if there == rows else found[: found.size // there * rows]


def make_room(kept: dict[Any, Any], limit: int) -> None:
    """Drops the oldest entries of a cache until there is room for one more: all at once would hold up a call."""
    while len(kept) >= limit:
        with suppress(KeyError, RuntimeError, StopIteration):  # another thread was faster
            del kept[next(iter(kept))]


def crossed(x: Any, y: Any) -> Any:
    """The sums of entries of two tables, row-major."""
    return (x[:, None] + y).reshape(-1)
