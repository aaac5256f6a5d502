"""Packing: rows of an operand, read through an index map, become panels that the micro-kernel streams.

A panel holds, for each k, the elements of a few vectors of rows side by side. The element (row, k) of an
operand lies ``row_offset(row) + k_offset(k)`` bytes from its start; the offsets are multiples of a stride
(matrices) or entries of tables (windows of an image: im2col without the columns). Where neighbouring rows
are neighbours in memory they are copied; where neighbouring k's are, squares are transposed in registers;
else elements are gathered. Lanes beyond the last row hold anything: they meet no output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from ..llvm_parts import I32, I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry

ARGUMENTS = (PTR, I64, I64, PTR, I64, I64, I64)
# operand, rows: stride or table, k: stride or table, panel, count of k, count of rows, elements a k takes


AHEAD = 512  # bytes: what is read along k is asked for so much earlier
TIERS = (1, 2, 4)  # how many runs a vector is put together from, before its elements are gathered


@dataclass(frozen=True, slots=True)
class Run:
    """Lanes of a vector that lie side by side in memory: lane l at ``start + l * size``."""

    start: ir.Value
    mask: ir.Value


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where the lanes of a vector lie."""

    offsets: ir.Value  # those beyond the last lane in use repeat it
    each: list[ir.Value]
    runs: list[Run]
    reach: dict[
        int, ir.Value
    ]  # whether so many runs hold all lanes (in tier 1: all are in use, too)


