"""The kernel of attention's gradient: weights computed again block by block, five products for each block.

What queries give to a key is added in order of the blocks of queries, what keys give to a query in order of the
blocks of keys. So the work may be split by matrix, or by blocks of keys and then by blocks of queries.
"""

from __future__ import annotations

from .. import ir
from ..contract.code import i64
from ..emit.parts import PTR
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
    "key_blocks",
    *("ct_at", "query_at", "key_at", "value_at", "lse_at", "delta_at", "mask_at"),
    *("ct_row", "ct_column", "query_row", "query_column", "key_row", "value_row"),
    *("mask_row", "mask_key"),
    *("likeness", "slope", "to_value", "to_key", "to_query"),  # tables of products
    *("scores", "slopes", "turned", "turned_ct", "part", "products"),  # scratch memory
    "way",  # WHOLE, BY_KEYS or BY_QUERIES: what a unit is
)
WHOLE, BY_KEYS, BY_QUERIES = range(3)


class Backward(Kernel):
    """``attention_grad(record, ct, query, key, value, lse, delta, mask, along_query, along_key, along_value,
    scratch, begin, end)``: some units, each a matrix, a block of keys or a block of queries."""

    def __init__(self, how: How) -> None:
        super().__init__("attention_grad", how, FIELDS, 10)
        b, way = self.w.b, self.p["way"]
        self.wants_keys = b.icmp_signed("!=", way, i64(BY_QUERIES))
        self.wants_queries = b.icmp_signed("!=", way, i64(BY_KEYS))

    def emit(self) -> str:
        """IR of the module."""
        w, b, p = self.w, self.w.b, self.p
        whole = b.icmp_signed("==", p["way"], i64(WHOLE))
        parts = b.select(self.wants_queries, p["blocks"], p["key_blocks"])
        parts = b.select(whole, i64(1), parts)
        with w.loop(self.end, self.begin) as unit:
            matrix, part = b.sdiv(unit.i, parts), b.srem(unit.i, parts)
            self.locate(matrix)
            ahead = b.add(part, i64(1))
            by_keys = b.and_(self.wants_keys, b.not_(whole))
            by_queries = b.and_(self.wants_queries, b.not_(whole))
            key_from, key_to = self.range(by_keys, part, ahead, "key_blocks")
            row_from, row_to = self.range(by_queries, part, ahead, "blocks")
            with w.when(self.wants_keys):
                self.clear(key_from, key_to, KEYS, "keys", (("key", "width"), ("value", "values")))
            with w.when(self.wants_queries):
                self.clear(row_from, row_to, ROWS, "queries", (("query", "width"),))
            with w.loop(key_to, key_from) as j, w.loop(row_to, row_from) as i:
                first, rows, end = self.block(i.i)
                key = b.mul(j.i, i64(KEYS))
                with w.when(b.icmp_signed("<", key, end)):
                    self.pair(first, rows, key, w.least(i64(KEYS), b.sub(end, key)))
        b.ret_void()
        return str(self.module)

    def range(
        self, alone: ir.Value, part: ir.Value, ahead: ir.Value, count: str
    ) -> tuple[ir.Value, ir.Value]:
        """The blocks of a unit: one, or all."""
        b = self.w.b
        return b.select(alone, part, i64(0)), b.select(alone, ahead, self.p[count])

    def locate(self, matrix: ir.Value) -> None:
        """Finds where a matrix of each operand and result begins."""
        w, b, p = self.w, self.w.b, self.p
        names = ("ct", "query", "key", "value", "lse", "delta", "mask")
        self.at = {
            name: w.at(x, w.word(b.inttoptr(p[f"{name}_at"], PTR), matrix))
            for name, x in zip(names, self.operands, strict=False)
            if name != "mask" or self.how.mask
        }
        sizes = {
            "query": ("queries", "width"),
            "key": ("keys", "width"),
            "value": ("keys", "values"),
        }
        self.along = {
            name: w.at(x, self.bytes_of(b.mul(matrix, b.mul(p[rows], p[width]))))
            for (name, (rows, width)), x in zip(sizes.items(), self.operands[7:], strict=True)
        }

    def clear(
        self,
        begin: ir.Value,
        end: ir.Value,
        size: int,
        count: str,
        results: tuple[tuple[str, str], ...],
    ) -> None:
        """Zeros in the rows of some blocks of results."""
        w, b, p = self.w, self.w.b, self.p
        first = b.mul(begin, i64(size))
        rows = b.sub(w.least(p[count], b.mul(end, i64(size))), first)
        for name, width in results:
            start = w.at(self.along[name], self.bytes_of(b.mul(first, p[width])))
            self.zero(start, b.mul(rows, p[width]))

    def pair(self, first: ir.Value, rows: ir.Value, key: ir.Value, count: ir.Value) -> None:
        """One block of queries with one block of keys."""
        w, b, p = self.w, self.w.b, self.p
        query = w.at(self.at["query"], b.mul(first, p["query_row"]))
        ct = w.at(self.at["ct"], b.mul(first, p["ct_row"]))
        keys = w.at(self.at["key"], b.mul(key, p["key_row"]))
        values = w.at(self.at["value"], b.mul(key, p["value_row"]))
        scores, slopes, part = (self.place(n) for n in ("scores", "slopes", "part"))
        entry = self.entry(rows, count)
        turned = self.transpose(query, "query_row", "query_column", "width", rows, "turned")
        self.product("likeness", entry, keys, turned, scores)
        turned = self.transpose(ct, "ct_row", "ct_column", "values", rows, "turned_ct")
        self.product("slope", entry, values, turned, slopes)
        with self.groups(rows) as (group, used):
            self.differentiate(first, rows, key, count, group, used)
        with w.when(self.wants_keys):
            self.product("to_value", entry, scores, ct, part)
            self.add("value", key, b.mul(count, p["values"]), "values", None)
            self.product("to_key", entry, slopes, query, part)
            self.add("key", key, b.mul(count, p["width"]), "width", self.scale)
        with w.when(self.wants_queries):
            self.product("to_query", entry, slopes, keys, part)
            self.add("query", first, b.mul(rows, p["width"]), "width", self.scale)

    def differentiate(
        self,
        first: ir.Value,
        rows: ir.Value,
        key: ir.Value,
        count: ir.Value,
        group: ir.Value,
        used: ir.Value,
    ) -> None:
        """Scores become weights; slopes along weights become slopes along scores."""
        w, b = self.w, self.w.b
        masked = self.judge(self.at.get("mask"), first, key, group, rows)
        at = self.bytes_of(b.add(first, group))
        lse = w.load(w.at(self.at["lse"], at), self.kind, used)
        delta = w.load(w.at(self.at["delta"], at), self.kind, used)

        def body(k: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
            score = self.score_at(self.place("scores"), k, group)
            slope = self.score_at(self.place("slopes"), k, group)
            weight = self.word_of("exp", b.fsub(masked(w.load(score, self.kind), k), lse))
            w.store(weight, score)
            w.store(b.fmul(weight, b.fsub(w.load(slope, self.kind), delta)), slope)
            return []

        self.over_keys(count, [], body, b.fadd)

    def add(
        self, name: str, row: ir.Value, count: ir.Value, width: str, factor: ir.Value | None
    ) -> None:
        """``result += part * factor``."""
        w, b, part = self.w, self.w.b, self.place("part")
        start = w.at(self.along[name], self.bytes_of(b.mul(row, self.p[width])))
        with self.columns(count) as (offset, left):
            place = w.at(start, offset)
            sum_, more = (self.some(x, left) for x in (place, w.at(part, offset)))
            total = b.fadd(sum_, more) if factor is None else w.fma(more, factor, sum_)
            w.store_first(total, place, left)


def emit_backward(how: How) -> str:
    """IR of ``attention_grad``."""
    return Backward(how).emit()
