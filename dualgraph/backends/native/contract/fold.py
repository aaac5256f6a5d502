"""Fold: the sums of a product's blocks of k, each made for itself, are added in order.

So blocks may be given to threads, where a product has few rows and columns but many k's: the bits are those of a
product that goes through its blocks one after the other.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry
from .team import FUNCTION

FIELDS = ("source", "target", "blocks", "block", "elements")  # slots; bytes from block to block
UNIT = 512  # elements
VECTORS = 4  # added side by side


def emit_fold(geometry: Geometry) -> str:
    """IR of ``fold(record, pointers, scratch, begin, end)``: units are some elements of the sum."""
    module = ir.Module(name="fold")
    w = Writer(module, "fold", FUNCTION)
    b, lanes, size = w.b, geometry.lanes, geometry.size
    record, pointers, _, begin, end = w.fn.args
    p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
    source, target = (b.inttoptr(w.word(pointers, p[name]), PTR) for name in ("source", "target"))
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    last = w.least(p["elements"], w.scaled(end, UNIT))
    with w.loop(last, w.scaled(begin, UNIT), lanes * VECTORS) as turn:
        at = [b.add(turn.i, i64(v * lanes)) for v in range(VECTORS)]
        counts = [b.sub(last, first) for first in at]
        masks = [w.first_lanes(count, lanes) for count in counts]
        offsets = [w.scaled(first, size) for first in at]
        sums = [w.load(w.at(source, o), kind, m) for o, m in zip(offsets, masks, strict=True)]
        with w.loop(p["blocks"], i64(1), carried=sums) as block:
            place = w.at(source, b.mul(block.i, p["block"]))
            more = [w.load(w.at(place, o), kind, m) for o, m in zip(offsets, masks, strict=True)]
            block.carried = [b.fadd(x, y) for x, y in zip(block.carried, more, strict=True)]
        for x, o, count in zip(block.carried, offsets, counts, strict=True):
            w.store_first(x, w.at(target, o), count)
    b.ret_void()
    return str(module)