class Packer:
    """Emits ``pack(...)`` for operands indexed by strides, or by tables."""

    def __init__(self, geometry: Geometry, tables: bool) -> None:
        self.module = ir.Module(name="pack")
        self.w = Writer(self.module, "pack", ARGUMENTS)
        self.operand, self.row_map, self.k_map, self.panel, self.k, self.rows, width = (
            self.w.fn.args
        )
        self.tables = tables
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.steps = ir.Constant(
            ir.VectorType(I64, self.lanes), [l * self.size for l in range(self.lanes)]
        )
        self.vectors = self.w.b.sdiv(width, i64(self.lanes))
        self.width = self.w.scaled(width, self.size)  # bytes from k to k in the panel

    def emit(self) -> str:
        """IR of the module."""
        w, b = self.w, self.w.b
        with w.loop(self.vectors, nonempty=True) as turn:
            first = w.scaled(turn.i, self.lanes)
            with w.when(b.icmp_signed("<", first, self.rows)):
                rows = self.places(self.row_map, first, self.rows)
                panel = w.at(self.panel, w.scaled(first, self.size))
                self.by_tier(
                    rows,
                    lambda tier: self.copy(rows, panel, tier),
                    lambda: self.by_squares(rows, panel),
                )
        b.ret_void()
        return str(self.module)

    def by_tier(
        self, lanes: Lanes, run: Callable[[int], None], otherwise: Callable[[], None]
    ) -> None:
        """The code for the least number of runs that reach all lanes, or what serves where none does."""
        b = self.w.b

        def choose(tiers: list[int]) -> None:
            if not tiers:
                otherwise()
                return
            with b.if_else(lanes.reach[tiers[0]]) as (then, other):
                with then:
                    run(tiers[0])
                with other:
                    choose(tiers[1:])

        choose(list(lanes.reach))

    def offset(self, index_map: ir.Value, i: ir.Value) -> ir.Value:
        """The offset of a row or a k."""
        b = self.w.b
        if self.tables:
            return self.w.word(b.inttoptr(index_map, PTR), i)
        return b.mul(i, index_map)

    def places(self, index_map: ir.Value, first: ir.Value, end: ir.Value) -> Lanes:
        """Where ``first, first + 1, ...`` lie, of which those below `end` are in use."""
        w, b, lanes = self.w, self.w.b, self.lanes
        final = b.sub(end, i64(1))
        each = [self.offset(index_map, w.least(b.add(first, i64(l)), final)) for l in range(lanes)]
        offsets: ir.Value = ir.Constant(self.steps.type, ir.Undefined)
        for l, offset in enumerate(each):
            offsets = b.insert_element(offsets, offset, ir.Constant(I32, l))
        used = w.first_lanes(b.sub(end, first), lanes)
        if self.tables:
            return self.runs(each, offsets, used)
        near = b.icmp_signed("==", index_map, i64(self.size))
        whole = b.and_(near, b.icmp_signed("<=", b.add(first, i64(lanes)), end))
        return Lanes(offsets, each, [Run(each[0], used)], {1: whole, 2: near})

    def runs(self, each: list[ir.Value], offsets: ir.Value, used: ir.Value) -> Lanes:
        """Puts neighbouring lanes of any offsets together."""
        w, b = self.w, self.w.b
        table, left, start = w.stack(offsets), used, each[0]
        found, reach = [], {}
        for count in range(1, TIERS[-1] + 1):
            if count > 1:  # from the first lane that is left
                lane = w.first_set(left)
                start = b.sub(w.word(table, lane), w.scaled(lane, self.size))
            near = b.icmp_signed("==", offsets, b.add(w.splat(start, self.lanes), self.steps))
            found.append(Run(start, b.and_(near, left)))
            left = b.and_(left, b.not_(near))
            if count in TIERS:
                reach[count] = self.all(found[0].mask if count == 1 else b.not_(left))
        return Lanes(offsets, each, found, reach)

    def all(self, mask: ir.Value) -> ir.Value:
        """Whether every lane of a mask is set."""
        bits = ir.IntType(self.lanes)
        return self.w.b.icmp_unsigned("==", self.w.b.bitcast(mask, bits), ir.Constant(bits, -1))

    def load(self, pointer: ir.Value, lanes: Lanes, tier: int) -> ir.Value:
        """The elements in use at a pointer plus the lanes' offsets."""
        w = self.w
        if tier == 1:
            return w.load(w.at(pointer, lanes.runs[0].start), self.kind)
        x = None
        for run in lanes.runs[:tier]:
            x = w.load(w.at(pointer, run.start), self.kind, run.mask, x)
        return x

    def copy(self, rows: Lanes, panel: ir.Value, tier: int) -> None:
        """Neighbouring rows are neighbours in memory."""
        w = self.w
        with w.loop(self.k, carried=[panel], nonempty=True) as turn:
            place = w.at(self.operand, self.offset(self.k_map, turn.i))
            w.store(self.load(place, rows, tier), turn.carried[0])
            turn.carried = [w.at(turn.carried[0], self.width)]

    def by_squares(self, rows: Lanes, panel: ir.Value) -> None:
        """Some k's at a time: transposed where they are neighbours in memory, else gathered."""
        w, b = self.w, self.w.b
        with w.loop(self.k, step=self.lanes, nonempty=True) as turn:
            ks = self.places(self.k_map, turn.i, self.k)
            place = w.at(panel, b.mul(turn.i, self.width))
            self.by_tier(
                ks,
                lambda tier: self.transpose(rows, ks, place, tier),
                lambda: self.gather(rows, turn.i, place),
            )

    def transpose(self, rows: Lanes, ks: Lanes, panel: ir.Value, tier: int) -> None:
        """A square, read along k. What lies beyond the last k goes to panel rows that nobody reads."""
        w = self.w
        places = [w.at(self.operand, offset) for offset in rows.each]
        square = [self.load(place, ks, tier) for place in places]
        if not self.tables:
            for place in places:
                w.prefetch(w.at(place, ks.each[0], i64(AHEAD)))
        for x in self.turned(square):
            w.store(x, panel)
            panel = w.at(panel, self.width)

    def turned(self, square: list[ir.Value]) -> list[ir.Value]:
        """The transpose of a square: inside quarters of 128 bits, which is cheap, then of the quarters."""
        n, part = self.lanes, 16 // self.size  # lanes, and those of 128 bits
        spread = [l // part * part + l % part // 2 + n * (l % 2) for l in range(n)]
        low, high = spread, [l + part // 2 for l in spread]
        square = [
            x
            for i in range(0, n, part)
            for x in self.rotated(square[i : i + part], low, high, halves=True)
        ]
        chunks = n // part
        even = [
            (2 * (l // part) % chunks + 2 * (l // part) // chunks * chunks) * part + l % part
            for l in range(n)
        ]
        odd = [l + part for l in even]
        columns = [self.rotated(square[j::part], even, odd, halves=False) for j in range(part)]
        return [columns[c % part][c // part] for c in range(n)]

    def rotated(
        self, rows: list[ir.Value], first: list[int], second: list[int], halves: bool
    ) -> list[ir.Value]:
        """Applies two shuffles to all pairs of rows, over and over, until rows have become columns."""
        b, half = self.w.b, len(rows) // 2
        masks = [ir.Constant(ir.VectorType(I32, self.lanes), m) for m in (first, second)]
        for _ in range(len(rows).bit_length() - 1):
            if halves:
                pairs = list(zip(rows[:half], rows[half:], strict=True))
                rows = [b.shuffle_vector(x, y, mask) for x, y in pairs for mask in masks]
            else:
                pairs = list(zip(rows[::2], rows[1::2], strict=True))
                rows = [b.shuffle_vector(x, y, mask) for mask in masks for x, y in pairs]
        return rows

    def gather(self, rows: Lanes, first: ir.Value, panel: ir.Value) -> None:
        """Elements from anywhere, one k after the other."""
        w, b = self.w, self.w.b
        end = w.least(b.add(first, i64(self.lanes)), self.k)
        with w.loop(end, first, carried=[panel], nonempty=True) as turn:
            place = w.at(self.operand, self.offset(self.k_map, turn.i))
            w.store(w.gather(place, rows.offsets, self.kind), turn.carried[0])
            turn.carried = [w.at(turn.carried[0], self.width)]


def emit_pack(geometry: Geometry, tables: bool) -> str:
    """IR of ``pack(...)``."""
    return Packer(geometry, tables).emit()
