"""Statements: those of a function that do something to Python state, as pieces of its byte code.

``print(loss.item())``, ``losses.append(loss.item())``, ``self.last = y``, ``count += 1`` and whole blocks of such - an
``if``, a loop, a ``with``, a ``try``, the last ``return`` - can be set apart from what a capture compiles: nothing else
in the code reads what they leave. They are found here by shape alone; whether a run of them may be set apart is for
the one who watches it run. Each can be run again as a function of its local variables: the byte code of the user's
function from the first instruction of the statement to its last (`pieces`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from types import CodeType
from typing import Any, NamedTuple

from ...core.errors import Location
from .blocks import GUARDS, RETURNS, Layout
from .handlers import after_errors, forgets
from .reading import STORES, Target, Told, told

# Whether the instructions of this Python are known; elsewhere nothing may be set apart.
SEEN = sys.version_info < (3, 14)
MAX_TRIES = 10  # captures to find out which statements can be set apart
TAKERS = frozenset("item tolist numpy float int bool".split())
# What else makes Python values of tensors, as a part of what is returned.
TELLERS = TAKERS | frozenset("asarray array format round str repr".split())


class Statement(NamedTuple):
    """A statement: its code, its offsets, the local variables that it reads and makes, and what it writes.

    `makes` are assigned on each way through it, `scratch` on some.
    """

    code: CodeType
    start: int  # of its first instruction
    first: int  # where it has its first instruction to itself
    end: int
    annex: tuple[tuple[int, int], ...]  # where else it has instructions, for errors
    goals: tuple[
        int, ...
    ]  # where it goes on: at its end, as a rule; if at several, the same code is there
    entry: int  # values on the stack by then
    follows: str  # the variable that its last instruction also loads
    told: Told
    guards: tuple[int, ...]  # the handlers around it
    line: int

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
    def ranges(self) -> tuple[range, ...]:
        """The offsets of its instructions."""
        return tuple(range(a, b) for a, b in ((self.first, self.end), *self.annex))

    def has(self, offset: int) -> bool:
        """Whether an instruction is one of its own."""
        return self.first <= offset < self.end or any(a <= offset < b for a, b in self.annex)


@functools.lru_cache(maxsize=4096)
def statements(
    code: CodeType, but: frozenset[tuple[int, int]] = frozenset()
) -> tuple[Statement, ...]:
    """The statements of `code` that could be set apart, in order, blocks as a whole. None of them overlap.

    `but` are those that have to stay, each by the offsets of its first instruction and its end.
    """
    blocks = _blocks(code)
    keys = {s.key for s in blocks}
    whole = [s for s in (*blocks, *candidates(code)) if s.key not in but]
    while True:
        chosen = _apart_from_each_other(whole)
        kept = _closed(chosen, code)
        gone = {id(s) for s in chosen} - {id(s) for s in kept}
        if all(s.key not in keys for s in chosen if id(s) in gone):
            return tuple(sorted(kept, key=lambda s: s.start))
        whole = [s for s in whole if id(s) not in gone]


def _apart_from_each_other(whole: list[Statement]) -> list[Statement]:
    """Those that share no instruction with one before them."""
    chosen: list[Statement] = []
    taken: set[int] = set()  # offsets
    for s in whole:
        own = [range(a, b) for a, b in ((s.start, s.end), *s.annex)]
        if all(map(taken.isdisjoint, own)):
            taken.update(*own)
            chosen.append(s)
    return chosen


class Apart:
    """The statements of a compiled function, and of what it calls, that are set apart: all but some.

    `active` says whether any are: only a function that cannot be captured otherwise has its statements set apart.
    """

    def __init__(self) -> None:
        self.active = False
        self._codes: set[CodeType] = set()  # where there may be some
        self._kept: dict[CodeType, frozenset[tuple[int, int]]] = {}
        self._doubtful: set[Any] = set()  # those that may be set apart once more is known
        self._fresh = False  # whether some are kept since it was asked
        self._tries = 0

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

    def holds(self, where: Location) -> bool:
        """Whether a statement without branches that may be set apart has this line."""
        return any(where in s.lines for code in self._codes for s in candidates(code))

    def again(self) -> bool:
        """Whether a function that was just refused may fare better now, with other statements set apart."""
        better = self._fresh if self.active else any(map(statements, self._codes))
        self.active, self._fresh = self.active or better, False
        self._codes.clear()
        self._tries += 1
        return better and self._tries <= MAX_TRIES


# --- finding them --------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def layout(code: CodeType) -> Layout | None:
    """The instructions of some code, where its statements can be found."""
    if not SEEN or code.co_flags & 0x2A0:
        return None
    found = Layout(code)
    return None if any(op.name in GUARDS for op in found.ops) else found


@functools.lru_cache(maxsize=4096)
def whole(code: CodeType) -> Told | None:
    """What a function does; None where that is not known."""
    plan = layout(code)
    reached = [] if plan is None else [n for n, d in enumerate(plan.depth) if d is not None]
    return told(plan.part(reached), True) if plan is not None and reached else None


@functools.lru_cache(maxsize=4096)
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
    return s if s is not None and _worth(s, plan, inside) else None


def _made(
    plan: Layout, inside: list[int], goals: tuple[int, ...], annex: Sequence[int] = ()
) -> Statement | None:
    ops, code = plan.ops, plan.code
    first, last = ops[inside[0]], ops[inside[-1]]
    if first.part == 2 and ops[inside[0] - 1].name != "STORE_FAST":
        return None
    does = told(plan.part([*inside, *annex]))
    if does is None:
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


@functools.lru_cache(maxsize=4096)
def _blocks(code: CodeType) -> tuple[Statement, ...]:
    """The blocks, the largest first."""
    plan = layout(code)
    if plan is None:
        return ()
    found = []
    for block in plan.blocks():
        inside = list(block.inside)
        s = _made(plan, inside[: block.main], block.goals, inside[block.main :])
        if s is not None and not s.follows and _block_worth(s, plan):
            found.append(s)
    return tuple(sorted(found, key=lambda s: -sum(map(len, s.ranges))))


# --- which of them are worth it ------------------------------------------------------------------


def _block_worth(s: Statement, plan: Layout) -> bool:
    """Whether all that a block writes may last, and it does something at all."""
    for t in s.targets:
        place = t.place[1] if t.kind == "change" else t.place
        if t.kind in ("attr", "item", "change") and not _lasting(place, plan, t.kind != "attr"):
            return False
    if s.returns and not all(map(_ready, s.told.gives)):
        return False
    return any(t.stored and t.kind != "with" for t in s.targets) or bool(s.told.calls & TAKERS)


def _ready(tree: Any) -> bool:
    """Whether what is returned is there by then, or made for Python; tensors should come from the program."""
    if tree is not None and tree[0] == "parts":
        return all(map(_ready, tree[1]))
    return tree is None or tree[0] != "call" or (tree[1] is not None and tree[1][-1] in TELLERS)


def _worth(s: Statement, plan: Layout, inside: list[int]) -> bool:
    """Whether a statement without branches may be one to set apart."""
    op = plan.ops[inside[-1]]
    takes = bool(s.told.calls & TAKERS)
    if s.returns:
        formats = any(plan.ops[n].name.startswith("FORMAT") for n in inside)
        return (formats or bool(s.told.calls & TELLERS)) and all(map(_ready, s.told.gives))
    if op.name == "STORE_FAST":
        return takes or bool(s.reads)
    if not s.targets:
        return False
    t = s.targets[-1]
    if t.kind == "free":
        return t.name in plan.code.co_freevars
    if t.kind == "global":
        return True
    if t.kind in ("attr", "item"):
        return op.name in STORES and _lasting(t.place, plan, t.kind == "item")
    if t.kind == "change":
        return takes or _lasting(t.place[1], plan, True)
    if t.kind != "call":
        return False
    if t.place == ("global", "print") or takes:
        return True
    return t.place[0] == "attr" and _lasting(t.place[1], plan, False)


def _lasting(place: Any, plan: Layout, within: bool) -> bool:
    """Whether a place may be one outside of the call: what is reached from a global, or from an argument."""
    code = plan.code
    steps = 0
    while place is not None and place[0] in ("attr", "item", "call"):
        if place[0] == "call" and (place[1] is None or place[1][-1] != "setdefault"):
            return False
        place, steps = place[1], steps + 1
    if place is None or place[0] not in ("global", "free", "local"):
        return False
    if place[0] == "free":
        return place[1] in code.co_freevars
    if place[0] == "global":
        return True
    given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    kept = place[1] in given and place[1] not in plan.stored
    return kept and (steps > 0 or not within)


def _closed(found: list[Statement], code: CodeType) -> list[Statement]:
    """Without those that make a variable which code outside of these statements reads, too."""
    plan = layout(code)
    ops = () if plan is None else plan.ops
    loads = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR", "DELETE_FAST")
    errors = {at for r in after_errors(code) for at in r}
    ops = tuple(op for op in ops if op.offset not in errors)
    readers: dict[Any, list[int]] = {}  # where variables are read
    for op in ops:
        if op.name.startswith("LOAD_FAST"):
            readers.setdefault(op.value, []).append(op.offset)
    while True:
        owners = {at: s for s in found for r in (range(s.start, s.end), *s.ranges) for at in r}
        outside: set[str] = set(code.co_cellvars)
        for op in ops:
            owner = owners.get(op.offset)
            if op.name in loads:
                if owner is None or (owner.end == op.end and op.part == 2):
                    outside.add(op.value)
            if op.name == "STORE_FAST" and owner is None:
                outside.add(op.value)
        apart = {name for s in found for name in s.makes}
        kept = [
            s
            for s in found
            if (s.returns or not ({*s.makes} & outside or _scratch_read(s, readers)))
            and (s.changes or _number_like(s, apart - outside))
        ]
        if len(kept) == len(found):
            return kept
        found = kept


def _scratch_read(s: Statement, readers: dict[Any, list[int]]) -> bool:
    """Whether other code reads a variable that only some ways through a statement write."""
    return any(not s.has(at) for name in s.told.scratch for at in readers.get(name, ()))


def _number_like(s: Statement, apart: set[str]) -> bool:
    """Whether a statement that only makes variables takes numbers out, or goes on with such."""
    return bool(TAKERS & s.told.calls) or bool(set(s.reads) & apart)
