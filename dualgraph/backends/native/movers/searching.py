"""Searching: the place of the first largest or smallest element along axes; a NaN counts as both."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from ..llvm_parts import I64
from .kernels import LANES, SIZE, TYPES, address_of, dense, element_code, in_order, kernel, share

Ints = tuple[int, ...]


def reduce_argmax(x: Any, axes: Ints, keepdims: bool, out: Any = None) -> Any:
    """Index of the first largest element over `axes` flattened."""
    return _search(">", x, axes, keepdims, out)


def reduce_argmin(x: Any, axes: Ints, keepdims: bool, out: Any = None) -> Any:
    """Index of the first smallest element over `axes` flattened."""
    return _search("<", x, axes, keepdims, out)


def _search(sign: str, x: Any, axes: Ints, keepdims: bool, out: Any) -> Any:
    code = element_code(x.dtype)
    together = axes and axes == tuple(range(axes[0], axes[-1] + 1))
    if code is None or x.size == 0 or not together or not (out is None or dense(out)):
        return None
    first, last = axes[0], axes[-1] + 1
    outer, n, inner = prod(x.shape[:first]), prod(x.shape[first:last]), prod(x.shape[last:])
    if inner == 1:  # NumPy is quick along rows
        return None
    x = in_order(x)
    shape = (*x.shape[:first], *((1,) * len(axes) if keepdims else ()), *x.shape[last:])
    out = np.empty(shape, np.int64) if out is None else out
    fixed = address_of(x), address_of(out), n, inner
    call = columns_code(sign, code)
    share(call, fixed, outer, x.nbytes, spots=((x,), (out,)))
    return out


def _better(w: Writer, sign: str, code: str, x: ir.Value, best: ir.Value) -> ir.Value:
    b = w.b
    if code in "il":
        return b.icmp_signed(sign, x, best)
    nan = b.and_(b.fcmp_unordered("uno", x, x), b.fcmp_ordered("ord", best, best))
    return b.or_(b.fcmp_ordered(sign, x, best), nan)


@kernel(pointers=2, numbers=4)
def columns_code(w: Writer, sign: str, code: str) -> None:
    """``(x, out, n, inner, begin, end)`` on arrays (outer, n, inner): along the middle axis."""
    b, size = w.b, SIZE[code]
    x, out, n, inner, begin, end = w.fn.args
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I64, LANES)
    with w.loop(end, begin) as outer, w.loop(inner, step=LANES) as column:
        mask = w.first_lanes(b.sub(inner, column.i), LANES)
        first = b.add(b.mul(b.mul(outer.i, n), inner), column.i)
        carried = [
            w.load(w.at(x, w.scaled(first, size)), kind, mask),
            ir.Constant(places, [0] * LANES),
        ]
        with w.loop(n, i64(1), carried=carried) as turn:
            best, at = turn.carried
            place = w.scaled(b.add(first, b.mul(turn.i, inner)), size)
            value = w.load(w.at(x, place), kind, mask)
            better = _better(w, sign, code, value, best)
            turn.carried = [
                b.select(better, value, best),
                b.select(better, w.splat(turn.i, LANES), at),
            ]
        target = b.add(b.mul(outer.i, inner), column.i)
        w.store(turn.carried[1], w.at(out, w.scaled(target, 8)), mask)
