"""Pooling: the largest element of each window and its gradient; windows added up."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ....core.types import contiguous_strides
from .kernels import address_of, dense, element_code, in_order, share
from .pooling_code import fold_code, max_code, pick_code, put_code, spread_code, sum_code

Ints = tuple[int, ...]


class Windows:
    """Where windows over the last axes of an array lie: `rows` has the first window of each row of them in
    an image, `inside` the places in a window; both are offsets in bytes."""

    def __init__(self, extent: Ints, sizes: Ints, steps: Ints, dilations: Ints, size: int) -> None:
        spans = [(n - 1) * d for n, d in zip(sizes, dilations, strict=True)]
        self.counts = tuple(
            (e - s - 1) // t + 1 for e, s, t in zip(extent, spans, steps, strict=True)
        )
        strides = contiguous_strides(extent, size)
        self.image_bytes = size * prod(extent)
        self.window = prod(sizes)
        self.columns = self.counts[-1]
        self.step = steps[-1]
        self.step_bytes = steps[-1] * size
        self._inside = _offsets(sizes, [d * s for d, s in zip(dilations, strides, strict=True)])
        self._rows = _offsets(
            self.counts[:-1], [t * s for t, s in zip(steps[:-1], strides[:-1], strict=True)]
        )
        self.row_count = len(self._rows)
        self.inside, self.rows = address_of(self._inside), address_of(self._rows)
        self.numbers = (
            self.image_bytes,
            self.window,
            self.columns,
            self.step_bytes,
            self.row_count,
        )


def _offsets(counts: Ints, strides: list[int]) -> Any:
    places = [
        sum(i * s for i, s in zip(at, strides, strict=True)) for at in product(*map(range, counts))
    ]
    return np.array(places, dtype=np.int64)


windows_of = lru_cache(1024)(Windows)


def max_pool(x: Any, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None) -> Any:
    """Largest element of each window and its place in it: (values, places)."""
    code, k = element_code(x.dtype), len(sizes)
    if code not in ("f", "d") or x.size == 0 or not (out is None or dense(*out)):
        return None
    x = in_order(x)
    w = windows_of(x.shape[x.ndim - k :], sizes, steps, dilations, x.itemsize)
    shape = (*x.shape[: x.ndim - k], *w.counts)
    best, at = (np.empty(shape, x.dtype), np.empty(shape, np.int64)) if out is None else out
    call = max_code(code, w.step if w.step <= 2 else 0)
    fixed = address_of(x), address_of(best), address_of(at), w.rows, w.inside, *w.numbers
    images, spots = prod(shape[: x.ndim - k]), ((x,), (best, at))
    work = x.nbytes + best.nbytes + at.nbytes
    if images == 1:
        share(call, (*fixed, 0, 1), w.row_count, work, spots=spots, keep=w)
    else:
        share(call, fixed, images, work, after=(0, w.row_count), spots=spots, keep=w)
    return best, at


def pool_put(
    ct: Any, at: Any, extent: Ints, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None
) -> Any:
    """Adds each element of ct to the place `at` of its window."""
    code, k = element_code(ct.dtype), len(sizes)
    if code not in ("f", "d") or at.dtype != np.int64 or ct.size == 0 or not _fits(ct, out):
        return None
    ct, at = in_order(ct), in_order(at)
    w = windows_of(tuple(extent), sizes, steps, dilations, ct.itemsize)
    lead = ct.shape[: ct.ndim - k]
    if out is None:
        out = np.empty((*lead, *extent), ct.dtype)
    fixed = address_of(ct), address_of(at), address_of(out), w.rows, w.inside, *w.numbers
    call = put_code(code)
    share(call, fixed, prod(lead), 3 * ct.nbytes + out.nbytes, spots=((ct, at), (out,)), keep=w)
    return out


def pool_pick(x: Any, at: Any, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None) -> Any:
    """The element at place `at` of each window."""
    code, k = element_code(x.dtype), len(sizes)
    if code not in ("f", "d") or at.dtype != np.int64 or at.size == 0 or not _fits(x, out):
        return None
    x, at = in_order(x), in_order(at)
    w = windows_of(x.shape[x.ndim - k :], sizes, steps, dilations, x.itemsize)
    if out is None:
        out = np.empty(at.shape, x.dtype)
    fixed = address_of(x), address_of(at), address_of(out), w.rows, w.inside, *w.numbers
    call = pick_code(code)
    images = prod(at.shape[: at.ndim - k])
    share(call, fixed, images, at.nbytes + 2 * out.nbytes, spots=((x, at), (out,)), keep=w)
    return out


def window_sum(x: Any, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None) -> Any:
    """The sum of each window, added in row-major order."""
    code, k = element_code(x.dtype), len(sizes)
    if code not in ("f", "d") or x.size == 0 or not _fits(x, out):
        return None
    x = in_order(x)
    w = windows_of(x.shape[x.ndim - k :], sizes, steps, dilations, x.itemsize)
    shape = (*x.shape[: x.ndim - k], *w.counts)
    out = np.empty(shape, x.dtype) if out is None else out
    fixed = address_of(x), address_of(out), w.rows, w.inside, *w.numbers
    call = sum_code(code, w.step if w.step <= 2 else 0)
    images, work = prod(shape[: x.ndim - k]), x.nbytes + out.nbytes
    if images == 1:
        share(call, (*fixed, 0, 1), w.row_count, work, spots=((x,), (out,)), keep=w)
    else:
        share(call, fixed, images, work, after=(0, w.row_count), spots=((x,), (out,)), keep=w)
    return out


def window_spread(
    x: Any, extent: Ints, sizes: Ints, steps: Ints, dilations: Ints, out: Any = None
) -> Any:
    """Each element added to all places of its window."""
    code, k = element_code(x.dtype), len(sizes)
    if code not in ("f", "d") or x.size == 0 or not _fits(x, out):
        return None
    x = in_order(x)
    w = windows_of(tuple(extent), sizes, steps, dilations, x.itemsize)
    lead = x.shape[: x.ndim - k]
    out = np.empty((*lead, *extent), x.dtype) if out is None else out
    fixed = address_of(x), address_of(x), address_of(out), w.rows, w.inside, *w.numbers
    call = spread_code(code)
    share(call, fixed, prod(lead), 3 * x.nbytes + out.nbytes, spots=((x,), (out,)), keep=w)
    return out


def fold_windows(x: Any, extent: Ints, steps: Ints, dilations: Ints, out: Any = None) -> Any:
    """Windows added up where they overlap, in row-major order inside the window."""
    code, k = element_code(x.dtype), len(extent)
    if code is None or x.size == 0 or not _fits(x, out):
        return None
    x = in_order(x)
    w = windows_of(tuple(extent), x.shape[x.ndim - k :], steps, dilations, x.itemsize)
    counts, lead = x.shape[x.ndim - 2 * k : x.ndim - k], x.shape[: x.ndim - 2 * k]
    if counts != w.counts:  # fewer windows than would fit
        return None
    if out is None:
        out = np.empty((*lead, *extent), x.dtype)
    fixed = address_of(x), address_of(x), address_of(out), w.rows, w.inside, *w.numbers
    call = fold_code(code)
    share(call, fixed, prod(lead), x.nbytes + 2 * out.nbytes, spots=((x,), (out,)), keep=w)
    return out


def _fits(x: Any, out: Any) -> bool:
    return out is None or (dense(out) and out.dtype == x.dtype)
