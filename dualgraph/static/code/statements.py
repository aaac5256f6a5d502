"""Statements: those of a function that do something to Python state, as pieces of its byte code.

``print(loss.item())``, ``losses.append(loss.item())``, ``self.last = y``, ``count += 1`` and whole blocks of such - an
``if``, a loop, a ``with``, a ``try``, the last ``return`` - can be set apart from what a capture compiles: nothing else
in the code reads what they leave. They are found here by shape alone; whether a run of them may be set apart is for
the one who watches it run. Each can be run again as a function of its local variables: the byte code of the user's
function from the first instruction of the statement to its last (`pieces`).
"""

from __future__ import annotations

import functools
import operator
import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

from ...core.errors import Location
from .blocks import GUARDS, RETURNS, Layout
from .bytecode import generates, kept_by_place
from .cuts import Cut, cut_in
from .handlers import forgets
from .reach import Reach
from .reading import STORES, Target, Told, told
from .steps import Op, steps
from .worth import FORMATTERS, TELLERS, block_is_worth_it, closed, is_worth_it

# Whether the instructions of this Python are known; elsewhere nothing may be set apart.
SEEN = sys.version_info < (3, 14)
MAX_TRIES = 10  # captures to find out which statements can be set apart


class Statement(NamedTuple):
    """A statement: its code, its offsets, the local variables that it reads and makes, and what it writes.

    `makes` are assigned on each way through it, `scratch` on some.
    """

    code: CodeType
    start: int  # of its first instruction
    first: int  # where it has its first instruction to itself
    end: int
    annex: tuple[tuple[int, int], ...]  # where else it has instructions, for errors
    # Where it goes on: at its end, as a rule; if at several offsets, the same code is there.
    goals: tuple[int, ...]
    entry: int  # values on the stack by then
    follows: str  # the variable that its last instruction also loads
    told: Told
    guards: tuple[int, ...]  # the handlers around it
    line: int
    cut: Cut | None = None  # where the program computes a part of it, which a variable stands for

    @property
    def where(self) -> Location:
        return Location(self.code.co_filename, self.line, self.code.co_name)

    @property
    def lines(self) -> list[Location]:
        """All its lines."""
        found = (n for a, b, n in self.code.co_lines() if n and a < self.end and b > self.start)
        return [self.where._replace(line=n) for n in found]

    @property
    def key(self) -> tuple[int, int]:
        return self.first, self.end

    @property
    def reads(self) -> tuple[str, ...]:
        return self.told.reads

    @property
    def makes(self) -> tuple[str, ...]:
        return self.told.makes

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.told.targets

    @property
    def stand_in(self) -> str:
        """The variable that stands for the tensor which the program computes ("": there is none)."""
        return "" if self.cut is None else self.cut.name

    @property
    def returns(self) -> bool:
        """Whether the function ends with it."""
        return self.goal == RETURNS

    @property
    def goal(self) -> int:
        return self.goals[0]

    @property
    def changes(self) -> bool:
        """Whether it may do more than to make local variables."""
        return self.returns or any(t.stored for t in self.targets)

    @property
    def formats(self) -> bool:
        """Whether it makes texts."""
        return any(op.name.startswith("FORMAT") for op in self.ops) or bool(
            self.told.calls & FORMATTERS
        )

    @property
    def tells(self) -> bool:
        """Whether it makes texts, or Python values of tensors."""
        return self.formats or bool(self.told.calls & TELLERS)

    @property
    def ranges(self) -> tuple[range, ...]:
        """The offsets of its instructions."""
        return tuple(range(a, b) for a, b in ((self.first, self.end), *self.annex))

    @property
    def ops(self) -> list[Op]:
        """Its instructions."""
        every, offset = steps(self.code), operator.attrgetter("offset")
        ends = [
            [bisect_left(every, at, key=offset) for at in (r.start, r.stop)] for r in self.ranges
        ]
        return [op for a, b in ends for op in every[a:b]]

    def has(self, offset: int) -> bool:
        """Whether an instruction is one of its own."""
        return self.first <= offset < self.end or any(a <= offset < b for a, b in self.annex)


