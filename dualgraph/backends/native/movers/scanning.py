"""Scans: running sums, products, extremes and recurrences along one axis, from the first element on."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from .kernels import (
    FLOATING,
    LANES,
    SIZE,
    TYPES,
    address_of,
    dense,
    element_code,
    in_order,
    kernel,
    share,
)

WIDENED = {"i": "sext", "b": "zext"}  # numbers that are added up in 64 bits
CHAINS = 8  # rows at a time, as each element waits for the one before


def cumsum_along(x: Any, axis: int, out: Any = None) -> Any:
    """Running sum along `axis`."""
    return _scan("add", x, axis, out)


def cumprod_along(x: Any, axis: int, out: Any = None) -> Any:
    """Running product along `axis`."""
    return _scan("mul", x, axis, out)


def running_best(x: Any, axis: int, least: bool = False, out: Any = None) -> Any:
    """The largest or smallest element so far along `axis`, and where it stands last."""
    code = element_code(x.dtype, narrow=True)
    if code in (None, "b") or x.size == 0 or not (out is None or dense(*out)):
        return None
    x = in_order(x)
    best, places = out or (np.empty(x.shape, x.dtype), np.empty(x.shape, np.int64))
    fixed = address_of(x), address_of(best), address_of(places)
    _run(
        (best_rows_code, best_columns_code),
        (">=" if least else "<=", code),
        fixed,
        x,
        axis,
        (best, places),
    )
    return best, places


def recurrence_along(a: Any, b: Any, axis: int, out: Any = None) -> Any:
    """``y[i] = a[i] * y[i - 1] + b[i]`` along `axis`."""
    code = element_code(b.dtype)
    if code not in ("f", "d") or b.size == 0 or not (out is None or dense(out)):
        return None
    a, b = in_order(a), in_order(b)
    out = np.empty(b.shape, b.dtype) if out is None else out
    fixed = address_of(a), address_of(b), address_of(out)
    _run((recurrent_rows_code, recurrent_columns_code), (code,), fixed, b, axis, (out,), (a,))
    return out


def _scan(op: str, x: Any, axis: int, out: Any) -> Any:
    """A running sum or product; None where there is no code for the arrays."""
    given = "b" if x.dtype == bool else element_code(x.dtype, narrow=True)
    if given is None or x.size == 0 or not (out is None or dense(out)):
        return None
    x, code = in_order(x), given
    dtype = x.dtype
    if given in WIDENED:
        code, dtype = "l", np.dtype("u8" if x.dtype.kind == "u" else "i8")
    out = np.empty(x.shape, dtype) if out is None else out
    how = op, code, given
    _run((rows_code, columns_code), how, (address_of(x), address_of(out)), x, axis, (out,))
    return out


def _run(
    codes: tuple[Any, Any], how: tuple[str, ...], fixed: Any, x: Any, axis: int, outs: tuple[Any, ...],
    others: tuple[Any, ...] = (),
) -> None:  # fmt: skip
    """The kernel along rows, or the one along the middle axis, on all of x and of `others` of its shape."""
    outer, n, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    call, grain = (codes[0](*how), CHAINS) if inner == 1 else (codes[1](*how), 1)
    share(call, (*fixed, n, inner), outer, 2 * x.nbytes, grain, spots=((*others, x), outs))


def _combined(w: Writer, op: str, code: str, x: ir.Value, y: ir.Value) -> ir.Value:
    return getattr(w.b, f"f{op}" if code in FLOATING else op)(x, y)


@kernel(pointers=2, numbers=4)
def columns_code(w: Writer, op: str, code: str, given: str) -> None:
    """``(x, out, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    x, out, n, inner, begin, end = w.fn.args
    kind = ir.VectorType(TYPES[given], LANES)

    def value_at(i: ir.Value, mask: ir.Value) -> ir.Value:
        value = w.load(w.at(x, w.scaled(i, SIZE[given])), kind, mask)
        return _widened(w, value, code, given)

    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        left = b.sub(inner, column.i)
        mask = w.first_lanes(left, LANES)
        so_far = value_at(first, mask)
        w.store_first(so_far, w.at(out, w.scaled(first, size)), left)
        with w.loop(n, i64(1), carried=[so_far]) as turn:
            here = b.add(first, b.mul(turn.i, inner))
            value = _combined(w, op, code, turn.carried[0], value_at(here, mask))
            w.store_first(value, w.at(out, w.scaled(here, size)), left)
            turn.carried = [value]


@kernel(pointers=2, numbers=4)
def rows_code(w: Writer, op: str, code: str, given: str) -> None:
    """``(x, out, n, inner, begin, end)``: along rows of n elements."""
    b, size = w.b, SIZE[code]
    x, out, n, _, begin, end = w.fn.args

    def value_at(i: ir.Value) -> ir.Value:
        at = w.at(x, w.scaled(i, SIZE[given]))
        return _widened(w, b.load(at, align=SIZE[given], typ=TYPES[given]), code, given)

    def put(value: ir.Value, i: ir.Value) -> ir.Value:
        b.store(value, w.at(out, w.scaled(i, size)), align=size)
        return value

    whole = b.add(begin, b.and_(b.sub(end, begin), i64(-CHAINS)))
    for first, last, chains in ((begin, whole, CHAINS), (whole, end, 1)):
        with w.loop(last, first, chains) as row:
            starts = [b.mul(b.add(row.i, i64(c)), n) for c in range(chains)]
            with w.loop(n, i64(1), carried=[put(value_at(s), s) for s in starts]) as turn:
                following = []
                for start, so_far in zip(starts, turn.carried, strict=True):
                    here = b.add(start, turn.i)
                    value = _combined(w, op, code, so_far, value_at(here))
                    following.append(put(value, here))
                turn.carried = following


@kernel(pointers=3, numbers=4)
def recurrent_columns_code(w: Writer, code: str) -> None:
    """``(a, b, out, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    factors, x, out, n, inner, begin, end = w.fn.args
    kind = ir.VectorType(TYPES[code], LANES)

    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        left = b.sub(inner, column.i)
        mask = w.first_lanes(left, LANES)
        so_far = w.load(w.at(x, w.scaled(first, size)), kind, mask)
        w.store_first(so_far, w.at(out, w.scaled(first, size)), left)
        with w.loop(n, i64(1), carried=[so_far]) as turn:
            here = w.scaled(b.add(first, b.mul(turn.i, inner)), size)
            factor, more = (w.load(w.at(v, here), kind, mask) for v in (factors, x))
            value = b.fadd(b.fmul(factor, turn.carried[0]), more)
            w.store_first(value, w.at(out, here), left)
            turn.carried = [value]


@kernel(pointers=3, numbers=4)
def recurrent_rows_code(w: Writer, code: str) -> None:
    """``(a, b, out, n, inner, begin, end)``: along rows of n elements."""
    b, size = w.b, SIZE[code]
    factors, x, out, n, _, begin, end = w.fn.args

    def element(of: ir.Value, i: ir.Value) -> ir.Value:
        return b.load(w.at(of, w.scaled(i, size)), align=size, typ=TYPES[code])

    def put(value: ir.Value, i: ir.Value) -> ir.Value:
        b.store(value, w.at(out, w.scaled(i, size)), align=size)
        return value

    whole = b.add(begin, b.and_(b.sub(end, begin), i64(-CHAINS)))
    for first, last, chains in ((begin, whole, CHAINS), (whole, end, 1)):
        with w.loop(last, first, chains) as row:
            starts = [b.mul(b.add(row.i, i64(c)), n) for c in range(chains)]
            with w.loop(n, i64(1), carried=[put(element(x, s), s) for s in starts]) as turn:
                following = []
                for start, so_far in zip(starts, turn.carried, strict=True):
                    here = b.add(start, turn.i)
                    value = b.fadd(b.fmul(element(factors, here), so_far), element(x, here))
                    following.append(put(value, here))
                turn.carried = following


def _widened(w: Writer, x: ir.Value, code: str, given: str) -> ir.Value:
    """What was loaded, in the type that is computed in."""
    if code == given:
        return x
    kind = TYPES[code]
    vector = isinstance(x.type, ir.VectorType)
    return getattr(w.b, WIDENED[given])(x, ir.VectorType(kind, x.type.count) if vector else kind)


def _takes_over(w: Writer, sign: str, code: str, best: ir.Value, x: ir.Value) -> ir.Value:
    """Whether x is as good as the best before it; any NaN is, and nothing else is as good as a NaN."""
    if code not in FLOATING:
        return w.b.icmp_signed(sign, best, x)
    return w.b.or_(w.b.fcmp_ordered(sign, best, x), w.b.fcmp_unordered("uno", x, x))


@kernel(pointers=3, numbers=4)
def best_columns_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, places, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    x, out, places, n, inner, begin, end = w.fn.args
    kind = ir.VectorType(TYPES[code], LANES)
    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        left = b.sub(inner, column.i)
        mask = w.first_lanes(left, LANES)
        carried = [w.load(w.at(x, w.scaled(first, size)), kind, mask), w.splat(i64(0), LANES)]
        with w.loop(n, carried=carried) as turn:
            best, at = turn.carried
            here = b.add(first, b.mul(turn.i, inner))
            value = w.load(w.at(x, w.scaled(here, size)), kind, mask)
            new = _takes_over(w, sign, code, best, value)
            turn.carried = [b.select(new, value, best), b.select(new, w.splat(turn.i, LANES), at)]
            w.store_first(turn.carried[0], w.at(out, w.scaled(here, size)), left)
            w.store_first(turn.carried[1], w.at(places, w.scaled(here, 8)), left)


@kernel(pointers=3, numbers=4)
def best_rows_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, places, n, inner, begin, end)``: along rows of n elements."""
    b, size = w.b, SIZE[code]
    x, out, places, n, _, begin, end = w.fn.args

    def value_at(i: ir.Value) -> ir.Value:
        return b.load(w.at(x, w.scaled(i, size)), align=size, typ=TYPES[code])

    whole = b.add(begin, b.and_(b.sub(end, begin), i64(-CHAINS)))
    for first, last, chains in ((begin, whole, CHAINS), (whole, end, 1)):
        with w.loop(last, first, chains) as row:
            starts = [b.mul(b.add(row.i, i64(c)), n) for c in range(chains)]
            carried = [*map(value_at, starts), *[i64(0)] * chains]
            with w.loop(n, carried=carried) as turn:
                following = []
                for c, start in enumerate(starts):
                    best, at = turn.carried[c], turn.carried[chains + c]
                    here = b.add(start, turn.i)
                    value = value_at(here)
                    new = _takes_over(w, sign, code, best, value)
                    best, at = b.select(new, value, best), b.select(new, turn.i, at)
                    b.store(best, w.at(out, w.scaled(here, size)), align=size)
                    b.store(at, w.at(places, w.scaled(here, 8)), align=8)
                    following.append((best, at))
                turn.carried = [*(v for v, _ in following), *(at for _, at in following)]
