"""Copying: lines of an image go to memory of their own, with zeros around them, in native code.

A stage whose units are lines. Its record is the slots of source and target and the number of parts, then for each
part ``table, places, at, lead, count, width, step, goal``: line i of the target, which begins at
``target + at + places[i]``, gets `width` elements, `goal` bytes apart: `lead` zeros, `count` elements `step` bytes
apart from ``source + table[i]`` on, and zeros to the end; where ``table[i]`` is NOWHERE it is all zeros.

Short lines go in groups: the first vector of each, then the second, so that masks are made once for all of them.
Where that costs more than masks do, as lines are read out of order, they go one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import ir
from ..emit.parts import I32, I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry
from .team import FUNCTION

NOWHERE = -(2**62)
HEAD = ("source", "target", "parts")
PART = ("table", "places", "at", "lead", "count", "width", "step", "goal")
TOGETHER = 256  # elements of a group
# vectors of lines that go in groups; lines whose every second element is read may be longer
FEW = 2
Move = Callable[[ir.Value, ir.Value], None]  # a vector from the source to the target


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
        steps, together = fields["step"], b.icmp_signed("==", fields["goal"], i64(size))
        near = b.and_(together, b.icmp_signed("==", steps, i64(size)))
        twice = b.and_(together, b.icmp_signed("==", steps, i64(2 * size)))
        lines = _Lines(w, geometry, source, target, fields, begin, end)
        with b.if_else(near) as (then, other):
            with then:
                lines.near()
            with other, b.if_else(twice) as (then, other):
                with then:
                    lines.twice()
                with other:
                    lines.far()
    b.ret_void()
    return str(module)


class _Lines:
    """Lines of a part: elements side by side at both ends, or every second one to places side by side, or anywhere."""

    def __init__(
        self,
        w: Writer,
        geometry: Geometry,
        source: ir.Value,
        target: ir.Value,
        fields: dict[str, ir.Value],
        begin: ir.Value,
        end: ir.Value,
    ) -> None:
        self.w, self.fields, self.begin, self.end = w, fields, begin, end
        self.source, self.target = source, w.at(target, fields["at"])
        self.table, self.places = (w.b.inttoptr(fields[n], PTR) for n in ("table", "places"))
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        self.width, self.lead = fields["width"], fields["lead"]

    def near(self) -> None:
        """Elements that lie side by side, a vector at a time."""
        w = self.w

        def whole(place: ir.Value, here: ir.Value) -> None:
            w.store(w.load(place, self.kind), here)

        def some(first: ir.Value, rest: ir.Value) -> Move:
            inside = self.inside(first)
            return lambda place, here: w.store_first(w.load(place, self.kind, inside), here, rest)

        self.vectors(whole, some)

    def twice(self) -> None:
        """The second vector begins at the last element of the first, so that nothing beyond the line is read."""
        w, b, lanes = self.w, self.w.b, self.lanes
        even = [*range(0, lanes, 2), *range(lanes + 1, 2 * lanes, 2)]
        pick = ir.Constant(ir.VectorType(I32, lanes), even)
        starts = (0, lanes - 1)

        def half(place: ir.Value, start: int, mask: ir.Value | None = None) -> ir.Value:
            return w.load(w.at(place, i64(start * self.size)), self.kind, mask)

        def whole(place: ir.Value, here: ir.Value) -> None:
            low, high = (half(place, s) for s in starts)
            w.store(b.shuffle_vector(low, high, pick), here)

        def some(first: ir.Value, rest: ir.Value) -> Move:
            low, high = w.scaled(b.neg(first), 2), w.scaled(b.sub(self.fields["count"], first), 2)
            last = b.sub(high, i64(1))
            masks = [w.between(b.sub(low, i64(s)), b.sub(last, i64(s)), lanes) for s in starts]

            def move(place: ir.Value, here: ir.Value) -> None:
                low, high = (half(place, s, m) for s, m in zip(starts, masks, strict=True))
                w.store_first(b.shuffle_vector(low, high, pick), here, rest)

            return move

        self.vectors(whole, some)

    def far(self) -> None:
        """Elements of the target that do not lie side by side, one by one."""
        w, b, lanes = self.w, self.w.b, self.lanes
        iota = ir.Constant(ir.VectorType(I64, lanes), list(range(lanes)))
        spread = b.mul(iota, w.splat(self.fields["step"], lanes))
        apart = b.mul(iota, w.splat(self.fields["goal"], lanes))

        def some(first: ir.Value, rest: ir.Value) -> Move:
            inside = self.inside(first)

            def move(place: ir.Value, here: ir.Value) -> None:
                w.scatter(w.gather(place, spread, self.kind, inside), here, apart, rest)

            return move

        with self.turns() as (i, first, rest):
            on_line = w.between(i64(0), rest, lanes)
            move = some(first, on_line)
            self.each(i, first, move, lambda here: w.scatter(self.zero, here, apart, on_line))

    def vectors(self, whole: Move, some: Callable[[ir.Value, ir.Value], Move]) -> None:
        """Vectors whose places are neighbours: those with all lanes in use, and others."""
        w, b = self.w, self.w.b
        end = w.least(b.add(self.lead, self.fields["count"]), self.width)
        with self.turns() as (i, first, rest):
            last = b.add(i, i64(self.lanes))
            full = b.and_(b.icmp_signed(">=", first, i64(0)), b.icmp_signed("<=", last, end))
            with b.if_else(full) as (then, other):
                with then:
                    self.each(i, first, whole, lambda here: w.store(self.zero, here))
                with other:
                    move = some(first, rest)
                    self.each(i, first, move, lambda here: w.store_first(self.zero, here, rest))

    @contextmanager
    def turns(self) -> Iterator[tuple[ir.Value, ir.Value, ir.Value]]:
        """Vectors of all lines of a group: the first place, the element that belongs there, how many places there are
        from there on. The last vector of a line is whole, too, where the line has room for it."""
        w, b = self.w, self.w.b
        close = b.icmp_signed("==", self.fields["step"], i64(self.size))
        short = b.icmp_signed(
            "<=", self.width, b.select(close, i64(FEW * self.lanes), i64(TOGETHER))
        )
        # of lines without elements nothing is done, but a width of 0 must not be a divisor
        many = b.sdiv(i64(TOGETHER), b.or_(self.width, i64(1)))
        group = b.select(b.and_(short, b.icmp_signed(">", many, i64(1))), many, i64(1))
        with w.loop(self.end, self.begin, group) as lines:
            self.group = lines.i, w.least(self.end, b.add(lines.i, group))
            last = b.sub(self.width, i64(self.lanes))
            last = b.select(b.icmp_signed(">", last, i64(0)), last, i64(0))
            with w.loop(self.width, step=self.lanes) as turn:
                i = w.least(turn.i, last)
                yield i, b.sub(i, self.lead), b.sub(self.width, i)

    def each(
        self, i: ir.Value, first: ir.Value, move: Move, clear: Callable[[ir.Value], None]
    ) -> None:
        """A vector of each line of the group: moved, or cleared where the line is nowhere."""
        w, b = self.w, self.w.b
        begin, end = self.group
        within = b.mul(i, self.fields["goal"])
        start = w.at(self.source, b.mul(first, self.fields["step"]))
        goal = w.at(self.target, within)
        with w.loop(end, begin, nonempty=True) as line:
            offset = w.word(self.table, line.i)
            here = w.at(goal, w.word(self.places, line.i))
            with b.if_else(b.icmp_signed("!=", offset, i64(NOWHERE))) as (then, other):
                with then:
                    move(w.at(start, offset), here)
                with other:
                    clear(here)

    def inside(self, first: ir.Value) -> ir.Value:
        """The mask of lanes whose element, so many after the first, is one of the line's."""
        b = self.w.b
        return self.w.between(b.neg(first), b.sub(self.fields["count"], first), self.lanes)