@kept_by_place
def statements(
    code: CodeType, but: frozenset[tuple[int, int]] = frozenset()
) -> tuple[Statement, ...]:
    """The statements of `code` that could be set apart, in order, blocks as a whole. None of them overlap.

    `but` are those that have to stay, each by the offsets of its first instruction and its end.
    """
    plan = layout(code)
    if plan is None:
        return ()
    simple = candidates(code)
    cuts = [cut_of(s) for s in simple if s.key in but] if but else []
    every = (*_blocks(code), *simple, *(s for s in cuts if s is not None))
    whole = [s for s in every if s.key not in but]
    chosen = _apart_from_each_other(whole)
    while True:
        kept = closed(chosen, plan)
        stay = {s.key for s in kept}
        gone = {s.key for s in chosen} - stay
        whole = [s for s in whole if s.key not in gone]
        chosen = _apart_from_each_other(whole)
        if stay == {s.key for s in chosen}:
            return tuple(sorted(kept, key=lambda s: s.start))


def _apart_from_each_other(whole: list[Statement]) -> list[Statement]:
    """Those that share no instruction with one before them, but for one that ends it and begins the next."""
    chosen: list[Statement] = []
    taken: set[int] = set()  # offsets
    for s in whole:
        own = s.ranges
        if all(map(taken.isdisjoint, own)):
            taken.update(*own)
            chosen.append(s)
    return chosen


class Apart:
    """The statements of a compiled function, and of what it calls, that are set apart: all but some.

    `active` says whether any are: only a function that cannot be captured otherwise has its statements set apart, and
    code left out that does not run (`reach`).
    """

    def __init__(self) -> None:
        self.active = False
        self.reach = Reach()
        self._codes: set[CodeType] = set()  # where there may be some
        self._kept: dict[CodeType, frozenset[tuple[int, int]]] = {}
        self._doubtful: set[Any] = set()  # those that may be set apart once more is known
        self._fresh = False  # whether some are kept since it was asked
        self.tries = 0  # how often it was asked whether a capture may fare better

    def of(self, code: CodeType) -> tuple[Statement, ...]:
        """The statements of some code that are set apart."""
        if not self.active:
            self._codes.add(code)
            return ()
        return statements(code, self._kept.get(code, frozenset()))

    def keep(self, s: Statement, forever: bool = True) -> None:
        """Leaves a statement where it is from now on; if not `forever`, from the second time on."""
        if forever or (s.code, s.key) in self._doubtful:
            self._kept[s.code] = self._kept.get(s.code, frozenset()) | {s.key}
        self._doubtful.add((s.code, s.key))
        self._fresh = True

    def came_to(self, ran: Mapping[CodeType, Iterable[int]]) -> list[CodeType]:
        """Takes in the offsets that a capture came to; the code that ran though it was left out."""
        beyond, other = self.reach.learn(ran)
        self._fresh = self._fresh or other
        return beyond

    def holds(self, where: Location) -> bool:
        """Whether a statement that may be set apart has this line."""
        every = (s for code in tuple(self._codes) for s in (*candidates(code), *statements(code)))
        found = (at for s in every for at in s.lines)
        return any(at[:2] == where[:2] for at in found)  # it may be in a comprehension there

    def again(self) -> bool:
        """Whether a function that was just refused may fare better now, with other statements set apart."""
        better = self._fresh
        if not self.active:
            better = self.reach.wanted or any(map(statements, tuple(self._codes)))
        self.active, self._fresh = self.active or better, False
        self._codes.clear()
        self.tries += 1
        return better and self.tries <= MAX_TRIES


# --- finding them --------------------------------------------------------------------------------


@kept_by_place
def layout(code: CodeType) -> Layout | None:
    """The instructions of some code, where its statements can be found."""
    if not SEEN or generates(code):
        return None
    found = Layout(code)
    return None if any(op.name in GUARDS for op in found.ops) else found


@functools.lru_cache(maxsize=4096)
def whole(code: CodeType) -> Told | None:
    """What a function does; None where that is not known."""
    plan = layout(code)
    reached = [] if plan is None else [n for n, d in enumerate(plan.depth) if d is not None]
    return told(plan.part(reached), True) if plan is not None and reached else None


