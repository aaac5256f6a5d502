"""Convolutions of NumPy arrays as products: im2col by index tables, without the columns.

Order of k: forward (channel, kernel offset), weight gradient (sample, output position); `input_gradient` says its
own. Padding takes part as zeros.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from ..team.room import Room
from ..team.spots import Spot
from ..threads import pool
from . import lanewise, planewise, taps
from .again import recipe_of
from .images import Images, Reach, Weights
from .input_gradient import InputGradient
from .layout import Lines, layout_of, taps_of
from .operands import Product, Strided, Tabled
from .plan import Plan
from .seat import Seat
from .stages import Recipe, in_pieces
from .tables import Ints, Pairs, make_room, name_of, table

LIMIT = 2048  # plans kept
MANY_TAPS = 64  # of all channels, from which the weight gradient reads the cotangent in place
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
            tuple(sorted({t * dil % s for t in range(k)}))
            for k, s, dil in zip(kernel, stride, dilation, strict=True)
        ]
        self.layout = layout = layout_of(x, padding, stride, tuple(read))
        self.sample, self.channel = layout.sample, layout.channel
        self.channels = x.shape[1] // groups
        self.taps = taps_of(layout, self.channels, kernel, dilation)
        self.places = list(zip(extents, layout.steps, strict=True))

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
            images.add_to(
                inner, (seat.y, windows.layout.put(inner, seat.x, x.shape[0]), goal), seat
            )


class WeightGradient:
    """The plan of `conv_weight`."""

    def __init__(self, x: Any, ct: Any, kernel: Ints, seat: Seat | None = None, **how: Any) -> None:
        groups, size = how["groups"], x.itemsize
        self.seat = seat = seat or Seat()
        self.recipe = recipe = seat.recipe
        self.shape = (ct.shape[1], x.shape[1] // groups, *kernel)
        if lanewise.suits(x, ct, kernel, groups):
            goal = seat.goal(recipe, size * prod(self.shape))
            recipe.add(lanewise.lanewise(x, ct, kernel, slots=(seat.x, seat.y, goal), **how))
            seat.close(recipe, goal)
            return
        if taps.suits(x, ct, kernel, groups):
            taps.add_taps(recipe, x, ct, kernel, seat, **how)
            return
        self.windows = windows = Windows(x, kernel, **how)
        m, n = ct.shape[1] // groups, len(windows.taps)
        ks = table((x.shape[0], windows.sample), *windows.places)
        rows, rows_at = self._rows_of(ct, n)
        images_at = windows.layout.put(recipe, seat.x, x.shape[0])
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
    """The plan for arrays of these layouts, made once."""
    key = (kind, x.dtype, x.shape, x.strides, y.shape, y.strides, *params.values(), pool.size)
    plan = _plans.get(key)
    if plan is None:
        make_room(_plans, LIMIT)
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
    """Runs a plan on arrays, into `out` where it is given."""
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
