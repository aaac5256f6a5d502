"""Products with images: where a kernel's windows and weights lie, and how all images of a batch are multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from .layout import Ints, Layout, Lines, workspace
from .plan import Operand, Plan, Product, Strided, Tabled, Windowed, scratch

LARGE = 8_000_000  # products of an image from which images are laid out and multiplied one by one
SMALL = 400  # positions of an image below which all images are one matrix
WASTE = 3  # positions dropped for each that is kept and each row: reading in place beats packing up to here


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


@dataclass(frozen=True, eq=False)
class Weights:
    """The rows of the products: `rows` by k for each group, which begin at `starts`."""

    rows: int
    operand: Strided | Tabled
    starts: Any


@dataclass(frozen=True, eq=False)
class Reach:
    """The columns of the products: the k's of position p lie at ``start + place(p) + taps`` of each image.

    `places` are the positions as axes (extent, step in bytes); images and groups begin at multiples of
    `sample` and `group`.
    """

    places: list[tuple[int, int]]
    start: int
    taps: Any
    sample: int
    group: int


class Images:
    """A product for each image and group: ``out[sample, channel, position]``.

    Three ways: positions are read in place in rows of the input's width, and what lies between the output's
    rows is dropped (few channels); the positions of all images are the columns of one matrix (small images);
    or each image is a matrix.
    """

    def __init__(
        self, dtype: Any, samples: int, groups: int, weights: Weights, reach: Reach
    ) -> None:
        self.size, m = dtype.itemsize, weights.rows
        n = prod(extent for extent, _ in reach.places)
        wide = _wide(reach.places, self.size, 1 + WASTE / m)
        self.out = samples, groups, m, n
        self.merged = wide is None and samples > 1 and n < SMALL
        self.cropped = wide is not None and wide > n
        operand, columns, starts = self._merged(reach) if self.merged else self._apart(reach, wide)
        self.shape = (groups, m, samples, n) if self.merged else (samples, groups, m, columns)
        weight_starts = np.tile(weights.starts, 1 if self.merged else samples)
        out_starts = table((len(starts), m * columns * self.size))
        self.plan = Plan(
            Product(
                dtype.name,
                m,
                columns,
                len(reach.taps),
                weights.operand,
                operand,
                columns * self.size,
                (weight_starts, starts, out_starts),
            )
        )
        if self.cropped:
            lines = table((samples * groups * m, columns * self.size), *reach.places[:-1])
            self.crop = Lines(dtype, lines, reach.places[-1][0])

    def _merged(self, reach: Reach) -> tuple[Operand, int, Any]:
        """The operand, its rows, and where its matrices begin: one for each group."""
        samples, groups, _, n = self.out
        rows = table((samples, reach.sample), *reach.places, start=reach.start)
        return Tabled(rows, reach.taps), samples * n, table((groups, reach.group))

    def _apart(self, reach: Reach, wide: int | None) -> tuple[Operand, int, Any]:
        """The same, one for each image and group."""
        samples, groups, _, n = self.out
        starts = table((samples, reach.sample), (groups, reach.group))
        if wide is not None:
            return Windowed(reach.taps + reach.start), wide, starts
        rows = table(*reach.places, start=reach.start)
        return _simplest(Tabled(rows, reach.taps), self.size), n, starts

    def __call__(self, weight: Any, x: Any, out: Any, layout: Layout | None = None) -> None:
        """Computes into `out`, C-contiguous (samples, channels, positions...), from images x, laid out or to be."""
        if layout and not self.merged and self.plan.parts == 1 and self.plan.work >= LARGE * len(x):
            self._one_by_one(weight, x, layout, out)
            return
        image = layout(x) if layout else x
        if not self.merged and not self.cropped:
            self.plan(weight, image, out)
            return
        size = prod(self.shape) * self.size
        temporary = workspace("product", size)[:size].view(out.dtype).reshape(self.shape)
        self.plan(weight, image, temporary)
        if self.cropped:
            self.crop(temporary, out)
        else:
            np.copyto(out.reshape(self.out), temporary.transpose(2, 0, 1, 3))

    def _one_by_one(self, weight: Any, x: Any, layout: Layout, out: Any) -> None:
        """Lays out, multiplies and crops image by image, each of which the cache may hold."""
        samples, groups, m, _ = self.out
        images, weights, goal = (address_of(a) for a in (x, weight, out))
        size = groups * m * self.shape[3] * self.size
        lines = len(self.crop.table) // samples if self.cropped else 0

        def part(begin: int, end: int, _: int) -> None:
            memory = scratch(self.plan.scratch_bytes)
            for i in range(begin, end):
                image = layout.sample(images, i)
                target = address_of(workspace("product", size)) - i * size if self.cropped else goal
                self.plan.some(weights, image, target, memory, i * groups, (i + 1) * groups)
                if self.cropped:
                    self.crop.run(target, goal, i * lines, (i + 1) * lines)

        self.plan.spread(part, samples)


def _wide(places: list[tuple[int, int]], size: int, limit: float) -> int | None:
    """How many positions there are if the gaps between rows count; None beyond `limit` times those kept."""
    extent, step = places[-1]
    if step != size or len(places) > 2:
        return None
    if len(places) == 1:
        return extent
    rows, pitch = places[0]
    wide = (rows - 1) * (pitch // size) + extent
    return wide if pitch % size == 0 and 1 <= wide / (rows * extent) <= limit else None


def _simplest(x: Tabled, size: int) -> Operand:
    """Strides in place of tables whose entries are evenly spaced, if rows are neighbours."""
    steps = []
    for entries in (x.rows, x.ks):
        step = int(entries[1] - entries[0]) if len(entries) > 1 else size
        if entries[:1].any() or not (np.diff(entries) == step).all():
            return x
        steps.append(step)
    return Strided(*steps) if steps[0] == size else x
