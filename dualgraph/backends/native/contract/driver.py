"""Driver: the loops around the micro-kernel - batch, blocks of columns, blocks of k, blocks of rows, tiles.

``run(plan, x, y, out, scratch, begin, end)`` computes units ``begin <= u < end`` of a product; a unit is
one part of the rows or columns of one matrix of the batch. It knows addresses and strides in bytes only, so it
is compiled once for all element types. The plan is a record of int64, see FIELDS.
"""

from __future__ import annotations

from llvmlite import ir

from ..llvm_parts import I64, PTR, VOID
from . import micro, pack
from .code import I8, Writer, i64
from .shape import KC

OPERAND = (
    "row",  # stride, or the address of a table
    "k",
    "row_bytes",  # how far the operand's start moves for a row (0 for tables)
    "k_bytes",
    "row_entry",  # how far the table moves for a row (0 for strides)
    "k_entry",
    "batch",  # address of the table of the operands' starts
    "pack",  # address of the packing function, or 0 to read in place
)
FIELDS = (
    *(f"{name}_{field}" for name in ("x", "y") for field in OPERAND),
    "out_row",
    "out_batch",
    "m",
    "n",
    "k",
    "parts",  # parts of a matrix
    "part_rows",  # rows and columns of a part
    "part_columns",
    "mc",
    "nc",
    "rows",  # of a tile
    "columns",
    "narrow",  # columns of a tile at the right edge
    "size",  # bytes of an element
    "x_width",  # elements that a packed column of x takes
    "depth",  # room for k's in a panel
    "y_at",  # where the scratch of y begins
    "scratch",  # bytes of scratch, of which `whole` makes its own
    "units",
    "wide_full",  # micro-kernels: tiles of all rows, and of the rows left over
    "wide_rest",
    "narrow_full",
    "narrow_rest",
)
ARGUMENTS = (PTR, PTR, PTR, PTR, PTR, I64, I64)


