"""Copying: lines of an image go to memory of their own, with zeros around them, in native code.

A stage whose units are lines. Its record is the slots of source and target and the number of parts, then for each
part ``table, places, at, lead, count, width, step, goal``: line i of the target, which begins at
``target + at + places[i]``, gets `width` elements, `goal` bytes apart: `lead` zeros, `count` elements `step` bytes
apart from ``source + table[i]`` on, and zeros to the end; where ``table[i]`` is NOWHERE it is all zeros.
"""

from __future__ import annotations

from .. import ir
from ..llvm_parts import I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry
from .team import FUNCTION

NOWHERE = -(2**62)
HEAD = ("source", "target", "parts")
PART = ("table", "places", "at", "lead", "count", "width", "step", "goal")


def emit_copy(geometry: Geometry) -> str:
    """IR of ``copy(record, pointers, scratch, begin, end)``."""
    module = ir.Module(name="copy")
    w = Writer(module, "copy", FUNCTION)
    b, size = w.b, geometry.size
    record, pointers, _, begin, end = w.fn.args
    from_, to, parts = (w.word(record, i64(j)) for j in range(len(HEAD)))
    source, target = (b.inttoptr(w.word(pointers, slot), PTR) for slot in (from_, to))
    with w.loop(parts) as part:
        entry = w.at(record, b.add(i64(8 * len(HEAD)), w.scaled(part.i, 8 * len(PART))))
        fields = {name: w.word(entry, i64(j)) for j, name in enumerate(PART)}
        table, places = (b.inttoptr(fields[name], PTR) for name in ("table", "places"))
        with w.loop(end, begin) as line:
            offset = w.word(table, line.i)
            goal = w.at(target, fields["at"], w.word(places, line.i))
            there = b.icmp_signed("!=", offset, i64(NOWHERE))
            start = w.at(source, b.select(there, offset, i64(0)))
            reach = b.select(there, fields["count"], i64(0))
            near = b.and_(
                b.icmp_signed("==", fields["step"], i64(size)),
                b.icmp_signed("==", fields["goal"], i64(size)),
            )
            with b.if_else(near) as (then, other):
                with then:
                    _line(w, geometry, goal, start, reach, fields, near=True)
                with other:
                    _line(w, geometry, goal, start, reach, fields, near=False)
    b.ret_void()
    return str(module)


def _line(
    w: Writer,
    geometry: Geometry,
    goal: ir.Value,
    start: ir.Value,
    reach: ir.Value,
    fields: dict[str, ir.Value],
    near: bool,
) -> None:
    """One line: vectors where elements lie side by side, else gathered and scattered."""
    b, lanes, size = w.b, geometry.lanes, geometry.size
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    iota = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
    lead, width = fields["lead"], fields["width"]
    inner = b.add(lead, reach)
    with w.loop(width, step=lanes) as turn:
        first = b.sub(turn.i, lead)  # the element that lane 0 would get
        last = b.add(turn.i, i64(lanes))
        place = w.at(start, b.mul(first, fields["step"]))
        element = b.add(iota, w.splat(first, lanes))
        inside = b.and_(
            b.icmp_signed(">=", element, w.splat(i64(0), lanes)),
            b.icmp_signed("<", element, w.splat(reach, lanes)),
        )
        rest = w.first_lanes(b.sub(width, turn.i), lanes)
        if near:
            stop = w.least(inner, width)
            whole = b.and_(b.icmp_signed(">=", first, i64(0)), b.icmp_signed("<=", last, stop))
            here = w.at(goal, w.scaled(turn.i, size))
            with b.if_else(whole) as (then, other):
                with then:
                    w.store(w.load(place, kind), here)
                with other:
                    w.store(w.load(place, kind, inside), here, rest)
        else:
            spread = b.mul(iota, w.splat(fields["step"], lanes))
            apart = b.mul(iota, w.splat(fields["goal"], lanes))
            value = w.gather(place, spread, kind, inside)
            w.scatter(value, w.at(goal, b.mul(turn.i, fields["goal"])), apart, rest)
