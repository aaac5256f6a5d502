"""Layouts: images as convolutions read them - zeros around, columns sorted by their remainder by the stride.

A convolution steps over its input in strides, and neighbouring outputs read neighbouring elements only once the
columns are sorted so. Where padding and stride ask for nothing, images are read where they are.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .stages import Stage, record

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
COST = 4  # of copying an element, in products


def copying(
    dtype: str, source: int, target: int, lines: int, parts: list[tuple[Any, ...]]
) -> Stage:
    """The stage that copies lines: for each part ``table, places, at, lead, count, width, step, goal``."""
    values = record(
        [source, target, len(parts)]
        + [address_of(v) if isinstance(v, np.ndarray) else v for part in parts for v in part],
        parts,
    )
    work = COST * lines * sum(part[5] for part in parts)
    return Stage(kernels.copy(kernels.shape_for(dtype)), values, lines, work)


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
        self.dtype, self.size = x.dtype.name, size
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

    def stage(self, source: int, target: int) -> Stage:
        """The stage that lays images out, from slot to slot; its units are lines, sample by sample."""
        parts = [
            (table, self.places, at, lead, count, self.width, step, self.size)
            for at, table, lead, count, step in self.parts
        ]
        return copying(self.dtype, source, target, self.lines, parts)


class Lines:
    """Copies lines of `width` elements from the offsets in one table to those in another, in bytes.

    Without the second table the lines are put next to each other. Elements lie `step` bytes apart at the source
    and `goal` at the target (None: side by side).
    """

    def __init__(
        self,
        dtype: Any,
        table: Any,
        width: int,
        places: Any = None,
        step: int | None = None,
        goal: int | None = None,
    ) -> None:
        size = dtype.itemsize
        self.dtype, self.table, self.width = dtype.name, table, width
        self.bytes = len(table) * width * size
        self.places = np.arange(0, self.bytes, width * size) if places is None else places
        self.places = np.asarray(self.places, dtype=np.int64)
        self.steps = step or size, goal or size

    def stage(self, source: int, target: int) -> Stage:
        """The stage that copies, from slot to slot; its units are lines."""
        part = (self.table, self.places, 0, 0, self.width, self.width, *self.steps)
        return copying(self.dtype, source, target, len(self.table), [part])
