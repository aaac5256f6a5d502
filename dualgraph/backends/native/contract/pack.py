"""Packing: rows of an operand, read through an index map, become panels that the micro-kernel streams.

A panel holds, for each k, the elements of a few vectors of rows side by side. The element (row, k) of an
operand lies ``row_offset(row) + k_offset(k)`` bytes from its start; the offsets are multiples of a stride
(matrices) or entries of tables (windows of an image: im2col without the columns). Where neighbouring rows
are neighbours in memory they are copied; where neighbouring k's are, whole squares are transposed in registers;
else elements are gathered. Lanes beyond the last row hold anything: they meet no output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .. import ir
from ..emit.parts import I32, I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry
from .squares import strips, turned

ARGUMENTS = (PTR, I64, I64, PTR, I64, I64, I64, I64, I64)
# operand, rows: stride or table, k: stride or table, panel, count of k, count of rows, elements a k takes; rows of a
# panel, and bytes to the next

LINE = 64  # bytes that memory is read by
AHEAD = 256  # bytes of a line of neighbours: what is read is asked for so much earlier
TIERS = (2, 4)  # how many runs a vector is put together from, before its elements are gathered
FEW = 8  # lanes: elements are rather loaded one by one than put together from runs for each square
# stride or table, the first row or k, the end of those in use
Places = tuple[ir.Value, ir.Value, ir.Value]


@dataclass(frozen=True, slots=True)
class Run:
    """Lanes of a vector that lie side by side in memory: lane l at ``start + l * size``."""

    start: ir.Value
    mask: ir.Value | None  # of the lanes; None for all


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where the lanes of a vector lie."""

    each: list[ir.Value]  # offsets; those beyond the last lane in use repeat it
    offsets: ir.Value  # the same as a vector
    used: ir.Value  # mask


