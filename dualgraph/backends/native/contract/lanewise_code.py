"""Weight gradients of grouped convolutions with few channels a group (depthwise): a group in each lane.

A product for each group would be a few numbers wide and thousands of steps long, each step waiting for the one before.
Here the vectors' lanes are groups: images and cotangents are laid out pixel by pixel with the groups side by side,
and each tap has an accumulator. Per element the products are summed as everywhere: by fma in order of (sample,
position), in blocks of KC, the blocks' sums in order.
"""

from __future__ import annotations

from typing import NamedTuple

from .. import ir
from ..emit.parts import I64, PTR
from . import pack
from .code import ELEMENTS, Writer, i64
from .copy import NOWHERE
from .shape import KC, Geometry
from .team import FUNCTION, Callee

IMAGE = ("table", "lines", "lead", "count", "width", "step", "lane", "sample", "channel", "at")
FIELDS = (
    # how lines of pixels are laid out: `lead` zeros, `count` pixels, zeros
    *(f"x_{f}" for f in IMAGE),
    *(f"ct_{f}" for f in IMAGE),
    "x_slot",  # pointers
    "ct_slot",
    "out_slot",
    "pack",  # address of the packing function
    "samples",
    "groups",
    "outs",  # channels of a group
    "channels",
    "rows",  # of output positions,
    "columns",  # and how many there are in one
    "row_table",  # where each begins in the laid out image
    "tap_table",  # where rows of taps begin
    "column",  # bytes from position to position
    "lane_bytes",  # from group to group in the result
)


class Tally(NamedTuple):
    """How far a unit is: products in this block of k, and blocks before."""

    inside: ir.Value
    blocks: ir.Value


