"""What both attention kernels are written with: their arguments, blocks of scores, rows of results.

A block of scores lies transposed, a row of ROWS queries for each key, so that vectors run along queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import ir
from ..contract import driver, pack
from ..contract.code import ELEMENTS, I8, Writer, i64
from ..contract.team import Callee
from ..emit.parts import I1, I32, I64, LANES, PTR
from ..emit.scalar import LLVMScalar
from ..jit import jit

ROWS = 64  # queries of a block: with `causal` part of the numerics, as keys behind the block are left out
KEYS = 256  # keys of a block: part of the numerics
UNROLL = 4
NAMES = {"float": "float32", "double": "float64"}


@dataclass(frozen=True, slots=True)
class How:
    """What a kernel is compiled for. ``mask``: "", "bool" or "add"; `along` says that it differs from query
    to query."""

    element: str  # float or double
    causal: bool = False
    mask: str = ""
    along: bool = False

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 4 if self.element == "float" else 8


class Kernel:
    """A kernel ``(record, operands..., scratch, begin, end)``: `p` are the words of its record."""

    def __init__(self, name: str, how: How, fields: tuple[str, ...], operands: int) -> None:
        self.how = how
        self.module = ir.Module(name=name)
        self.w = Writer(self.module, name, (*[PTR] * (operands + 2), I64, I64))
        record, *self.operands, self.scratch, self.begin, self.end = self.w.fn.args
        self.p = {field: self.w.word(record, i64(i)) for i, field in enumerate(fields)}
        self.element = ELEMENTS[how.element]
        self.kind = ir.VectorType(self.element, LANES)
        self.s = LLVMScalar(self.w.b, LANES, has_avx512=jit().has_avx512)
        self.dtype = NAMES[how.element]
        self.iota = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
        scale = self.w.b.bitcast(self.p["scale"], ELEMENTS["double"])
        if how.element == "float":
            scale = self.w.b.fptrunc(scale, self.element)
        self.scale = self.splat(scale)

    # --- values ------------------------------------------------------------------------------------

    def splat(self, x: ir.Value) -> ir.Value:
        """A vector of equal lanes."""
        return self.w.splat(x, LANES)

    def constant(self, value: float) -> ir.Value:
        """A vector of a number."""
        return ir.Constant(self.kind, [ir.Constant(self.element, value)] * LANES)

    def word_of(self, name: str, *xs: ir.Value) -> ir.Value:
        """A word of the scalar language."""
        return getattr(self.s, name)(*(self.s.wrap(x, self.dtype) for x in xs)).ir

    def finite(self, x: ir.Value) -> ir.Value:
        """x, or 0 where it is infinite."""
        b = self.w.b
        inside = b.fcmp_ordered("<", self.word_of("abs", x), self.constant(float("inf")))
        return b.select(inside, x, self.constant(0.0))

    def place(self, name: str) -> ir.Value:
        """A part of the scratch memory."""
        return self.w.at(self.scratch, self.p[name])

    def number(self, pointer: ir.Value) -> ir.Value:
        """One element as a vector."""
        return self.splat(self.w.b.load(pointer, align=self.how.size, typ=self.element))

    def bytes_of(self, count: ir.Value) -> ir.Value:
        """How much memory so many elements take."""
        return self.w.scaled(count, self.how.size)

    # --- calls of the contraction kernels ------------------------------------------------------------

    def transpose(
        self, start: ir.Value, row: str, column: str, width: str, rows: ir.Value, to: str
    ) -> ir.Value:
        """Copies a block of rows, so that it lies with ROWS queries side by side for each column."""
        b, p = self.w.b, self.p
        panel = self.place(to)
        values = [start, p[row], p[column], panel, p[width], rows, i64(ROWS), rows, i64(0)]
        b.call(Callee(b.inttoptr(p["pack"], PTR), pack.ARGUMENTS), values)
        return panel

    def product(self, table: str, index: ir.Value, x: ir.Value, y: ir.Value, out: ir.Value) -> None:
        """Runs entry `index` of a table of products."""
        b, w = self.w.b, self.w
        entries = b.inttoptr(self.p[table], PTR)
        at = b.mul(index, i64(2))
        plan = b.inttoptr(w.word(entries, at), PTR)
        values = [
            plan,
            x,
            y,
            out,
            self.place("products"),
            i64(0),
            w.word(entries, b.add(at, i64(1))),
        ]
        b.call(Callee(b.inttoptr(self.p["run"], PTR), driver.ARGUMENTS), values)

    # --- blocks ----------------------------------------------------------------------------------------

    def block(self, i: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """First query, number of queries and end of the keys of block `i` of queries."""
        b, w, p = self.w.b, self.w, self.p
        first = b.mul(i, i64(ROWS))
        rows = w.least(i64(ROWS), b.sub(p["queries"], first))
        end = w.least(b.add(first, i64(ROWS)), p["keys"]) if self.how.causal else p["keys"]
        return first, rows, end

    def entry(self, rows: ir.Value, keys: ir.Value) -> ir.Value:
        """The place in tables of products of blocks of so many queries and keys."""
        b = self.w.b
        full = b.icmp_signed("==", rows, i64(ROWS))
        return b.add(keys, b.select(full, i64(0), i64(KEYS + 1)))

    @contextmanager
    def groups(self, rows: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Vectors of queries: the first one of each, and the mask of those in use."""
        with self.w.loop(rows, step=LANES, nonempty=True) as turn:
            yield turn.i, self.w.first_lanes(self.w.b.sub(rows, turn.i), LANES)

    def over_keys(
        self,
        count: ir.Value,
        start: list[ir.Value],
        body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
        combine: Callable[[ir.Value, ir.Value], ir.Value],
    ) -> list[ir.Value]:
        """Folds `body(key, so_far)` over keys, by UNROLL at a time, each with values of its own."""
        b, w, n = self.w.b, self.w, len(start)
        whole = b.and_(count, i64(-UNROLL))
        with w.loop(whole, step=UNROLL, carried=start * UNROLL) as turn:
            turn.carried = [
                x
                for u in range(UNROLL)
                for x in body(b.add(turn.i, i64(u)), turn.carried[u * n : u * n + n])
            ]
        first, *others = (turn.carried[u * n : u * n + n] for u in range(UNROLL))
        with w.loop(count, whole, carried=first) as rest:
            rest.carried = body(rest.i, rest.carried)
        values = [rest.carried, *others]
        while len(values) > 1:
            half = len(values) // 2
            values = [
                [combine(x, y) for x, y in zip(low, high, strict=True)]
                for low, high in zip(values[:half], values[half:], strict=True)
            ]
        return values[0]

    def score_at(self, scores: ir.Value, key: ir.Value, group: ir.Value) -> ir.Value:
        """The address of a vector of scores."""
        return self.w.at(scores, self.bytes_of(self.w.b.add(self.w.scaled(key, ROWS), group)))

    def judge(
        self, mask: ir.Value | None, first: ir.Value, key: ir.Value, group: ir.Value, last: ir.Value
    ) -> Callable[[ir.Value, ir.Value], ir.Value]:
        """``masked(score, k)``: a score scaled and masked, k keys after `key`; `first` and `last` are queries
        of the block."""
        b, w, p, how = self.w.b, self.w, self.p, self.how
        row = b.add(first, group)
        queries = b.add(self.iota, w.splat(b.trunc(row, I32), LANES)) if how.causal else None
        start, offsets = None, None
        if mask is not None:
            start = w.at(mask, b.mul(row, p["mask_row"]), b.mul(key, p["mask_key"]))
            own = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
            limit = w.splat(b.sub(b.sub(last, i64(1)), group), LANES)
            own = b.select(b.icmp_signed("<", own, limit), own, limit)
            offsets = b.mul(own, w.splat(p["mask_row"], LANES))
        lowest = self.constant(float("-inf"))

        def masked(score: ir.Value, k: ir.Value) -> ir.Value:
            score = b.fmul(score, self.scale)
            if queries is not None:
                at = w.splat(b.trunc(b.add(key, k), I32), LANES)
                score = b.select(b.icmp_signed("<=", at, queries), score, lowest)
            if start is None:
                return score
            place = w.at(start, b.mul(k, p["mask_key"]))
            kind = I8 if how.mask == "bool" else self.element
            if how.along:
                value = w.gather(place, offsets, ir.VectorType(kind, LANES))
            else:
                align = 1 if how.mask == "bool" else how.size
                value = w.splat(b.load(place, align=align, typ=kind), LANES)
            if how.mask == "add":
                return b.fadd(score, value)
            zeros = ir.Constant(ir.VectorType(I8, LANES), [0] * LANES)
            return b.select(b.icmp_unsigned("!=", value, zeros), score, lowest)

        return masked

    @contextmanager
    def columns(self, width: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Vectors along a row of results: offset in bytes, and how many elements are left."""
        with self.w.loop(width, step=LANES) as turn:
            yield self.bytes_of(turn.i), self.w.b.sub(width, turn.i)

    def some(self, place: ir.Value, left: ir.Value) -> ir.Value:
        """The elements of a vector that are left."""
        return self.w.load(place, self.kind, self.w.first_lanes(left, LANES))

    def zero(self, start: ir.Value, count: ir.Value) -> None:
        """Fills so many elements with zeros."""
        with self.columns(count) as (offset, left):
            self.w.store_first(self.constant(0.0), self.w.at(start, offset), left)


__all__ = ["I1", "KEYS", "LANES", "ROWS", "How", "Kernel"]
