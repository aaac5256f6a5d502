"""Layouts: images as convolutions read them - zeros around, coordinates sorted by their remainder by the stride.

A convolution steps over its input in strides, and neighbouring outputs read neighbouring elements only once the
coordinates are sorted so; those that no tap reads are left out. Where padding and stride ask for nothing, images are
read where they are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .stages import Pieces, Recipe, Stage, record
from .tables import Ints, Pairs, crossed, grown, name_of, table

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

    `pads` are zeros before and after each spatial axis. `remainders` are, for each spatial axis, what padded
    coordinates that are read leave when divided by the `stride`; (samples, channels, remainders..., quotients...)
    are the axes in memory.
    """

    def __init__(
        self,
        x: Any,
        pads: Pairs,
        stride: Ints | None = None,
        remainders: Sequence[Collection[int]] | None = None,
    ) -> None:
        rank = x.ndim - 2
        self.stride = stride or (1,) * rank
        self.remainders = [sorted(r) for r in remainders or [(0,)] * rank]
        self.copies = any(a or b for a, b in pads) or x.strides[-1] != x.itemsize
        self.copies |= any(s > 1 for s in self.stride)
        self.sample, self.channel = x.strides[:2]
        self.steps: Ints = x.strides[2:]
        if self.copies:
            self._prepare(x, pads)

    def _prepare(self, x: Any, pads: Pairs) -> None:
        """Where the elements lie once they are laid out, and the parts of the stage that does it."""
        self.dtype, self.size = name_of(x.dtype), x.itemsize
        padded = [d + a + b for d, (a, b) in zip(x.shape[2:], pads, strict=True)]
        counts = [-(-d // s) for d, s in zip(padded, self.stride, strict=True)]
        shape = (*x.shape[:2], *map(len, self.remainders), *counts)
        steps = tuple(self.size * prod(shape[i + 1 :]) for i in range(len(shape)))
        self.sample, self.channel = steps[:2]
        self.planes, self.steps = steps[2 : 2 + len(counts)], steps[2 + len(counts) :]
        self.bytes, self.width = self.size * prod(shape), counts[-1]
        what = self.size, x.shape[1:], x.strides, pads, self.stride, *map(tuple, self.remainders)
        samples = x.shape[0]

        def lines(shift: int) -> tuple[Any, Any]:
            """Where the lines of one sample come to lie, and where they come from, `shift` bytes further."""
            own, from_ = table((shape[1], self.channel)), table((shape[1], x.strides[1]))
            for i in range(len(counts) - 1):
                at, sources = self._coordinates(i, counts[i], x, pads)
                own, from_ = crossed(own, at), np.maximum(crossed(from_, sources), NOWHERE)
            return own, np.where(from_ < NOWHERE // 2, NOWHERE, from_ + shift)

        def sources(n: int, shift: int) -> Any:
            own = lines(shift)[1]
            inside = crossed(table((n, x.strides[0])), own)
            return np.where(np.tile(own, n) == NOWHERE, NOWHERE, inside)

        places = grown(
            ("places", *what), samples, lambda n: crossed(table((n, self.sample)), lines(0)[0])
        )
        self.lines = len(places)
        self.parts = []  # one for each remainder of the last axis
        before, extent, stride = pads[-1][0], x.shape[-1], self.stride[-1]
        for i, remainder in enumerate(self.remainders[-1]):
            lead = max(0, -(-(before - remainder) // stride))
            start = remainder + lead * stride - before
            count = max(0, min(self.width - lead, -(-(extent - start) // stride)))
            shift = start * x.strides[-1]
            own = grown(("sources", shift, *what), samples, partial(sources, shift=shift))
            at = i * self.planes[-1]
            step = x.strides[-1] * stride
            self.parts.append((own, places, at, lead, count, self.width, step, self.size))

    def _coordinates(self, i: int, count: int, x: Any, pads: Pairs) -> tuple[Any, Any]:
        """For each (remainder, quotient) of an axis where it lies, and where it comes from."""
        own, quotients = np.array(self.remainders[i])[:, None], np.arange(count)
        at = np.arange(len(own))[:, None] * self.planes[i] + quotients * self.steps[i]
        from_ = own + quotients * self.stride[i] - pads[i][0]
        inside = (from_ >= 0) & (from_ < x.shape[i + 2])
        return at.reshape(-1), np.where(inside, from_ * x.strides[i + 2], NOWHERE).reshape(-1)

    def offsets(self, axis: int, places: Any) -> Any:
        """Where coordinates of a spatial axis of the padded images lie, in bytes."""
        places = np.asarray(places, dtype=np.int64)
        if not self.copies:
            return places * self.steps[axis]
        order = np.searchsorted(self.remainders[axis], places % self.stride[axis])
        return order * self.planes[axis] + places // self.stride[axis] * self.steps[axis]

    def put(self, recipe: Recipe | Pieces, source: int) -> int:
        """Puts the stage that lays images out into a recipe, if they have to be; the slot where they are then.

        Its units are lines, sample by sample.
        """
        if not self.copies:
            return source
        target = recipe.room("images", self.bytes)
        recipe.add(copying(self.dtype, source, target, self.lines, self.parts))
        return target


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
