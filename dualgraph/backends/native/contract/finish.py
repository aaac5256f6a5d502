"""Finishing: runs compiled elementwise code over a rectangle of a result, with arrays that lie along its rows.

``rectangle(record, pointers, row, rows, column, columns)`` does one rectangle; ``finish(record, pointers, scratch,
begin, end)`` is a stage whose units are whole rows. The record is of int64: HEAD, then ARRAY for each array. The
code is called as ``function(arrays, sizes, 0, rows)``; sizes are rows, columns, and elements from row to row of
each array.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR
from .code import Writer, i64
from .team import FUNCTION, Callee

# at multiples of `pace` the rows' distances may change
HEAD = ("function", "pace", "columns", "count")
# pointer; address of the rows' offsets, or 0 for ``start + row * its number``; bytes of a column; elements of a row,
# and which size of the code that is
ARRAY = ("slot", "table", "start", "row", "column", "step", "size")
BUFFERS = 24  # arrays at most


def _rectangle(module: ir.Module) -> None:
    """Writes ``rectangle``."""
    w = Writer(module, "rectangle", (PTR, PTR, *[I64] * 4))
    b = w.b
    record, pointers, row, rows, column, columns = w.fn.args
    head = {name: w.word(record, i64(j)) for j, name in enumerate(HEAD)}
    with b.goto_entry_block():
        arrays, sizes = (b.alloca(I64, size=n, align=64) for n in (BUFFERS, BUFFERS + 2))
    pace, stop = head["pace"], b.add(row, rows)
    first, last = b.sdiv(row, pace), b.sdiv(b.add(stop, b.sub(pace, i64(1))), pace)
    b.store(columns, w.at(sizes, i64(8)), align=8)
    with w.loop(last, first) as turn:
        here = b.mul(turn.i, pace)
        end = w.least(stop, b.add(here, pace))
        here = b.select(b.icmp_signed("<", here, row), row, here)
        count = b.sub(end, here)
        b.store(count, sizes, align=8)
        with w.loop(head["count"]) as each:
            entry = w.at(record, b.add(i64(8 * len(HEAD)), w.scaled(each.i, 8 * len(ARRAY))))
            f = {name: w.word(entry, i64(j)) for j, name in enumerate(ARRAY)}
            tabled = b.icmp_signed("!=", f["table"], i64(0))
            place = b.select(tabled, f["table"], b.ptrtoint(sizes, I64))
            from_table = w.word(b.inttoptr(place, PTR), b.select(tabled, here, i64(0)))
            even = b.add(f["start"], b.mul(here, f["row"]))
            offset = b.add(b.select(tabled, from_table, even), b.mul(column, f["column"]))
            start = b.add(w.word(pointers, f["slot"]), offset)
            b.store(start, b.gep(arrays, [each.i], source_etype=I64), align=8)
            step = b.gep(sizes, [f["size"]], source_etype=I64)
            b.store(f["step"], step, align=8)
        callee = Callee(b.inttoptr(head["function"], PTR), (PTR, PTR, I64, I64))
        b.call(callee, [arrays, sizes, i64(0), count])
    b.ret_void()


def emit_finish(module: ir.Module) -> None:
    """Writes ``rectangle`` and ``finish``."""
    _rectangle(module)
    w = Writer(module, "finish", FUNCTION)
    record, pointers, _, begin, end = w.fn.args
    columns = w.word(record, i64(HEAD.index("columns")))
    count = w.b.sub(end, begin)
    sizes = begin, count, i64(0), columns
    w.b.call(module.globals["rectangle"], [record, pointers, *sizes])
    w.b.ret_void()
