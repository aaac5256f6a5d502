"""Listing: the places of what is true in a mask, in row-major order."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I8, I64
from .indexing import SMALL
from .kernels import address_of, kernel

AT_ONCE = 8  # bytes of a mask that are read as one word


def nonzero_places(x: Any, count: int, out: Any = None) -> Any:
    """The `count` places of a row-major array of bools, int64 of shape (ndim, count)."""
    if type(x) is not np.ndarray or x.dtype != bool or not x.ndim or x.size < SMALL:
        return None
    if not x.flags.c_contiguous or not (out is None or out.flags.c_contiguous):
        return None
    if np.count_nonzero(x) != count:
        return None  # the op's own kernel says so
    out = np.empty((x.ndim, count), np.int64) if out is None else out
    rows, n = prod(x.shape[:-1]), x.shape[-1]
    find = places_code(x.ndim > 1).function
    find(address_of(x), address_of(out[-2:]), rows, n, count)
    if x.ndim > 2:
        out[:-1] = np.unravel_index(out[-2], x.shape[:-1])
    return out


@kernel(pointers=2, numbers=3)
def places_code(w: Writer, rows: bool) -> None:
    """``(x, out, rows, n, count)``: the columns of what is true, behind the rows if `rows`.

    Each place is written, and overwritten by the next unless it was true: a branch would be foreseen half of the time.
    """
    b = w.b
    x, out, height, n, count = w.fn.args
    row_at, column_at = out, w.at(out, w.scaled(count, 8)) if rows else out
    with b.goto_entry_block():
        unused = b.alloca(I64, align=8)

    def put(row: ir.Value, column: ir.Value, known: ir.Value, bit: ir.Value) -> ir.Value:
        inside, offset = b.icmp_signed("<", known, count), w.scaled(known, 8)
        for start, value in ((row_at, row), (column_at, column))[0 if rows else 1 :]:
            b.store(value, b.select(inside, w.at(start, offset), unused), align=8)
        return b.add(known, bit)

    whole = b.and_(n, i64(-AT_ONCE))
    with w.loop(height, carried=[i64(0)]) as row:
        line = w.at(x, b.mul(row.i, n))
        with w.loop(whole, step=AT_ONCE, carried=row.carried) as some:
            word = b.load(w.at(line, some.i), align=1, typ=I64)
            before, block = some.carried[0], b.block
            dense, after = w.fn.append_basic_block("dense"), w.fn.append_basic_block("after")
            b.cbranch(b.icmp_signed("!=", word, i64(0)), dense, after)
            b.position_at_end(dense)
            known = before
            for j in range(AT_ONCE):
                bit = b.and_(b.lshr(word, i64(8 * j)), i64(1))
                known = put(row.i, b.add(some.i, i64(j)), known, bit)
            b.branch(after)
            b.position_at_end(after)
            merged = b.phi(I64)
            merged.add_incoming(before, block)
            merged.add_incoming(known, dense)
            some.carried = [merged]
        with w.loop(n, whole, carried=some.carried) as rest:
            bit = b.zext(b.load(w.at(line, rest.i), align=1, typ=I8), I64)
            rest.carried = [put(row.i, rest.i, rest.carried[0], bit)]
        row.carried = rest.carried
