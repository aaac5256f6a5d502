"""The attention kernel: a block of queries meets all its keys, block by block."""

from __future__ import annotations

from .. import ir
from ..contract.code import i64
from ..emit.parts import LANES, PTR
from .code import KEYS, ROWS, How, Kernel

FIELDS = (
    "run",  # addresses: driver of products, packing function
    "pack",
    "scale",  # a float64's bits
    "queries",
    "keys",
    "width",  # of queries and keys
    "values",  # width of values
    "blocks",  # of queries
    *("query_at", "key_at", "value_at", "mask_at"),  # tables of where matrices begin
    *("query_row", "query_column", "key_row", "value_row", "mask_row", "mask_key"),
    *("likeness", "mixture"),  # tables of products
    *("scores", "turned", "part", "tops", "sums", "factors", "products"),  # scratch memory
)


class Forward(Kernel):
    """``attention(record, query, key, value, mask, out, lse, scratch, begin, end)``: some blocks of queries."""

    def __init__(self, how: How) -> None:
        super().__init__("attention", how, FIELDS, 6)

    def emit(self) -> str:
        """IR of the module."""
        w, b, p = self.w, self.w.b, self.p
        query, key, value, mask, out, lse = self.operands
        with w.loop(self.end, self.begin) as unit:
            matrix, turn = b.sdiv(unit.i, p["blocks"]), b.srem(unit.i, p["blocks"])
            first, rows, end = self.block(self.dealt(turn))

            def start(operand: ir.Value, name: str) -> ir.Value:
                return w.at(operand, w.word(b.inttoptr(p[f"{name}_at"], PTR), matrix))

            own = w.at(start(query, "query"), b.mul(first, p["query_row"]))
            turned = self.transpose(own, "query_row", "query_column", "width", rows, "turned")
            row = b.add(b.mul(matrix, p["queries"]), first)
            result = w.at(out, self.bytes_of(b.mul(row, p["values"])))
            key_start, value_start = start(key, "key"), start(value, "value")
            mask_start = start(mask, "mask") if self.how.mask else None
            with self.groups(rows) as (group, _):
                at = self.bytes_of(group)
                w.store(self.constant(float("-inf")), w.at(self.place("tops"), at))
                w.store(self.constant(0.0), w.at(self.place("sums"), at))
            with w.loop(end, step=KEYS, nonempty=True) as step:
                count = w.least(i64(KEYS), b.sub(end, step.i))
                entry, scores = self.entry(rows, count), self.place("scores")
                keys = w.at(key_start, b.mul(step.i, p["key_row"]))
                self.product("likeness", entry, keys, turned, scores)
                with self.groups(rows) as (group, _):
                    self.weigh(mask_start, first, rows, step.i, count, group)
                begun = b.icmp_signed("!=", step.i, i64(0))
                part = b.select(begun, self.place("part"), result)
                values = w.at(value_start, b.mul(step.i, p["value_row"]))
                self.product("mixture", entry, scores, values, part)
                with w.when(begun):
                    self.join(result, rows)
            self.finish(result, w.at(lse, self.bytes_of(row)), rows)
        b.ret_void()
        return str(self.module)

    def dealt(self, turn: ir.Value) -> ir.Value:
        """Blocks in an order that deals long and short ones evenly: first, last, second, last but one, ..."""
        if not self.how.causal:
            return turn
        b = self.w.b
        half = b.sdiv(turn, i64(2))
        late = b.sub(b.sub(self.p["blocks"], i64(1)), half)
        return b.select(b.icmp_signed("==", b.and_(turn, i64(1)), i64(0)), half, late)

    def weigh(
        self,
        mask: ir.Value | None,
        first: ir.Value,
        rows: ir.Value,
        key: ir.Value,
        count: ir.Value,
        group: ir.Value,
    ) -> None:
        """Makes weights of the scores of a vector of queries; keeps their largest score and their sum."""
        w, b, scores = self.w, self.w.b, self.place("scores")
        masked = self.judge(mask, first, key, group, rows)
        at = self.bytes_of(group)
        tops, sums, factors = (w.at(self.place(n), at) for n in ("tops", "sums", "factors"))
        top = w.load(tops, self.kind)

        def larger(x: ir.Value, y: ir.Value) -> ir.Value:
            return b.select(b.fcmp_ordered(">", x, y), x, y)

        def judged(k: ir.Value, so_far: list[ir.Value]) -> list[ir.Value]:
            place = self.score_at(scores, k, group)
            score = masked(w.load(place, self.kind), k)
            w.store(score, place)
            return [larger(score, so_far[0])]

        (new,) = self.over_keys(count, [top], judged, larger)
        shift = self.finite(new)
        factor = self.word_of("exp", b.fsub(top, shift))

        def grown(k: ir.Value, so_far: list[ir.Value]) -> list[ir.Value]:
            place = self.score_at(scores, k, group)
            weight = self.word_of("exp", b.fsub(w.load(place, self.kind), shift))
            w.store(weight, place)
            return [b.fadd(so_far[0], weight)]

        (total,) = self.over_keys(count, [self.constant(0.0)], grown, b.fadd)
        w.store(new, tops)
        w.store(w.fma(w.load(sums, self.kind), factor, total), sums)
        w.store(factor, factors)

    def join(self, result: ir.Value, rows: ir.Value) -> None:
        """``result = result * factor + part``, row by row."""
        w, b, part = self.w, self.w.b, self.place("part")
        width = self.bytes_of(self.p["values"])
        with w.loop(rows, nonempty=True) as row:
            factor = self.number(w.at(self.place("factors"), self.bytes_of(row.i)))
            before = b.mul(row.i, width)
            with self.columns(self.p["values"]) as (offset, left):
                place = w.at(result, before, offset)
                more = self.some(w.at(part, before, offset), left)
                w.store_first(w.fma(self.some(place, left), factor, more), place, left)

    def finish(self, result: ir.Value, lse: ir.Value, rows: ir.Value) -> None:
        """Divides each row by its sum, and stores the logarithm of the sum of exponentials."""
        w, b = self.w, self.w.b
        with self.groups(rows) as (group, used):
            at = self.bytes_of(group)
            total = w.load(w.at(self.place("sums"), at), self.kind)
            top = self.finite(w.load(w.at(self.place("tops"), at), self.kind))
            none = b.fcmp_ordered("==", total, self.constant(0.0))
            total = b.select(none, self.constant(1.0), total)
            w.store(total, w.at(self.place("sums"), at))
            height = b.fadd(top, self.word_of("log", total))
            height = b.select(none, self.constant(float("inf")), height)
            w.store(height, w.at(lse, at), used)
        width = self.bytes_of(self.p["values"])
        with w.loop(rows, nonempty=True) as row:
            total = self.number(w.at(self.place("sums"), self.bytes_of(row.i)))
            before = b.mul(row.i, width)
            with self.columns(self.p["values"]) as (offset, left):
                place = w.at(result, before, offset)
                w.store_first(b.fdiv(self.some(place, left), total), place, left)


def emit_forward(how: How) -> str:
    """IR of ``attention``."""
    return Forward(how).emit()


__all__ = ["FIELDS", "LANES", "ROWS", "emit_forward"]
