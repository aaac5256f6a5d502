"""Driver: the loops around the micro-kernel - batch, blocks of columns, blocks of k, blocks of rows, tiles.

``run(record, pointers, scratch, begin, end)`` computes units ``begin <= u < end`` of a product; a unit is one
part of the rows and columns of one matrix of the batch. ``pack_x`` and ``pack_y`` pack an operand whole, for all
units to read: a unit is one panel of one block of k. They know addresses and strides in bytes only, so they are
compiled once for all element types. The record is of int64, see FIELDS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import ir
from ..emit.parts import I64, PTR, VOID
from . import micro, pack
from .brief import emit_brief, pointers
from .code import Writer, i64
from .finish import emit_finish
from .shape import KC
from .team import FUNCTION, Callee

OPERAND = (
    "row",  # stride, or the address of a table
    "k",
    "row_bytes",  # how far the operand's start moves for a row (0 for tables)
    "k_bytes",
    "row_entry",  # how far the table moves for a row (0 for strides)
    "k_entry",
    "batch",  # address of the table of the operands' starts
    "pack",  # address of the packing function, or 0 to read in place
    "slot",  # the operand's pointer
    "whole",  # the pointer to the operand packed whole, or 0
    "matrix",  # bytes from one matrix packed whole to the next
    "panels",  # of a block of k
    "panel",  # rows of a panel
    "width",  # elements that a panel takes for each k
    "stripe",  # k's that are packed at a time
)
FIELDS = (
    *(f"{name}_{field}" for name in ("x", "y") for field in OPERAND),
    "out_row",
    "out_batch",
    "out_slot",
    "m",
    "n",
    "k",
    "spans",  # parts of k, with blocks that are left side by side instead of being added, or 1
    "span",  # k's of one
    "block",  # bytes from block to block of the result then, or 0
    "parts",  # parts of a matrix
    "part_rows",  # rows and columns of a part
    "part_columns",
    "mc",
    "nc",
    "rows",  # of a tile
    "columns",
    "narrow",  # columns of a tile at the right edge
    "size",  # bytes of an element
    "depth",  # room for k's in a panel
    "together",  # k's of the blocks that a tile is added up for at a time
    "x_block",  # bytes of scratch of x, and of y, for a block of k
    "y_block",
    "y_at",  # where the scratch of y begins
    "scratch",  # bytes of scratch, of which `whole` makes its own
    "units",
    "wide_full",  # micro-kernels: tiles of all rows, and of the rows left over
    "wide_rest",
    "narrow_full",
    "narrow_rest",
    "finish",  # address of the record of what is done with the result (see `finish`), or 0
)
ARGUMENTS = (*[PTR] * 5, I64, I64)  # of ``apart``


@dataclass(frozen=True, slots=True)
class Span:
    """Rows, columns or k's from `begin` up to `end`."""

    begin: ir.Value
    end: ir.Value


@dataclass(frozen=True, slots=True)
class Tile:
    """The columns of a tile, how many its panel has room for, and which kernels compute it."""

    columns: Span
    width: ir.Value
    kind: str  # wide or narrow


@dataclass(frozen=True, slots=True)
class Panels:
    """Whether an operand is packed, and if so where a panel lies, and how far the next one and the next block of k."""

    packed: ir.Value
    start: ir.Value
    next: ir.Value
    block: ir.Value


