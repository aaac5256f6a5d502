"""Strided copies: elements go from one layout to another in lines, or in tiles where the layouts cross."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ....core.numbers.symbolic import is_one
from ....core.numbers.worked import filled, plainly, working
from .. import ir
from ..contract.code import Writer, i64
from ..team.spots import NotNative, Spot
from .kernels import BITS, address_of, kernel, share

Ints = tuple[int, ...]
Dim = tuple[int, int, int]  # extent, stride in the source, stride in the target, in bytes
Columns = tuple[ir.Value, ...]  # their number, and how far apart they are in source and target
Row = Callable[[ir.Value, ir.Value], None]  # writes the code for a row at two addresses
EachRow = Callable[[Row], None]
LINES = 64  # rows of a unit of work
LONG = 1 << 24  # bytes from which several threads copy one line faster than NumPy
SMALL = 2048  # bytes up to which NumPy is quicker
TILE = 16  # columns of a tile: with four-byte elements a row of it is one line of the cache


def move(out: Any, x: Any) -> Any:
    """Copies x to `out`, which it gives: arrays of one shape and dtype with any strides. They share no
    memory, or all of it in the same places."""
    if address_of(x) == address_of(out) and x.strides == out.strides:
        return out
    if type(out) is Spot and not out.size:
        return out
    if type(out) is Spot:
        layout = x.shape, x.strides, out.strides
        planned = _plan if working(layout) is None else _plan.__wrapped__
        plan = planned(*layout, out.itemsize)
        if plan is None:
            raise NotNative("elements of this size")
        plan.run(x, out)
        return out
    plan = _plan(x.shape, x.strides, out.strides, out.itemsize) if out.nbytes > SMALL else None
    if plan is None or (plan.alone and plan.nbytes < LONG):
        np.copyto(out, x)
    else:
        plan.run(x, out)
    return out


class Plan:
    """How to copy between two layouts: columns within rows within what is left, `outer`."""

    def __init__(self, dims: list[Dim], start: tuple[int, int], size: int) -> None:
        self.start = start
        last = dims[-1]
        if plainly(last[0]) < TILE:
            last = max(dims, key=lambda d: plainly(d[0]))
        rest, columns = [d for d in dims if d is not last], last
        _, step, stride = columns
        how = {size: "near", 0: "same"}.get(step, "far") if stride == size else "far"
        rows = (1, 0, 0)
        if rest:
            i = len(rest) - 1
            if how == "far" and last is dims[-1]:  # along the source, if that is the other way
                steps = [abs(plainly(s)) for _, s, _ in rest]
                i = min(range(len(rest)), key=lambda i: (steps[i] == 0, steps[i], -i))
                i = i if 0 < steps[i] < abs(plainly(step)) else len(rest) - 1
            rows = rest.pop(i)
        self.alone = how == "near" and not rest and is_one(rows[0])
        self.columns, self.size = columns, size
        self._table = table_of(rest or [(1, 0, 0)])
        self.numbers = (address_of(self._table), len(rest), *rows, *columns)
        self.units = prod(n for n, _, _ in rest) * -(-rows[0] // LINES)
        self.nbytes = 2 * size * prod(n for n, _, _ in dims)
        self.call = move_code(size, how)

    def run(self, x: Any, out: Any) -> None:
        """Copies from one array to the other."""
        source, target = address_of(x) + self.start[0], address_of(out) + self.start[1]
        spots = (x,), (out,)
        if self.alone:  # one line, to be cut
            fixed = source, target, self.size
            share(line_code(), fixed, self.columns[0], self.nbytes, 4096, spots=spots)
        else:
            fixed = source, target, *self.numbers
            share(self.call, fixed, self.units, self.nbytes, spots=spots, keep=self)


def table_of(rows: list[Dim]) -> Any:
    """Rows of numbers as int64."""
    flat = [v for row in rows for v in row]
    return filled(np.empty(len(flat), np.int64), flat)


@lru_cache(4096)
def _plan(shape: Ints, source: Ints, target: Ints, size: int) -> Plan | None:
    """The plan of a copy, with axes in order of the target and merged where they lie alike."""
    if size == 16:
        shape, source, target, size = (*shape, 2), (*source, 8), (*target, 8), 8
    if size not in BITS or 0 in shape:
        return None
    dims, starts = [], [0, 0]
    for n, s, t in zip(shape, source, target, strict=True):
        if is_one(n):
            continue
        if t < 0:  # the target is always walked upwards
            starts = [starts[0] + s * (n - 1), starts[1] + t * (n - 1)]
            s, t = -s, -t
        dims.append((n, s, t))
    dims.sort(key=lambda dim: -plainly(dim[2]))
    merged: list[Dim] = []
    for n, s, t in dims:
        if merged and merged[-1][1:] == (s * n, t * n):
            n *= merged.pop()[0]
        merged.append((n, s, t))
    return Plan(merged or [(1, size, size)], (starts[0], starts[1]), size)


@kernel(pointers=2, numbers=3)
def line_code(w: Writer) -> None:
    """``(source, target, size, begin, end)``: elements of `size` bytes, side by side."""
    b = w.b
    source, target, size, begin, end = w.fn.args
    kind = ir.VectorType(BITS[1], 64)
    first, last = b.mul(begin, size), b.mul(end, size)
    whole = b.add(first, b.and_(b.sub(last, first), i64(-64)))
    with w.loop(whole, first, 64) as turn:
        w.store(w.load(w.at(source, turn.i), kind), w.at(target, turn.i))
    with w.loop(last, whole) as turn:
        b.store(b.load(w.at(source, turn.i), align=1, typ=BITS[1]), w.at(target, turn.i), align=1)


@kernel(pointers=3, numbers=9)
def move_code(w: Writer, size: int, how: str) -> None:
    """``(source, target, outer, outers, rows, row_step, row_stride, columns, step, stride, begin, end)``: a unit
    is up to LINES rows at one place of the outer axes. Columns are `near` (neighbours in both), the `same`
    element, or `far`."""
    b = w.b
    source, target, outer, outers, rows, row_step, row_stride, *columns, begin, end = w.fn.args
    blocks = b.sdiv(b.add(rows, i64(LINES - 1)), i64(LINES))
    with w.loop(end, begin) as unit:
        first = b.mul(b.srem(unit.i, blocks), i64(LINES))
        carried = [b.sdiv(unit.i, blocks), i64(0), i64(0)]
        with w.loop(outers, carried=carried) as turn:
            left, at, goal = turn.carried
            entry = b.mul(b.sub(b.sub(outers, i64(1)), turn.i), i64(3))
            extent, step, stride = (w.word(outer, b.add(entry, i64(i))) for i in range(3))
            own = b.srem(left, extent)
            turn.carried = [
                b.sdiv(left, extent),
                b.add(at, b.mul(own, step)),
                b.add(goal, b.mul(own, stride)),
            ]
        _, at, goal = turn.carried
        here, there = w.at(source, at), w.at(target, goal)

        def each_row(
            body: Row, first: ir.Value = first, here: ir.Value = here, there: ir.Value = there
        ) -> None:
            with w.loop(w.least(rows, b.add(first, i64(LINES))), first) as row:
                body(w.at(here, b.mul(row.i, row_step)), w.at(there, b.mul(row.i, row_stride)))

        if how == "far":
            _tiles(w, each_row, tuple(columns), size)
        else:
            _lines(w, each_row, tuple(columns), size, how)


def _lines(w: Writer, each_row: EachRow, columns: Columns, size: int, how: str) -> None:
    """Rows of neighbours, or of one element again and again, a vector at a time."""
    b, count = w.b, columns[0]
    lanes = 64 // size
    kind = ir.VectorType(BITS[size], lanes)
    whole = b.and_(count, i64(-lanes))

    def body(source: ir.Value, target: ir.Value) -> None:
        def scalar(i: ir.Value) -> ir.Value:
            return b.load(w.at(source, w.scaled(i, size)), align=size, typ=BITS[size])

        def near(i: ir.Value, mask: ir.Value | None = None) -> ir.Value:
            return w.load(w.at(source, w.scaled(i, size)), kind, mask)

        if how == "same":
            element = scalar(i64(0))
            vector = w.splat(element, lanes)
        with w.loop(whole, step=lanes) as turn:
            value = vector if how == "same" else near(turn.i)
            w.store(value, w.at(target, w.scaled(turn.i, size)))
        if size < 4:  # masks for such elements are not in every processor
            with w.loop(count, whole) as turn:
                value = element if how == "same" else scalar(turn.i)
                b.store(value, w.at(target, w.scaled(turn.i, size)), align=size)
        else:
            left = b.sub(count, whole)
            value = vector if how == "same" else near(whole, w.first_lanes(left, lanes))
            w.store_first(value, w.at(target, w.scaled(whole, size)), left)

    each_row(body)


def _tiles(w: Writer, each_row: EachRow, columns: Columns, size: int) -> None:
    """Rows in tiles of some columns, so that each line of the cache that is fetched is used up."""
    b = w.b
    count, step, stride = columns
    whole = b.and_(count, i64(-TILE))

    def one(source: ir.Value, target: ir.Value, i: ir.Value) -> None:
        value = b.load(w.at(source, b.mul(i, step)), align=size, typ=BITS[size])
        b.store(value, w.at(target, b.mul(i, stride)), align=size)

    with w.loop(whole, step=TILE) as tile:

        def full(source: ir.Value, target: ir.Value) -> None:
            for i in range(TILE):
                one(source, target, b.add(tile.i, i64(i)))

        each_row(full)

    def rest(source: ir.Value, target: ir.Value) -> None:
        with w.loop(count, whole) as turn:
            one(source, target, turn.i)

    each_row(rest)
