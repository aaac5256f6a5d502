"""Ordering: sorted lines of few elements, and the first few elements of long rows in order."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .. import ir
from ..contract.code import Writer, element_size, i64
from ..emit.parts import I1, I64
from .indexing import SMALL
from .kernels import LANES, SIZE, TYPES, address_of, dense, element_code, in_order, kernel, share

LINE = 128  # elements that are ranked by comparing each with each
FIRST = 16  # elements that are kept in order while a long row goes by
WHOLE = {"f": (ir.IntType(32), 31), "d": (I64, 63), "i": (ir.IntType(32), 31), "l": (I64, 63)}


def sort_along(
    x: Any, axis: int, descending: bool = False, first: int | None = None, skip: int = 0, out: Any = None
) -> Any:  # fmt: skip
    """Values in order along `axis` and the indices that put them there, those from `skip` to before `first`; stable."""
    code = element_code(x.dtype)
    if code is None or x.ndim == 0 or x.size == 0:
        return None
    n, inner = x.shape[axis], prod(x.shape[axis + 1 :])
    count = (n if first is None else first) - skip
    if not (x.nbytes >= SMALL if out is None else dense(*out)) or count == 0:
        return None
    if n > LINE and (count > FIRST or inner > 1 or skip):
        return None
    x = in_order(x)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    values, places = (np.empty(shape, x.dtype), np.empty(shape, np.int64)) if out is None else out
    if n > LINE:
        call = first_code(code, bool(descending))
    else:
        call = ranks_code(code, bool(descending), inner == 1, first is not None)
    fixed = address_of(x), address_of(values), address_of(places), n, inner, count, skip
    work = x.nbytes * (1 if n > LINE else 4 + n)  # bytes that take as long to move
    share(call, fixed, prod(x.shape[:axis]) * inner, work, spots=((x,), (values, places)))
    return values, places


def _key(w: Writer, x: ir.Value, code: str, descending: bool) -> ir.Value:
    """Whole numbers in the order of elements; NaNs come last and zeros are alike. Descending: the other way round."""
    b = w.b
    if code in "fd":
        kind, shift = WHOLE[code]
        of = ir.VectorType(kind, x.type.count) if isinstance(x.type, ir.VectorType) else kind
        bits = b.bitcast(b.fadd(x, _same(x.type, 0.0)), of)
        low = b.and_(b.ashr(bits, _same(of, shift)), _same(of, (1 << shift) - 1))
        key = b.select(b.fcmp_unordered("uno", x, x), _same(of, (1 << shift) - 1), b.xor(bits, low))
    else:
        key = x
    return b.not_(key) if descending else key


def _same(kind: ir.Type, value: float) -> ir.Constant:
    """A constant, in all lanes of a vector."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)
    return ir.Constant(kind, value)


def _room(w: Writer, kind: ir.Type, count: int) -> ir.Value:
    """Memory of the function's own, and a vector more."""
    with w.b.goto_entry_block():
        return w.b.alloca(kind, size=count + LANES, align=64)


