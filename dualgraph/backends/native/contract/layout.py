"""Layouts: images as convolutions read them - zeros around, columns sorted by their remainder by the stride.

A convolution steps over its input in strides, and neighbouring outputs read neighbouring elements only once the
columns are sorted so. Where padding and stride ask for nothing, images are read where they are.
"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from ..threads import pool
from . import kernels
from .copy import NOWHERE

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
SPLIT = 250_000  # elements from which a copy is split between threads
KEPT = 2**27  # bytes
_local = threading.local()


def workspace(name: str, size: int) -> Any:
    """Memory for one purpose, this thread's own; what is not too large is kept from call to call."""
    memory = getattr(_local, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size, dtype=np.uint8)
        if size <= KEPT:
            setattr(_local, name, memory)
    return memory


class Layout:
    """How images of one shape lie in memory while a convolution reads them.

    `pads` are zeros before and after each spatial axis; `columns` are the padded columns, modulo `stride`,
    that are read at all.
    """

    def __init__(
        self, x: Any, pads: Pairs, stride: int = 1, columns: frozenset[int] = frozenset({0})
    ) -> None:
        self.stride, self.remainders = stride, sorted(columns)
        self.copies = any(a or b for a, b in pads) or stride > 1 or x.strides[-1] != x.itemsize
        self.steps: Ints = x.strides
        self.samples = x.shape[0]
        if self.copies:
            self._prepare(x, pads)

    def _prepare(self, x: Any, pads: Pairs) -> None:
        size, stride = x.itemsize, self.stride
        extents = [d + a + b for d, (a, b) in zip(x.shape[2:], pads, strict=True)]
        self.width = -(-extents[-1] // stride)
        self.line = self.width * len(self.remainders)
        shape = (*x.shape[:2], *extents[:-1], self.line)
        self.steps = tuple(size * prod(shape[i + 1 :]) for i in range(len(shape)))
        self.bytes = size * prod(shape)
        self.lines = prod(shape[:-1])
        self.places = np.arange(self.lines, dtype=np.int64) * (self.line * size)
        self.shape = kernels.shape_for(x.dtype.name)
        table = np.zeros(1, dtype=np.int64)
        whole = [(0, 0), (0, 0), *pads[:-1]]
        for d, step, (before, after) in zip(x.shape[:-1], x.strides[:-1], whole, strict=True):
            entries = np.full(d + before + after, NOWHERE, dtype=np.int64)
            entries[before : before + d] = np.arange(d) * step
            table = np.maximum(table[:, None] + entries, NOWHERE).reshape(-1)
        table[table < NOWHERE // 2] = NOWHERE
        self.parts = []  # for each remainder: its columns' line table, zeros before, elements, bytes apart
        before, extent = pads[-1][0], x.shape[-1]
        for i, remainder in enumerate(self.remainders):
            lead = max(0, -(-(before - remainder) // stride))
            start = remainder + lead * stride - before
            count = max(0, min(self.width - lead, -(-(extent - start) // stride)))
            offset = start * x.strides[-1]
            own = np.where(table == NOWHERE, NOWHERE, table + offset)
            self.parts.append((i * self.width * size, own, lead, count, x.strides[-1] * stride))

    def offsets(self, axis: int, places: Any) -> Any:
        """Where coordinates of a spatial axis of the padded images lie, in bytes."""
        places = np.asarray(places, dtype=np.int64)
        if axis != len(self.steps) - 3 or not self.copies:
            return places * self.steps[axis + 2]
        order = np.searchsorted(self.remainders, places % self.stride)
        return (order * self.width + places // self.stride) * self.steps[-1]

    def step(self, axis: int, stride: int) -> int:
        """How far apart places of a spatial axis lie that are the convolution's stride apart."""
        last = axis == len(self.steps) - 3 and self.copies
        return self.steps[-1] if last else stride * self.steps[axis + 2]

    def __call__(self, x: Any) -> Any:
        """The images laid out; in memory that the next call reuses."""
        if not self.copies:
            return x
        out = workspace("images", self.bytes)
        source, target = address_of(x), address_of(out)
        if self.lines * self.line >= SPLIT:
            pool.split(
                lambda first, last, _: self._copy(source, target, first, last), self.lines, 1
            )
        else:
            self._copy(source, target, 0, self.lines)
        return out

    def sample(self, source: int, i: int) -> int:
        """Lays out sample i alone, in memory that the next one reuses; where sample 0 would then begin."""
        if not self.copies:
            return source
        count = self.lines // self.samples
        target = address_of(workspace("images", self.bytes // self.samples)) - i * self.steps[0]
        self._copy(source, target, i * count, (i + 1) * count)
        return target

    def _copy(self, source: int, target: int, first: int, last: int) -> None:
        call, places = kernels.copy(self.shape), address_of(self.places)
        for at, table, lead, count, step in self.parts:
            call(
                source,
                target + at,
                address_of(table),
                places,
                first,
                last,
                lead,
                count,
                self.width,
                step,
            )


class Lines:
    """Copies lines of `width` elements from the offsets in one table to those in another, in bytes.

    Without the second table the lines are put next to each other.
    """

    def __init__(self, dtype: Any, table: Any, width: int, places: Any = None) -> None:
        self.table, self.width, self.size = table, width, dtype.itemsize
        self.bytes = len(table) * width * self.size
        self.places = (
            np.arange(0, self.bytes, width * self.size, dtype=np.int64)
            if places is None
            else places
        )
        self.copy = kernels.copy(kernels.shape_for(dtype.name))

    def __call__(self, source: Any, target: Any) -> None:
        start, end = address_of(source), address_of(target)
        if len(self.table) * self.width >= SPLIT:
            pool.split(lambda first, last, _: self.run(start, end, first, last), len(self.table), 1)
        else:
            self.run(start, end, 0, len(self.table))

    def run(self, source: int, target: int, first: int, last: int) -> None:
        """Copies some lines; source and target are addresses."""
        tables, width = (address_of(self.table), address_of(self.places)), self.width
        self.copy(source, target, *tables, first, last, 0, width, width, self.size)
