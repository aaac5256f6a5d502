"""Many small products: a matrix of the batch in each lane.

A tile of a matrix of a few numbers would leave most of its lanes idle. Here the operands of as many matrices as there
are lanes are laid out element by element with the matrices side by side, and each element of their results is one
chain of fma in order of k, from +0: k is less than a block.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import PTR
from . import pack
from .brief import emit_brief
from .code import ELEMENTS, Writer, i64
from .shape import Geometry
from .squares import turned
from .team import FUNCTION, Callee

OPERAND = (
    "slot",
    "matrix",  # bytes from matrix to matrix
    "lines",  # runs of elements that are laid out at a time
    "line",  # bytes from one to the next
    "count",  # elements of a line
    "step",  # bytes from one to the next
    "outer",  # bytes from row to row of x (column to column of y) as laid out
    "inner",  # bytes from k to k as laid out
    "at",  # where in the scratch
)
FIELDS = (
    *(f"{name}_{field}" for name in ("x", "y") for field in OPERAND),
    "out_slot",
    "out_at",
    "m",
    "n",
    "k",
    "matrices",
    "pack",  # address of the packing function
    "scratch",
    "units",
)


class _Small:
    """Emits ``small(record, pointers, scratch, begin, end)``; a unit is as many matrices as there are lanes."""

    def __init__(self, module: ir.Module, geometry: Geometry) -> None:
        self.w = w = Writer(module, "small", FUNCTION)
        b = w.b
        record, pointers, self.scratch, begin, end = w.fn.args
        self.p = p = {name: w.word(record, i64(i)) for i, name in enumerate(FIELDS)}
        self.lanes, self.size = geometry.lanes, geometry.size
        self.kind = ir.VectorType(ELEMENTS[geometry.element], self.lanes)
        self.pixel = self.lanes * self.size
        self.places = {
            name: b.inttoptr(w.word(pointers, p[f"{name}_slot"]), PTR) for name in ("x", "y", "out")
        }
        self.elements = b.mul(p["m"], p["n"])
        with w.loop(end, begin) as unit:
            first = w.scaled(unit.i, self.lanes)
            valid = w.least(i64(self.lanes), b.sub(p["matrices"], first))
            for name in ("x", "y"):
                self.lay_out(name, first, valid)
            self.multiply()
            self.bring(first, valid)
        b.ret_void()

    def lay_out(self, name: str, first: ir.Value, valid: ir.Value) -> None:
        """Puts an operand of some matrices side by side."""
        w, b = self.w, self.w.b
        f = {field: self.p[f"{name}_{field}"] for field in OPERAND}
        start = w.at(self.places[name], b.mul(first, f["matrix"]))
        callee = Callee(b.inttoptr(self.p["pack"], PTR), pack.ARGUMENTS)
        with w.loop(f["lines"], nonempty=True) as line:
            # what packing writes beyond the last element is overwritten by the next line, or read by nobody
            goal = w.scaled(b.mul(line.i, f["count"]), self.pixel)
            place, panel = w.at(start, b.mul(line.i, f["line"])), w.at(self.scratch, f["at"], goal)
            values = [
                f["matrix"],
                f["step"],
                panel,
                f["count"],
                valid,
                i64(self.lanes),
                valid,
                i64(0),
            ]
            b.call(callee, [place, *values])

    def multiply(self) -> None:
        """The elements of the results, one after the other."""
        w, p = self.w, self.p
        zero = ir.Constant(self.kind, [ir.Constant(self.kind.element, 0.0)] * self.lanes)
        xs, ys, outs = (w.at(self.scratch, p[f"{name}_at"]) for name in ("x", "y", "out"))
        with w.loop(p["m"], carried=[xs, outs], nonempty=True) as row:
            x, out = row.carried
            with w.loop(p["n"], carried=[ys, out], nonempty=True) as column:
                y, out = column.carried
                with w.loop(p["k"], carried=[x, y, zero], nonempty=True) as turn:
                    at_x, at_y, total = turn.carried
                    total = w.fma(w.load(at_x, self.kind), w.load(at_y, self.kind), total)
                    moved = w.at(at_x, p["x_inner"]), w.at(at_y, p["y_inner"])
                    turn.carried = [*moved, total]
                w.store(turn.carried[2], out)
                column.carried = [w.at(y, p["y_outer"]), w.at(out, i64(self.pixel))]
            row.carried = [w.at(x, p["x_outer"]), column.carried[1]]

    def bring(self, first: ir.Value, valid: ir.Value) -> None:
        """Brings the results to their places, a square at a time."""
        w, b, p = self.w, self.w.b, self.p
        matrix = w.scaled(self.elements, self.size)
        goal = w.at(self.places["out"], b.mul(first, matrix))
        with w.loop(self.elements, step=self.lanes, nonempty=True) as turn:
            start = w.at(self.scratch, p["out_at"], w.scaled(turn.i, self.pixel))
            square = [
                w.load(w.at(start, i64(r * self.pixel)), self.kind) for r in range(self.lanes)
            ]
            used = b.sub(self.elements, turn.i)
            place = w.at(goal, w.scaled(turn.i, self.size))
            for r, x in enumerate(turned(b, square, self.size)):
                with w.when(b.icmp_signed("<", i64(r), valid)):
                    w.store_first(x, w.at(place, b.mul(matrix, i64(r))), used)


def emit_small(geometry: Geometry, header: int) -> str:
    """IR of ``small``, and of ``whole`` and ``flat``, which do all of it in one call."""
    module = ir.Module(name="small")
    fn = _Small(module, geometry).w.fn
    for place in (None, header):
        emit_brief(module, fn, FIELDS, place)
    return str(module)