@dataclass(frozen=True)
class _Line:
    """A line in the code of `ranks_code`: where it begins, how many elements it has, bytes from one to the next (and
    for each lane, unless they lie side by side), and memory for their keys and ranks."""

    code: str
    start: ir.Value
    n: ir.Value
    step: ir.Value
    offsets: ir.Value | None
    keys: ir.Value
    ranks: ir.Value

    def write_keys(self, w: Writer, descending: bool) -> None:
        """Stores the key of each element."""
        b, size, kind = w.b, SIZE[self.code], ir.VectorType(TYPES[self.code], LANES)
        with w.loop(self.n, step=LANES) as turn:
            mask = w.first_lanes(b.sub(self.n, turn.i), LANES)
            here = w.at(self.start, b.mul(turn.i, self.step))
            if self.offsets is None:
                some = w.load(here, kind, mask)
            else:
                some = w.gather(here, self.offsets, kind, mask)
            key = _key(w, some, self.code, descending)
            w.store(key, w.at(self.keys, w.scaled(turn.i, size)))

    def write_ranks(self, w: Writer) -> None:
        """Stores for each element how many come before it: smaller ones, and equal ones at earlier places."""
        b, size, whole = w.b, SIZE[self.code], WHOLE[self.code][0]
        kind = ir.VectorType(whole, LANES)
        own = ir.Constant(kind, list(range(LANES)))

        def key(i: ir.Value) -> ir.Value:
            at = w.at(self.keys, w.scaled(i, size))
            return w.splat(b.load(at, typ=whole, align=size), LANES)

        def counted(rank: ir.Value, before: ir.Value) -> list[ir.Value]:
            return [b.sub(rank, b.sext(before, rank.type))]

        with w.loop(self.n, step=LANES) as turn:
            at = w.scaled(turn.i, size)
            mine = w.load(w.at(self.keys, at), kind)
            after = w.least(b.add(turn.i, i64(LANES)), self.n)
            with w.loop(turn.i, carried=[_same(kind, 0)]) as other:  # equals come before
                other.carried = counted(*other.carried, b.icmp_signed("<=", key(other.i), mine))
            with w.loop(after, turn.i, carried=other.carried) as other:
                one, here = key(other.i), b.sub(other.i, turn.i)
                if whole.text != "i64":
                    here = b.trunc(here, whole)
                earlier = b.icmp_signed("<", w.splat(here, LANES), own)
                tie = b.and_(b.icmp_signed("==", one, mine), earlier)
                other.carried = counted(*other.carried, b.or_(b.icmp_signed("<", one, mine), tie))
            with w.loop(self.n, after, carried=other.carried) as other:  # equals come behind
                other.carried = counted(*other.carried, b.icmp_signed("<", key(other.i), mine))
            w.store(other.carried[0], w.at(self.ranks, at))

    def rank(self, w: Writer, i: ir.Value) -> ir.Value:
        """The rank of element `i`, as int64."""
        b, size, whole = w.b, SIZE[self.code], WHOLE[self.code][0]
        rank = b.load(w.at(self.ranks, w.scaled(i, size)), typ=whole, align=size)
        return rank if whole.text == "i64" else b.zext(rank, I64)


@kernel(pointers=3, numbers=6)
def ranks_code(w: Writer, code: str, descending: bool, rows: bool, part: bool) -> None:
    """``(x, values, places, n, inner, count, skip, begin, end)``: lines of at most LINE elements, `inner` apart; how
    many elements of a line come before one is its rank, below which it is put. `part`: only `count` are, from the rank
    `skip` on."""
    b, size, whole = w.b, SIZE[code], WHOLE[code][0]
    x, values, places, n, inner, count, skip, begin, end = w.fn.args
    keys, ranks = _room(w, whole, LINE), _room(w, whole, LINE)
    lanes = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    step = i64(size) if rows else w.scaled(inner, size)
    offsets = None if rows else b.mul(lanes, w.splat(step, LANES))
    with w.loop(end, begin) as turn:
        if rows:
            first, to = b.mul(turn.i, n), b.mul(turn.i, count)
        else:
            outer, column = b.sdiv(turn.i, inner), b.srem(turn.i, inner)
            first, to = (b.add(b.mul(b.mul(outer, m), inner), column) for m in (n, count))
        line = _Line(code, w.at(x, w.scaled(first, size)), n, step, offsets, keys, ranks)
        line.write_keys(w, descending)
        line.write_ranks(w)
        with w.loop(n) as element:
            i = element.i
            rank = b.sub(line.rank(w, i), skip) if part else line.rank(w, i)
            place = b.add(to, rank if rows else b.mul(rank, inner))
            value = b.load(w.at(line.start, b.mul(i, step)), typ=TYPES[code], align=size)
            cells = w.at(values, w.scaled(place, size)), w.at(places, w.scaled(place, 8))
            if part:  # a branch would be foreseen half of the time
                wanted = b.icmp_unsigned("<", rank, count)
                cells = b.select(wanted, cells[0], keys), b.select(wanted, cells[1], keys)
            b.store(value, cells[0], align=size)
            b.store(i, cells[1], align=8)


