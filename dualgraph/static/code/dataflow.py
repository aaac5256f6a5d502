"""Data flow: what holds on all ways through a part of a function's byte code.

Which variables have surely been assigned by each instruction (definite assignment), and which instructions every way
through the part comes to (dominators of its end).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Set
from types import CodeType
from typing import NamedTuple

from .handlers import entries
from .steps import Op


class Part(NamedTuple):
    """Instructions of a function: their numbers, the first among them first; the stack's depth where they begin."""

    code: CodeType
    ops: tuple[Op, ...]
    depth: list[int | None]
    at: dict[int, int]  # numbers by offset
    ways: tuple[tuple[int, ...], ...]  # what may run next
    inside: Sequence[int]
    base: int


def assigned(
    part: Part, both: Callable[[frozenset[str], frozenset[str]], frozenset[str]] = frozenset.intersection,
    back: Set[int] = frozenset(),
) -> dict[int, frozenset[str]]:  # fmt: skip
    """The variables that are surely assigned in the part before each of its instructions that can be reached.

    With `both` as union: those that may be. Instructions in `back` put back what was there before.
    """
    inside = set(part.inside)
    guards = [(e, part.at[e.handler]) for e in entries(part.code) if part.at[e.handler] in inside]
    found: dict[int, frozenset[str]] = {}
    work = [(part.inside[0], frozenset[str]())]
    while work:
        n, known = work.pop()
        before = found.get(n)
        now = known if before is None else both(before, known)
        if now == before:
            continue
        found[n] = now
        op = part.ops[n]
        after = now
        if op.name == "STORE_FAST" and n not in back:
            after = now | {op.value}
        elif op.name in ("DELETE_FAST", "LOAD_FAST_AND_CLEAR"):
            after = now - {op.value}
        work += [(m, after) for m in part.ways[n] if m in inside]
        work += [(h, now & after) for e, h in guards if e.start <= op.offset < e.end]
    return found


def always(part: Part) -> set[int]:
    """The instructions that each way through the part comes to, errors aside: those of one way without a way round."""
    inside = {*part.inside}
    leaving = {n for n in inside if not part.ways[n] or any(m not in inside for m in part.ways[n])}
    way = _way(part, leaving)
    if not way:  # none leads out
        return inside
    place = {n: i for i, n in enumerate(way)}
    found: set[int] = set()
    seen: set[int] = set()
    far = 0  # how far along the way one comes round those seen
    for i, start in enumerate(way):
        if far == i:
            found.add(start)
        work = [start]
        while work:
            n = work.pop()
            if n not in seen:
                seen.add(n)
                reached = [place[m] for m in part.ways[n] if m in place]
                far = max(far, *reached, len(way) if n in leaving else 0)
                work += [m for m in part.ways[n] if m in inside and m not in place]
    return found


def _way(part: Part, leaving: set[int]) -> list[int]:
    """One way from the part's beginning to an instruction that leads out; empty where there is none."""
    before = {part.inside[0]: -1}
    work = deque(before)
    while work:
        n = work.popleft()
        if n in leaving:
            found = [n]
            while (n := before[n]) >= 0:
                found.append(n)
            return found[::-1]
        for m in part.ways[n]:
            if m not in before:
                before[m] = n
                work.append(m)
    return []
