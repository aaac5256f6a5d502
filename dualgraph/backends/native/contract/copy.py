"""Copying: lines of an image go to memory of their own, with zeros around them, in native code.

``copy(source, target, table, places, begin, end, lead, count, width, step)``: line i of the target, which begins
at ``target + places[i]``, gets `width` elements: `lead` zeros, `count` elements `step` bytes apart from
``source + table[i]`` on, and zeros to the end; where ``table[i]`` is NOWHERE it is all zeros.
"""

from __future__ import annotations

from llvmlite import ir

from ..llvm_parts import I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry

NOWHERE = -(2**62)
ARGUMENTS = (*[PTR] * 4, *[I64] * 6)


def emit_copy(geometry: Geometry) -> str:
    """IR of ``copy(...)``."""
    module = ir.Module(name="copy")
    w = Writer(module, "copy", ARGUMENTS)
    b, lanes, size = w.b, geometry.lanes, geometry.size
    source, target, table, places, begin, end, lead, count, width, step = w.fn.args
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    iota = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
    spread = b.mul(iota, w.splat(step, lanes))
    with w.loop(end, begin) as line:
        offset = w.word(table, line.i)
        goal = w.at(target, w.word(places, line.i))
        there = b.icmp_signed("!=", offset, i64(NOWHERE))
        start = w.at(source, b.select(there, offset, i64(0)))
        reach = b.select(there, count, i64(0))
        with w.loop(width, step=lanes) as turn:
            first = b.sub(turn.i, lead)  # the element that lane 0 would get
            place = w.at(start, b.mul(first, step))
            element = b.add(iota, w.splat(first, lanes))
            inside = b.and_(
                b.icmp_signed(">=", element, w.splat(i64(0), lanes)),
                b.icmp_signed("<", element, w.splat(reach, lanes)),
            )
            with b.if_else(b.icmp_signed("==", step, i64(size))) as (near, far):
                with near:
                    x = w.load(place, kind, inside)
                    from_near = b.block
                with far:
                    y = w.gather(place, spread, kind, inside)
                    from_far = b.block
            value = b.phi(kind)
            value.add_incoming(x, from_near)
            value.add_incoming(y, from_far)
            rest = w.first_lanes(b.sub(width, turn.i), lanes)
            w.store(value, w.at(goal, w.scaled(turn.i, size)), rest)
    b.ret_void()
    return str(module)