@dataclass(frozen=True)
class _Best:
    """The first elements of a row in the code of `first_code`: memory for their keys, in order, and their places."""

    code: str
    descending: bool
    keys: ir.Value
    places: ir.Value

    def key_of(self, w: Writer, start: ir.Value, i: ir.Value) -> ir.Value:
        """The key of element `i` of a row."""
        size = SIZE[self.code]
        at = w.at(start, w.scaled(i, size))
        return _key(w, w.b.load(at, typ=TYPES[self.code], align=size), self.code, self.descending)

    def key(self, w: Writer, i: ir.Value) -> ir.Value:
        """The key that is kept at `i`."""
        size = SIZE[self.code]
        at = w.at(self.keys, w.scaled(i, size))
        return w.b.load(at, typ=WHOLE[self.code][0], align=size)

    def insert(self, w: Writer, key: ir.Value, i: ir.Value, known: ir.Value) -> None:
        """Puts an element behind those that are not greater, of the `known` ones; the last is lost."""
        b, size = w.b, SIZE[self.code]
        with w.loop(known, carried=[key, i]) as turn:
            cells = w.at(self.keys, w.scaled(turn.i, size)), w.at(self.places, w.scaled(turn.i, 8))
            old = self.key(w, turn.i), b.load(cells[1], typ=I64, align=8)
            moves = b.icmp_signed(">", old[0], key)
            for cell, here, new in zip(cells, old, turn.carried, strict=True):
                b.store(b.select(moves, new, here), cell, align=element_size(here.type))
            turn.carried = [
                b.select(moves, here, new) for here, new in zip(old, turn.carried, strict=True)
            ]
        b.store(turn.carried[0], w.at(self.keys, w.scaled(known, size)), align=size)
        b.store(turn.carried[1], w.at(self.places, w.scaled(known, 8)), align=8)


@kernel(pointers=3, numbers=6)
def first_code(w: Writer, code: str, descending: bool) -> None:
    """``(x, values, places, n, _, count, _, begin, end)``: the first `count` of each of the rows of more elements."""
    b, size = w.b, SIZE[code]
    x, values, places, n, _, count, _, begin, end = w.fn.args
    whole, kind = WHOLE[code][0], ir.VectorType(TYPES[code], LANES)
    best = _Best(code, descending, _room(w, whole, FIRST), _room(w, I64, FIRST))
    last = b.sub(count, i64(1))
    with w.loop(end, begin) as row:
        start = w.at(x, w.scaled(b.mul(row.i, n), size))
        with w.loop(count) as turn:
            best.insert(w, best.key_of(w, start, turn.i), turn.i, turn.i)
        with w.loop(n, count, LANES) as turn:
            mask = w.first_lanes(b.sub(n, turn.i), LANES)
            some = w.load(w.at(start, w.scaled(turn.i, size)), kind, mask)
            worst = best.key(w, last)
            better = b.icmp_signed("<", _key(w, some, code, descending), w.splat(worst, LANES))
            bits = b.zext(b.bitcast(b.and_(better, mask), ir.IntType(LANES)), I64)
            with w.loop(_counting(w, "ctpop", bits), carried=[bits]) as hit:
                i = b.add(turn.i, _counting(w, "cttz", hit.carried[0]))
                key = best.key_of(w, start, i)
                worst = best.key(w, last)
                with w.when(b.icmp_signed("<", key, worst)):
                    best.insert(w, key, i, last)
                hit.carried = [b.and_(hit.carried[0], b.sub(hit.carried[0], i64(1)))]
        with w.loop(count) as turn:
            i = w.word(best.places, turn.i)
            place = b.add(b.mul(row.i, count), turn.i)
            value = b.load(w.at(start, w.scaled(i, size)), typ=TYPES[code], align=size)
            b.store(value, w.at(values, w.scaled(place, size)), align=size)
            b.store(i, w.at(places, w.scaled(place, 8)), align=8)


def _counting(w: Writer, name: str, bits: ir.Value) -> ir.Value:
    """How many bits are set ("ctpop"), or are not set before the first that is ("cttz")."""
    flags = [ir.Constant(I1, 1)] if name == "cttz" else []
    called = f"llvm.{name}.i64"
    callee = w.module.globals.get(called)
    if callee is None:
        types = [I64, *(f.type for f in flags)]
        callee = ir.Function(w.module, ir.FunctionType(I64, types), called)
    return w.b.call(callee, [bits, *flags])
