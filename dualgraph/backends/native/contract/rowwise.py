"""Matrix times vector, where k's are side by side in the matrix: its rows in the lanes, turned square by square.

For each row the products are summed as everywhere: by fma in order of k in blocks of KC, each from +0, the blocks'
sums in order. What a square has beyond the last k is +0 in the matrix and -0 in the vector: adding their product, -0,
changes nothing, not even the sign of a zero.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR
from .brief import emit_brief
from .code import ELEMENTS, Writer, i64
from .shape import KC, Geometry
from .squares import turned
from .team import FUNCTION

FIELDS = (
    "vector_slot",
    "matrix_slot",
    "out_slot",
    "vectors",  # addresses of the tables of where they begin
    "matrices",
    "outs",
    "step",  # bytes from element to element of the vector
    "row",  # bytes from row to row
    "rows",
    "k",
    "part",  # rows of a unit
    "parts",  # units of a matrix
    "together",  # rows that are read at a time
    "scratch",
    "units",
)
ROWS = 32  # at a time: groups of as many as there are lanes, each a chain of sums that waits for no other
LINE = 64  # bytes of a row that are read one after the other: a cache line may not stay until it is read again
FEW = 16  # whose sums are added up in turns; also of a matrix in memory: fewer places are read at a time
AHEAD = 512  # bytes: what is read is asked for so much earlier


class _Rowwise:
    """Emits ``rowwise(record, pointers, scratch, begin, end)``; a unit is a part of the rows of a matrix."""

    def __init__(self, module: ir.Module, geometry: Geometry) -> None:
        self.w = w = Writer(module, "rowwise", FUNCTION)
        b = w.b
        record, pointers, _, begin, end = w.fn.args
        self.p = p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
        self.lanes, self.size = geometry.lanes, geometry.size
        self.turns = max(1, FEW // self.lanes)  # groups
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        with b.goto_entry_block():
            self.factors = b.alloca(I64, size=(KC + 2 * self.lanes) * self.size // 8, align=64)
            self.places = b.alloca(I64, size=ROWS, align=64)
            self.sums = b.alloca(self.kind, size=2 * ROWS // self.lanes, align=64)
        with w.loop(end, begin) as unit:
            batch = b.sdiv(unit.i, p["parts"])
            first = b.mul(b.srem(unit.i, p["parts"]), p["part"])
            last = w.least(p["rows"], b.add(first, p["part"]))
            self.vector, self.matrix, self.out = (
                w.at(
                    b.inttoptr(w.word(pointers, p[f"{name}_slot"]), PTR),
                    w.word(b.inttoptr(p[f"{table}"], PTR), batch),
                )
                for name, table in (("vector", "vectors"), ("matrix", "matrices"), ("out", "outs"))
            )
            with w.loop(last, first, p["together"]) as turn:
                self.rows(turn.i, w.least(last, b.add(turn.i, p["together"])))
        b.ret_void()

    def rows(self, first: ir.Value, last: ir.Value) -> None:
        """Some groups of rows, the last one perhaps not full."""
        w, b, p = self.w, self.w.b, self.p
        lanes = i64(self.lanes)
        wanted = b.sdiv(b.add(b.sub(last, first), i64(self.lanes - 1)), lanes)
        groups = b.and_(b.add(wanted, i64(self.turns - 1)), i64(-self.turns))
        with w.loop(b.mul(groups, lanes)) as l:
            row = w.least(b.add(first, l.i), b.sub(last, i64(1)))
            place = b.ptrtoint(w.at(self.matrix, b.mul(row, p["row"])), I64)
            b.store(place, w.at(self.places, w.scaled(l.i, 8)), align=8)
        with w.loop(p["k"], step=KC) as ks:
            # squares begin where cache lines do: `early` elements before the block, which are masked
            count, early = w.least(i64(KC), b.sub(p["k"], ks.i)), self.early()
            end = b.add(count, early)
            self.take_factors(ks.i, count, early, end)
            at = b.mul(b.sub(ks.i, early), i64(self.size))
            with w.loop(groups) as g:
                w.store(self.zero, self.sum_at(g.i))
            head = w.least(b.srem(b.sub(lanes, b.srem(early, lanes)), lanes), i64(1))
            begin = b.mul(head, lanes)
            body = b.sub(end, b.srem(end, lanes))
            with w.when(b.icmp_signed("!=", head, i64(0))):
                before = b.not_(w.first_lanes(early, self.lanes))
                used = b.and_(before, w.first_lanes(end, self.lanes))
                self.squares(i64(0), at, groups, used)
            line = LINE // self.size
            lines = b.sub(body, b.srem(b.sub(body, begin), i64(line)))
            with w.loop(lines, begin, line) as turn:
                self.squares(turn.i, at, groups, None, line // self.lanes)
            lines = b.select(b.icmp_signed("<", lines, begin), begin, lines)
            with w.loop(body, lines, self.lanes) as turn:
                self.squares(turn.i, at, groups, None)
            rest = b.select(b.icmp_signed("<", body, begin), begin, body)
            with w.when(b.icmp_signed("<", rest, end)):
                self.squares(rest, at, groups, w.first_lanes(b.sub(end, rest), self.lanes))
            start = b.icmp_signed("==", ks.i, i64(0))
            with w.loop(groups) as g:
                total = w.load(self.sum_at(g.i), self.kind)
                before = w.load(self.sum_before(g.i), self.kind)
                total = b.select(start, total, b.fadd(before, total))
                w.store(total, self.sum_before(g.i))
        with w.loop(wanted) as g:
            row = b.add(first, w.scaled(g.i, self.lanes))
            total = w.load(self.sum_before(g.i), self.kind)
            w.store_first(total, w.at(self.out, w.scaled(row, self.size)), b.sub(last, row))

    def sum_at(self, group: ir.Value) -> ir.Value:
        """Where a group's sum of this block is kept."""
        return self.w.at(self.sums, self.w.scaled(group, self.lanes * self.size))

    def sum_before(self, group: ir.Value) -> ir.Value:
        """Where that of the blocks before is kept."""
        return self.w.at(self.sum_at(group), i64(ROWS * self.size))

    def early(self) -> ir.Value:
        """How many elements of a cache line or vector come before the first of every row."""
        b, reach = self.w.b, self.lanes * self.size
        rows = b.srem(self.p["row"], i64(reach))
        here = b.srem(b.ptrtoint(self.matrix, I64), i64(reach))
        return b.select(b.icmp_signed("==", rows, i64(0)), b.sdiv(here, i64(self.size)), i64(0))

    def take_factors(
        self, first: ir.Value, count: ir.Value, early: ir.Value, end: ir.Value
    ) -> None:
        """Puts a block of the vector's elements side by side, and -0 before and up to the next square."""
        w, b = self.w, self.w.b
        nothing = ir.Constant(self.kind, [ir.Constant(self.kind.element, -0.0)] * self.lanes)
        with w.loop(end, step=self.lanes) as turn:
            w.store(nothing, w.at(self.factors, w.scaled(turn.i, self.size)))
        with w.loop(count) as turn:
            place = w.at(self.vector, b.mul(b.add(first, turn.i), self.p["step"]))
            x = b.load(place, align=self.size, typ=self.kind.element)
            place = w.at(self.factors, w.scaled(b.add(early, turn.i), self.size))
            b.store(x, place, align=self.size)

    def squares(
        self, k: ir.Value, at: ir.Value, groups: ir.Value, rest: ir.Value | None, count: int = 1
    ) -> None:
        """Adds the products of so many squares of each group."""
        w, b = self.w, self.w.b
        offset, factors = (
            b.add(at, w.scaled(k, self.size)),
            w.at(self.factors, w.scaled(k, self.size)),
        )
        with w.loop(groups, step=self.turns, nonempty=True) as g:
            own = [b.add(g.i, i64(i)) for i in range(self.turns)]
            totals = [w.load(self.sum_at(i), self.kind) for i in own]
            for c in range(count):
                for i, group in enumerate(own):
                    here = b.add(offset, i64(c * self.lanes * self.size))
                    square = self.square(group, here, rest, rest is None and c == 0)
                    for j, x in enumerate(turned(b, square, self.size)):
                        place = w.at(factors, i64((c * self.lanes + j) * self.size))
                        y = b.load(place, align=self.size, typ=self.kind.element)
                        totals[i] = w.fma(w.splat(y, self.lanes), x, totals[i])
            for total, group in zip(totals, own, strict=True):
                w.store(total, self.sum_at(group))

    def square(
        self, group: ir.Value, offset: ir.Value, rest: ir.Value | None, ahead: bool
    ) -> list[ir.Value]:
        """A vector of each row of a group; `ahead` says whether to ask for what comes later."""
        w, b = self.w, self.w.b
        places, square = w.at(self.places, w.scaled(group, 8 * self.lanes)), []
        for l in range(self.lanes):
            place = w.at(b.inttoptr(w.word(places, i64(l)), PTR), offset)
            if ahead:
                w.prefetch(w.at(place, i64(AHEAD)))
            square.append(w.load(place, self.kind, rest))
        return square


def emit_rowwise(geometry: Geometry, header: int) -> str:
    """IR of ``rowwise``, and of ``whole`` and ``flat``, which do all of it in one call."""
    module = ir.Module(name="rowwise")
    fn = _Rowwise(module, geometry).w.fn
    for place in (None, header):
        emit_brief(module, fn, FIELDS, place)
    return str(module)
