"""Matrix products of NumPy arrays: float32 and float64, any strides, broadcasting batch axes."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..jit import jit
from ..team.room import Room
from ..team.spots import Spot
from ..threads import pool
from .again import recipe_of
from .layout import Lines
from .matvec import OneCall, of_one_row
from .operands import Product, Strided
from .plan import Plan
from .seat import Seat
from .small import Small, suits
from .stages import Recipe
from .tables import make_room, name_of, table

LIMIT = 4096  # plans kept
FEW = 8  # columns so few that the product is computed transposed
START = table()  # of the one matrix that there is
_plans: dict[Any, Call] = {}


class Call:
    """A product of arrays of one layout."""

    def __init__(self, x: Any, y: Any, seat: Seat | None = None) -> None:
        m, k, n = x.shape[-2], x.shape[-1], y.shape[-1]
        leads = x.shape[:-2], y.shape[:-2]
        lead = leads[0] or leads[1]
        if leads[1] and lead != leads[1]:
            lead = np.broadcast_shapes(*leads)
        self.shape = (*lead, m, n)
        size = x.itemsize
        xs = Strided(*x.strides[-2:])
        ys = Strided(*y.strides[:-3:-1])
        if lead and _same(y) and _evenly(lead, x, m * xs.row_step):
            m, starts = m * prod(lead), (START, START)
        else:
            starts = starts_of(lead, x), starts_of(lead, y)
        matrices = len(starts[0])
        seat = seat or Seat()
        self.recipe = recipe = seat.recipe
        goal = seat.goal(recipe, prod(self.shape) * size)
        out_starts = START if matrices == 1 else table((matrices, m * n * size))
        product = Product(name_of(x.dtype), m, n, k, xs, ys, n * size, (*starts, out_starts))
        small = suits(product)
        turned = n <= FEW and m > n and not small
        slots = seat.x, seat.y, goal
        if turned:
            lines = _turning(x.dtype, matrices, m, n)
            place = goal if n == 1 else recipe.room("turned", lines.bytes)
            slots = seat.y, seat.x, place
            tables = (*starts[::-1], out_starts)
            product = Product(product.dtype, n, m, k, ys, xs, m * size, tables)
        own = Small if small else of_one_row(product)
        at_once = seat.finish is not None and not turned and own is None
        finish = seat.finish.given(goal) if seat.finish is not None and at_once else None
        # takes (x, y, out)
        self.run: Plan | OneCall
        self.run = (
            own(product, recipe, slots) if own else Plan(product, recipe, slots, finish=finish)
        )
        if turned and n > 1 and self.run.work:
            recipe.add(lines.stage(slots[2], goal))
        if not at_once:
            seat.close(recipe, goal)


def _turning(dtype: Any, matrices: int, m: int, n: int) -> Lines:
    """Brings results that were computed transposed (n, m) to their places."""
    size = dtype.itemsize
    sources = table((matrices, m * n * size), (n, m * size))
    return Lines(dtype, sources, m, table((matrices, m * n * size), (n, size)), goal=n * size)


def starts_of(lead: tuple[int, ...], x: Any) -> Any:
    """Where each matrix of a batch begins, in bytes."""
    if not lead:
        return START
    own = x.shape[:-2]
    padded = (1,) * (len(lead) - len(own)) + own
    strides = (0,) * (len(lead) - len(own)) + x.strides[:-2]
    steps = (s if d > 1 else 0 for d, s in zip(padded, strides, strict=True))
    return table(*zip(lead, steps, strict=True))


def _same(x: Any) -> bool:
    """Whether all matrices of a batch are one."""
    return all(d == 1 or s == 0 for d, s in zip(x.shape[:-2], x.strides, strict=False))


def _evenly(lead: tuple[int, ...], x: Any, step: int) -> bool:
    """Whether each matrix of a batch, of which there are some, begins so many bytes after the one before."""
    if x.shape[:-2] != lead or 0 in lead:
        return False
    for d, s in zip(reversed(lead), reversed(x.strides[:-2]), strict=True):
        if d > 1 and s != step:
            return False
        step *= d
    return True


@cache
def available() -> bool:
    """Whether this processor can add products up as all do: a fused multiply-add must be one instruction."""
    return jit().has_fma


def _call(x: Any, y: Any, lasting: frozenset[int] = frozenset()) -> Call:
    """The call for arrays of these layouts, made once."""
    key = (x.dtype, x.shape, x.strides, y.shape, y.strides, pool.size, lasting)
    call = _plans.get(key)
    if call is None:
        make_room(_plans, LIMIT)
        call = _plans[key] = Call(x, y, Seat(Recipe(3, lasting)))
    return call


def write_matmul(room: Room, out: Spot, x: Spot, y: Spot) -> None:
    """`matmul` in a native program."""
    lasting = frozenset(i for i, operand in enumerate((x, y)) if room.lasts(operand))
    recipe_of(_recipe, lasting, x, y).write(room, x, y, out)


def _recipe(lasting: frozenset[int], x: Any, y: Any) -> Recipe:
    found: Recipe = _call(x, y, lasting).run.recipe
    return found


def matmul(x: Any, y: Any, out: Any = None) -> Any:
    """``out[..., i, j] = sum over k of x[..., i, k] * y[..., k, j]``, both float32 or both float64.

    Shapes (..., m, k) and (..., k, n); leading axes broadcast, strides are free. A given `out` has the
    result's shape and dtype and shares no memory with the operands.

    >>> matmul(np.ones((2, 3)), np.ones((3, 1)))
    array([[3.],
           [3.]])
    """
    call = _call(x, y)
    if out is None:
        out = np.empty(call.shape, x.dtype)
    elif not out.flags.c_contiguous:  # rare
        np.copyto(out, matmul(x, y))
        return out
    call.run(x, y, out)
    return out
