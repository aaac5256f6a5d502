"""Convolutions of NumPy arrays as products: im2col by index tables, without the columns.

Order of k: forward (channel, kernel offset); input gradient (output channel, those kernel offsets that reach
the position with this stride, or the one that does where the kernel covers all of the input once); weight
gradient (sample, output position). Padding takes part as zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as counter
from itertools import groupby
from itertools import product as combinations
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from ..team.room import Room
from ..team.spots import Spot
from ..threads import pool
from . import planewise, taps
from .again import recipe_of
from .images import Images, Reach, Weights
from .lanewise import lanewise, suits
from .layout import Layout, Lines
from .plan import Plan, Product, Strided, Tabled
from .seat import Seat
from .shape import KC
from .stages import Pieces, Recipe, in_pieces
from .tables import Ints, Pairs, contiguous_strides, crossed, name_of, table
from .turning import ByTaps, by_lines
from .weave import Threads, nowhere, weaving

LIMIT = 2048  # plans kept
MANY_TAPS = 64  # of all channels, from which the weight gradient reads the cotangent in place
TURNED = 2**18  # elements of a weight below which the input gradient puts it in order of k
PHASES = 8  # products of an input gradient up to which they run piece by piece
_plans: dict[Any, Any] = {}


def counts(extent: Ints, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> Ints:
    """How many windows there are along each axis."""
    sizes = zip(extent, kernel, stride, padding, dilation, strict=True)
    return tuple((d + a + b - (k - 1) * dil - 1) // s + 1 for d, k, s, (a, b), dil in sizes)


class Windows:
    """What a convolution reads of its input: a layout, and tables of channels and kernel offsets, and of positions."""

    def __init__(
        self, x: Any, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, groups: int
    ) -> None:
        extents = counts(x.shape[2:], kernel, stride, padding, dilation)
        read = [
            {t * dil % s for t in range(k)}
            for k, s, dil in zip(kernel, stride, dilation, strict=True)
        ]
        self.layout = layout = Layout(x, padding, stride, read)
        self.sample, self.channel = layout.sample, layout.channel
        self.channels = x.shape[1] // groups
        self.taps = table((self.channels, self.channel))
        self.places: list[tuple[int, int]] = []
        for axis, (count, k, dil) in enumerate(zip(extents, kernel, dilation, strict=True)):
            self.taps = crossed(self.taps, layout.offsets(axis, np.arange(k) * dil))
            self.places.append((count, layout.steps[axis]))

    @property
    def reach(self) -> Reach:
        """The columns of the forward products."""
        return Reach(self.places, 0, self.taps, self.sample, self.channels * self.channel)


class Forward:
    """The plan of `conv`."""

    def __init__(self, x: Any, w: Any, seat: Seat | None = None, **how: Any) -> None:
        groups, kernel = how["groups"], w.shape[2:]
        seat = seat or Seat()
        self.recipe = seat.recipe
        m, size = w.shape[0] // groups, x.itemsize
        sizes = x.shape[2:], kernel, how["stride"], how["padding"], how["dilation"]
        self.shape = (x.shape[0], w.shape[0], *counts(*sizes))
        if planewise.suits(x, m, w.shape[1], kernel, how["stride"], groups):
            planewise.add_planes(seat, x, self.shape, w.shape, **how, back=False)
            return
        self.windows = windows = Windows(x, kernel, **how)
        k = len(windows.taps)
        weights = Weights(m, Strided(k * size, size), m * k * size)
        images = Images(x.dtype, x.shape[0], groups, weights, windows.reach)
        pieces = images.pieces(windows.layout.copies)
        with in_pieces(self.recipe, pieces) as inner:
            goal = seat.goal(inner, size * prod(self.shape))
            images.add_to(inner, (seat.y, windows.layout.put(inner, seat.x), goal), seat)


@dataclass(frozen=True)
class Phase:
    """Positions of the input that differ by multiples of the stride, along one axis."""

    taps: tuple[int, ...]  # kernel offsets that reach them
    back: tuple[int, ...]  # for each, how far back from `first` its output position lies
    place: slice  # the positions
    first: int  # the output position where a tap with back 0 begins
    count: int


def _phases(extent: int, kernel: int, stride: int, before: int, dilation: int) -> list[Phase]:
    found = []
    for remainder in range(stride):
        taps = tuple(t for t in range(kernel) if t * dilation % stride == remainder)
        start = (remainder - before) % stride  # the first position with this remainder once padded
        count = len(range(start, extent, stride))
        if count:
            back = tuple((t * dilation - remainder) // stride for t in taps)
            first = (start + before - remainder) // stride
            found.append(Phase(taps, back, slice(start, None, stride), first, count))
    return found


class InputGradient:
    """The plan of `conv_input`: for each remainder of the positions by the stride a product of its own."""

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
        kernel, channels, size = w.shape[2:], w.shape[1], ct.itemsize
        self.dtype = ct.dtype
        self.shape = (ct.shape[0], channels * groups, *extent)
        seat = seat or Seat()
        self.recipe = recipe = seat.recipe
        if (
            prod(ct.shape[2:]) == 1
            and tuple(extent) == tuple(kernel)
            and not any(map(any, padding))
        ):
            self._once(ct, w, groups, seat)
            return
        if planewise.suits(ct, channels, w.shape[0] // groups, kernel, stride, groups):
            how = stride, padding, dilation, groups
            planewise.add_planes(seat, ct, self.shape, w.shape, *how, back=True)
            return
        befores = [a for a, _ in padding]
        phases = [
            _phases(*axis) for axis in zip(extent, kernel, stride, befores, dilation, strict=True)
        ]
        pads = []
        for count, options in zip(ct.shape[2:], phases, strict=True):
            reach = [p for p in options if p.taps]
            low = max((max(p.back) - p.first for p in reach), default=0)
            high = max((p.first + p.count - min(p.back) - count for p in reach), default=0)
            pads.append((max(low, 0), max(high, 0)))
        self.layout = Layout(ct, tuple(pads))
        outs = w.shape[0] // groups
        sample, channel, steps = self.layout.sample, self.layout.channel, self.layout.steps
        turn: ByTaps | Lines | None = None
        w_out, w_channel, *w_steps = contiguous_strides(w.shape, size)
        # a small weight is put in order of k once, rather than for each image while packing
        turns = prod(stride) == 1 and ct.shape[0] > 2 and w.size < TURNED
        spreads = prod(stride) > 1 and 1 < prod(kernel) <= KC
        weight_at = seat.y
        if turns or spreads:
            turn = ByTaps(ct.dtype, w.shape) if spreads else by_lines(ct.dtype, w.shape, groups)
            weight_at = recipe.room("weight", turn.bytes)
            recipe.add(turn.stage(seat.y, weight_at))
        if isinstance(turn, ByTaps):
            w_out, w_channel = turn.out, size
            w_steps = contiguous_strides(kernel, turn.tap)
        parts: list[tuple[Any, Images | None]] = []
        for chosen in combinations(*phases):
            taps, back = table((outs, w_out)), table((outs, channel))
            for p, w_step, step in zip(chosen, w_steps, steps, strict=True):
                taps = crossed(taps, np.array(p.taps, dtype=np.int64) * w_step)
                back = crossed(back, np.array(p.back, dtype=np.int64) * -step)
            start = sum(
                (p.first + a) * step for p, (a, _), step in zip(chosen, pads, steps, strict=True)
            )
            rows = [(p.count, step) for p, step in zip(chosen, steps, strict=True)]
            images = None
            if not len(taps):
                parts.append((chosen, images))
                continue
            operand: Strided | Tabled = Tabled(table((channels, w_channel)), taps)
            if turns:
                operand = Strided(len(taps) * size, size)
            weights = Weights(channels, operand, outs * w_out)
            columns = Reach(rows, start, back, sample, outs * channel)
            images = Images(ct.dtype, ct.shape[0], groups, weights, columns)
            parts.append((chosen, images))
        alone = prod(stride) == 1
        pieces = [i.pieces(self.layout.copies or not alone) for _, i in parts if i is not None]
        even = 0 not in pieces and len(parts) <= PHASES
        with in_pieces(recipe, min(pieces, default=0) if even else 0) as inner:
            images_at = self.layout.put(inner, seat.x)
            goal = seat.goal(inner, size * prod(self.shape))
            slots = weight_at, images_at, goal
            if alone and images is not None:
                images.add_to(inner, slots, seat)
            else:
                self._bring(inner, parts, slots, stride)
                seat.close(inner, goal)

    def _once(self, ct: Any, w: Any, groups: int, seat: Seat) -> None:
        """The kernel covers the input once: rows are samples, columns elements of the weight."""
        outs, columns, size = w.shape[0] // groups, prod(w.shape[1:]), ct.itemsize
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

    def _bring(
        self,
        recipe: Recipe | Pieces,
        parts: Sequence[tuple[Sequence[Phase], Images | None]],
        slots: tuple[int, int, int],
        stride: Ints,
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
            rows = [self._rows(chosen, stride) for chosen, _ in own]
            if stride[-1] == 2 and len(own) == 2:
                recipe.add(weaving(self.dtype, *threads, goal, rows[0][0]))
                continue
            for x, (places, step) in zip(threads, rows, strict=True):
                bring = Lines(self.dtype, x.table, x.count, places, goal=step)
                recipe.add(bring.stage(x.slot, goal))

    def _rows(self, phases: Sequence[Phase], stride: Ints) -> tuple[Any, int]:
        """Where in the result each row of these positions begins, and how far apart they lie in it."""
        first, second, *steps = contiguous_strides(self.shape, self.dtype.itemsize)
        samples, channels = self.shape[:2]
        start = sum(p.place.start * step for p, step in zip(phases, steps, strict=True))
        inner = [(p.count, s * step) for p, s, step in zip(phases, stride, steps, strict=True)]
        places = table((samples, first), (channels, second), *inner[:-1], start=start)
        return places, inner[-1][1]


class WeightGradient:
    """The plan of `conv_weight`."""

    def __init__(self, x: Any, ct: Any, kernel: Ints, seat: Seat | None = None, **how: Any) -> None:
        groups, size = how["groups"], x.itemsize
        self.seat = seat = seat or Seat()
        self.recipe = recipe = seat.recipe
        self.shape = (ct.shape[1], x.shape[1] // groups, *kernel)
        if suits(x, ct, kernel, groups):
            goal = seat.goal(recipe, size * prod(self.shape))
            recipe.add(lanewise(x, ct, kernel, slots=(seat.x, seat.y, goal), **how))
            seat.close(recipe, goal)
            return
        if taps.suits(x, ct, kernel, groups):
            taps.add_taps(recipe, x, ct, kernel, seat, **how)
            return
        self.windows = windows = Windows(x, kernel, **how)
        m, n = ct.shape[1] // groups, len(windows.taps)
        ks = table((x.shape[0], windows.sample), *windows.places)
        rows, rows_at = self._rows_of(ct, n)
        images_at = windows.layout.put(recipe, seat.x)
        starts = (
            table((groups, m * (rows.row_step if isinstance(rows, Strided) else ct.strides[1]))),
            table((groups, windows.channels * windows.channel)),
            table((groups, m * n * size)),
        )
        columns = Tabled(windows.taps, ks)
        product = Product(name_of(x.dtype), m, n, len(ks), rows, columns, n * size, starts)
        goal = seat.goal(recipe, size * prod(self.shape))
        finish = None if seat.finish is None else seat.finish.given(goal)
        Plan(product, recipe, (rows_at, images_at, goal), finish=finish)

    def _rows_of(self, ct: Any, n: int) -> tuple[Strided | Tabled, int]:
        """How the rows of the products are read, and their slot: in place, or copied first where few columns
        share them, so that each channel's places lie side by side."""
        places, size = prod(ct.shape[2:]), ct.itemsize
        samples, channels = ct.shape[:2]
        if not ct.flags.c_contiguous or (samples > 1 and n > MANY_TAPS):
            ks = table(
                *(
                    (d, s)
                    for i, (d, s) in enumerate(zip(ct.shape, ct.strides, strict=True))
                    if i != 1
                )
            )
            return Tabled(table((channels, ct.strides[1])), ks), self.seat.y
        slot = self.seat.y
        if samples > 1:
            lines = table((channels, places * size), (samples, channels * places * size))
            gather = Lines(ct.dtype, lines, places)
            slot = self.recipe.room("rows", gather.bytes)
            self.recipe.add(gather.stage(self.seat.y, slot))
        return Strided(samples * places * size, size), slot


