"""Bisection: the places of values in ascending sequences, a vector of values at a time."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I64
from .kernels import LANES, SIZE, TYPES, address_of, dense, element_code, in_order, kernel, share


def search_sorted(edges: Any, values: Any, side: str, out: Any = None) -> Any:
    """For each value the place among ascending `edges` (rows of them, or one for all values)."""
    code = element_code(edges.dtype)
    n = edges.shape[-1]
    wanted = code is not None and values.dtype == edges.dtype and n and values.size
    if not wanted or not (out is None or dense(out)):
        return None
    edges, values = in_order(edges), in_order(values)
    out = np.empty(values.shape, np.int64) if out is None else out
    rows = prod(edges.shape[:-1])
    count, steps = values.size // rows, n.bit_length()
    fixed = address_of(edges), address_of(values), address_of(out), n, count, steps
    call, spots = bisect_code(code, side), ((edges, values), (out,))
    work = 4 * (steps + 2) * values.nbytes
    if rows > 1:
        share(call, fixed, rows, work, after=(0, count), spots=spots)
    else:
        share(call, (*fixed, 0, 1), count, work, LANES, spots=spots)
    return out


def _less(b: ir.IRBuilder, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    """Whether x comes before y; NaN comes last."""
    if code in "il":
        return b.icmp_signed("<", x, y)
    last = b.and_(b.fcmp_ordered("ord", x, x), b.fcmp_unordered("uno", y, y))
    return b.or_(b.fcmp_ordered("<", x, y), last)


@kernel(pointers=3, numbers=7, nested=True)
def bisect_code(w: Writer, code: str, side: str) -> None:
    """``(edges, values, out, n, count, steps, begin, end, left, right)``: the values from `left` to `right` of the
    rows from `begin` to `end`, by n edges each; 2**steps > n.

    A step halves what is left of the edges without a branch: it keeps the upper half if the edge before that is
    still to the left of the value. Lanes take the same number of steps.
    """
    b, size = w.b, SIZE[code]
    edges, values, out, n, count, steps, begin, end, left, right = w.fn.args
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I64, LANES)
    zeros = ir.Constant(places, [0] * LANES)
    bytes_of = ir.Constant(places, [size] * LANES)

    def passed(start: ir.Value, at: ir.Value, value: ir.Value) -> ir.Value:
        """Which lanes' values belong behind the edges at these places."""
        edge = w.gather(start, b.mul(at, bytes_of), kind)
        return (
            _less(b, code, edge, value) if side == "left" else b.not_(_less(b, code, value, edge))
        )

    with w.loop(end, begin) as row, w.loop(right, left, LANES) as column:
        start = w.at(edges, w.scaled(b.mul(row.i, n), size))
        some = b.sub(right, column.i)
        mask = w.first_lanes(some, LANES)
        first = b.add(b.mul(row.i, count), column.i)
        value = w.load(w.at(values, w.scaled(first, size)), kind, mask)
        with w.loop(steps, carried=[zeros, n]) as turn:
            at, length = turn.carried
            half = b.lshr(length, i64(1))
            middle = b.add(at, w.splat(half, LANES))
            before = b.sub(
                middle, w.splat(b.select(b.icmp_signed(">", half, i64(0)), i64(1), i64(0)), LANES)
            )
            on = b.and_(
                passed(start, before, value), w.splat(b.icmp_signed(">", half, i64(0)), LANES)
            )
            turn.carried = [b.select(on, middle, at), b.sub(length, half)]
        at = turn.carried[0]
        beyond = b.zext(passed(start, at, value), places)  # one edge is left
        w.store_first(b.add(at, beyond), w.at(out, w.scaled(first, 8)), some)
