"""Layouts: images as convolutions read them - zeros around, coordinates sorted by their remainder by the stride.

A convolution steps over its input in strides, and neighbouring outputs read neighbouring elements only once the
coordinates are sorted so; those that no tap reads are left out. Where padding and stride ask for nothing, images are
read where they are.
"""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .stages import Pieces, Recipe, Record, Stage
from .tables import Ints, Pairs, crossed, grown, name_of, table

COST = 4  # of copying an element, in products
KEPT = 1024  # layouts, and tables of taps, that are kept


def copying(
    dtype: str, source: int, target: int, lines: int, parts: list[tuple[Any, ...]]
) -> Stage:
    """The stage that copies lines: for each part ``table, places, at, lead, count, width, step, goal``."""
    values = Record(
        [source, target, len(parts)]
        + [address_of(v) if isinstance(v, np.ndarray) else v for part in parts for v in part],
        parts,
    )
    work = COST * lines * sum(part[5] for part in parts)
    return Stage(kernels.copy(kernels.shape_for(dtype)), values, lines, work)


class Layout:
    """How images of one shape, of which there may be any number, lie in memory while a convolution reads them.

    `shape` is that of one image, `strides` are those of all. `pads` are zeros before and after each spatial axis.
    `remainders` are, for each spatial axis, what padded coordinates that are read leave when divided by the
    `stride`; (samples, channels, remainders..., quotients...) are the axes in memory.
    """

    def __init__(
        self, dtype: Any, shape: Ints, strides: Ints, pads: Pairs, stride: Ints, remainders: tuple[Ints, ...]
    ) -> None:  # fmt: skip
        self.stride, self.remainders, self.pads = stride, remainders, pads
        self.copies = any(a or b for a, b in pads) or strides[-1] != dtype.itemsize
        self.copies |= any(s > 1 for s in stride)
        self.sample, self.channel = strides[:2]
        self.steps: Ints = strides[2:]
        if self.copies:
            self._prepare(dtype, shape, strides)

    def _prepare(self, dtype: Any, shape: Ints, strides: Ints) -> None:
        """Where the elements of an image lie once they are laid out, and what its lines are."""
        self.dtype, self.size, self.shape, self.strides = dtype.name, dtype.itemsize, shape, strides
        padded = [d + a + b for d, (a, b) in zip(shape[1:], self.pads, strict=True)]
        self.counts = counts = [-(-d // s) for d, s in zip(padded, self.stride, strict=True)]
        inner = (shape[0], *map(len, self.remainders), *counts)
        steps = tuple(self.size * prod(inner[i:]) for i in range(len(inner) + 1))
        self.sample, self.channel = steps[:2]
        self.planes, self.steps = steps[2 : 2 + len(counts)], steps[2 + len(counts) :]
        self.width = counts[-1]
        self.parts = []  # one for each remainder of the last axis: where it begins, and its elements
        before, extent, stride = self.pads[-1][0], shape[-1], self.stride[-1]
        for i, remainder in enumerate(self.remainders[-1]):
            lead = max(0, -(-(before - remainder) // stride))
            start = remainder + lead * stride - before
            count = max(0, min(self.width - lead, -(-(extent - start) // stride)))
            how = i * self.planes[-1], lead, count, self.width, strides[-1] * stride, self.size
            self.parts.append((start * strides[-1], how))

    def _lines(self, shift: int) -> tuple[Any, Any]:
        """Where the lines of one image come to lie, and where they come from, `shift` bytes further."""
        own, from_ = (table((self.shape[0], step)) for step in (self.channel, self.strides[1]))
        for i in range(len(self.counts) - 1):
            at, sources = self._coordinates(i)
            own, from_ = crossed(own, at), np.maximum(crossed(from_, sources), NOWHERE)
        return own, np.where(from_ < NOWHERE // 2, NOWHERE, from_ + shift)

    def _places(self, samples: int) -> Any:
        """Where the lines of so many images come to lie."""
        return crossed(table((samples, self.sample)), self._lines(0)[0])

    def _sources(self, samples: int, shift: int) -> Any:
        """Where they come from."""
        own = self._lines(shift)[1]
        inside = crossed(table((samples, self.strides[0])), own)
        return np.where(np.tile(own, samples) == NOWHERE, NOWHERE, inside)

    def _coordinates(self, i: int) -> tuple[Any, Any]:
        """For each (remainder, quotient) of an axis where it lies, and where it comes from."""
        own, quotients = np.array(self.remainders[i])[:, None], np.arange(self.counts[i])
        at = np.arange(len(own))[:, None] * self.planes[i] + quotients * self.steps[i]
        from_ = own + quotients * self.stride[i] - self.pads[i][0]
        inside = (from_ >= 0) & (from_ < self.shape[i + 1])
        return at.reshape(-1), np.where(inside, from_ * self.strides[i + 2], NOWHERE).reshape(-1)

    def offsets(self, axis: int, places: Any) -> Any:
        """Where coordinates of a spatial axis of the padded images lie, in bytes."""
        places = np.asarray(places, dtype=np.int64)
        if not self.copies:
            return places * self.steps[axis]
        order = np.searchsorted(self.remainders[axis], places % self.stride[axis])
        return order * self.planes[axis] + places // self.stride[axis] * self.steps[axis]

    def put(self, recipe: Recipe | Pieces, source: int, samples: int) -> int:
        """Puts the stage that lays so many images out into a recipe, if they have to be; the slot where they are
        then.

        Its units are lines, sample by sample.
        """
        if not self.copies:
            return source
        target = recipe.room("images", samples * self.sample)
        places = grown(("places", self), samples, self._places)
        parts = []
        for shift, (at, *how) in self.parts:
            sources = partial(self._sources, shift=shift)
            parts.append((grown(("sources", self, shift), samples, sources), places, at, *how))
        recipe.add(copying(self.dtype, source, target, len(places), parts))
        return target


@lru_cache(maxsize=KEPT)
def _layout(*how: Any) -> Layout:
    return Layout(*how)


def layout_of(
    x: Any, pads: Pairs, stride: Ints | None = None, remainders: tuple[Ints, ...] | None = None
) -> Layout:
    """The layout of images like x, the same for any number of them."""
    rank = x.ndim - 2
    stride, remainders = stride or (1,) * rank, remainders or ((0,),) * rank
    return _layout(x.dtype, x.shape[1:], x.strides, pads, stride, remainders)


@lru_cache(maxsize=KEPT)
def taps_of(layout: Layout, channels: int, kernel: Ints, dilation: Ints) -> Any:
    """Where the elements of a window lie: those of each channel, tap by tap."""
    taps = table((channels, layout.channel))
    for axis, (count, step) in enumerate(zip(kernel, dilation, strict=True)):
        taps = crossed(taps, layout.offsets(axis, np.arange(count) * step))
    return taps


class Lines:
    """Copies lines of `width` elements from the offsets in one table to those in another, in bytes.

    Without the second table the lines are put next to each other. Elements lie `step` bytes apart at the source
    and `goal` at the target (None: side by side).
    """

    def __init__(
        self,
        dtype: Any,
        lines: Any,
        width: int,
        places: Any = None,
        step: int | None = None,
        goal: int | None = None,
    ) -> None:
        size = dtype.itemsize
        self.dtype, self.lines, self.width = name_of(dtype), lines, width
        self.bytes = len(lines) * width * size
        places = table((len(lines), width * size)) if places is None else places
        self.places = np.asarray(places, dtype=np.int64)
        self.steps = step or size, goal or size

    def stage(self, source: int, target: int) -> Stage:
        """The stage that copies, from slot to slot; its units are lines."""
        part = (self.lines, self.places, 0, 0, self.width, self.width, *self.steps)
        return copying(self.dtype, source, target, len(self.lines), [part])
