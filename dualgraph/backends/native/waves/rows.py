"""Rows: how the turns of a nest lie on the rows of the arrays that it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod
from typing import NamedTuple

from ..emit.parts import LANES, WIDE
from ..loop_ir import Affine, Apply, Constant, Load, Loop, Nest, Reduce, Statement, Store, walk
from ..team.spots import Ref, Spot


class Access(NamedTuple):
    """Elements that turn `i` of the outermost counter reads or writes: from ``low + along*i`` to ``high + along*i``."""

    buffer: int
    written: bool
    along: int
    low: int
    high: int


class Turns(NamedTuple):
    """The parallel loop of a nest: counts of its outermost counter, turns of each, and what they access.

    ``quantum``: ranges of counters have to begin and end at multiples of it (or at the end).
    """

    count: int
    each: int
    quantum: int
    accesses: tuple[Access, ...]


class OnRows(NamedTuple):
    """A nest over rows: the row that its first counter writes first, how many rows further it writes, and how far
    before and behind the first of these it reads, of arrays that change."""

    first: int
    further: int
    before: int
    behind: int


def turns_of(nest: Nest) -> Turns | None:
    """What is known of a nest; None where that does not say which elements a turn accesses."""
    loop = nest.parallel
    extents: dict[int, int] = {}
    for s in walk(nest.body):
        for axis in s.axes if isinstance(s, Loop | Reduce) else ():
            if type(axis.extent) is not int:
                return None
            extents[axis.id] = axis.extent
    if not loop.axes or not all(extents.values()):
        return None
    outer, *inner = loop.axes
    each = prod(extents[a.id] for a in inner)
    quantum = 1
    if loop.vector and extents[outer.id] * each % LANES == 0:  # then vectors may have no rest
        quantum = WIDE // gcd(WIDE, each)
    found = []
    for s in walk(nest.body):
        if not isinstance(s, Load | Store | Apply | Constant | Loop | Reduce):
            return None
        if isinstance(s, Load | Store):
            access = _access(s, outer.id, extents)
            if access is None:
                return None
            found.append(access)
    return Turns(extents[outer.id], each, quantum, tuple(found))


def _access(s: Load | Store, outer: int, extents: dict[int, int]) -> Access | None:
    """The elements that an access reaches, by the turn; None where sizes are not known."""
    index: Affine = s.index
    if type(index.const) is not int or any(type(c) is not int for _, c in index.terms):
        return None
    reach = [(extents[a] - 1) * c for a, c in index.terms if a != outer]  # type: ignore[operator]
    low = index.const + sum(r for r in reach if r < 0)
    high = index.const + sum(r for r in reach if r > 0)
    along = index.coefficient(outer)
    return Access(s.buffer, isinstance(s, Store), along, low, high)  # type: ignore[arg-type]


def on_rows(turns: Turns, spots: Sequence[Spot], row: int, changing: set[Ref]) -> OnRows | None:
    """How a nest lies on rows of so many bytes; None where it is no such nest."""
    written: list[tuple[int, int]] = []
    read: list[tuple[int, int]] = []
    for a in turns.accesses:
        if a.buffer >= len(spots):
            continue  # memory of the turn's own
        spot = spots[a.buffer]
        if not a.written and spot.at not in changing:
            continue
        if a.along <= 0 or a.along * spot.itemsize != row:
            return None
        places = a.low // a.along, a.high // a.along
        (written if a.written else read).append(places)
    if not written:
        return None
    first = min(low for low, _ in written)
    further = max(high for _, high in written) - first
    before = min((low for low, _ in read), default=first) - first
    behind = max((high for _, high in read), default=first) - first
    return OnRows(first, further, before, behind)


def copies(nest: Nest) -> list[tuple[int, int | None]] | None:
    """Of a nest that only copies elements to the same place of another array, or writes numbers: for each buffer
    written the one that its elements come from (None: none). None for other nests."""
    loads: dict[int, Load] = {}
    numbers: set[int] = set()
    found: list[tuple[int, int | None]] = []
    statements: list[Statement] = list(walk(nest.body))
    for s in statements:
        if isinstance(s, Load):
            loads[s.dest] = s
        elif isinstance(s, Constant):
            numbers.add(s.dest)
        elif isinstance(s, Store):
            load = loads.get(s.value)
            if s.value not in numbers and (load is None or load.index != s.index):
                return None
            found.append((s.buffer, None if load is None else load.buffer))
        elif not isinstance(s, Loop):
            return None
    return found