def _plan(kind: Any, x: Any, y: Any, params: dict[str, Any]) -> Any:
    key = (kind, x.dtype, x.shape, x.strides, y.shape, y.strides, *params.values(), pool.size)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= LIMIT:
            _plans.clear()
        plan = _plans[key] = kind(x, y, **params)
    return plan


def write(name: str, room: Room, out: Spot, x: Spot, y: Spot, **params: Any) -> None:
    """The op of this name in a native program."""
    kinds = {"conv": Forward, "conv_input": InputGradient, "conv_weight": WeightGradient}
    kind = kinds[name]
    if kind is not WeightGradient:
        y = room.dense(y)  # the weight
    recipe_of(_recipe, (kind, *params), x, y, *params.values()).write(room, x, y, out)


def _recipe(what: tuple[Any, ...], x: Any, y: Any, *values: Any) -> Recipe:
    kind, *names = what
    found: Recipe = _plan(kind, x, y, dict(zip(names, values, strict=True))).recipe
    return found


def _run(kind: Any, x: Any, y: Any, out: Any, params: dict[str, Any]) -> Any:
    plan = _plan(kind, x, y, params)
    if out is None:
        out = np.empty(plan.shape, x.dtype)
    goal = out if out.flags.c_contiguous else np.empty(plan.shape, x.dtype)
    if not plan.recipe.work:
        goal.fill(0)
    else:
        if kind is not WeightGradient:
            y = np.ascontiguousarray(y)  # the weight
        plan.recipe(address_of(x), address_of(y), address_of(goal))
    if goal is not out:
        np.copyto(out, goal)
    return out


def conv(x: Any, w: Any, out: Any = None, **params: Any) -> Any:
    """Cross-correlation of x (N, C, *S) with w (O, C / groups, *K); `params` as the op's."""
    return _run(Forward, x, w, out, params)


def conv_input(ct: Any, w: Any, out: Any = None, **params: Any) -> Any:
    """Gradient of `conv` for its input: (N, C, *extent)."""
    return _run(InputGradient, ct, w, out, params)


def conv_weight(x: Any, ct: Any, out: Any = None, **params: Any) -> Any:
    """Gradient of `conv` for its weight: (O, C / groups, *kernel)."""
    return _run(WeightGradient, x, ct, out, params)
