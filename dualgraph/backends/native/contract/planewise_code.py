"""Planewise convolutions: each plane of a result from the one or few planes that it reads, where these lie.

For a depthwise convolution, or its input gradient, nothing is worth packing: an element of the input meets the taps of
one filter. A row of the result is in the lanes, and each tap reads its row of the input from where the tap says; lanes
beside the row are zeros, and so is a row outside of the plane. Some rows are summed at a time, which share what they
read. Products are added as everywhere: by fma in order of k from +0, in a single block.

``planewise(record, pointers, scratch, begin, end)``; a unit is a plane of the result. The record is of int64, FIELDS.
`table` lists bundles of rows: how many rows of planes are read, where the first row of the result begins, then for each
plane that is read where its taps begin, and the lines of it that the bundle needs (NOWHERE for one of zeros).
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import ir
from ..emit.parts import I32, PTR
from .code import ELEMENTS, Writer, i64
from .copy import NOWHERE
from .shape import Geometry
from .team import FUNCTION

FIELDS = (
    "x_slot",
    "w_slot",
    "out_slot",
    "x_sample",  # bytes from sample to sample, and from group to group
    "x_group",
    "w_group",
    "w_own",  # bytes from plane to plane of a group
    "own",  # planes of a group in the result
    "planes",  # of a sample in the result
    "plane",  # bytes of one
    "x_width",  # elements of a row
    "width",
    "blank",  # elements of a row of zeros, or 0 where none is read
    "base",  # columns by which the taps lie further than the code says
    "row",  # bytes from row to row of a bundle in the result
    "table",
    "first",  # bundles of the first remainder of rows, and of the second
    "second",
)


@dataclass(frozen=True, slots=True)
class Taps:
    """The taps along an axis that one remainder of the result's places meets: which, and where they read for the first
    place; the next place reads `step` further."""

    taps: tuple[tuple[int, int], ...]
    step: int

    def lines(self, count: int) -> list[int]:
        """What so many neighbouring places read, in the order of the taps."""
        found = {i * self.step + at for i in range(count) for _, at in self.taps}
        down = len(self.taps) > 1 and self.taps[0][1] > self.taps[1][1]
        return sorted(found, reverse=down)


@dataclass(frozen=True, slots=True)
class Form:
    """What code is written for: rows of a bundle, the taps of the remainders of rows and of columns, and how many
    taps a filter has across."""

    rows: int
    down: tuple[Taps, ...]
    across: tuple[Taps, ...]
    width: int


class _Planewise:
    """Emits the function."""

    def __init__(self, geometry: Geometry, form: Form) -> None:
        self.module = ir.Module(name="planewise")
        self.w = w = Writer(self.module, "planewise", FUNCTION)
        given, pointers, self.zeros, self.begin, self.end = w.fn.args
        self.p = p = {name: w.word(given, i64(i)) for i, name in enumerate(FIELDS)}
        self.x, self.weight, self.out = (
            w.b.inttoptr(w.word(pointers, p[f"{name}_slot"]), PTR) for name in ("x", "w", "out")
        )
        self.form, self.lanes, self.size = form, geometry.lanes, geometry.size
        self.step = form.across[0].step
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)

    def emit(self) -> str:
        """IR of the module."""
        w, b, p = self.w, self.w.b, self.p
        with w.loop(p["blank"], step=self.lanes) as turn:
            w.store(self.zero, w.at(self.zeros, w.scaled(turn.i, self.size)))
        apart = len(self.form.across)
        strips = b.sdiv(b.add(p["width"], i64(apart - 1)), i64(apart))
        with w.loop(self.end, self.begin) as unit:
            sample, plane = b.sdiv(unit.i, p["planes"]), b.srem(unit.i, p["planes"])
            group, own = b.sdiv(plane, p["own"]), b.srem(plane, p["own"])
            source = w.at(self.x, b.mul(sample, p["x_sample"]), b.mul(group, p["x_group"]))
            weight = w.at(self.weight, b.mul(group, p["w_group"]), b.mul(own, p["w_own"]))
            goal = w.at(self.out, b.mul(unit.i, p["plane"]))
            with w.loop(strips, step=self.lanes) as strip:
                self.strip(strip.i, source, weight, goal)
        b.ret_void()
        return str(self.module)

    def strip(self, first: ir.Value, source: ir.Value, weight: ir.Value, goal: ir.Value) -> None:
        """All rows of a plane, a vector of columns (of each remainder) wide."""
        w, b, p = self.w, self.w.b, self.p
        column = b.add(w.scaled(first, self.step), p["base"])
        masks = {at: self.inside(column, at) for at in self.places()}
        offset = w.scaled(column, self.size)
        at = w.scaled(first, len(self.form.across))
        counts = range(len(self.form.across))
        rests = [b.sub(p["width"], b.add(at, i64(i * self.lanes))) for i in counts]
        goal = w.at(goal, w.scaled(at, self.size))
        table = b.inttoptr(p["table"], PTR)
        for taps, count in zip(self.form.down, ("first", "second"), strict=False):
            lines = taps.lines(self.form.rows)
            with w.loop(p[count], carried=[table]) as bundle:
                (head,) = bundle.carried
                sums = [self.zero] * (self.form.rows * len(self.form.across))
                entries = w.at(head, i64(16))
                with w.loop(w.word(head, i64(0)), carried=[entries, *sums]) as turn:
                    entry, *sums = turn.carried
                    places = []
                    for i in range(len(lines)):
                        line = w.word(entry, i64(1 + i))
                        there = b.icmp_signed("!=", line, i64(NOWHERE))
                        places.append(w.at(b.select(there, w.at(source, line), self.zeros), offset))
                    for start in places[: self.form.rows * taps.step]:
                        w.prefetch(w.at(start, p["x_group"]))  # the same of the next plane
                    row = w.at(weight, w.word(entry, i64(0)))
                    sums = self.add(sums, row, taps, dict(zip(lines, places, strict=True)), masks)
                    turn.carried = [w.at(entry, i64(8 * (1 + len(lines)))), *sums]
                following, *sums = turn.carried
                bundle.carried = [following]
                place = w.at(goal, w.word(head, i64(1)))
                for r in range(self.form.rows):
                    w.prefetch(w.at(place, p["plane"]))
                    self.store(sums[r :: self.form.rows], place, rests)
                    place = w.at(place, p["row"])
            (table,) = bundle.carried

    def places(self) -> list[int]:
        """The columns where vectors of the input begin."""
        found = {at for taps in self.form.across for _, at in taps.taps}
        return sorted({at + half * self.lanes for at in found for half in range(self.step)})

    def inside(self, column: ir.Value, at: int) -> ir.Value:
        """The lanes of a vector that begins `at` columns further which lie in the input's row."""
        w, b, kind = self.w, self.w.b, ir.VectorType(I32, self.lanes)
        iota = ir.Constant(kind, [at + l for l in range(self.lanes)])
        columns = b.add(w.splat(b.trunc(column, I32), self.lanes), iota)
        width = w.splat(b.trunc(self.p["x_width"], I32), self.lanes)
        return b.icmp_unsigned("<", columns, width)

    def add(
        self,
        sums: list[ir.Value],
        row: ir.Value,
        down: Taps,
        lines: dict[int, ir.Value],
        masks: dict[int, ir.Value],
    ) -> list[ir.Value]:
        """Adds the products of a plane's lines, each for all rows of the result that meet it."""
        form, out = self.form, list(sums)
        factors = {
            (j, t): self.factor(row, j * form.width + t)
            for j, _ in down.taps
            for across in form.across
            for t, _ in across.taps
        }
        for line, place in lines.items():
            met = [
                (r, j)
                for r in range(form.rows)
                for j, at in down.taps
                if r * down.step + at == line
            ]
            for i, across in enumerate(form.across):
                for t, at in across.taps:
                    x = self.read(place, at, masks)
                    for r, j in met:
                        own = i * form.rows + r
                        out[own] = self.w.fma(factors[j, t], x, out[own])
        return out

    def factor(self, row: ir.Value, tap: int) -> ir.Value:
        """A tap of the filter in all lanes."""
        place = self.w.at(row, i64(tap * self.size))
        return self.w.splat(
            self.w.b.load(place, align=self.size, typ=self.kind.element), self.lanes
        )

    def read(self, line: ir.Value, at: int, masks: dict[int, ir.Value]) -> ir.Value:
        """The elements that a tap meets, one for each lane."""
        w = self.w
        parts = [
            w.load(w.at(line, i64(place * self.size)), self.kind, masks[place])
            for place in range(at, at + self.step * self.lanes, self.lanes)
        ]
        if self.step == 1:
            return parts[0]
        evens = [2 * l for l in range(self.lanes)]
        return w.b.shuffle_vector(*parts, ir.Constant(ir.VectorType(I32, self.lanes), evens))

    def store(self, sums: list[ir.Value], goal: ir.Value, rests: list[ir.Value]) -> None:
        """A vector of a row, or one of each remainder: their elements in turns."""
        w, lanes = self.w, self.lanes
        if len(sums) == 1:
            w.store_first(sums[0], goal, rests[0])
            return
        in_turns = [l // 2 + lanes * (l % 2) for l in range(lanes)]
        for half, rest in enumerate(rests):
            order = [l + half * lanes // 2 for l in in_turns]
            woven = w.b.shuffle_vector(*sums, ir.Constant(ir.VectorType(I32, lanes), order))
            w.store_first(woven, w.at(goal, i64(half * lanes * self.size)), rest)


def emit_planewise(geometry: Geometry, form: Form) -> str:
    """IR of ``planewise``, whose columns are read 1 or 2 apart and have 1 or 2 remainders."""
    return _Planewise(geometry, form).emit()
