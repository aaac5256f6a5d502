"""Sorting along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import ArgumentError
from ..core.kinds import check_axes, opaque
from ..core.types import TensorType
from .cumulative import scan_samples
from .indexing import put_along

BRIEF = 512  # elements below which one call is quicker than less work
SOME = 64  # rows that Python goes through
FEW = 1 << 14  # elements from which those that can be among the first are looked for


def _samples(rng: Any) -> list[Any]:
    samples = scan_samples(rng)
    args, how = samples[0]
    parts = {"descending": True, "first": 2}, {"first": 3, "skip": 1}, {"first": 2, "skip": 1}
    return [*samples, *((args, {**how, **part}) for part in parts)]


def _rank(xp: Any, x: Any) -> Any:
    """Numbers of at most 32 bits as unsigned ones in the same order; NaNs come last, and zeros are alike."""
    if x.dtype.kind == "f":
        bits = (x.astype("float32") + xp.float32(0)).view("uint32")
        rank = xp.where(bits >> 31 != 0, ~bits, bits | xp.uint32(1 << 31))
        return xp.where(x != x, xp.uint32(0xFFFFFFFF), rank)
    if x.dtype.kind == "i":
        return x.astype("int32").view("uint32") ^ xp.uint32(1 << 31)
    return x.astype("uint32")


def _packed(xp: Any, x: Any, descending: bool, first: int) -> Any:
    """The order of short numbers along the last axis: rank and index in one word, sorted as words."""
    rank, n = _rank(xp, x), x.shape[-1]
    word = (~rank if descending else rank).astype("uint64") << xp.uint64(32)
    word |= xp.arange(n, dtype="uint64")
    if first < n:
        word = xp.partition(word, first - 1, axis=-1)[..., :first] if first else word[..., :0]
    return (xp.sort(word, axis=-1) & xp.uint64(0xFFFFFFFF)).astype("int64")


def _repaired(xp: Any, x: Any) -> Any:
    """The stable order of long numbers along the last axis: quickly, then equals put in order by index."""
    if x.dtype.kind == "c":
        return xp.argsort(x, axis=-1, kind="stable").astype("int64")
    order = xp.argsort(x, axis=-1)
    value = xp.take_along_axis(x, order, axis=-1)
    left, right = value[..., :-1], value[..., 1:]
    tied = (left == right) | ((left != left) & (right != right))
    if not tied.any():
        return order.astype("int64")
    run = xp.zeros(order.shape, dtype="uint64")
    run[..., 1:] = xp.cumsum(~tied, axis=-1)
    word = xp.sort((run << xp.uint64(32)) | order.astype("uint64"), axis=-1)
    return (word & xp.uint64(0xFFFFFFFF)).astype("int64")


def _squeezed(x: Any) -> Any:
    """The stable order of numbers of 64 bits along the last axis: their high bits and the index in one word, sorted as
    words. Those that differ in lower bits alone are put in order then; None where these are many."""
    n, key = x.shape[-1], _long_rank(x)
    room, low = np.uint64((n - 1).bit_length()), key.min()
    mask = (np.uint64(1) << room) - np.uint64(1)
    whole = not int(key.max() - low) >> (64 - int(room))  # all bits fit
    word = ((key - low) << room) if whole else key & ~mask
    word |= np.arange(n, dtype="uint64")
    word.sort(axis=-1)
    order = (word & mask).astype("int64")
    if whole:
        return order
    word >>= room
    tied = np.zeros(x.shape, dtype=bool)
    tied[..., 1:] = word[..., 1:] == word[..., :-1]
    tied[..., :-1] |= tied[..., 1:]
    at = np.flatnonzero(tied)
    if at.size > x.size // 2:
        return None
    places = order.reshape(-1)
    row, some = at // n, places[at]
    places[at] = some[np.lexsort((key.reshape(-1)[row * n + some], row))]
    return order


def _long_rank(x: Any) -> Any:
    """Real numbers of 64 bits as unsigned ones in the same order; NaNs come last, and zeros are alike."""
    sign = np.uint64(1 << 63)
    if x.dtype.kind != "f":
        return x.view("uint64") ^ sign if x.dtype.kind == "i" else x
    bits = (x + 0.0).view("uint64")
    return np.where(x != x, ~np.uint64(0), np.where(bits & sign != 0, ~bits, bits | sign))


def _long(xp: Any, x: Any) -> Any:
    """The stable order of long numbers along the last axis."""
    found = _squeezed(x) if xp is np and x.dtype.kind in "iuf" and x.shape[-1] > 1 else None
    return _repaired(xp, x) if found is None else found


def _stable(x: Any, descending: bool) -> Any:
    """The order of few elements: one call of NumPy."""
    line = x[..., ::-1] if descending else x
    order = np.argsort(line, axis=-1, kind="stable").astype("int64", copy=False)
    return (x.shape[-1] - 1 - order)[..., ::-1] if descending else order


def _candidates(x: Any, descending: bool, first: int) -> Any:
    """The elements of each row (r, n) that can be among its `first` ones: row and column of each, rows in order.

    None where that would not be few. Each block of a row has an element as good as its best, so the place of the
    `first`-best block is held by one that is good enough.
    """
    rows, n = x.shape
    block = min(1024, n // (4 * first)) if first else 0
    if block < 16 or rows * n < FEW:
        return None
    end = n // block * block
    whole, rest = x[:, :end].reshape(rows, -1, block), x[:, end:]
    best = whole.max(-1) if descending else whole.min(-1)
    # NaNs are no numbers to compare with.
    if (best != best).any() or (descending and (rest != rest).any()):
        return None
    place = best.shape[1] - first if descending else first - 1
    limit = np.partition(best, place, axis=-1)[:, place, None]
    at = np.flatnonzero(x >= limit if descending else x <= limit)
    return np.divmod(at, n) if at.size <= rows * n // 8 else None


def _few_packed(x: Any, descending: bool, first: int) -> Any:
    """`_packed` for rows (r, n) of short numbers of which few are wanted; None where that is not quicker."""
    found = _candidates(x, descending, first)
    if found is None:
        return None
    row, column = found
    rank = _rank(np, x[row, column])
    word = (~rank if descending else rank).astype("uint64") << np.uint64(32) | column.astype(
        "uint64"
    )
    counts = np.bincount(row, minlength=len(x))
    table = np.full((len(x), counts.max()), np.uint64(2**64 - 1))
    table[row, np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)] = word
    if first < table.shape[1]:
        table = np.partition(table, first - 1, axis=-1)[:, :first]
    return (np.sort(table, axis=-1) & np.uint64(0xFFFFFFFF)).astype("int64")


def _few_long(x: Any, descending: bool, first: int) -> Any:
    """The same for some rows of numbers of any length, one after the other."""
    found = _candidates(x, descending, first) if len(x) <= SOME else None
    if found is None:
        return None
    row, column = found
    parts = np.split(column, np.searchsorted(row, np.arange(1, len(x))))
    lines = zip(x, parts, strict=True)
    return np.stack([part[_stable(line[part], descending)[:first]] for line, part in lines])


def _kth(xp: Any, x: Any, k: int) -> Any:
    """The index of the k-th element (from 0) of the last axis in ascending order: the value, then its place.

    As many elements that equal it stand in front of it as fewer than k are below it.
    """
    value = xp.partition(x, k, axis=-1)[..., k : k + 1]
    same, below = x == value, x < value
    if (nan := value != value).any():  # NaNs are alike, and numbers are below them
        same, below = same | (nan & (x != x)), below | (nan & (x == x))
    place = xp.asarray(xp.argmax(same, -1))
    ahead = xp.asarray(k - xp.count_nonzero(below, -1))
    late = ahead > 0
    if late.any():
        count = xp.cumsum(same[late], -1)
        place[late] = xp.argmax(count > ahead[late][..., None], -1)
    return place[..., None].astype("int64")


def _order(xp: Any, x: Any, descending: bool, first: int, skip: int = 0) -> Any:
    """The indices that sort the last axis, stable among equals, from the one at `skip` to before `first`."""
    one = first - skip == 1 and first * 1024 > x.shape[-1]  # of fewer all are found quickly
    if one and not descending and x.size >= BRIEF and x.dtype.kind not in "bc":
        return _kth(xp, x, skip)
    return _all(xp, x, descending, first)[..., skip:]


def _all(xp: Any, x: Any, descending: bool, first: int) -> Any:
    """The indices that sort the last axis, stable among equals."""
    if x.size < BRIEF and xp is np:
        return _stable(x, descending)[..., :first]
    short = x.dtype.itemsize <= 4
    if xp is np and x.dtype.kind not in "bc" and 0 < first < x.shape[-1] and x.size:
        few = _few_packed if short else _few_long
        found = few(x.reshape(-1, x.shape[-1]), descending, first)
        if found is not None:
            return found.reshape(*x.shape[:-1], first)
    if short:
        return _packed(xp, x, descending, first)
    if not descending:
        return _long(xp, x)[..., :first]
    # stable among equals, so sort the reversed array and reverse the result
    backwards = _long(xp, xp.ascontiguousarray(xp.flip(x, axis=-1)))
    return xp.flip(x.shape[-1] - 1 - backwards, axis=-1)[..., :first]


@opaque(multiple=True, name="sort_along", samples=_samples)
def sort_along(xp, x, axis, descending=False, first=None, skip=0):
    """Values in ascending (or descending) order along `axis` and the indices that put them there; stable.

    NaNs come last in ascending order; complex numbers go by their real part, then by the imaginary
    one. `first`: no more than so many of them are given, less the `skip` that come before all others.
    """
    if x.ndim == 0:
        return x.copy(), xp.zeros((), dtype="int64")
    last = axis == x.ndim - 1
    line = x if last else xp.moveaxis(x, axis, -1)
    n = line.shape[-1]
    order = _order(xp, xp.ascontiguousarray(line), descending, n if first is None else first, skip)
    order = xp.ascontiguousarray(order if last else xp.moveaxis(order, -1, axis))
    return x[order] if x.ndim == 1 else xp.take_along_axis(x, order, axis=axis), order


@sort_along.type
def _(x, axis, descending=False, first=None, skip=0):
    if x.ndim or axis:
        check_axes((axis,), x.ndim)
    shape = x.shape
    if x.ndim and (first is not None or skip):
        first = x.shape[axis] if first is None else first
        if not 0 <= skip <= first <= x.shape[axis]:
            raise ArgumentError(f"cannot take {first} of {x.shape[axis]} elements")
        shape = (*x.shape[:axis], first - skip, *x.shape[axis + 1 :])
    return TensorType(x.dtype, shape, x.device), TensorType(dt.int64, shape, x.device)


@sort_along.vjp
def _(ct, out, _x, axis, descending=False, first=None, skip=0):
    if ct[0] is None or not _x.shape:
        return (ct[0],)
    return (put_along(ct[0], out[1], shape=_x.shape, axis=axis),)


@sort_along.batch
def _(lift, args, batched, axis, **how):
    return sort_along(args[0], axis=axis + 1, **how)
