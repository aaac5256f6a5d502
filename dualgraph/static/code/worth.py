"""Worth: which of the statements that could be set apart are worth it - those that change what outlasts the call, or
that numbers taken out of tensors go to - and which depend on others that are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .handlers import after_errors
from .reading import STORES, Target

if TYPE_CHECKING:
    from .blocks import Layout
    from .statements import Statement

TAKERS = frozenset("item tolist numpy float int bool".split())
# What else makes Python values of tensors, as a part of what is returned.
FORMATTERS = frozenset("format str repr".split())
TELLERS = TAKERS | FORMATTERS | frozenset("asarray array round".split())
MAKERS = frozenset("dict list set".split())  # builtins that make new containers
Places = dict[str, list[int]]  # the offsets of some use of each variable


def block_is_worth_it(s: Statement, plan: Layout) -> bool:
    """Whether all that a block writes may last, and it does something at all."""
    for t in s.targets:
        place = t.place[1] if t.kind == "change" else t.place
        if t.kind in ("attr", "item", "change") and not _changes_local(t):
            if not _lasting(place, plan, t.kind != "attr"):
                return False
    if s.returns and not all(map(_ready, s.told.gives)):
        return False
    if s.makes or s.told.scratch or s.told.calls & TAKERS:
        return True  # `closed` sees whether what it makes is a reason
    return any(t.stored and t.kind != "with" for t in s.targets)


def _ready(tree: Any) -> bool:
    """Whether what is returned is there by then, or made for Python; tensors should come from the program."""
    if tree is not None and tree[0] == "parts":
        return all(map(_ready, tree[1]))
    return tree is None or tree[0] != "call" or (tree[1] is not None and tree[1][-1] in TELLERS)


def is_worth_it(s: Statement, plan: Layout, inside: list[int]) -> bool:
    """Whether a statement without branches may be one to set apart."""
    op = plan.ops[inside[-1]]
    takes = bool(s.told.calls & TAKERS)
    if s.returns:
        return all(t is None or t[0] == "call" or _ready(t) for t in s.told.gives)
    if op.name == "STORE_FAST":
        return takes or bool(s.reads) or _constant(s) or bool(_mentioned(s))
    if not s.targets:
        return False
    t = s.targets[-1]
    if t.kind == "free":
        return t.name in plan.code.co_freevars
    if t.kind == "global":
        return True
    if t.kind in ("attr", "item"):
        return op.name in STORES and (
            _lasting(t.place, plan, t.kind == "item") or _changes_local(t) != ""
        )
    if t.kind == "change":
        return takes or _lasting(t.place[1], plan, True) or _changes_local(t) != ""
    if t.kind != "call":
        return False
    if t.place == ("global", "print") or takes:
        return True
    return t.place[0] == "attr" and _lasting(t.place[1], plan, False)


def _constant(s: Statement) -> bool:
    """Whether a statement gives a variable a constant, or a new container: what others may go on to change."""
    made = (t.kind == "use" and t.place[0] == "global" and t.place[1] in MAKERS for t in s.targets)
    return not (s.reads or s.formats) and all(made) and s.told.calls <= MAKERS


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


def closed(found: list[Statement], plan: Layout) -> list[Statement]:
    """Without those that make a variable which code outside of these statements reads, too; and without those that
    have nothing to do with numbers, and make nothing but variables, or a result."""
    code = plan.code
    loads = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR", "DELETE_FAST")
    errors = {at for r in after_errors(code) for at in r}
    ops = tuple(op for op in plan.ops if op.offset not in errors)
    readers: Places = {}
    deleted: Places = {}
    for op in ops:
        if op.name.startswith("LOAD_FAST"):
            readers.setdefault(op.value, []).append(op.offset)
        elif op.name == "DELETE_FAST":
            deleted.setdefault(op.value, []).append(op.offset)
    found = [_with_scratch(s, readers, deleted) for s in found]
    found = [s for s in found if s.returns or not _elsewhere(s, readers)]
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
        links = _Links(found, outside)
        kept = [s for s in found if links.keeps(s)]
        if len(kept) == len(found):
            return kept
        found = kept


class _Links:
    """What the statements that may be set apart have to do with each other."""

    def __init__(self, found: list[Statement], outside: set[str]) -> None:
        self._outside = outside
        takers = [s for s in found if not s.returns and s.told.calls & TAKERS]
        self._written = frozenset[str]().union(*(_written(s) for s in takers))
        self._apart = _of_numbers(found, outside, self._written)
        new = {n for s in found if _constant(s) for n in s.makes} - outside
        growing = (s for s in found if self._has_numbers(s))
        self._grown = new & {_changes_local(t) for s in growing for t in s.targets}

    def _has_numbers(self, s: Statement) -> bool:
        """Whether a statement takes numbers out, or goes on with such."""
        return _goes_on(s, self._apart, self._written)

    def keeps(self, s: Statement) -> bool:
        """Whether a statement is one to set apart, as far as the others tell."""
        if s.returns:
            related = {*self._apart, *self._grown}.intersection(s.reads)
            return s.tells or bool(related) or not self._written.isdisjoint(_mentioned(s))
        if not self._outside.isdisjoint(s.makes):
            return False
        if _constant(s):
            return not (self._apart | self._grown).isdisjoint(s.makes)
        alone = not (TAKERS & s.told.calls)
        local = {_changes_local(t) for t in s.targets if t.kind == "item" or alone} - {""}
        return local <= self._grown and (s.changes or s.formats or self._has_numbers(s))


def _goes_on(s: Statement, known: set[str], written: frozenset[str]) -> bool:
    """Whether a statement takes numbers out of tensors, or works with such: in variables, or at `written` places."""
    takes = bool(TAKERS & s.told.calls) or not known.isdisjoint(s.reads)
    return takes or not written.isdisjoint(_mentioned(s))


def _of_numbers(found: list[Statement], outside: set[str], written: frozenset[str]) -> set[str]:
    """The variables made of numbers that were taken out of tensors, and those that begin in one statement with them
    (``correct = total = 0``)."""
    known: set[str] = set()
    while True:
        more = {n for s in found for n in s.makes if _goes_on(s, known, written)} - outside
        begun = (s.makes for s in found if _constant(s) and not outside.issuperset(s.makes))
        more |= {n for names in begun if not more.isdisjoint(names) for n in names} - outside
        if more == known:
            return known
        known = more


def _changes_local(t: Target) -> str:
    """The local variable that holds what a target changes ("": none does)."""
    place = t.place[1] if t.kind == "change" else t.place
    found = t.kind in ("change", "item") and place is not None and place[0] == "local"
    return str(place[1]) if found else ""


def _written(s: Statement) -> set[str]:
    """The names of attributes and variables of others that a statement writes, or changes the contents of."""
    named = {t.name for t in s.targets if t.kind in ("attr", "global", "free")}
    inside = [
        t.place[1] if t.kind == "change" else t.place
        for t in s.targets
        if t.kind in ("change", "item")
    ]
    return named | {tree[-1] for tree in inside if tree and tree[0] in ("attr", "global", "free")}


def _mentioned(s: Statement) -> set[str]:
    """The names that a statement mentions."""
    return {op.value for op in s.ops if isinstance(op.value, str)}


def _with_scratch(s: Statement, readers: Places, deleted: Places) -> Statement:
    """A statement that also makes variables which only some ways through it write, where others read them: it takes
    what they hold before."""
    read = _elsewhere(s, readers)
    read -= {n for n in read if any(map(s.has, deleted.get(n, ())))}
    if not read or s.returns:
        return s
    reads = dict.fromkeys((*s.reads, *sorted(read)))
    scratch = tuple(n for n in s.told.scratch if n not in read)
    makes = (*s.makes, *sorted(read))
    return s._replace(told=s.told._replace(reads=tuple(reads), makes=makes, scratch=scratch))


def _elsewhere(s: Statement, readers: Places) -> set[str]:
    """The variables that only some ways through a statement write, and other code reads."""
    return {n for n in s.told.scratch if not all(map(s.has, readers.get(n, ())))}