class _Lanewise:
    """Emits ``lanewise(record, pointers, scratch, begin, end)``; a unit is some groups and a pair of channels."""

    def __init__(self, geometry: Geometry, rows: int, columns: int, dilation: int) -> None:
        self.module = ir.Module(name="lanewise")
        self.w = w = Writer(self.module, "lanewise", FUNCTION)
        given, pointers, self.scratch, self.begin, self.end = w.fn.args
        self.p = {name: w.word(given, i64(i)) for i, name in enumerate(FIELDS)}
        self.x, self.ct, self.out = (
            w.b.inttoptr(w.word(pointers, self.p[f"{name}_slot"]), PTR)
            for name in ("x", "ct", "out")
        )
        self.lanes, self.size = geometry.lanes, geometry.size
        self.pixel = self.lanes * self.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        taps = [(r, c * dilation * self.pixel) for r in range(rows) for c in range(columns)]
        step = geometry.registers - 6
        self.chunks = [taps[i : i + step] for i in range(0, len(taps), step)]
        self.count = len(taps)

    def emit(self) -> str:
        """IR of the module."""
        w, b, p = self.w, self.w.b, self.p
        with w.loop(self.end, self.begin) as unit:
            channel, rest = b.srem(unit.i, p["channels"]), b.sdiv(unit.i, p["channels"])
            own, first = b.srem(rest, p["outs"]), w.scaled(b.sdiv(rest, p["outs"]), self.lanes)
            valid = w.least(i64(self.lanes), b.sub(p["groups"], first))
            for t in range(self.count):
                w.store(self.zero, self.sum_at(t))
            with w.loop(p["samples"], carried=[i64(0), i64(0)]) as sample:
                self.lay_out("x", self.x, sample.i, first, channel, valid)
                self.lay_out("ct", self.ct, sample.i, first, own, valid)
                with w.loop(p["rows"], carried=sample.carried) as row:
                    start = w.word(b.inttoptr(p["row_table"], PTR), row.i)
                    at = w.at(self.scratch, p["x_at"], start)
                    cts = b.mul(b.mul(row.i, p["columns"]), i64(self.pixel))
                    ct = w.at(self.scratch, p["ct_at"], cts)
                    row.carried = list(self.row(at, ct, Tally(*row.carried)))
                sample.carried = row.carried
            tally = Tally(*sample.carried)
            with w.when(b.icmp_signed("!=", tally.inside, i64(0))):
                self.flush(tally.blocks)
            outs = b.mul(b.add(b.mul(first, p["outs"]), own), p["channels"])
            goal = w.at(self.out, w.scaled(b.add(outs, channel), self.count * self.size))
            iota = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
            apart = b.mul(iota, w.splat(p["lane_bytes"], self.lanes))
            used = w.first_lanes(valid, self.lanes)
            for t in range(self.count):
                total = w.load(self.total_at(t), self.kind)
                w.scatter(total, w.at(goal, i64(t * self.size)), apart, used)
        b.ret_void()
        return str(self.module)

    def sum_at(self, tap: int) -> ir.Value:
        """Where a tap's sum of this block is kept between rows."""
        return self.w.at(self.scratch, i64(tap * self.pixel))

    def total_at(self, tap: int) -> ir.Value:
        """Where a tap's sum of the blocks before is kept."""
        return self.sum_at(self.count + tap)

    def lay_out(
        self,
        name: str,
        start: ir.Value,
        sample: ir.Value,
        group: ir.Value,
        channel: ir.Value,
        valid: ir.Value,
    ) -> None:
        """Puts an image's pixels in order, the groups side by side in each."""
        w, b = self.w, self.w.b
        f = {field: self.p[f"{name}_{field}"] for field in IMAGE}
        source = w.at(
            start,
            b.mul(sample, f["sample"]),
            b.mul(group, f["lane"]),
            b.mul(channel, f["channel"]),
        )
        with w.loop(f["lines"]) as line:
            offset = w.word(b.inttoptr(f["table"], PTR), line.i)
            there = b.icmp_signed("!=", offset, i64(NOWHERE))
            count = b.select(there, f["count"], i64(0))
            goal = w.at(self.scratch, f["at"], w.scaled(b.mul(line.i, f["width"]), self.pixel))
            with w.loop(f["lead"]) as turn:
                w.store(self.zero, w.at(goal, w.scaled(turn.i, self.pixel)))
            with w.when(b.icmp_signed(">", count, i64(0))):
                panel = w.at(goal, w.scaled(f["lead"], self.pixel))
                callee = Callee(b.inttoptr(self.p["pack"], PTR), pack.ARGUMENTS)
                values = [f["lane"], f["step"], panel, count, valid, i64(self.lanes), valid, i64(0)]
                b.call(callee, [w.at(source, offset), *values])
            # packing may write some pixels beyond the last: they are those below, or the next line's
            with w.loop(f["width"], b.add(f["lead"], count)) as turn:
                w.store(self.zero, w.at(goal, w.scaled(turn.i, self.pixel)))

    def row(self, x: ir.Value, ct: ir.Value, tally: Tally) -> Tally:
        """Adds the products of a row of positions, a run at a time that ends where a block of k does."""
        w, b, p = self.w, self.w.b, self.p
        entry = b.block
        body, after = w.fn.append_basic_block("run"), w.fn.append_basic_block("row_done")
        b.branch(body)
        b.position_at_end(body)
        done, inside, blocks = (b.phi(I64) for _ in range(3))
        for phi, value in ((done, i64(0)), (inside, tally.inside), (blocks, tally.blocks)):
            phi.add_incoming(value, entry)
        run = w.least(b.sub(p["columns"], done), b.sub(i64(KC), inside))
        self.run(w.at(x, b.mul(done, p["column"])), w.at(ct, w.scaled(done, self.pixel)), run)
        so_far = b.add(inside, run)
        full = b.icmp_signed("==", so_far, i64(KC))
        with w.when(full):
            self.flush(blocks)
        left = b.select(full, i64(0), so_far)
        more = b.add(blocks, b.zext(full, I64))
        place = b.add(done, run)
        last = b.block
        for phi, value in ((done, place), (inside, left), (blocks, more)):
            phi.add_incoming(value, last)
        b.cbranch(b.icmp_signed("<", place, p["columns"]), body, after)
        b.position_at_end(after)
        return Tally(left, more)

    def run(self, x: ir.Value, ct: ir.Value, count: ir.Value) -> None:
        """Adds the products of some positions to the sums of all taps."""
        w, b = self.w, self.w.b
        offsets = b.inttoptr(self.p["tap_table"], PTR)
        tap = 0
        for chunk in self.chunks:
            rows = list(dict.fromkeys(r for r, _ in chunk))
            starts = [w.at(x, w.word(offsets, i64(r))) for r in rows]
            places = [self.sum_at(tap + t) for t in range(len(chunk))]
            sums = [w.load(place, self.kind) for place in places]
            carried = [*starts, ct, *sums]
            with w.loop(count, carried=carried, nonempty=True) as turn:
                *pointers, factor_at = turn.carried[: len(rows) + 1]
                factor = w.load(factor_at, self.kind)
                after = [
                    w.fma(w.load(w.at(pointers[rows.index(r)], i64(at)), self.kind), factor, total)
                    for (r, at), total in zip(chunk, turn.carried[len(rows) + 1 :], strict=True)
                ]
                moved = [w.at(q, self.p["column"]) for q in pointers]
                turn.carried = [*moved, w.at(factor_at, i64(self.pixel)), *after]
            for place, total in zip(places, turn.carried[len(rows) + 1 :], strict=True):
                w.store(total, place)
            tap += len(chunk)

    def flush(self, blocks: ir.Value) -> None:
        """Adds the sums of a block to those before, and begins the next from +0."""
        w, b = self.w, self.w.b
        first = b.icmp_signed("==", blocks, i64(0))
        for t in range(self.count):
            total, before = w.load(self.sum_at(t), self.kind), w.load(self.total_at(t), self.kind)
            w.store(b.select(first, total, b.fadd(before, total)), self.total_at(t))
            w.store(self.zero, self.sum_at(t))


def emit_lanewise(geometry: Geometry, rows: int, columns: int, dilation: int) -> str:
    """IR of ``lanewise`` for `rows` of taps with so many `columns`, `dilation` pixels apart."""
    return _Lanewise(geometry, rows, columns, dilation).emit()