class Packer:
    """Emits ``pack(...)`` for operands indexed by strides, or by tables."""

    def __init__(self, geometry: Geometry, tables: bool) -> None:
        self.module = ir.Module(name="pack")
        self.w = Writer(self.module, "pack", ARGUMENTS)
        self.operand, self.row_map, self.k_map, self.panel, self.k, self.rows, *sizes = (
            self.w.fn.args
        )
        width, self.height, self.step = sizes
        self.tables = tables
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.steps = ir.Constant(
            ir.VectorType(I64, self.lanes), [l * self.size for l in range(self.lanes)]
        )
        self.vectors = self.w.b.sdiv(width, i64(self.lanes))
        # how far the next panel's rows are
        self.following = self.w.b.mul(self.height, self.row_map)
        self.width = self.w.scaled(width, self.size)  # bytes from k to k in the panel

    def emit(self) -> str:
        """IR of the module."""
        w, b = self.w, self.w.b
        with w.loop(self.rows, step=self.height, carried=[self.panel], nonempty=True) as turn:
            self.panel = turn.carried[0]
            end = w.least(self.rows, b.add(turn.i, self.height))
            if self.tables:
                self.each_vector(turn.i, end, self.by_table)
            else:
                near = b.icmp_signed("==", self.row_map, i64(self.size))
                with b.if_else(near) as (then, other):
                    with then:
                        self.lines(turn.i, end)
                    with other:
                        self.each_vector(turn.i, end, self.by_stride)
            turn.carried = [w.at(self.panel, self.step)]
        b.ret_void()
        return str(self.module)

    def each_vector(
        self,
        row: ir.Value,
        end: ir.Value,
        body: Callable[[ir.Value, ir.Value, ir.Value], None],
    ) -> None:
        """Each vector across the panel of the rows from `row` up to `end`: ``body(its first row, end, its place)``."""
        w, b = self.w, self.w.b
        with w.loop(self.vectors, nonempty=True) as turn:
            before = w.scaled(turn.i, self.lanes)
            first = b.add(row, before)
            with w.when(b.icmp_signed("<", first, end)):
                body(first, end, w.at(self.panel, w.scaled(before, self.size)))

    def by_table(self, first: ir.Value, end: ir.Value, panel: ir.Value) -> None:
        """Rows that lie where a table says."""
        self.by_runs(
            (self.row_map, first, end),
            lambda runs: self.copy(runs, panel),
            lambda rows: self.by_squares(rows, panel),
        )

    def by_stride(self, first: ir.Value, end: ir.Value, panel: ir.Value) -> None:
        """Rows that lie apart."""
        rows = self.lanes_at(self.row_map, first, end)
        full = self.w.b.icmp_signed("<=", self.w.b.add(first, i64(self.lanes)), end)
        done = self.lines_along(rows, full, panel) if self.lanes <= FEW else i64(0)
        self.by_squares(rows, panel, done)

    def lines_along(self, rows: Lanes, full: ir.Value, panel: ir.Value) -> ir.Value:
        """Transposes a line of memory of each row at a time, where k's are neighbours and all lanes in use (`full`);
        how many k's that were."""
        w, b = self.w, self.w.b
        near = b.icmp_signed("==", self.k_map, i64(self.size))
        count = LINE // self.size
        whole = b.select(b.and_(full, near), b.and_(self.k, i64(-count)), i64(0))
        with w.loop(whole, step=count, carried=[self.operand, panel]) as turn:
            source, goal = turn.carried
            for at in range(0, LINE, 16):
                places = [w.at(source, row, i64(at)) for row in rows.each]
                for x in strips(w, places, self.kind):
                    w.store(x, goal)
                    goal = w.at(goal, self.width)
            turn.carried = [w.at(source, i64(LINE)), goal]
        return whole

    def lines(self, row: ir.Value, end: ir.Value) -> None:
        """Neighbouring rows are neighbours in memory: a line of them for each k, of two vectors if the panel is."""
        b = self.w.b
        two = b.icmp_signed("==", self.vectors, i64(2))
        with b.if_else(two) as (then, other):
            with then:
                self.line(row, end, self.panel, 2)
            with other:
                self.each_vector(row, end, lambda *vector: self.line(*vector, 1))

    def line(self, first: ir.Value, end: ir.Value, panel: ir.Value, vectors: int) -> None:
        """Copies so many vectors of neighbours for each k."""
        w, b = self.w, self.w.b
        count, source = b.sub(end, first), w.at(self.operand, w.scaled(first, self.size))
        full = b.icmp_signed(">=", count, i64(vectors * self.lanes))
        some = [
            w.first_lanes(b.sub(count, i64(v * self.lanes)), self.lanes) for v in range(vectors)
        ]
        with b.if_else(full) as (then, other):
            for case, masks in ((then, [None] * vectors), (other, some)):
                with case, w.loop(self.k, carried=[source, panel], nonempty=True) as turn:
                    place, goal = turn.carried
                    w.prefetch(w.at(place, i64(AHEAD)))
                    for v, mask in enumerate(masks):
                        further = i64(v * self.lanes * self.size)
                        w.store(w.load(w.at(place, further), self.kind, mask), w.at(goal, further))
                    turn.carried = [w.at(place, self.k_map), w.at(goal, self.width)]

    def by_runs(
        self,
        places: Places,
        use: Callable[[list[Run]], None],
        otherwise: Callable[[Lanes], None],
        tiers: tuple[int, ...] = TIERS,
    ) -> None:
        """The code for as few runs as hold a vector's lanes, or what serves where too many would be needed."""
        b = self.w.b
        start = self.offset(*places[:2])
        with b.if_else(self.whole(start, *places)) as (one, more):
            with one:
                use([Run(start, None)])
            with more:
                lanes = self.lanes_at(*places)
                self.by_tier(
                    lanes, lanes.used, [], list(tiers) if self.tables else [], use, otherwise
                )

    def by_tier(
        self,
        lanes: Lanes,
        left: ir.Value,
        runs: list[Run],
        tiers: list[int],
        use: Callable[[list[Run]], None],
        otherwise: Callable[[Lanes], None],
    ) -> None:
        """Adds runs until they number the next tier, and more if lanes are left."""
        if not tiers:
            otherwise(lanes)
            return
        w, b = self.w, self.w.b
        table = w.stack(lanes.offsets)
        while len(runs) < tiers[0]:  # from the first lane that is left
            lane = w.first_set(left)
            start = b.sub(w.word(table, lane), w.scaled(lane, self.size))
            near = b.icmp_signed("==", lanes.offsets, b.add(w.splat(start, self.lanes), self.steps))
            runs = [*runs, Run(start, b.and_(near, left))]
            left = b.and_(left, b.not_(near))
        with b.if_else(self.all(b.not_(left))) as (then, other):
            with then:
                use(runs)
            with other:
                self.by_tier(lanes, left, runs, tiers[1:], use, otherwise)

    def offset(self, index_map: ir.Value, i: ir.Value) -> ir.Value:
        """The offset of a row or a k."""
        b = self.w.b
        if self.tables:
            return self.w.word(b.inttoptr(index_map, PTR), i)
        return b.mul(i, index_map)

    def whole(
        self, start: ir.Value, index_map: ir.Value, first: ir.Value, end: ir.Value
    ) -> ir.Value:
        """Whether all lanes of a vector are in use and side by side."""
        w, b = self.w, self.w.b
        full = b.icmp_signed("<=", b.add(first, i64(self.lanes)), end)
        if not self.tables:
            return b.and_(full, b.icmp_signed("==", index_map, i64(self.size)))
        used = w.first_lanes(b.sub(end, first), self.lanes)
        entries = w.at(b.inttoptr(index_map, PTR), w.scaled(first, 8))
        offsets = w.load(entries, self.steps.type, used)
        near = b.icmp_signed("==", offsets, b.add(w.splat(start, self.lanes), self.steps))
        return b.and_(full, self.all(near))

    def lanes_at(self, index_map: ir.Value, first: ir.Value, end: ir.Value) -> Lanes:
        """Where ``first, first + 1, ...`` lie, of which those below `end` are in use."""
        w, b, lanes = self.w, self.w.b, self.lanes
        final = b.sub(end, i64(1))
        each = [self.offset(index_map, w.least(b.add(first, i64(l)), final)) for l in range(lanes)]
        offsets: ir.Value = ir.Constant(self.steps.type, ir.Undefined)
        for l, offset in enumerate(each):
            offsets = b.insert_element(offsets, offset, ir.Constant(I32, l))
        return Lanes(each, offsets, w.first_lanes(b.sub(end, first), lanes))

    def all(self, mask: ir.Value) -> ir.Value:
        """Whether every lane of a mask is set."""
        bits = ir.IntType(self.lanes)
        return self.w.b.icmp_unsigned("==", self.w.b.bitcast(mask, bits), ir.Constant(bits, -1))

    def load(self, pointer: ir.Value, runs: list[Run]) -> ir.Value:
        """The elements in use at a pointer plus the lanes' offsets."""
        w, x = self.w, None
        for run in runs:
            x = w.load(w.at(pointer, run.start), self.kind, run.mask, x)
        return x

    def copy(self, runs: list[Run], panel: ir.Value) -> None:
        """Neighbouring rows are neighbours in memory, in runs."""
        w = self.w
        with w.loop(self.k, carried=[panel], nonempty=True) as turn:
            place = w.at(self.operand, self.offset(self.k_map, turn.i))
            w.store(self.load(place, runs), turn.carried[0])
            turn.carried = [w.at(turn.carried[0], self.width)]

    def by_squares(self, rows: Lanes, panel: ir.Value, begin: ir.Value | None = None) -> None:
        """Some k's at a time, from `begin` on: transposed where they are neighbours in memory, else gathered."""
        w, b = self.w, self.w.b
        with w.loop(self.k, begin, step=self.lanes) as turn:
            place = w.at(panel, b.mul(turn.i, self.width))
            self.by_runs(
                (self.k_map, turn.i, self.k),
                lambda runs: self.transpose(rows, runs, place),
                lambda _: self.gather(rows, turn.i, place),
                () if self.lanes <= FEW else TIERS,
            )

    def transpose(self, rows: Lanes, runs: list[Run], panel: ir.Value) -> None:
        """A square, read along k. What lies beyond the last k goes to panel rows that nobody reads."""
        w = self.w
        places = [w.at(self.operand, offset) for offset in rows.each]
        square = [self.load(place, runs) for place in places]
        if not self.tables:
            for place in places:
                w.prefetch(w.at(place, runs[0].start, self.following))
        for x in turned(w.b, square, self.size):
            w.store(x, panel)
            panel = w.at(panel, self.width)

    def gather(self, rows: Lanes, first: ir.Value, panel: ir.Value) -> None:
        """Elements from anywhere, one k after the other."""
        w, b = self.w, self.w.b
        end = w.least(b.add(first, i64(self.lanes)), self.k)
        with w.loop(end, first, carried=[panel], nonempty=True) as turn:
            place = w.at(self.operand, self.offset(self.k_map, turn.i))
            x: ir.Value
            if self.lanes > FEW:
                x = w.gather(place, rows.offsets, self.kind)
            else:
                x = ir.Constant(self.kind, ir.Undefined)
                for l, offset in enumerate(rows.each):
                    own = b.load(w.at(place, offset), align=self.size, typ=self.kind.element)
                    x = b.insert_element(x, own, ir.Constant(I32, l))
            w.store(x, turn.carried[0])
            turn.carried = [w.at(turn.carried[0], self.width)]


def emit_pack(geometry: Geometry, tables: bool) -> str:
    """IR of ``pack(...)``."""
    return Packer(geometry, tables).emit()
