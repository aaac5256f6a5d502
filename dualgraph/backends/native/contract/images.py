"""Products with images: where a kernel's windows and weights lie, and how all images of a batch are multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ....core.types import contiguous_strides
from ..threads import pool
from . import kernels
from .layout import Lines
from .operands import Operand, Product, Strided, Tabled, Windowed
from .plan import Plan
from .seat import Seat
from .stages import Pieces, Recipe
from .tables import name_of, table
from .weave import Threads

LARGE = 2_000_000  # products of an image from which images are laid out and multiplied one by one
SMALL = 400  # positions of an image below which all images are one matrix
PLANE = 64  # positions of a plane of a volume from which it is a matrix of its own
WASTE = 8  # positions dropped for each that is kept and each row: reading in place beats packing up to here


@dataclass(frozen=True, eq=False)
class Weights:
    """The rows of the products: `rows` by k for each group, which begin at multiples of `group`."""

    rows: int
    operand: Strided | Tabled
    group: int


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
    rows is dropped (few channels; each plane of a volume is a matrix); the positions of all images are the columns
    of one matrix (small images); or each image is a matrix.
    """

    def __init__(
        self, dtype: Any, samples: int, groups: int, weights: Weights, reach: Reach
    ) -> None:
        self.dtype, self.size, m = dtype, dtype.itemsize, weights.rows
        n = prod(extent for extent, _ in reach.places)
        wide = None
        if not kernels.shape_for(name_of(dtype)).rather_packed(m, len(reach.taps)):
            wide = _wide(reach.places[-2:], self.size, 1 + WASTE / m)
        self.planes = 1 if wide is None else prod(extent for extent, _ in reach.places[:-2])
        if self.planes > 1 and wide is not None and wide < PLANE:
            wide, self.planes = None, 1
        self.out = samples, groups, m, n
        self.merged = wide is None and samples > 1 and n < SMALL
        self.cropped = wide is not None and (self.planes > 1 or wide > n)
        operand, columns, starts = self._merged(reach) if self.merged else self._apart(reach, wide)
        self.columns, self.reach = columns, reach
        repeats = 1 if self.merged else samples
        weight_starts = table((repeats, 0), (groups, weights.group), (self.planes, 0))
        out_starts = table((len(starts), m * columns * self.size))
        self.product = Product(
            name_of(dtype),
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
        starts = (samples, reach.sample), (groups, reach.group)
        if wide is not None:
            return Windowed(reach.taps + reach.start), wide, table(*starts, *reach.places[:-2])
        rows = table(*reach.places, start=reach.start)
        return _simplest(Tabled(rows, reach.taps), self.size), n, table(*starts)

    def add_to(self, recipe: Recipe | Pieces, slots: tuple[int, int, int], seat: Seat) -> None:
        """Puts the stages at the end of a recipe: the images are multiplied, and the results brought to their places.
        Slots are those of weight, images and out, which is C-contiguous (samples, channels, positions...); `seat`
        says what is done with the results.
        """
        weight, images, target = slots
        n = self.out[-1]
        if not self.merged and not self.cropped:
            finish = None if seat.finish is None else seat.finish.given(target)
            self._multiply(recipe, slots, finish)
            return
        goal = recipe.room("product", self._bytes)
        self._multiply(recipe, (weight, images, goal))
        width = n if self.merged else self.reach.places[-1][0]
        recipe.add(Lines(self.dtype, self._lines(whole=self.merged), width).stage(goal, target))
        seat.close(recipe, target)

    def _multiply(
        self, recipe: Recipe | Pieces, slots: tuple[int, int, int], finish: Any = None
    ) -> None:
        Plan(self.product, recipe, slots, finish=finish)

    def pieces(self, copies: bool) -> int:
        """In how many pieces to lay out, multiply and crop, each of which a cache may hold: images or groups of
        their channels; 0 for all at once. `copies` says whether there is more to do than to multiply."""
        samples, groups = self.out[:2]
        pieces = samples * groups
        work = prod(self.out) * len(self.reach.taps)
        if not (copies or self.cropped) or self.merged or pieces < 4 * pool.size:
            return 0
        if samples >= 4 * pool.size and work >= LARGE * samples:
            return samples
        return pieces if groups > 1 else 0

    def leave(self, recipe: Recipe | Pieces, slots: tuple[int, int], name: str) -> Threads:
        """Puts the products at the end of a recipe; the lines in which their results lie then, by (sample, channel,
        positions...). Slots are those of weight and images."""
        goal = recipe.room(name, self._bytes)
        self._multiply(recipe, (*slots, goal))
        return Threads(goal, self._lines(), self.reach.places[-1][0])

    @property
    def _bytes(self) -> int:
        """Bytes of the results of all matrices."""
        samples, groups, m, n = self.out
        columns = n if self.merged else self.columns
        return samples * groups * self.planes * m * columns * self.size

    def _lines(self, whole: bool = False) -> Any:
        """Where lines of results begin: those of the last axis, or `whole` images."""
        samples, groups, m, n = self.out
        line = self.columns * self.size
        images = [(samples * groups, self.planes * m * line), (m, line), (self.planes, m * line)]
        if self.merged:  # (group, channel, sample, position)
            images = [(samples, n * self.size), (groups * m, samples * n * self.size)]
        inner = self.reach.places[-2:-1]
        if not self.cropped:
            extents = tuple(extent for extent, _ in self.reach.places)
            inner = list(zip(extents, contiguous_strides(extents, self.size), strict=True))[:-1]
        return table(*images, *(() if whole else inner))


def _wide(places: list[tuple[int, int]], size: int, limit: float) -> int | None:
    """How many positions there are if the gaps between rows count; None beyond `limit` times those kept."""
    extent, step = places[-1]
    if step != size:
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
