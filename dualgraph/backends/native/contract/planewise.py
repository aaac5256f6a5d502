"""Planewise convolutions: which ones they are, and what the kernel is told (see `planewise_code`)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ....core.types import contiguous_strides
from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .planewise_code import FIELDS, Form, Taps
from .seat import Seat
from .shape import KC
from .stages import Record, Stage, in_pieces
from .tables import Ints, Pairs, table

GROUPS = 4  # from which planes are work for all threads
OWN = 2  # planes of a group in the result; for more of them an element is better read once
WIDTH = 4  # of a row, below which lanes are better filled by several
TAPS = 64  # of a plane, up to which code is written for each
ROWS = 7  # of a bundle, at most


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the windows: extents of what is read and of the result, bytes from place to place of both, and the
    taps. `back`: it is the gradient for the input, whose taps go the other way and whose stride leaves gaps."""

    read: int
    out: int
    x_step: int
    out_step: int
    taps: int
    stride: int
    before: int
    dilation: int
    back: bool

    @property
    def remainders(self) -> range:
        """The first place of each class of places of the result that meet the same taps, `apart` from each other."""
        return range(min(self.apart, self.out))

    @property
    def apart(self) -> int:
        """How far apart neighbours of a class are."""
        return self.stride if self.back else 1

    @property
    def base(self) -> int:
        """What `met` is counted from."""
        return self.before // self.stride if self.back else -self.before

    def met(self, first: int) -> Taps:
        """The taps that places from `first` on meet, and what they read, counted from `base`."""
        if not self.back:
            return Taps(tuple((t, t * self.dilation) for t in range(self.taps)), self.stride)
        far = [(t, first + self.before - t * self.dilation) for t in range(self.taps)]
        s, base = self.stride, self.base
        return Taps(tuple((t, at // s - base) for t, at in far if at % s == 0), 1)

    def goals(self, first: int) -> Any:
        """Where the places of a class lie in the result."""
        return table((len(range(first, self.out, self.apart)), self.apart * self.out_step)) + (
            first * self.out_step
        )

    def lines(self, starts: Any, taps: Taps, read: list[int]) -> Any:
        """Where those lie that places ``starts`` of a class read (places x read), `read` being for the first one."""
        at = np.asarray(starts)[:, None] * taps.step + (np.array(read, dtype=np.int64) + self.base)
        return np.where((at >= 0) & (at < self.read), at * self.x_step, NOWHERE)


def suits(x: Any, own: int, inner: int, kernel: Ints, stride: Ints, groups: int) -> bool:
    """Whether a convolution, or an input gradient, is rather computed this way; each of `own` planes of a group
    is summed over `inner` ones of x."""
    if groups < GROUPS or own > OWN or 0 in x.shape or x.strides[-1] != x.itemsize:
        return False
    near = max(stride[-2:]) <= 2 and x.shape[-1] >= WIDTH
    return near and prod(kernel[-2:]) <= TAPS and inner * prod(kernel) <= KC


def add_planes(
    seat: Seat,
    x: Any,
    shape: Ints,
    weight: Ints,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
    back: bool,
) -> None:
    """Puts a result of this shape into the recipe of a seat; `weight` is the shape of the weight, and `back` says
    whether it is the gradient for the input."""
    if 0 in shape:
        return
    size, geometry = x.itemsize, kernels.shape_for(x.dtype.name)
    filters, channels, *kernel = weight[0] // groups, *weight[1:]
    w_filter, w_channel, *w_taps = contiguous_strides(weight, size)
    inner, own = (filters, channels) if back else (channels, filters)
    w_inner, w_own = (w_filter, w_channel) if back else (w_channel, w_filter)
    befores = [a for a, _ in padding]
    goals = contiguous_strides(shape[2:], size)
    sizes = x.shape[2:], shape[2:], x.strides[2:], goals, kernel, stride, befores, dilation
    *axes, last = (Axis(*own, back) for own in zip(*sizes, strict=True))
    if not axes:
        axes, w_taps = [Axis(1, 1, 0, 0, 1, 1, 0, 1, back)], [0, *w_taps]
    *outer, rows = axes
    form = _form(rows, last, geometry.registers)
    planes = table((inner, x.strides[1])), table((inner, w_inner))
    bundles, counts = _bundles(outer, rows, form, w_taps[:-2], planes)
    blank = last.read if (bundles == NOWHERE).any() else 0
    fields = {
        "x_slot": seat.x,
        "w_slot": seat.y,
        "x_sample": x.strides[0],
        "x_group": inner * x.strides[1],
        "w_group": filters * w_filter,
        "w_own": w_own,
        "own": own,
        "planes": shape[1],
        "plane": size * prod(shape[2:]),
        "x_width": last.read,
        "width": last.out,
        "blank": blank,
        "base": last.base,
        "row": rows.apart * rows.out_step,
        "table": address_of(bundles),
        "first": counts[0],
        "second": counts[-1] if len(counts) > 1 else 0,
    }
    units = shape[0] * shape[1]
    scratch = size * (blank + geometry.lanes)
    work = 2 * prod(shape) * inner * prod(kernel)
    function = kernels.planewise(geometry, form)
    with in_pieces(seat.recipe, 0 if seat.finish is None else units) as recipe:
        goal = fields["out_slot"] = seat.goal(recipe, size * prod(shape))
        values = Record([fields[name] for name in FIELDS], bundles)
        recipe.add(Stage(function, values, units, work, scratch))
        seat.close(recipe, goal)


def _form(rows: Axis, last: Axis, registers: int) -> Form:
    """What the code is written for: how many rows are summed at a time, and which taps they meet."""
    across = tuple(last.met(first) for first in range(last.apart))
    fewest = len(rows.goals(rows.remainders[-1]))
    count = _rows(fewest, registers // (4 * len(across)))
    down = tuple(rows.met(first) for first in rows.remainders)
    return Form(count, down, across, last.taps)


def _rows(extent: int, most: int) -> int:
    """Rows of a bundle: as many as there are accumulators for, but few that are done twice."""
    options = range(min(extent, ROWS, most), 0, -1)
    return min(options, key=lambda rows: -(-extent // rows) * (rows + 1))


def _bundles(
    outer: list[Axis], rows: Axis, form: Form, w_taps: list[int], planes: Any
) -> tuple[Any, list[int]]:
    """The table of bundles, and how many there are for each remainder of the rows; `planes` are where those of a group
    begin in the input, and in the weight."""
    parts: list[Any] = []
    counts = []
    for first, taps in zip(rows.remainders, form.down, strict=True):
        own = rows.goals(first)
        starts = np.arange(0, len(own), form.rows)
        starts = np.minimum(starts, len(own) - form.rows)  # the last one may begin earlier
        lines = rows.lines(starts, taps, taps.lines(form.rows))
        counts.append(0)
        for chosen in product(*(axis.remainders for axis in outer)):
            source, weight, goal = planes[0][None, :], planes[1], table()
            for axis, place, w_step in zip(outer, chosen, w_taps, strict=True):
                met, goals = axis.met(place), axis.goals(place)
                read = axis.lines(np.arange(len(goals)), met, [at for _, at in met.taps])
                source = _crossed(source, read)
                source = source.reshape(len(goal) * len(goals), len(weight) * len(met.taps))
                weight = (weight[:, None] + [t * w_step for t, _ in met.taps]).reshape(-1)
                goal = (goal[:, None] + goals).reshape(-1)
            offsets = _crossed(source, lines)
            entries = np.empty((*offsets.shape[:3], 1 + lines.shape[1]), dtype=np.int64)
            entries[..., 0], entries[..., 1:] = weight, offsets
            heads = np.empty((*offsets.shape[:2], 2), dtype=np.int64)
            heads[..., 0], heads[..., 1] = len(weight), goal[:, None] + own[starts]
            flat = entries.reshape(*heads.shape[:2], len(weight) * (1 + lines.shape[1]))
            parts.append(np.concatenate([heads, flat], axis=-1).reshape(-1))
            counts[-1] += len(goal) * len(starts)
    return np.concatenate(parts), counts


def _crossed(x: Any, y: Any) -> Any:
    """The sums of places in two tables (places x read), of all places, then of all read: NOWHERE if either is."""
    out = x[:, None, :, None] + y[None, :, None, :]
    out[out < NOWHERE // 2] = NOWHERE
    return out
