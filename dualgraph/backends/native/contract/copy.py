"""Copying: lines of an image go to memory of their own, with zeros around them, in native code.

A stage whose units are lines. Its record is the slots of source and target and the number of parts, then for each
part ``table, places, at, lead, count, width, step, goal``: line i of the target, which begins at
``target + at + places[i]``, gets `width` elements, `goal` bytes apart: `lead` zeros, `count` elements `step` bytes
apart from ``source + table[i]`` on, and zeros to the end; where ``table[i]`` is NOWHERE it is all zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import ir
from ..llvm_parts import I32, I64, PTR
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
            steps, together = fields["step"], b.icmp_signed("==", fields["goal"], i64(size))
            near = b.and_(together, b.icmp_signed("==", steps, i64(size)))
            twice = b.and_(together, b.icmp_signed("==", steps, i64(2 * size)))
            line = _Line(w, geometry, goal, start, reach, fields)
            with b.if_else(near) as (then, other):
                with then:
                    line.near()
                with other, b.if_else(twice) as (then, other):
                    with then:
                        line.twice()
                    with other:
                        line.far()
    b.ret_void()
    return str(module)


class _Line:
    """One line: elements side by side at both ends, or every second one to places side by side, or anywhere."""

    def __init__(
        self,
        w: Writer,
        geometry: Geometry,
        goal: ir.Value,
        start: ir.Value,
        reach: ir.Value,
        fields: dict[str, ir.Value],
    ) -> None:
        self.w, self.goal, self.start, self.reach, self.fields = w, goal, start, reach, fields
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.width, self.lead = fields["width"], fields["lead"]

    def near(self) -> None:
        w, b = self.w, self.w.b
        end = w.least(b.add(self.lead, self.reach), self.width)
        with self.turns() as (i, first, place):
            last = b.add(i, i64(self.lanes))
            whole = b.and_(b.icmp_signed(">=", first, i64(0)), b.icmp_signed("<=", last, end))
            here = w.at(self.goal, w.scaled(i, self.size))
            with b.if_else(whole) as (then, other):
                with then:
                    w.store(w.load(place, self.kind), here)
                with other:
                    inside = self.inside(first)
                    w.store(w.load(place, self.kind, inside), here, self.rest(i))

    def twice(self) -> None:
        """The second vector begins at the last element of the first, so that nothing beyond the line is read."""
        w, b, lanes = self.w, self.w.b, self.lanes
        even = [*range(0, lanes, 2), *range(lanes + 1, 2 * lanes, 2)]
        with self.turns() as (i, first, place):
            low, high = w.scaled(b.neg(first), 2), w.scaled(b.sub(self.reach, first), 2)
            last = b.sub(high, i64(1))
            halves = []
            for start in (0, lanes - 1):
                mask = w.between(b.sub(low, i64(start)), b.sub(last, i64(start)), lanes)
                halves.append(w.load(w.at(place, i64(start * self.size)), self.kind, mask))
            value = b.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, lanes), even))
            w.store(value, w.at(self.goal, w.scaled(i, self.size)), self.rest(i))

    def far(self) -> None:
        w, b, lanes = self.w, self.w.b, self.lanes
        iota = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
        spread = b.mul(iota, w.splat(self.fields["step"], lanes))
        apart = b.mul(iota, w.splat(self.fields["goal"], lanes))
        with self.turns() as (i, first, place):
            value = w.gather(place, spread, self.kind, self.inside(first))
            w.scatter(value, w.at(self.goal, b.mul(i, self.fields["goal"])), apart, self.rest(i))

    @contextmanager
    def turns(self) -> Iterator[tuple[ir.Value, ir.Value, ir.Value]]:
        """Vectors of the line: its first place, the element that belongs there, and where that lies."""
        w, b = self.w, self.w.b
        with w.loop(self.width, step=self.lanes) as turn:
            first = b.sub(turn.i, self.lead)
            yield turn.i, first, w.at(self.start, b.mul(first, self.fields["step"]))

    def inside(self, first: ir.Value) -> ir.Value:
        """The mask of lanes whose element, so many after the first, is one of the line's."""
        b = self.w.b
        return self.w.between(b.neg(first), b.sub(self.reach, first), self.lanes)

    def rest(self, i: ir.Value) -> ir.Value:
        """The mask of lanes that are on the line."""
        return self.w.between(i64(0), self.w.b.sub(self.width, i), self.lanes)
