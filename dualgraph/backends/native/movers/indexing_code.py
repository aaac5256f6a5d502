"""Code of the indexing kernels: a base (outer, size, inner), a list of indexes, and what is listed
(outer, count, inner) - elements taken from the base ("take"), put there ("set") or added ("add")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I64
from .kernels import BITS, FLOATING, SIZE, TYPES, kernel

AT_ONCE = 8  # elements of one column that are asked for before the first is used


@kernel(pointers=2, numbers=1)
def extremes_code(w: Writer) -> None:
    """``(at, ends, count)``: the least and the largest of a list that is not empty."""
    b = w.b
    at, ends, count = w.fn.args
    for i, end in enumerate(_extremes(w, at, count)):
        b.store(end, w.at(ends, i64(8 * i)), align=8)


@kernel(pointers=2, numbers=4)
def bounds_code(w: Writer) -> None:
    """``(at, cell, count, size, begin, end)``: cell[0] is 0 if a list has an index out of range, which is cell[1]."""
    b = w.b
    at, cell, count, size, _, _ = w.fn.args
    low, high = _extremes(w, at, count)
    above = b.icmp_signed(">=", high, size)
    below = b.icmp_signed("<", low, b.sub(i64(0), size))
    bad = b.or_(above, below)
    b.store(b.select(bad, i64(0), i64(1)), cell, align=8)
    b.store(b.select(above, high, low), w.at(cell, i64(8)), align=8)
    b.store(size, w.at(cell, i64(16)), align=8)


def _extremes(w: Writer, at: ir.Value, count: ir.Value) -> list[ir.Value]:
    """The least and the largest of a list, found by vectors."""
    b, lanes = w.b, 8
    first = w.splat(w.word(at, i64(0)), lanes)

    def wider(so_far: list[ir.Value], xs: list[ir.Value]) -> list[ir.Value]:
        signs = ("<", ">")
        return [
            b.select(b.icmp_signed(sign, x, old), x, old)
            for sign, x, old in zip(signs, xs, so_far, strict=True)
        ]

    whole = b.and_(count, i64(-lanes))
    with w.loop(whole, step=lanes, carried=[first, first]) as turn:
        some = w.load(w.at(at, w.scaled(turn.i, 8)), ir.VectorType(I64, lanes))
        turn.carried = wider(turn.carried, [some, some])
    with w.loop(count, whole, carried=turn.carried) as rest:
        one = w.splat(w.word(at, rest.i), lanes)
        rest.carried = wider(rest.carried, [one, one])
    found: list[ir.Value] = [b.extract_element(x, i64(0)) for x in rest.carried]
    for i in range(1, lanes):
        found = wider(found, [b.extract_element(x, i64(i)) for x in rest.carried])
    return found


def _element(how: Any) -> tuple[ir.Type, int]:
    return (TYPES[how], SIZE[how]) if isinstance(how, str) else (BITS[how], how)


def _wrapped(w: Writer, x: ir.Value, size: ir.Value) -> ir.Value:
    """An index counted from 0."""
    b = w.b
    return b.select(b.icmp_signed("<", x, i64(0)), b.add(x, size), x)


def _new(w: Writer, mode: str, how: Any, old: ir.Value | None, x: ir.Value) -> ir.Value:
    if mode != "add":
        return x
    return w.b.fadd(old, x) if how in FLOATING else w.b.add(old, x)


@kernel(pointers=3, numbers=7, nested=True)
def cells_code(w: Writer, mode: str, how: Any, shared: bool, alone: bool) -> None:
    """``(base, at, listed, size, count, inner, begin, end, left, right)``: an index for each element, in the
    outer axes from `begin` to `end` and the columns from `left` to `right`; or for all alike if `shared`.
    `alone`: there is one column."""
    (_column if alone else _cells)(w, w.fn.args, mode, how, shared)


def _column(w: Writer, args: Sequence[ir.Value], mode: str, how: Any, shared: bool) -> None:
    """As `_cells` for one column: some indexes are read before the elements at them, which are far apart."""
    b = w.b
    base, at, listed, size, count, _, begin, end, _, _ = args
    kind, nbytes = _element(how)
    whole = b.and_(count, i64(-AT_ONCE))
    with w.loop(end, begin) as outer:
        line = b.mul(outer.i, count)
        near = w.at(base, w.scaled(b.mul(outer.i, size), nbytes))
        for first, last, turns in ((i64(0), whole, AT_ONCE), (whole, count, 1)):
            with w.loop(last, first, turns) as entry:
                entries = [b.add(entry.i, i64(k)) for k in range(turns)]
                own = [b.add(line, e) for e in entries]
                places = [w.word(at, i) for i in (entries if shared else own)]
                cells = [w.at(near, w.scaled(_wrapped(w, p, size), nbytes)) for p in places]
                items = [w.at(listed, w.scaled(i, nbytes)) for i in own]
                sources, targets = (cells, items) if mode == "take" else (items, cells)
                values = [b.load(s, align=nbytes, typ=kind) for s in sources]
                for target, value in zip(targets, values, strict=True):
                    old = b.load(target, align=nbytes, typ=kind) if mode == "add" else None
                    b.store(_new(w, mode, how, old, value), target, align=nbytes)


def _cells(w: Writer, args: Sequence[ir.Value], mode: str, how: Any, shared: bool) -> None:
    """Elements, one by one."""
    b = w.b
    base, at, listed, size, count, inner, begin, end, left, right = args
    kind, nbytes = _element(how)
    with w.loop(end, begin) as outer, w.loop(count) as entry:
        line = b.mul(b.add(b.mul(outer.i, count), entry.i), inner)
        start = b.mul(outer.i, size)
        with w.loop(right, left) as column:
            own = b.add(line, column.i)
            i = _wrapped(w, w.word(at, entry.i if shared else own), size)
            cell = w.at(base, w.scaled(b.add(b.mul(b.add(start, i), inner), column.i), nbytes))
            item = w.at(listed, w.scaled(own, nbytes))
            source, target = (cell, item) if mode == "take" else (item, cell)
            value = b.load(source, align=nbytes, typ=kind)
            old = b.load(target, align=nbytes, typ=kind) if mode == "add" else None
            b.store(_new(w, mode, how, old, value), target, align=nbytes)


@kernel(pointers=3, numbers=7, nested=True)
def rows_code(w: Writer, mode: str, how: Any) -> None:
    """As `cells_code`, with an index for each row of `inner` elements."""
    _rows(w, w.fn.args, mode, how)


@kernel(pointers=3, numbers=4)
def part_code(w: Writer, size: int, rows: bool, shared: bool, alone: bool) -> None:
    """``(base, at, listed, size, inner, begin, end)``: entries from `begin` to `end` of one list are taken."""
    b = w.b
    base, at, listed, extent, inner, begin, end = w.fn.args
    one = i64(8) if shared else w.scaled(inner, 8)
    at = w.at(at, b.mul(begin, one))
    listed = w.at(listed, b.mul(begin, w.scaled(inner, size)))
    args = base, at, listed, extent, b.sub(end, begin), inner, i64(0), i64(1), i64(0), inner
    if rows:
        _rows(w, args, "take", size)
    else:
        (_column if alone else _cells)(w, args, "take", size, shared)


def _rows(w: Writer, args: Sequence[ir.Value], mode: str, how: Any) -> None:
    """Rows that lie side by side, in vectors."""
    b = w.b
    base, at, listed, size, count, inner, begin, end, left, right = args
    element, nbytes = _element(how)
    lanes = 64 // nbytes
    width = b.sub(right, left)
    whole = b.and_(width, i64(-lanes))
    with w.loop(end, begin) as outer, w.loop(count) as entry:
        i = _wrapped(w, w.word(at, entry.i), size)
        row = b.add(b.mul(b.add(b.mul(outer.i, size), i), inner), left)
        line = b.add(b.mul(b.add(b.mul(outer.i, count), entry.i), inner), left)
        cell, item = w.at(base, w.scaled(row, nbytes)), w.at(listed, w.scaled(line, nbytes))
        source, target = (cell, item) if mode == "take" else (item, cell)

        def part(offset: ir.Value, lanes: int, source: Any = source, target: Any = target) -> None:
            kind = ir.VectorType(element, lanes)
            there, here = (w.at(p, w.scaled(offset, nbytes)) for p in (target, source))
            old = w.load(there, kind) if mode == "add" else None
            w.store(_new(w, mode, how, old, w.load(here, kind)), there)

        with w.loop(whole, step=lanes) as turn:
            part(turn.i, lanes)
        rest = lanes // 2
        # by halves: a row is mostly as long as the one before, so these branches are foreseen
        while rest:
            with w.when(b.icmp_signed("!=", b.and_(width, i64(rest)), i64(0))):
                before = b.and_(width, i64((lanes - 1) & -(2 * rest)))
                part(b.add(whole, before), rest)
            rest //= 2
