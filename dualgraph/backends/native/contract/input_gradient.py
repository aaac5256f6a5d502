"""Gradients of convolutions for their input, as products: one for each remainder of the positions by the stride.

Positions with one remainder (a `Phase`) are reached by the same taps of the kernel. Order of k: (output channel,
those kernel offsets that reach the position), or the one that does where the kernel covers all of the input once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as counter
from itertools import groupby
from itertools import product as combinations
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ....core.types import contiguous_strides
from . import kernels, pack, planewise
from .images import Images, Reach, Weights
from .layout import KEPT, Layout, Lines, layout_of
from .operands import Product, Strided, Tabled
from .plan import Plan
from .seat import Seat
from .shape import KC
from .stages import Pieces, Recipe, in_pieces
from .tables import Ints, Pairs, crossed, name_of, table
from .turning import ByTaps, by_lines
from .weave import Threads, nowhere, weaving

STRIPE = 64  # k's (about) of a weight that are packed at a time
TURNED = 2**18  # elements of a weight below which it is put in order of k
PHASES = 8  # products up to which they run piece by piece


@dataclass(frozen=True, eq=False, slots=True)
class Phase:
    """Positions of the input that differ by multiples of the stride, along one axis."""

    taps: tuple[int, ...]  # kernel offsets that reach them
    back: tuple[int, ...]  # for each, how far back from `first` its output position lies
    place: slice  # the positions
    first: int  # the output position where a tap with back 0 begins
    count: int


@lru_cache(maxsize=KEPT)
def _phases(extent: int, kernel: int, stride: int, before: int, dilation: int) -> tuple[Phase, ...]:
    """The phases of an axis, in order of their remainders; `before` zeros come before it."""
    found = []
    for remainder in range(stride):
        taps = tuple(t for t in range(kernel) if t * dilation % stride == remainder)
        start = (remainder - before) % stride  # the first position with this remainder once padded
        count = len(range(start, extent, stride))
        if count:
            back = tuple((t * dilation - remainder) // stride for t in taps)
            first = (start + before - remainder) // stride
            found.append(Phase(taps, back, slice(start, None, stride), first, count))
    return tuple(found)


def _pads(counts: Ints, phases: Sequence[Sequence[Phase]]) -> Pairs:
    """How many zeros the taps read before and after each axis of the cotangent, which has `counts` places."""
    pads = []
    for count, options in zip(counts, phases, strict=True):
        reach = [p for p in options if p.taps]
        low = max((max(p.back) - p.first for p in reach), default=0)
        high = max((p.first + p.count - min(p.back) - count for p in reach), default=0)
        pads.append((max(low, 0), max(high, 0)))
    return tuple(pads)


class Filters(NamedTuple):
    """How the products read the weight: its slot, bytes from one output channel, channel and tap to the next, and
    whether the k's of a row lie side by side."""

    slot: int
    out: int
    channel: int
    taps: Ints
    in_order: bool


@lru_cache(maxsize=KEPT)
def _reach(
    layout: Layout, phases: tuple[Phase, ...], outs: int, filters: Filters
) -> tuple[Any, Any]:
    """Where the k's of positions lie in the weight, and in the cotangent."""
    taps, back = table((outs, filters.out)), table((outs, layout.channel))
    for p, w_step, step in zip(phases, filters.taps, layout.steps, strict=True):
        taps = crossed(taps, np.array(p.taps, dtype=np.int64) * w_step)
        back = crossed(back, np.array(p.back, dtype=np.int64) * -step)
    return taps, back


