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
    "single",  # whether groups are taken one by one: fewer places in memory are read at a time
    "scratch",
    "units",
)
GROUPS = 2  # of rows, each a chain of sums, so that no sum waits for the one before
AHEAD = 512  # bytes: what is read is asked for so much earlier


class _Rowwise:
    """Emits ``rowwise(record, pointers, scratch, begin, end)``; a unit is a part of the rows of a matrix."""

    def __init__(self, module: ir.Module, geometry: Geometry) -> None:
        self.w = w = Writer(module, "rowwise", FUNCTION)
        b = w.b
        record, pointers, _, begin, end = w.fn.args
        self.p = p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        with b.goto_entry_block():
            self.factors = b.alloca(I64, size=(KC + 2 * self.lanes) * self.size // 8, align=64)
            self.places = b.alloca(I64, size=GROUPS * self.lanes, align=64)
            self.sums = b.alloca(self.kind, size=2 * GROUPS, align=64)
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
            many = GROUPS * self.lanes
            whole = b.sub(b.sub(last, first), b.srem(b.sub(last, first), i64(many)))
            whole = b.select(b.icmp_signed("!=", p["single"], i64(0)), i64(0), whole)
            middle = b.add(first, whole)
            with w.loop(middle, first, many) as turn:
                self.rows(turn.i, last, GROUPS)
            with w.loop(last, middle, self.lanes) as turn:
                self.rows(turn.i, last, 1)
        b.ret_void()

    def rows(self, first: ir.Value, last: ir.Value, groups: int) -> None:
        """Some groups of rows, up to the last."""
        w, b, p = self.w, self.w.b, self.p
        end = b.sub(last, i64(1))
        for l in range(groups * self.lanes):
            row = w.least(b.add(first, i64(l)), end)
            place = b.ptrtoint(w.at(self.matrix, b.mul(row, p["row"])), I64)
            b.store(place, w.at(self.places, i64(8 * l)), align=8)
        with w.loop(p["k"], step=KC) as ks:
            # squares begin where cache lines do: `early` elements before the block, which are masked
            count, early = w.least(i64(KC), b.sub(p["k"], ks.i)), self.early()
            end = b.add(count, early)
            self.take_factors(ks.i, count, early, end)
            at = b.mul(b.sub(ks.i, early), i64(self.size))
            for g in range(groups):
                w.store(self.zero, self.sum_at(g))
            lanes = i64(self.lanes)
            head = w.least(b.srem(b.sub(lanes, b.srem(early, lanes)), lanes), i64(1))
            begin = b.mul(head, lanes)
            body = b.sub(end, b.srem(end, lanes))
            with w.when(b.icmp_signed("!=", head, i64(0))):
                before = b.not_(w.first_lanes(early, self.lanes))
                used = b.and_(before, w.first_lanes(end, self.lanes))
                self.squares(i64(0), at, groups, used)
            with w.loop(body, begin, self.lanes) as turn:
                self.squares(turn.i, at, groups, None)
            rest = b.select(b.icmp_signed("<", body, begin), begin, body)
            with w.when(b.icmp_signed("<", rest, end)):
                self.squares(rest, at, groups, w.first_lanes(b.sub(end, rest), self.lanes))
            start = b.icmp_signed("==", ks.i, i64(0))
            for g in range(groups):
                total = w.load(self.sum_at(g), self.kind)
                before = w.load(self.sum_at(GROUPS + g), self.kind)
                total = b.select(start, total, b.fadd(before, total))
                w.store(total, self.sum_at(GROUPS + g))
        for g in range(groups):
            row = b.add(first, i64(g * self.lanes))
            total = w.load(self.sum_at(GROUPS + g), self.kind)
            w.store_first(total, w.at(self.out, w.scaled(row, self.size)), b.sub(last, row))

    def sum_at(self, i: int) -> ir.Value:
        """Where a group's sum of this block is kept; GROUPS further, that of the blocks before."""
        return self.w.at(self.sums, i64(i * self.lanes * self.size))

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

    def squares(self, k: ir.Value, at: ir.Value, groups: int, rest: ir.Value | None) -> None:
        """Adds the products of a square of each group."""
        w, b = self.w, self.w.b
        offset = b.add(at, w.scaled(k, self.size))
        for g in range(groups):
            square = []
            for l in range(self.lanes):
                row = w.word(self.places, i64(g * self.lanes + l))
                place = w.at(b.inttoptr(row, PTR), offset)
                if rest is None:
                    w.prefetch(w.at(place, i64(AHEAD)))
                square.append(w.load(place, self.kind, rest))
            total = w.load(self.sum_at(g), self.kind)
            for j, x in enumerate(turned(b, square, self.size)):
                factor = w.at(self.factors, w.scaled(k, self.size), i64(j * self.size))
                y = w.splat(b.load(factor, align=self.size, typ=self.kind.element), self.lanes)
                total = w.fma(y, x, total)
            w.store(total, self.sum_at(g))


def emit_rowwise(geometry: Geometry, header: int) -> str:
    """IR of ``rowwise``, and of ``whole`` and ``flat``, which do all of it in one call."""
    module = ir.Module(name="rowwise")
    fn = _Rowwise(module, geometry).w.fn
    for place in (None, header):
        emit_brief(module, fn, FIELDS, place)
    return str(module)