class Driver:
    """Emits ``run(...)``, ``pack_x(...)`` and ``pack_y(...)``."""

    def __init__(self, module: ir.Module, name: str) -> None:
        self.module = module
        self.w = Writer(self.module, name, FUNCTION)
        record, self.pointers, self.scratch, self.begin, self.end = self.w.fn.args
        self.p = {name: self.w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
        self.column_bytes = self.w.b.mul(self.p["size"], self.p["depth"])  # of a packed column
        self.starts: dict[str, ir.Value] = {}
        self.whole: dict[str, ir.Value] = {}

    def begin_matrix(self, batch: ir.Value) -> None:
        """Where the operands of a matrix of the batch begin."""
        w, b, p = self.w, self.w.b, self.p
        self.batch = batch
        for name in ("x", "y", "out"):
            table = b.inttoptr(p[f"{name}_batch"], PTR)
            self.starts[name] = w.at(self.pointer(p[f"{name}_slot"]), w.word(table, batch))
        for name in ("x", "y"):
            whole = self.pointer(p[f"{name}_whole"])
            self.whole[name] = w.at(whole, b.mul(batch, p[f"{name}_matrix"]))

    def pointer(self, slot: ir.Value) -> ir.Value:
        return self.w.b.inttoptr(self.w.word(self.pointers, slot), PTR)

    def emit_pack(self, name: str) -> None:
        """Writes the function that packs an operand whole: some k's of many panels at a time, where rows are
        neighbours in memory."""
        w, b, p = self.w, self.w.b, self.p
        extent, panels = p["m" if name == "x" else "n"], p[f"{name}_panels"]
        width, part = p[f"{name}_width"], p[f"{name}_panel"]
        blocks = b.sdiv(b.add(p["k"], i64(KC - 1)), i64(KC))
        bands = b.sdiv(b.sub(b.add(self.end, panels), i64(1)), panels)  # a block of k of a matrix
        with w.loop(bands, b.sdiv(self.begin, panels)) as band:
            self.begin_matrix(b.sdiv(band.i, blocks))
            k = b.mul(b.srem(band.i, blocks), i64(KC))
            ks = Span(k, w.least(b.add(k, i64(KC)), p["k"]))
            before = b.mul(band.i, panels)
            first = b.sub(self.begin, before)
            first = b.select(b.icmp_signed(">", first, i64(0)), first, i64(0))
            last = w.least(b.sub(self.end, before), panels)
            row = b.mul(first, part)
            rows = Span(row, w.least(extent, b.mul(last, part)))
            with self.stripes(name, ks) as few:
                goal = self.from_k(self.packed_whole(name, row, ks), few, ks, width)
                self.pack(name, rows, few, goal, width, part)
        b.ret_void()

    @contextmanager
    def stripes(self, name: str, ks: Span) -> Iterator[Span]:
        """Some k's of a block after the other, few where rows of the operand are neighbours in memory: each is read in
        long runs then."""
        w, b, stripe = self.w, self.w.b, self.p[f"{name}_stripe"]
        with w.loop(ks.end, ks.begin, stripe, nonempty=True) as turn:
            yield Span(turn.i, w.least(ks.end, b.add(turn.i, stripe)))

    def from_k(self, panel: ir.Value, few: Span, ks: Span, width: ir.Value) -> ir.Value:
        """Where some of the k's of a block lie in a panel."""
        b = self.w.b
        before = b.mul(b.mul(b.sub(few.begin, ks.begin), width), self.p["size"])
        return self.w.at(panel, before)

    def packed_whole(self, name: str, row: ir.Value, ks: Span) -> ir.Value:
        """The panel that begins at a row (for y: a column) of a block of k of an operand packed whole."""
        b, p = self.w.b, self.p
        panel_bytes = b.mul(p[f"{name}_width"], self.column_bytes)
        before = b.mul(b.sdiv(ks.begin, i64(KC)), p[f"{name}_panels"])
        panel = b.add(before, b.sdiv(row, p[f"{name}_panel"]))
        return self.w.at(self.whole[name], b.mul(panel, panel_bytes))

    def emit(self) -> None:
        """Writes the function."""
        w, b, p = self.w, self.w.b, self.p
        with w.loop(self.end, self.begin) as unit:
            which, k = b.sdiv(unit.i, p["spans"]), b.mul(b.srem(unit.i, p["spans"]), p["span"])
            batch, part = b.sdiv(which, p["parts"]), b.srem(which, p["parts"])
            across = b.sdiv(b.sub(b.add(p["n"], p["part_columns"]), i64(1)), p["part_columns"])
            row = b.mul(b.sdiv(part, across), p["part_rows"])
            column = b.mul(b.srem(part, across), p["part_columns"])
            self.begin_matrix(batch)
            rows = Span(row, w.least(p["m"], b.add(row, p["part_rows"])))
            column_end = w.least(p["n"], b.add(column, p["part_columns"]))
            with w.loop(column_end, column, p["nc"]) as turn:
                columns = Span(turn.i, w.least(column_end, b.add(turn.i, p["nc"])))
                k_end = w.least(b.add(k, p["span"]), p["k"])
                with w.loop(k_end, k, p["together"]) as ks:
                    end = w.least(b.add(ks.i, p["together"]), k_end)
                    self.blocks(rows, columns, Span(ks.i, end))
        b.ret_void()

    def blocks(self, rows: Span, columns: Span, group: Span) -> None:
        """Some blocks of k of one block of columns."""
        w, b, p = self.w, self.w.b, self.p
        with (
            w.when(self.packs_here("y")),
            self.each_block(group) as (ks, nth),
            self.stripes("y", ks) as few,
        ):
            self.pack_columns(columns, ks, few, nth)
        with w.loop(rows.end, rows.begin, p["mc"], nonempty=True) as turn:
            own = Span(turn.i, w.least(rows.end, b.add(turn.i, p["mc"])))
            with w.when(self.packs_here("x")):
                self.pack_rows(own, group)
            self.across(columns, lambda tile: self.down(own, tile, columns, group))
            last = b.icmp_signed("==", group.end, p["k"])
            with w.when(b.and_(last, b.icmp_signed("!=", p["finish"], i64(0)))):
                first = b.add(b.mul(self.batch, p["m"]), own.begin)
                given = b.inttoptr(p["finish"], PTR)
                sizes = first, self.length(own), columns.begin, self.length(columns)
                b.call(self.module.globals["rectangle"], [given, self.pointers, *sizes])

    def pack_rows(self, rows: Span, group: Span) -> None:
        """Packs a block of rows of x, in the order in which it lies in memory."""
        w, b, p = self.w, self.w.b, self.p

        def some(part: Span, ks: Span, few: Span, nth: ir.Value) -> None:
            panel = self.from_k(self.packed_x(part.begin, rows, nth), few, ks, p["x_width"])
            self.pack("x", part, few, panel, p["x_width"], p["rows"])

        with b.if_else(b.icmp_signed("<", p["x_stripe"], i64(KC))) as (neighbours, apart):
            with (
                neighbours,
                self.each_block(group) as (ks, nth),
                self.stripes("x", ks) as few,
            ):
                some(rows, ks, few, nth)
            with (
                apart,
                w.loop(rows.end, rows.begin, p["rows"]) as tile,
                self.each_block(group) as (ks, nth),
            ):
                some(Span(tile.i, w.least(rows.end, b.add(tile.i, p["rows"]))), ks, ks, nth)

    @contextmanager
    def each_block(self, group: Span) -> Iterator[tuple[Span, ir.Value]]:
        """Block by block of k, and which one of the group it is."""
        w, b = self.w, self.w.b
        with w.loop(group.end, group.begin, KC, nonempty=True) as turn:
            nth = b.sdiv(b.sub(turn.i, group.begin), i64(KC))
            yield Span(turn.i, w.least(b.add(turn.i, i64(KC)), group.end)), nth

    def packs_here(self, name: str) -> ir.Value:
        """Whether units pack what they read of an operand."""
        b, p = self.w.b, self.p
        packed = b.icmp_signed("!=", p[f"{name}_pack"], i64(0))
        return b.and_(packed, b.icmp_signed("==", p[f"{name}_whole"], i64(0)))

    def across(self, columns: Span, body: Callable[[Tile], None]) -> None:
        """Goes over columns tile by tile: wide ones, then narrow ones up to the edge."""
        w, b, p = self.w, self.w.b, self.p
        edge = self.edge(columns)
        with w.loop(edge, columns.begin, p["columns"]) as turn:
            body(Tile(Span(turn.i, b.add(turn.i, p["columns"])), p["columns"], "wide"))
        with w.loop(columns.end, edge, p["narrow"]) as turn:
            end = w.least(columns.end, b.add(turn.i, p["narrow"]))
            body(Tile(Span(turn.i, end), p["narrow"], "narrow"))

    def edge(self, columns: Span) -> ir.Value:
        """Where the narrow tiles begin."""
        b = self.w.b
        return b.sub(columns.end, b.srem(self.length(columns), self.p["columns"]))

    def down(self, rows: Span, tile: Tile, columns: Span, group: Span) -> None:
        """All tiles of a block of rows in one range of columns, each for all blocks of k of the group in turn: what
        is added up stays near."""
        w, b, p = self.w, self.w.b, self.p
        wide, y_row = self.length(tile.columns), tile.columns.begin
        own_x, own_y = (
            self.packed_x(rows.begin, rows, i64(0)),
            self.packed_y(y_row, columns, i64(0)),
        )
        xs = self.panels("x", rows.begin, p["x_width"], own_x, group)
        ys = self.panels("y", y_row, tile.width, own_y, group)
        out = w.at(self.starts["out"], b.mul(rows.begin, p["out_row"]), b.mul(y_row, p["size"]))
        down = b.mul(p["rows"], p["out_row"])
        with w.loop(
            rows.end, rows.begin, p["rows"], carried=[xs.start, out], nonempty=True
        ) as turn:
            x_panel, out = turn.carried
            full = b.icmp_signed("<=", b.add(turn.i, p["rows"]), rows.end)
            kernel = b.select(full, p[f"{tile.kind}_full"], p[f"{tile.kind}_rest"])
            with self.each_block(group) as (ks, nth):
                y, _, y_step = self.operand("y", y_row, ks.begin)
                y = b.select(ys.packed, w.at(ys.start, b.mul(nth, ys.block)), y)
                y_step = b.select(ys.packed, b.mul(tile.width, p["size"]), y_step)
                x, row_step, x_step = self.operand("x", turn.i, ks.begin)
                x = b.select(xs.packed, w.at(x_panel, b.mul(nth, xs.block)), x)
                row_step = b.select(xs.packed, p["size"], row_step)
                x_step = b.select(xs.packed, b.mul(p["x_width"], p["size"]), x_step)
                count = self.length(ks)
                goal = w.at(out, b.mul(b.sdiv(ks.begin, i64(KC)), p["block"]))
                add = b.select(b.icmp_signed("==", p["block"], i64(0)), ks.begin, i64(0))
                values = [count, x, row_step, x_step, y, y_step, goal, p["out_row"], wide, add]
                self.call(kernel, micro.ARGUMENTS, values)
            turn.carried = [w.at(x_panel, xs.next), w.at(out, down)]

    def panels(
        self, name: str, row: ir.Value, width: ir.Value, own: ir.Value, group: Span
    ) -> Panels:
        """The panels of an operand from a row (for y: a column) on; `own` is where units that pack it have put it."""
        b, p = self.w.b, self.p
        size = b.mul(width, self.column_bytes)
        whole = b.icmp_signed("!=", p[f"{name}_whole"], i64(0))
        start = b.select(whole, self.packed_whole(name, row, group), own)
        block = b.select(whole, b.mul(p[f"{name}_panels"], size), p[f"{name}_block"])
        return Panels(b.icmp_signed("!=", p[f"{name}_pack"], i64(0)), start, size, block)

    # --- operands -----------------------------------------------------------------------------------

    def operand(self, name: str, row: ir.Value, k: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Start, row map and k map of the part of an operand from (row, k) on."""
        w, b, p = self.w, self.w.b, self.p
        start = w.at(
            self.starts[name], b.mul(row, p[f"{name}_row_bytes"]), b.mul(k, p[f"{name}_k_bytes"])
        )
        return (
            start,
            b.add(p[f"{name}_row"], b.mul(row, p[f"{name}_row_entry"])),
            b.add(p[f"{name}_k"], b.mul(k, p[f"{name}_k_entry"])),
        )

    def packed_x(self, row: ir.Value, rows: Span, nth: ir.Value) -> ir.Value:
        """The panel of the tile of x that begins at a row of a block, for a block of k of the group."""
        b, p = self.w.b, self.p
        panel = b.mul(b.sdiv(b.sub(row, rows.begin), p["rows"]), p["x_width"])
        return self.w.at(self.scratch, b.mul(nth, p["x_block"]), b.mul(panel, self.column_bytes))

    def packed_y(self, column: ir.Value, columns: Span, nth: ir.Value) -> ir.Value:
        """The panel of y that begins at a column of a block, for a block of k of the group."""
        b, p = self.w.b, self.p
        within = b.mul(b.sub(column, columns.begin), self.column_bytes)
        return self.w.at(self.scratch, p["y_at"], b.mul(nth, p["y_block"]), within)

    def pack_columns(self, columns: Span, ks: Span, few: Span, nth: ir.Value) -> None:
        """Packs some of the k's of a block of columns of y."""
        edge = self.edge(columns)
        for part, kind in (
            (Span(columns.begin, edge), "columns"),
            (Span(edge, columns.end), "narrow"),
        ):
            with self.w.when(self.w.b.icmp_signed("<", part.begin, part.end)):
                width = self.p[kind]
                panel = self.packed_y(part.begin, columns, nth)
                self.pack("y", part, few, self.from_k(panel, few, ks, width), width, width)

    def pack(
        self, name: str, rows: Span, ks: Span, panel: ir.Value, width: ir.Value, height: ir.Value
    ) -> None:
        """Packs a part of an operand into panels of `height` rows, `width` elements for each k."""
        start, row_map, k_map = self.operand(name, rows.begin, ks.begin)
        values = [start, row_map, k_map, panel, self.length(ks), self.length(rows), width, height]
        further = self.w.b.mul(width, self.column_bytes)
        self.call(self.p[f"{name}_pack"], pack.ARGUMENTS, [*values, further])

    def length(self, span: Span) -> ir.Value:
        """How many turns a span has."""
        return self.w.b.sub(span.end, span.begin)

    def call(
        self, address: ir.Value, arguments: tuple[ir.Type, ...], values: list[ir.Value]
    ) -> None:
        """Calls the function at an address."""
        b = self.w.b
        b.call(Callee(b.inttoptr(address, PTR), arguments), values)


def _emit_apart(module: ir.Module, run: ir.Function) -> None:
    """``apart(record, x, y, out, scratch, begin, end)``: ``run`` on operands given one by one."""
    fn = ir.Function(module, ir.FunctionType(VOID, list(ARGUMENTS)), "apart")
    b = ir.IRBuilder(fn.append_basic_block())
    record, *operands, scratch, begin, end = fn.args
    b.call(run, [record, pointers(b, operands), scratch, begin, end])
    b.ret_void()


def emit_driver(header: int) -> str:
    """IR of ``run``, ``pack_x``, ``pack_y``, ``finish``, ``apart``, ``whole``, and ``flat``, which is ``whole`` on
    array objects with this header."""
    module = ir.Module(name="driver", cold=True)  # twenty times the compile time gains nothing
    emit_finish(module)
    for name in ("x", "y"):
        Driver(module, f"pack_{name}").emit_pack(name)
    driver = Driver(module, "run")
    driver.emit()
    for place in (None, header):
        emit_brief(module, driver.w.fn, FIELDS, place)
    _emit_apart(module, driver.w.fn)
    return str(module)
