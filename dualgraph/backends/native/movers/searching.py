"""Searching: the place of the first largest or smallest element along axes; a NaN counts as both."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I32, I64
from .kernels import LANES, SIZE, TYPES, address_of, dense, element_code, in_order, kernel, share

Ints = tuple[int, ...]
Pairs = tuple[tuple[ir.Value, ir.Value], ...]
LONG = 256


def reduce_argmax(x: Any, axes: Ints, keepdims: bool, out: Any = None) -> Any:
    """Index of the first largest element over `axes` flattened."""
    return _search(">", x, axes, keepdims, out)


def reduce_argmin(x: Any, axes: Ints, keepdims: bool, out: Any = None) -> Any:
    """Index of the first smallest element over `axes` flattened."""
    return _search("<", x, axes, keepdims, out)


def _search(sign: str, x: Any, axes: Ints, keepdims: bool, out: Any) -> Any:
    """The first element that no other one is better than; None where there is no code for the arrays."""
    code = element_code(x.dtype, narrow=True)
    together = axes and axes == tuple(range(axes[0], axes[-1] + 1))
    if code in (None, "b") or x.size == 0 or not together or not (out is None or dense(out)):
        return None
    first, last = axes[0], axes[-1] + 1
    outer, n, inner = prod(x.shape[:first]), prod(x.shape[first:last]), prod(x.shape[last:])
    if inner == 1 and n >= LONG and code != "h":  # NumPy is quick along long rows
        return None
    x = in_order(x)
    shape = (*x.shape[:first], *((1,) * len(axes) if keepdims else ()), *x.shape[last:])
    out = np.empty(shape, np.int64) if out is None else out
    fixed = address_of(x), address_of(out), n, inner
    if inner > 1:
        call = columns_code(sign, code)
    else:
        call = short_rows_code(sign, code) if n < LANES else rows_code(sign, code)
    grain = LANES if inner == 1 and n < LANES else 1
    share(call, fixed, outer, x.nbytes, grain, spots=((x,), (out,)))
    return out


def _better(w: Writer, sign: str, code: str, x: ir.Value, best: ir.Value) -> ir.Value:
    b = w.b
    if code in "il":
        return b.icmp_signed(sign, x, best)
    nan = b.and_(b.fcmp_unordered("uno", x, x), b.fcmp_ordered("ord", best, best))
    return b.or_(b.fcmp_ordered(sign, x, best), nan)


def _chosen(w: Writer, sign: str, code: str, pairs: Pairs) -> list[ir.Value]:
    """Of each pair (new, old) the new one where the first pair's is better: nested selects with one comparison each, as
    conditions of 16 lanes are taken apart and packed for a logical operation where there is no AVX-512."""
    b, (x, best) = w.b, pairs[0]
    if code in "il":
        better = b.icmp_signed(sign, x, best)
        return [b.select(better, *pair) for pair in pairs]
    more, number = b.fcmp_unordered(sign, x, best), b.fcmp_ordered("ord", best, best)
    return [b.select(number, b.select(more, new, old), old) for new, old in pairs]


@kernel(pointers=2, numbers=4)
def columns_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    x, out, n, inner, begin, end = w.fn.args
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I64, LANES)
    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        left = b.sub(inner, column.i)
        mask = w.first_lanes(left, LANES)
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        carried = [
            w.load(w.at(x, w.scaled(first, size)), kind, mask),
            ir.Constant(places, [0] * LANES),
        ]
        with w.loop(n, i64(1), carried=carried) as turn:
            best, at = turn.carried
            place = w.scaled(b.add(first, b.mul(turn.i, inner)), size)
            value = w.load(w.at(x, place), kind, mask)
            pairs = (value, best), (w.splat(turn.i, LANES), at)
            turn.carried = _chosen(w, sign, code, pairs)
        target = b.add(b.mul(outer.i, inner), column.i)
        w.store_first(turn.carried[1], w.at(out, w.scaled(target, 8)), left)


@kernel(pointers=2, numbers=4)
def short_rows_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, n, _, begin, end)``: along rows of few elements, as many rows at a time as there are lanes."""
    b, size = w.b, SIZE[code]
    x, out, n, _, begin, end = w.fn.args
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I64, LANES)
    lanes = ir.Constant(places, list(range(LANES)))
    offsets = b.mul(lanes, w.splat(w.scaled(n, size), LANES))
    with w.loop(end, begin, LANES) as row:
        left = b.sub(end, row.i)
        mask = w.first_lanes(left, LANES)
        start = w.at(x, w.scaled(b.mul(row.i, n), size))
        carried = [w.gather(start, offsets, kind, mask), ir.Constant(places, [0] * LANES)]
        with w.loop(n, i64(1), carried=carried) as turn:
            best, at = turn.carried
            value = w.gather(w.at(start, w.scaled(turn.i, size)), offsets, kind, mask)
            pairs = (value, best), (w.splat(turn.i, LANES), at)
            turn.carried = _chosen(w, sign, code, pairs)
        w.store_first(turn.carried[1], w.at(out, w.scaled(row.i, 8)), left)


@kernel(pointers=2, numbers=4)
def rows_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, n, _, begin, end)``: along rows of at least a vector; each lane keeps the best of its own."""
    b, size = w.b, SIZE[code]
    x, out, n, _, begin, end = w.fn.args
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I64, LANES)
    lanes = ir.Constant(places, list(range(LANES)))
    whole = b.and_(n, i64(-LANES))
    with w.loop(end, begin) as row:
        start = w.at(x, w.scaled(b.mul(row.i, n), size))
        with w.loop(whole, i64(LANES), LANES, [w.load(start, kind), lanes]) as turn:
            turn.carried = _kept(w, sign, code, turn.carried, start, turn.i)
        # the rest with lanes before it, which change nothing
        best = _kept(w, sign, code, turn.carried, start, b.sub(n, i64(LANES)))
        w.b.store(_first_best(w, sign, code, *best), w.at(out, w.scaled(row.i, 8)), align=8)


def _kept(
    w: Writer, sign: str, code: str, before: list[ir.Value], start: ir.Value, i: ir.Value
) -> list[ir.Value]:
    """The best of each lane and its place, with the elements from `i` on."""
    b, lanes = w.b, ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    best, at = before
    value = w.load(w.at(start, w.scaled(i, SIZE[code])), best.type)
    return _chosen(w, sign, code, ((value, best), (b.add(w.splat(i, LANES), lanes), at)))


def _first_best(w: Writer, sign: str, code: str, best: ir.Value, at: ir.Value) -> ir.Value:
    """The place of the best lane; of equally good ones the first place."""
    b, half = w.b, LANES // 2
    while half:
        low, high = ((_lanes(b, x, 0, half), _lanes(b, x, half, half)) for x in (best, at))
        (one, two), (here, there) = low, high
        worse = _better(w, sign, code, one, two)
        tie = b.and_(b.icmp_signed("<", there, here), b.not_(worse))
        better = b.or_(_better(w, sign, code, two, one), tie)
        best, at = b.select(better, two, one), b.select(better, there, here)
        half //= 2
    return b.extract_element(at, ir.Constant(I32, 0))


def _lanes(b: ir.IRBuilder, x: ir.Value, start: int, count: int) -> ir.Value:
    numbers = [ir.Constant(I32, start + i) for i in range(count)]
    mask = ir.Constant(ir.VectorType(I32, count), numbers)
    return b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), mask)
