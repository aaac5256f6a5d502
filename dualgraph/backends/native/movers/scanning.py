"""Scans: running sums and products along one axis, from the first element on."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from .kernels import LANES, SIZE, TYPES, address_of, dense, element_code, in_order, kernel, share

CHAINS = 8  # rows at a time, as each element waits for the one before


def cumsum_along(x: Any, axis: int, out: Any = None) -> Any:
    """Running sum along `axis`."""
    return _scan("add", x, axis, out)


def cumprod_along(x: Any, axis: int, out: Any = None) -> Any:
    """Running product along `axis`."""
    return _scan("mul", x, axis, out)


def _scan(op: str, x: Any, axis: int, out: Any) -> Any:
    code = element_code(x.dtype)
    if code in (None, "i") or x.size == 0 or not (out is None or dense(out)):
        return None
    x = in_order(x)
    out = np.empty(x.shape, x.dtype) if out is None else out
    outer, n, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    fixed = address_of(x), address_of(out), n, inner
    if inner == 1:
        call, grain = rows_code(op, code), CHAINS
    else:
        call, grain = columns_code(op, code), 1
    share(call, fixed, outer, 2 * x.nbytes, grain, spots=((x,), (out,)))
    return out


def _combined(w: Writer, op: str, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return getattr(w.b, f"f{op}" if code in "fd" else op)(x, y)


@kernel(pointers=2, numbers=4)
def columns_code(w: Writer, op: str, code: str) -> None:
    """``(x, out, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    x, out, n, inner, begin, end = w.fn.args
    kind = ir.VectorType(TYPES[code], LANES)
    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        mask = w.first_lanes(b.sub(inner, column.i), LANES)
        start = w.scaled(first, size)
        so_far = w.load(w.at(x, start), kind, mask)
        w.store(so_far, w.at(out, start), mask)
        with w.loop(n, i64(1), carried=[so_far]) as turn:
            place = w.scaled(b.add(first, b.mul(turn.i, inner)), size)
            value = _combined(w, op, code, turn.carried[0], w.load(w.at(x, place), kind, mask))
            w.store(value, w.at(out, place), mask)
            turn.carried = [value]


@kernel(pointers=2, numbers=4)
def rows_code(w: Writer, op: str, code: str) -> None:
    """``(x, out, n, inner, begin, end)``: along rows of n elements."""
    b = w.b
    x, out, n, _, begin, end = w.fn.args
    whole = b.add(begin, b.and_(b.sub(end, begin), i64(-CHAINS)))
    for first, last, chains in ((begin, whole, CHAINS), (whole, end, 1)):
        with w.loop(last, first, chains) as row:
            starts = [b.mul(b.add(row.i, i64(c)), n) for c in range(chains)]
            with w.loop(n, i64(1), carried=[_copied(w, x, out, s, code) for s in starts]) as turn:
                following = []
                for start, so_far in zip(starts, turn.carried, strict=True):
                    place = w.scaled(b.add(start, turn.i), SIZE[code])
                    value = b.load(w.at(x, place), align=SIZE[code], typ=TYPES[code])
                    value = _combined(w, op, code, so_far, value)
                    b.store(value, w.at(out, place), align=SIZE[code])
                    following.append(value)
                turn.carried = following


def _copied(w: Writer, x: ir.Value, out: ir.Value, at: ir.Value, code: str) -> ir.Value:
    place = w.scaled(at, SIZE[code])
    value = w.b.load(w.at(x, place), align=SIZE[code], typ=TYPES[code])
    w.b.store(value, w.at(out, place), align=SIZE[code])
    return value
