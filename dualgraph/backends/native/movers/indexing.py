"""Indexing: elements and rows picked, put or added at the places that one index tensor lists.

The list is gone through in row-major order, so that sums at places named twice have one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ....core.errors import BoundsError
from ....core.numbers.symbolic import is_one
from ..team.room import open_room
from ..team.spots import ZERO_WORD, NotNative, Ref, Spot
from .indexing_code import bounds_code, cells_code, extremes_code, part_code, rows_code
from .kernels import address_of, dense, element_code, in_order, share
from .strided import move

Ints = tuple[int, ...]
SIZES = (1, 2, 4, 8)
SMALL = 4096  # bytes below which NumPy, which has less to prepare, makes the result
LINE = 64  # bytes of memory that one element on its own costs
SPLIT = 64  # columns from which sums over one list are split between threads


@dataclass(frozen=True, slots=True)
class Places:
    """A base (outer, size, inner) and what is listed of it, (outer, count, inner)."""

    outer: int
    size: int
    count: int
    inner: int

    @staticmethod
    def on(x: Any, axis: int, count: int) -> Places:
        """`count` places on an axis of x."""
        return Places(prod(x.shape[:axis]), x.shape[axis], count, prod(x.shape[axis + 1 :]))


def take_along(x: Any, at: Any, axis: int, out: Any = None) -> Any:
    """``out[..., i, ...] = x[..., at[..., i, ...], ...]`` along `axis`."""
    if not _along(x, at, axis) or not _movable(x, out, at.size * x.itemsize):
        return None
    out = np.empty(at.shape, x.dtype) if out is None else out
    places = Places.on(x, axis, at.shape[axis])
    call = cells_code("take", x.itemsize, False, places.inner == 1)
    return _take(call, x, at, out, places, False)


def index(x: Any, *at: Any, dims: Ints, out: Any = None) -> Any:
    """Elements of x at one index array on one axis."""
    if len(dims) != 1 or not _indexes(at[0]):
        return None
    (axis,), (listed,) = dims, at
    places = Places.on(x, axis, listed.size)
    if not _movable(x, out, x.nbytes // max(places.size, 1) * places.count):
        return None
    if out is None:
        out = np.empty((*x.shape[:axis], *listed.shape, *x.shape[axis + 1 :]), x.dtype)
    return _take(_listed_code("take", x.itemsize, places), x, listed, out, places, True)


def scatter_along(x: Any, at: Any, values: Any, axis: int, mode: str, out: Any = None) -> Any:
    """A copy of x with `values` put (mode "set") or added ("add") at `at` along `axis`."""
    how = _how(x, values, mode, out)
    if how is None or not _along(x, at, axis):
        return None
    places = Places.on(x, axis, at.shape[axis])
    return _put(cells_code(mode, how, False, places.inner == 1), x, at, values, out, places)


def index_put(x: Any, values: Any, *at: Any, dims: Ints, mode: str, out: Any = None) -> Any:
    """A copy of x with `values` put (mode "set") or added ("add") at one index array on one axis."""
    how = _how(x, values, mode, out)
    if how is None or len(dims) != 1 or not _indexes(at[0]):
        return None
    places = Places.on(x, dims[0], at[0].size)
    return _put(_listed_code(mode, how, places), x, at[0], values, out, places)


# --- what there is code for ---


def _movable(x: Any, out: Any, nbytes: int) -> bool:
    """Whether elements like x's can be moved here into a result of so many bytes."""
    fits = nbytes >= SMALL if out is None else dense(out)
    return bool(x.size) and x.itemsize in SIZES and fits  # splits go by columns: there is one


def _how(x: Any, values: Any, mode: str, out: Any) -> Any:
    """What to compile for: the element to add, or the size to move; None where there is no code."""
    if values.dtype != x.dtype or not _movable(x, out, x.nbytes):
        return None
    return element_code(x.dtype, narrow=True) if mode == "add" else x.itemsize


def _indexes(at: Any) -> bool:
    return type(at) in (np.ndarray, Spot) and at.dtype in (np.int64, np.int32) and at.size > 0


def _along(x: Any, at: Any, axis: int) -> bool:
    """Whether `at` has the whole of all other axes."""
    rest = at.shape[:axis], at.shape[axis + 1 :]
    return _indexes(at) and rest == (x.shape[:axis], x.shape[axis + 1 :])


def _listed_code(mode: str, how: Any, places: Places) -> Any:
    """The kernel for a list that all outer axes share."""
    return rows_code(mode, how) if places.inner > 1 else cells_code(mode, how, True, True)


# --- running ---


def _checked(at: Any, size: int) -> Any:
    """The indexes as a row-major list; BoundsError names the first that is out of range."""
    if type(at) is Spot:
        return _checked_later(at, size)
    at = np.ascontiguousarray(at, np.int64)
    ends = np.empty(2, np.int64)
    extremes_code().function(address_of(at), address_of(ends), at.size)
    low, high = ends.tolist()
    if low < -size or high >= size:
        raise _out_of_range((0, high if high >= size else low, size))
    return at


def _checked_later(at: Spot, size: int) -> Spot:
    """The same in a native program, which stops there."""
    room = open_room()
    if at.dtype != np.int64:
        raise NotNative("indexes to be cast")
    at = room.dense(at)

    def look(cell: Any) -> None:
        fixed = at.at, Ref(ZERO_WORD, address_of(cell)), at.size, size
        place = Spot(Ref(ZERO_WORD, address_of(cell)), cell.shape, cell.dtype)
        share(bounds_code(), fixed, 1, at.nbytes, spots=((at,), (place,)), keep=cell)

    room.check(look, _out_of_range)
    return at


def _out_of_range(cell: Any) -> Exception:
    return BoundsError(f"index {cell[1]} is out of range for an axis of {cell[2]}")


def _take(call: Any, x: Any, at: Any, out: Any, p: Places, listed_at: bool) -> Any:
    """`listed_at`: there is one list for all columns."""
    at, x = _checked(at, p.size), in_order(x)
    spots = (x, at), (out,)
    base, listed, taken = address_of(x), address_of(at), address_of(out)
    rows = listed_at and p.inner > 1
    work = 2 * out.nbytes if rows else LINE * out.size
    if not is_one(p.outer):
        fixed = base, listed, taken, p.size, p.count, p.inner
        share(call, fixed, p.outer, work, after=(0, p.inner), spots=spots)
        return out
    fixed = base, listed, taken, p.size, p.inner
    call = part_code(out.itemsize, rows, listed_at, p.inner == 1)
    share(call, fixed, p.count, work, spots=spots)
    return out


def _put(call: Any, x: Any, at: Any, values: Any, out: Any, p: Places) -> Any:
    """Writes into a copy of x, split where no two threads meet."""
    at, values = _checked(at, p.size), in_order(values)
    out = move(np.empty(x.shape, x.dtype) if out is None else out, x)
    fixed = address_of(out), address_of(at), address_of(values), p.size, p.count, p.inner
    work, spots = 2 * values.nbytes, ((at, values), (out,))
    if not is_one(p.outer):
        share(call, fixed, p.outer, work, after=(0, p.inner), spots=spots)
    else:
        grain = 16 if p.inner >= SPLIT else p.inner
        share(call, (*fixed, 0, 1), p.inner, work, grain, spots=spots)
    return out