@kept_by_place
def candidates(code: CodeType) -> tuple[Statement, ...]:
    """The statements without branches."""
    plan = layout(code)
    if plan is None:
        return ()
    found: list[Statement] = []
    begin = 0
    for i, op in enumerate(plan.ops):
        more = (
            op.name == "STORE_FAST"
            and i + 1 < len(plan.ops)
            and plan.ops[i + 1].name.startswith("STORE_")
        )
        if op.name in ("POP_TOP", "STORE_FAST", "RETURN_VALUE", *STORES) and not more:
            s = _simple(plan, begin, i)
            if s is not None:
                found.append(s)
                begin = i + 1
    return tuple(found)


def _simple(plan: Layout, begin: int, last: int) -> Statement | None:
    """The statement that ends with instruction `last`, without branches; None where it cannot be set apart."""
    ops, depth = plan.ops, plan.depth
    returns = ops[last].name == "RETURN_VALUE"
    deep = depth[last] if returns else depth[last + 1] if last + 1 < len(ops) else None
    if deep is None:
        return None
    base = deep - returns
    first = last
    while first >= begin and (depth[first] is None or depth[first] > base):  # type: ignore[operator]
        first -= 1
    if first < begin or depth[first] != base:
        return None
    inside = list(range(first, last + 1))
    if any(ops[n].target for n in inside[1:]):
        return None
    s = _made(plan, inside, (RETURNS if returns else ops[last].end,))
    return s if s is not None and is_worth_it(s, plan, inside) else None


def cut_of(s: Statement) -> Statement | None:
    """What is set apart of a statement without branches whose tensor the program computes; None if that cannot be."""
    plan = layout(s.code)
    if plan is None or s.entry or s.follows or s.annex:
        return None
    inside = [n for n, op in enumerate(plan.ops) if s.first <= op.offset < s.end]
    found = cut_in(plan, inside)
    does = None if found is None else told(found[1])
    if found is None or does is None:
        return None
    cut, part = found
    again = part.inside.index(plan.at[cut.at]) + 1
    begin = plan.ops[part.inside[again]].offset
    entry = (plan.depth[part.inside[again]] or 0) - part.base
    annex = ((cut.begin, cut.at),) if cut.begin < cut.at else ()
    return s._replace(start=begin, first=begin, annex=annex, entry=entry, told=does, cut=cut)


def _made(
    plan: Layout, inside: list[int], goals: tuple[int, ...], annex: Sequence[int] = ()
) -> Statement | None:
    """The statement made of these instructions, which goes on at `goals`; None where it cannot be set apart."""
    ops, code = plan.ops, plan.code
    first, last = ops[inside[0]], ops[inside[-1]]
    if first.part == 2 and ops[inside[0] - 1].name != "STORE_FAST":
        return None
    does = told(plan.part([*inside, *annex]))
    if does is None or any(n.endswith("_") and n[0] != "_" for n in does.calls):  # `x.add_(y)`
        return None
    own = ops[inside[1]] if first.part == 2 and len(inside) > 1 else first
    follows = ops[inside[-1] + 1].value if last.part == 1 else ""
    elsewhere = tuple((ops[n].offset, ops[n].end) for n in annex)
    mine = set(annex)
    guards = tuple(
        dict.fromkeys(
            e.handler for e in plan.rows
            if e.start <= own.offset < e.end and plan.at[e.handler] not in mine
            and not first.offset < e.handler < last.end
        )
    )  # fmt: skip
    if any(forgets(code, h) == "yes" for h in guards):
        return None
    return Statement(
        code, first.offset, own.offset, last.end, elsewhere, goals, int(first.part == 2), follows, does, guards,
        plan.line(first.offset),
    )  # fmt: skip


@kept_by_place
def _blocks(code: CodeType) -> tuple[Statement, ...]:
    """The blocks, the largest first."""
    plan = layout(code)
    if plan is None:
        return ()
    found = []
    for block in plan.blocks():
        inside = list(block.inside)
        s = _made(plan, inside[: block.main], block.goals, inside[block.main :])
        if s is not None and not s.follows and block_is_worth_it(s, plan):
            found.append(s)
    return tuple(sorted(found, key=lambda s: -sum(map(len, s.ranges))))