class Driver:
    """Emits ``run(...)``."""

    def __init__(self) -> None:
        self.module = ir.Module(name="driver")
        self.w = Writer(self.module, "run", ARGUMENTS)
        plan, self.x, self.y, self.out, self.scratch, self.begin, self.end = self.w.fn.args
        self.p = {name: self.w.word(plan, i64(i)) for i, name in enumerate(FIELDS)}
        self.column_bytes = self.w.b.mul(self.p["size"], self.p["depth"])  # of a packed column

    def emit(self) -> None:
        """Writes the function."""
        w, b, p = self.w, self.w.b, self.p
        with w.loop(self.end, self.begin) as unit:
            batch, part = b.sdiv(unit.i, p["parts"]), b.srem(unit.i, p["parts"])
            across = b.sdiv(b.sub(b.add(p["n"], p["part_columns"]), i64(1)), p["part_columns"])
            row = b.mul(b.sdiv(part, across), p["part_rows"])
            column = b.mul(b.srem(part, across), p["part_columns"])
            self.starts = [
                w.at(operand, w.word(b.inttoptr(p[f"{name}_batch"], PTR), batch))
                for name, operand in (("x", self.x), ("y", self.y), ("out", self.out))
            ]
            row_end = w.least(p["m"], b.add(row, p["part_rows"]))
            column_end = w.least(p["n"], b.add(column, p["part_columns"]))
            with w.loop(column_end, column, p["nc"]) as block:
                end = w.least(column_end, b.add(block.i, p["nc"]))
                with w.loop(p["k"], step=KC) as ks:
                    self.block(row, row_end, block.i, end, ks.i)
        b.ret_void()

    def block(
        self, row: ir.Value, row_end: ir.Value, column: ir.Value, column_end: ir.Value, k: ir.Value
    ) -> None:
        """One block of k of one block of columns."""
        w, b, p = self.w, self.w.b, self.p
        count = w.least(i64(KC), b.sub(p["k"], k))
        ys = w.at(self.scratch, p["y_at"])
        with w.when(b.icmp_signed("!=", p["y_pack"], i64(0))):
            self.tiles(
                column,
                column_end,
                lambda j, n, width, _wide: self.pack(
                    "y", j, k, count, n, w.at(ys, b.mul(b.sub(j, column), self.column_bytes)), width
                ),
            )
        with w.loop(row_end, row, p["mc"], nonempty=True) as rows:
            end = w.least(row_end, b.add(rows.i, p["mc"]))
            with (
                w.when(b.icmp_signed("!=", p["x_pack"], i64(0))),
                w.loop(end, rows.i, p["rows"]) as tile,
            ):
                n = w.least(p["rows"], b.sub(end, tile.i))
                self.pack("x", tile.i, k, count, n, self.packed_x(tile.i, rows.i), p["x_width"])
            self.tiles(
                column,
                column_end,
                lambda j, n, width, wide: self.column_of_tiles(
                    rows.i, end, j, n, width, wide, k, count, b.sub(j, column)
                ),
            )

    def tiles(self, begin: ir.Value, end: ir.Value, body) -> None:
        """``body(column, columns, width, wide)`` for wide tiles, then for narrow ones up to the edge."""
        w, b, p = self.w, self.w.b, self.p
        rest = b.srem(b.sub(end, begin), p["columns"])
        edge = b.sub(end, rest)
        with w.loop(edge, begin, p["columns"]) as tile:
            body(tile.i, p["columns"], p["columns"], True)
        with w.loop(end, edge, p["narrow"]) as tile:
            body(tile.i, w.least(p["narrow"], b.sub(end, tile.i)), p["narrow"], False)

    def packed_x(self, row: ir.Value, first: ir.Value) -> ir.Value:
        b, p = self.w.b, self.p
        panel = b.sdiv(b.sub(row, first), p["rows"])
        return self.w.at(self.scratch, b.mul(b.mul(panel, p["x_width"]), self.column_bytes))

    def operand(self, name: str, row: ir.Value, k: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Start, row map and k map of the part of an operand from (row, k) on."""
        w, b, p = self.w, self.w.b, self.p
        start = self.starts[0 if name == "x" else 1]
        start = w.at(start, b.mul(row, p[f"{name}_row_bytes"]), b.mul(k, p[f"{name}_k_bytes"]))
        return (
            start,
            b.add(p[f"{name}_row"], b.mul(row, p[f"{name}_row_entry"])),
            b.add(p[f"{name}_k"], b.mul(k, p[f"{name}_k_entry"])),
        )

    def pack(
        self,
        name: str,
        row: ir.Value,
        k: ir.Value,
        count: ir.Value,
        n: ir.Value,
        panel: ir.Value,
        width: ir.Value,
    ) -> None:
        b, p = self.w.b, self.p
        start, rows, ks = self.operand(name, row, k)
        self.call(p[f"{name}_pack"], pack.ARGUMENTS, [start, rows, ks, panel, count, n, width])

    def call(
        self, address: ir.Value, arguments: tuple[ir.Type, ...], values: list[ir.Value]
    ) -> None:
        b = self.w.b
        b.call(_Callee(b.inttoptr(address, PTR), arguments), values)

    def column_of_tiles(
        self,
        row: ir.Value,
        row_end: ir.Value,
        column: ir.Value,
        columns: ir.Value,
        width: ir.Value,
        wide: bool,
        k: ir.Value,
        count: ir.Value,
        within: ir.Value,
    ) -> None:
        """All tiles of a block of rows in one range of columns."""
        w, b, p = self.w, self.w.b, self.p
        kind = "wide" if wide else "narrow"
        y, _, y_step = self.operand("y", column, k)
        packed = b.icmp_signed("!=", p["y_pack"], i64(0))
        panel = w.at(self.scratch, p["y_at"], b.mul(within, self.column_bytes))
        y = b.select(packed, panel, y)
        y_step = b.select(packed, b.mul(width, p["size"]), y_step)
        x_packed = b.icmp_signed("!=", p["x_pack"], i64(0))
        with w.loop(row_end, row, p["rows"], nonempty=True) as tile:
            full = b.icmp_signed("<=", b.add(tile.i, p["rows"]), row_end)
            x, row_step, x_step = self.operand("x", tile.i, k)
            x = b.select(x_packed, self.packed_x(tile.i, row), x)
            row_step = b.select(x_packed, p["size"], row_step)
            x_step = b.select(x_packed, b.mul(p["x_width"], p["size"]), x_step)
            out = w.at(self.starts[2], b.mul(tile.i, p["out_row"]), b.mul(column, p["size"]))
            kernel = b.select(full, p[f"{kind}_full"], p[f"{kind}_rest"])
            self.call(
                kernel,
                micro.ARGUMENTS,
                [count, x, row_step, x_step, y, y_step, out, p["out_row"], columns, k],
            )


class _Callee:
    """A function known by its address."""

    def __init__(self, address: ir.Value, arguments: tuple[ir.Type, ...]) -> None:
        self.function_type = ir.FunctionType(VOID, list(arguments))
        self.type, self.get_reference = address.type, address.get_reference


def _emit_whole(module: ir.Module, run: ir.Function, header: int | None) -> None:
    """``whole(plan, x, y, out)``: all units, with scratch on the stack. With `header` the operands are array
    objects that hold the pointer to their elements so many bytes from their start."""
    fn = ir.Function(
        module, ir.FunctionType(VOID, [PTR] * 4), "whole" if header is None else "flat"
    )
    b = ir.IRBuilder(fn.append_basic_block())
    plan, *operands = fn.args
    if header is not None:
        operands = [b.load(b.gep(a, [i64(header)], source_etype=I8), typ=PTR) for a in operands]

    def field(name: str) -> ir.Value:
        return b.load(b.gep(plan, [i64(FIELDS.index(name))], source_etype=I64), typ=I64)

    scratch = b.alloca(I8, size=field("scratch"))
    scratch.align, scratch.type = 64, PTR
    b.call(run, [plan, *operands, scratch, i64(0), field("units")])
    b.ret_void()


def emit_driver(header: int) -> str:
    """IR of ``run``, ``whole`` and ``flat``, which is ``whole`` on array objects with this header."""
    driver = Driver()
    driver.emit()
    for place in (None, header):
        _emit_whole(driver.module, driver.w.fn, place)
    return str(driver.module)
