"""Blocks: parts of a function's byte code with one way in and one way out - an ``if``, a loop, a ``with``, a ``try`` -
or with none out, if all ways through them end the function (single-entry single-exit regions)."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from .dataflow import Part
from .handlers import Entry, entries
from .reading import managers
from .steps import Op, depths, ends, jumps, numbers, steps, ways

RETURNS = -1  # where a block goes on that ends the function
GUARDS = frozenset(("SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH"))
MOST = 400  # instructions of a handler
OFTEN = 20  # how often an instruction is looked at, on average, so that long chains of branches take no seconds
FREE = 20_000  # instructions looked at in any case
OPENERS = frozenset(("BEFORE_WITH", "FOR_ITER"))


class Block(NamedTuple):
    """Instructions, the first of them first; it goes on at the offset of `goals`, where the same code stands if they
    are several."""

    inside: tuple[int, ...]
    goals: tuple[int, ...]

    @property
    def main(self) -> int:
        """How many of the instructions follow on each other."""
        first = self.inside[0]
        return next((i for i, n in enumerate(self.inside) if n != first + i), len(self.inside))


class Layout:
    """The instructions of some code, how deep the stack is before each, and what leads where."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.ops: tuple[Op, ...] = steps(code)
        self.rows: tuple[Entry, ...] = entries(code)
        starts = tuple({(e.handler, e.depth + e.lasti + 1) for e in self.rows})
        self.depth = depths(code, starts)
        self.at, self.ways = numbers(code), ways(code)
        self.stored = {op.value for op in self.ops if op.name == "STORE_FAST"}
        self._lines = [(at, line) for at, _, line in code.co_lines() if line]
        self._over: dict[int, list[Entry]] = {}  # the handlers of an instruction, by its offset
        for row in self.rows:
            for offset in range(row.start, row.end):
                self._over.setdefault(offset, []).append(row)
        self._back: dict[int, int] = {}
        self._found: dict[Any, tuple[int, int, Block | None]] = {}
        self._left = OFTEN * len(self.ops) + FREE
        self.sources: dict[int, list[int]] = {}  # what jumps to an instruction
        for n, op in enumerate(self.ops):
            if jumps(op) and op.value in self.at:
                self.sources.setdefault(self.at[op.value], []).append(n)

    def part(self, inside: list[int]) -> Part:
        """Some instructions, as `reading` wants them."""
        base = self.depth[inside[0]]
        assert base is not None
        return Part(self.code, self.ops, self.depth, self.at, self.ways, inside, base)

    def line(self, offset: int) -> int:
        """The line of the instruction at an offset; of the one before that has a line, where it has none."""
        n = bisect.bisect_right(self._lines, offset, key=lambda row: row[0])
        return self._lines[n - 1][1] if n else 0

    def manager(self, handler: int) -> Any:
        """The context manager whose end a handler is, as a tree; None where it is not known."""
        start = min(e.start for e in self.rows if e.handler == handler)
        n = self.at.get(start, 0) - 1
        depth = self.depth[n] if n >= 0 and self.ops[n].name == "BEFORE_WITH" else None
        if depth is None:
            return None
        first = n
        while first >= 0 and (self.depth[first] or 0) >= depth:
            first -= 1
        found = managers(self.part(list(range(first, n + 1)))) if first >= 0 else ()
        return found[0] if len(found) == 1 else None

    # --- finding blocks ---

    def blocks(self) -> Iterator[Block]:
        """The blocks that stand as statements: from where the stack is as deep as where they go on."""
        found: set[Block] = set()
        for n, op in enumerate(self.ops):
            if self.depth[n] is None or not (op.name in OPENERS or (jumps(op) and not ends(op))):
                continue
            for block in self._around(n):
                found.update(self._with_shorter(block))
        for row in self.rows:
            first = self.at.get(row.start)
            if first is not None and self.depth[first] == row.depth:
                tried = self._from(first, row.depth, first + 1, row)
                found.update(self._with_shorter(tried))
        yield from found

    def _with_shorter(self, block: Block | None) -> Iterator[Block]:
        """A block, and the same without the copies of one ``return`` at its ends."""
        if block is not None:
            yield block
            shorter = self._without_tails(block) if block.goals == (RETURNS,) else None
            if shorter is not None:
                yield shorter

    def _around(self, n: int) -> Iterator[Block]:
        """The least blocks around an instruction, of all depths."""
        depth = self.depth[n]
        assert depth is not None
        first = n
        for base in range(depth - 1, -1, -1):
            while first >= 0 and (self.depth[first] is None or self.depth[first] > base):  # type: ignore[operator]
                first -= 1
            if first < 0:
                return
            if self.depth[first] == base:
                block = self._from(first, base, n + 1)
                if block is not None:
                    yield block

    def _from(self, first: int, base: int, least: int, own: Entry | None = None) -> Block | None:
        """The least block that begins at an instruction, and has `least` instructions of the function behind it."""
        low, high, block = self._found.get((first, base, own), (0, -1, None))
        if not low <= least <= high:
            high, block = self._sought(first, base, least, own)
            self._found[first, base, own] = least, high, block
        return block

    def _sought(
        self, first: int, base: int, least: int, own: Entry | None
    ) -> tuple[int, Block | None]:
        """That block, looked for one instruction after another; and the largest `least` for which it is the same."""
        every = len(self.ops)
        second = self.ops[first].part == 2 and self.ops[first - 1].name != "STORE_FAST"
        if second or self._left < 0:
            return every, None
        begin, far = self.ops[first].offset, -1
        goals: set[int] = set()
        for n in range(first, every):
            self._left -= 1
            op, depth = self.ops[n], self.depth[n]
            open_before = n == first or not ends(self.ops[n - 1])
            if n >= least and op.offset >= far and op.part != 2 and op.name != "JUMP_FORWARD":
                out = goals | ({op.offset} if open_before or far == op.offset else set())
                if len(out) == 1 and (RETURNS in out or self._depth_at(*out) == base):
                    return n, self._closed(first, n, base, out.pop(), own)
            if op.name in GUARDS or (depth is not None and depth < base):
                return every, None
            if op.name.startswith(("RETURN_V", "RETURN_C")):
                goals.add(RETURNS)
            elif jumps(op):
                if op.value < begin:
                    goals.add(op.value)
                far = max(far, op.value)
            for row in self._rows_at(op, base, own):
                far = max(far, row.end if row.depth == base else -1, self._joins(row.handler))
        if goals == {RETURNS}:
            return every, self._closed(first, every, base, RETURNS, own)
        return every, None

    def _number(self, end: int) -> int:
        return self.at[end] if end in self.at else len(self.ops)

    def _depth_at(self, offset: int) -> int | None:
        return self.depth[self.at[offset]] if offset in self.at else None

    def _rows_at(self, op: Op, base: int, own: Entry | None) -> list[Entry]:
        """The handlers of an instruction that belong to the block it is in."""
        mine = own is not None and own.handler
        over = self._over.get(op.offset, ())
        return [e for e in over if e.depth > base or e.handler == mine]

    def _joins(self, handler: int) -> int:
        """Where a handler that lies behind all else comes back to (-1: nowhere)."""
        if handler in self._back:
            return self._back[handler]
        found: set[int] = set()
        back = -1
        work = [self.at[handler]]
        while work and len(found) < MOST:
            n = work.pop()
            op = self.ops[n]
            if n not in found:
                found.add(n)
                if jumps(op) and ends(op) and op.value < handler:
                    back = max(back, op.value)
                else:
                    work += self.ways[n]
        self._back[handler] = back
        return back

    def _closed(
        self, first: int, last: int, base: int, goal: int, own: Entry | None
    ) -> Block | None:
        """The block, if nothing leads into it but to its beginning, and nothing out but to its goal."""
        if last < len(self.ops) and self.ops[last].part == 2:
            return None
        inside = set(range(first, last))
        goals = {goal: None}
        work = list(inside)
        while work:
            op = self.ops[work.pop()]
            for row in self._rows_at(op, base, own):
                h = self.at[row.handler]
                if h not in inside:
                    more = self._reached(h, inside, goal, goals)
                    if len(more) > MOST:
                        return None
                    inside |= more
                    work += more
        fits = all(self._fits(n, first, inside, goals) for n in inside)
        if not fits or not self._guards_within(inside):
            return None
        return Block(tuple(sorted(inside)), tuple(goals))

    def _guards_within(self, inside: set[int]) -> bool:
        """Whether what the handlers inside guard is inside, too."""
        for row in self.rows:
            if self.at[row.handler] in inside:
                if any(m not in inside for m in range(self.at[row.start], self._number(row.end))):
                    return False
        return True

    def _fits(self, n: int, first: int, inside: set[int], goals: dict[int, None]) -> bool:
        """Whether an instruction of a block is come to from inside, and leads inside, or to a goal."""
        if self.depth[n] is None:
            return True
        if n != first and any(s not in inside for s in self.sources.get(n, ())):
            return False
        if RETURNS not in goals and self.ops[n].name.startswith("RETURN_"):
            return False
        return all(m in inside or self.ops[m].offset in goals for m in self.ways[n])

    def _without_tails(self, block: Block) -> Block | None:
        """A block that ends the function, without the same last instructions of all its ways: compilers copy them."""
        base, inside = self.depth[block.inside[0]], set(block.inside)
        last = [n for n in block.inside if self.ops[n].name.startswith(("RETURN_V", "RETURN_C"))]
        best = size = 0
        while len(last) > 1:
            tails = {
                (op.name, op.arg, op.value, op.part) for op in (self.ops[n - size] for n in last)
            }
            within = all(n - size in inside and not jumps(self.ops[n - size]) for n in last)
            if len(tails) != 1 or not within or block.inside[0] in {n - size for n in last}:
                break
            size += 1
            starts = [n - size + 1 for n in last]
            if all(self.depth[n] == base and self.ops[n].part != 2 for n in starts):
                best = size
            if any(self.ops[n].target for n in starts):
                break
        if not best:
            return None
        tails_at = {m for n in last for m in range(n - best + 1, n + 1)}
        rest = tuple(n for n in block.inside if n not in tails_at)
        left = set(rest)
        goals = tuple(self.ops[n - best + 1].offset for n in last)
        ok = all(
            m in left or self.ops[m].offset in goals
            for n in rest if self.depth[n] is not None for m in self.ways[n]
        )  # fmt: skip
        return Block(rest, goals) if ok and rest and rest[0] == block.inside[0] else None

    def _reached(
        self, handler: int, inside: set[int], goal: int, goals: dict[int, None]
    ) -> set[int]:
        """What a handler runs that lies outside of the rest of the block; copies of the code at its goal are goals."""
        found: set[int] = set()
        work = [handler]
        while work and len(found) <= MOST:
            n = work.pop()
            if n in found or n in inside or self.ops[n].offset in goals:
                continue
            if goal != RETURNS and self._copies(n, self.at[goal]):
                goals[self.ops[n].offset] = None
                continue
            found.add(n)
            work += self.ways[n]
        return found

    def _copies(self, n: int, m: int) -> bool:
        """Whether the same instructions stand at two places, up to the end of the function."""
        while True:
            a, b = self.ops[n], self.ops[m]
            if (a.name, a.arg, a.value, a.part) != (b.name, b.arg, b.value, b.part) or jumps(a):
                return False
            if a.name.startswith("RETURN_"):
                return True
            n, m = n + 1, m + 1
            if max(n, m) == len(self.ops):
                return False