class InputGradient:
    """The plan of `conv_input`."""

    def __init__(
        self,
        ct: Any,
        w: Any,
        extent: Ints,
        stride: Ints,
        padding: Pairs,
        dilation: Ints,
        groups: int,
        seat: Seat | None = None,
    ) -> None:
        kernel, self.channels, self.outs = w.shape[2:], w.shape[1], w.shape[0] // groups
        self.dtype, self.size = ct.dtype, ct.itemsize
        self.stride, self.groups = stride, groups
        self.shape = (ct.shape[0], self.channels * groups, *extent)
        self.seat = seat = seat or Seat()
        self.recipe = seat.recipe
        unpadded = not any(map(any, padding))
        if prod(ct.shape[2:]) == 1 and tuple(extent) == tuple(kernel) and unpadded:
            self._add_once(ct, w)
            return
        if planewise.suits(ct, self.channels, self.outs, kernel, stride, groups):
            how = stride, padding, dilation, groups
            planewise.add_planes(seat, ct, self.shape, w.shape, *how, back=True)
            return
        befores = [a for a, _ in padding]
        axes = zip(extent, kernel, stride, befores, dilation, strict=True)
        phases = [_phases(*axis) for axis in axes]
        self.pads = _pads(ct.shape[2:], phases)
        self.layout = layout_of(ct, self.pads)
        filters = self._filters(w)
        parts = [(chosen, self._images(chosen, filters)) for chosen in combinations(*phases)]
        self._add(parts, filters.slot)

    def _add_once(self, ct: Any, w: Any) -> None:
        """The kernel covers the input once: rows are samples, columns elements of the weight."""
        seat, groups, outs, size = self.seat, self.groups, self.outs, self.size
        columns = prod(w.shape[1:])
        goal = seat.goal(self.recipe, size * prod(self.shape))
        product = Product(
            name_of(ct.dtype),
            ct.shape[0],
            columns,
            outs,
            Strided(*ct.strides[:2]),
            Strided(size, columns * size),
            groups * columns * size,
            (
                table((groups, outs * ct.strides[1])),
                table((groups, outs * columns * size)),
                table((groups, columns * size)),
            ),
        )
        Plan(product, self.recipe, (seat.x, seat.y, goal))
        seat.close(self.recipe, goal)

    def _filters(self, w: Any) -> Filters:
        """The weight, put in another order first where that is cheaper than to read it as it lies: to gather elements
        for each phase, while loads one by one take no longer for being far apart."""
        kernel, phases = w.shape[2:], prod(self.stride)
        out, channel, *taps = contiguous_strides(w.shape, self.size)
        slot = self.seat.y
        gathers = kernels.shape_for(name_of(self.dtype)).lanes > pack.FEW
        if phases > 1 and 1 < prod(kernel) <= KC and gathers:
            spread = ByTaps(self.dtype, w.shape)
            steps = contiguous_strides(kernel, spread.tap)
            return Filters(self._turned(spread), spread.out, self.size, steps, in_order=False)
        # a small weight is put in order of k once, rather than for each image while packing
        in_order = phases == 1 and self.shape[0] > 2 and w.size < TURNED
        if in_order:
            slot = self._turned(by_lines(self.dtype, w.shape, self.groups))
        return Filters(slot, out, channel, tuple(taps), in_order)

    def _turned(self, turn: ByTaps | Lines) -> int:
        """The slot of the weight after this stage."""
        slot = self.recipe.room("weight", turn.bytes)
        self.recipe.add(turn.stage(self.seat.y, slot))
        return slot

    def _images(self, phases: tuple[Phase, ...], filters: Filters) -> Images | None:
        """The product for the positions of one phase along each axis; None where no tap reaches them."""
        layout = self.layout
        taps, back = _reach(layout, phases, self.outs, filters)
        if not len(taps):
            return None
        # an output channel has all of the rows, a few k's of each: in one run where all its taps are read
        few = len(taps) // self.outs
        stripe = few * -(-STRIPE // few) if 1 < few == filters.channel // self.size else 0
        operand: Strided | Tabled = Tabled(table((self.channels, filters.channel)), taps, stripe)
        if filters.in_order:
            operand = Strided(len(taps) * self.size, self.size)
        axes = list(zip(phases, self.pads, layout.steps, strict=True))
        start = sum((p.first + before) * step for p, (before, _), step in axes)
        places = [(p.count, step) for p, _, step in axes]
        columns = Reach(places, start, back, layout.sample, self.outs * layout.channel)
        weights = Weights(self.channels, operand, self.outs * filters.out)
        return Images(self.dtype, self.shape[0], self.groups, weights, columns)

    def _add(self, parts: Sequence[tuple[Sequence[Phase], Images | None]], weight: int) -> None:
        """Puts all products into the recipe, piece by piece where that keeps them in the cache."""
        alone = prod(self.stride) == 1
        copies = self.layout.copies or not alone
        pieces = [images.pieces(copies) for _, images in parts if images is not None]
        even = 0 not in pieces and len(parts) <= PHASES
        with in_pieces(self.recipe, min(pieces, default=0) if even else 0) as inner:
            images_at = self.layout.put(inner, self.seat.x, self.shape[0])
            goal = self.seat.goal(inner, self.size * prod(self.shape))
            slots = weight, images_at, goal
            only = parts[0][1] if alone and parts else None
            if only is not None:
                only.add_to(inner, slots, self.seat)
            else:
                self._bring(inner, parts, slots)
                self.seat.close(inner, goal)

    def _bring(
        self,
        recipe: Recipe | Pieces,
        parts: Sequence[tuple[Sequence[Phase], Images | None]],
        slots: tuple[int, int, int],
    ) -> None:
        """Puts the products of all phases into a recipe, and what brings them to their places.

        With stride 2 along the last axis two phases are neighbours there, and are written together.
        """
        goal = slots[2]
        lines = self.shape[0] * self.shape[1]
        number = counter()

        def made(i: int, chosen: Sequence[Phase], part: Images | None) -> Threads:
            if part is None:
                rows = lines * prod(p.count for p in chosen[:-1])
                return nowhere(goal, rows, chosen[-1].count)
            # names are used once in pieces, and once for each group else
            name = f"product{next(number) if isinstance(recipe, Pieces) else i}"
            return part.leave(recipe, slots[:2], name)

        for _, group in groupby(parts, lambda part: part[0][:-1]):
            own = sorted(group, key=lambda part: part[0][-1].place.start)
            threads = [made(i, *part) for i, part in enumerate(own)]
            rows = [self._rows(chosen) for chosen, _ in own]
            if self.stride[-1] == 2 and len(own) == 2:
                recipe.add(weaving(self.dtype, *threads, goal, rows[0][0]))
                continue
            for x, (places, step) in zip(threads, rows, strict=True):
                bring = Lines(self.dtype, x.table, x.count, places, goal=step)
                recipe.add(bring.stage(x.slot, goal))

    def _rows(self, phases: Sequence[Phase]) -> tuple[Any, int]:
        """Where in the result each row of these positions begins, and how far apart they lie in it."""
        first, second, *steps = contiguous_strides(self.shape, self.size)
        samples, channels = self.shape[:2]
        axes = list(zip(phases, self.stride, steps, strict=True))
        start = sum(p.place.start * step for p, _, step in axes)
        inner = [(p.count, s * step) for p, s, step in axes]
        places = table((samples, first), (channels, second), *inner[:-1], start=start)
        return places, inner[-1][1]
