"""Inner products: blocks of k in the lanes, turned into order of k as they are read.

The products of a block wait for each other, blocks do not. So each lane sums a block of its own - of one inner
product, or of many - and a second stage adds the blocks of each up in order. Where a lane's block is shorter than
others the operands are +0 and -0: adding their product, -0, changes nothing, not even the sign of a zero.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR, VOID
from .code import ELEMENTS, I8, Writer, i64
from .shape import KC, Geometry
from .squares import strips
from .team import FUNCTION

FIELDS = (
    "x_slot",
    "y_slot",
    "out_slot",
    "sums_slot",  # room for the sum of each block, and for as many more as there are lanes
    "xs",  # addresses of the tables of where they begin
    "ys",
    "outs",
    "items",  # inner products
    "k",
    "blocks",  # of each
    "units",  # of ``dots``
    "scratch",  # bytes for the sums
)


class _Dots:
    """Emits ``dots(record, pointers, scratch, begin, end)``; a unit is as many blocks as there are lanes."""

    def __init__(self, module: ir.Module, geometry: Geometry) -> None:
        self.w = w = Writer(module, "dots", FUNCTION)
        b = w.b
        record, pointers, _, begin, end = w.fn.args
        self.p = p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        with b.goto_entry_block():
            self.places = {n: b.alloca(I64, size=self.lanes, align=64) for n in "xy"}
            self.counts = b.alloca(I64, size=self.lanes, align=64)
        self.starts = {n: b.inttoptr(w.word(pointers, p[f"{n}_slot"]), PTR) for n in "xy"}
        sums = b.inttoptr(w.word(pointers, p["sums_slot"]), PTR)
        with w.loop(end, begin) as unit:
            first = w.scaled(unit.i, self.lanes)
            total = self.blocks(first)
            w.store(total, w.at(sums, w.scaled(first, self.size)))
        b.ret_void()

    def blocks(self, first: ir.Value) -> ir.Value:
        """The sums of some blocks, one a lane."""
        w, b = self.w, self.w.b
        least, most = self.find(first)
        zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        part = 16 // self.size
        whole = b.sub(least, b.srem(least, i64(self.lanes)))
        with w.loop(whole, step=self.lanes, carried=[zero]) as turn:
            (total,) = turn.carried
            for i in range(0, self.lanes, part):
                ahead = 0 if i else self.lanes * KC * self.size
                total = self.add(b.add(turn.i, i64(i)), total, ahead=ahead)
            turn.carried = [total]
        with w.loop(most, whole, part, carried=turn.carried) as rest:
            rest.carried = [self.add(rest.i, rest.carried[0], masked=True)]
        return rest.carried[0]

    def find(self, first: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Puts down where the lanes' blocks lie; gives the least and the greatest of their lengths.

        Lanes beyond the last block have one of the last item.
        """
        w, b, p = self.w, self.w.b, self.p
        last = b.sub(p["items"], i64(1))
        item, nth = b.sdiv(first, p["blocks"]), b.srem(first, p["blocks"])
        carried = [item, nth, i64(KC), i64(0)]
        with w.loop(i64(self.lanes), carried=carried, nonempty=True) as lane:
            item, nth, least, most = lane.carried
            at = w.scaled(nth, KC * self.size)
            for name in "xy":
                start = w.word(b.inttoptr(p[f"{name}s"], PTR), w.least(item, last))
                place = b.ptrtoint(w.at(self.starts[name], start, at), I64)
                b.store(place, b.gep(self.places[name], [lane.i], source_etype=I64), align=8)
            count = w.least(i64(KC), b.sub(p["k"], w.scaled(nth, KC)))
            b.store(count, b.gep(self.counts, [lane.i], source_etype=I64), align=8)
            more = b.icmp_signed(">", count, most)
            following = b.add(nth, i64(1))
            around = b.icmp_signed("==", following, p["blocks"])
            lane.carried = [
                b.select(around, b.add(item, i64(1)), item),
                b.select(around, i64(0), following),
                w.least(least, count),
                b.select(more, count, most),
            ]
        *_, least, most = lane.carried
        return least, most

    def add(self, k: ir.Value, total: ir.Value, ahead: int = 0, masked: bool = False) -> ir.Value:
        """Adds the products of a few k's of all lanes, and asks for what lies `ahead` bytes further."""
        w, b = self.w, self.w.b
        masks = None
        if masked:
            counts = [b.sub(w.word(self.counts, i64(i)), k) for i in range(self.lanes)]
            masks = [w.first_lanes(count, 16 // self.size) for count in counts]
        offset = w.scaled(k, self.size)
        xs, ys = (
            strips(
                w,
                [w.at(b.inttoptr(w.word(self.places[n], i64(i)), PTR), offset) for i in range(self.lanes)],
                self.kind,
                masks,
                ahead,
                beyond,
            )
            for n, beyond in (("x", 0.0), ("y", -0.0))
        )  # fmt: skip
        for x, y in zip(xs, ys, strict=True):
            total = w.fma(x, y, total)
        return total


def _join(module: ir.Module, geometry: Geometry) -> None:
    """``join(record, pointers, scratch, begin, end)``: adds up the blocks of inner products; a unit is one of them."""
    w = Writer(module, "join", FUNCTION)
    b = w.b
    record, pointers, _, begin, end = w.fn.args
    p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
    sums, out = (b.inttoptr(w.word(pointers, p[f"{n}_slot"]), PTR) for n in ("sums", "out"))
    kind, size = ELEMENTS[geometry.element], geometry.size
    with w.loop(end, begin) as item:
        start = w.at(sums, w.scaled(b.mul(item.i, p["blocks"]), size))
        total = b.load(start, align=size, typ=kind)
        with w.loop(p["blocks"], i64(1), carried=[total]) as block:
            more = b.load(w.at(start, w.scaled(block.i, size)), align=size, typ=kind)
            block.carried = [b.fadd(block.carried[0], more)]
        goal = w.at(out, w.word(b.inttoptr(p["outs"], PTR), item.i))
        b.store(block.carried[0], goal, align=size)
    b.ret_void()


def _whole(module: ir.Module, name: str, header: int | None) -> None:
    """``whole(record, x, y, out)``: both stages, the sums on the stack; ``flat`` takes array objects instead."""
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * 4), name)
    b = ir.IRBuilder(fn.append_basic_block())
    record, *operands = fn.args
    if header is not None:
        operands = [b.load(b.gep(a, [i64(header)], source_etype=I8), typ=PTR) for a in operands]

    def field(name: str) -> ir.Value:
        return b.load(b.gep(record, [i64(FIELDS.index(name))], source_etype=I64), typ=I64)

    sums = b.alloca(I8, size=field("scratch"), align=64)
    pointers = b.alloca(PTR, size=4)
    for i, operand in enumerate((*operands, sums)):
        b.store(operand, b.gep(pointers, [i64(i)], source_etype=PTR), align=8)
    for stage, extent in (("dots", "units"), ("join", "items")):
        b.call(module.globals[stage], [record, pointers, sums, i64(0), field(extent)])
    b.ret_void()


def emit_dots(geometry: Geometry, header: int) -> str:
    """IR of ``dots``, ``join``, and of ``whole`` and ``flat``, which do both in one call."""
    module = ir.Module(name="dots")
    _Dots(module, geometry)
    _join(module, geometry)
    _whole(module, "whole", None)
    _whole(module, "flat", header)
    return str(module)
