"""Products with images: where a kernel's windows and weights lie, and how all images of a batch are multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..threads import pool
from .layout import Ints, Layout, Lines
from .plan import Cut, Operand, Plan, Product, Strided, Tabled, Windowed
from .stages import Recipe, for_each_sample

LARGE = 2_000_000  # products of an image from which images are laid out and multiplied one by one
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


@dataclass(frozen=True, eq=False)
class Rows:
    """Where results belong: each row of positions of (sample, channel) begins at ``places[row]``, elements `step`
    bytes apart."""

    places: Any
    step: int


class Images:
    """A product for each image and group: ``out[sample, channel, position]``.

    Three ways: positions are read in place in rows of the input's width, and what lies between the output's
    rows is dropped (few channels); the positions of all images are the columns of one matrix (small images);
    or each image is a matrix.
    """

    def __init__(
        self, dtype: Any, samples: int, groups: int, weights: Weights, reach: Reach
    ) -> None:
        self.dtype, self.size, m = dtype, dtype.itemsize, weights.rows
        n = prod(extent for extent, _ in reach.places)
        wide = _wide(reach.places, self.size, 1 + WASTE / m)
        self.out = samples, groups, m, n
        self.merged = wide is None and samples > 1 and n < SMALL
        self.cropped = wide is not None and wide > n
        operand, columns, starts = self._merged(reach) if self.merged else self._apart(reach, wide)
        self.columns, self.reach = columns, reach
        weight_starts = np.tile(weights.starts, 1 if self.merged else samples)
        out_starts = table((len(starts), m * columns * self.size))
        self.product = Product(
            dtype.name,
            m,
            columns,
            len(reach.taps),
            weights.operand,
            operand,
            columns * self.size,
            (weight_starts, starts, out_starts),
        )

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

    def add_to(
        self,
        recipe: Recipe,
        slots: tuple[int, int, int],
        layout: Layout | None = None,
        rows: Rows | None = None,
    ) -> None:
        """Puts the stages at the end of a recipe: images are laid out first (None: they are), then multiplied, and
        the results brought to their places. Slots are those of weight, images and out, which is C-contiguous
        (samples, channels, positions...), or has its `rows` elsewhere.
        """
        weight, images, target = slots
        samples, groups, m, n = self.out
        alone = self._one_by_one(layout)
        inner = Recipe(recipe.arrays) if alone else recipe
        moved: list[tuple[int, int]] = []

        def room(name: str, size: int) -> int:
            slot = recipe.room(name, 0 if alone else size)
            moved.append((slot, size // max(1, samples)))
            return slot

        if layout is not None and layout.copies:
            source, images = images, room("images", layout.bytes)
            inner.add(layout.stage(source, images))
        bring = self._bring(rows)
        goal = target
        if bring is not None:
            goal = room(
                "product", samples * groups * m * (n if self.merged else self.columns) * self.size
            )
        Plan(
            self.product,
            inner,
            (weight, images, goal),
            cut=Cut(m, self.columns) if alone else None,
        )
        if bring is not None:
            inner.add(bring.stage(goal, target))
        if alone:
            recipe.add(for_each_sample(samples, inner.stages, moved))

    def _one_by_one(self, layout: Layout | None) -> bool:
        """Whether to lay out, multiply and crop image by image, each of which the cache may hold."""
        samples = self.out[0]
        work = prod(self.out) * len(self.reach.taps)
        copies = self.cropped or (layout is not None and layout.copies)
        return copies and not self.merged and samples >= 4 * pool.size and work >= LARGE * samples

    def _bring(self, rows: Rows | None) -> Lines | None:
        """The lines that bring results to their places; None where they are there."""
        samples, groups, m, n = self.out
        size, extents = self.size, [extent for extent, _ in self.reach.places]
        if rows is None and not self.merged and not self.cropped:
            return None
        images = [(samples * groups * m, self.columns * size)]
        if self.merged:  # (group, channel, sample, position)
            images = [(samples, n * size), (groups * m, samples * n * size)]
        if rows is None and self.merged:
            return Lines(self.dtype, table(*images), n)
        inner = self.reach.places[:-1]
        if not self.cropped:
            steps = contiguous_strides(tuple(extents), size)
            inner = list(zip(extents, steps, strict=True))[:-1]
        sources = table(*images, *inner)
        if rows is None:
            return Lines(self.dtype, sources, extents[-1])
        return Lines(self.dtype, sources, extents[-1], rows.places, goal=rows.step)


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
