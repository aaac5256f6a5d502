"""Reading: what a part of a function's byte code does to variables and places, found by running it on trees.

Beside those of `steps`, trees are ("new",), a list, dict or set made here; ("entered", tree) and ("exit", tree), what a
context manager gives and its end; ("made", code), a function made here; ("each", tree) and ("part", tree), something
in a container; ("parts", trees), a tuple; ("op",), the result of an operator; ("saved", name), a variable that a
comprehension hides; ("any", trees), one of several; ("value",), anything else. ("local", name) is what the variable
holds where the part begins.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence, Set
from types import CodeType
from typing import Any, NamedTuple

from .handlers import entries
from .steps import NULL, Op, runs, steps

STORES = {
    "STORE_ATTR": "attr",
    "STORE_SUBSCR": "item",
    "STORE_GLOBAL": "global",
    "STORE_DEREF": "free",
}
TAKEN = {"attr": 2, "item": 3, "global": 1, "free": 1}  # operands
# Methods of builtin containers that change them.
CHANGES = frozenset(
    """append extend insert appendleft extendleft add update setdefault remove discard clear rotate pop popitem popleft
    sort reverse difference_update intersection_update""".split()
)
# Attributes of tensors: writing them is no matter of Python alone.
OF_TENSORS = frozenset("grad data requires_grad".split())
LOOKED_UP = ("LOAD_METHOD", "LOAD_ATTR", "LOAD_GLOBAL")
VALUE: Any = ("value",)
NEW: Any = ("new",)
OPERATED: Any = ("op",)
IN_PLACE = 13  # BINARY_OP with this argument or a higher one is ``+=`` and the like
OPERATORS = (
    "BINARY_",
    "INPLACE_",
    "UNARY_",
    "COMPARE_",
    "IS_",
    "CONTAINS_",
    "FORMAT_",
    "BUILD_STRING",
)


class Target(NamedTuple):
    """A place that a statement writes, or what it calls.

    `kind` is "attr" (the attribute `name` of `place`), "item" (the entry `name` of `place`), "global", "free" (the
    variable `name`), "change" (a method of a container), "call" (of `place`, with the trees of its arguments as
    `name`, its result dropped), "use" (the same, its result used), "in place" (``+=`` and the like, to `place`) or
    "with" (the context manager `place`).
    A place is a tree over "local", "global", "free", "const", "attr", "item" and "call". `sure`: each run comes here.
    """

    kind: str
    place: Any
    name: Any
    sure: bool

    @property
    def stored(self) -> bool:
        """Whether it is more than a value that the part works with."""
        return self.kind not in ("use", "in place")


class Told(NamedTuple):
    """What a part of some code does: variables it reads from before, those it makes on every way through it, others
    that it writes; targets; whether it takes values out of tensors, or may."""

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    scratch: tuple[str, ...]
    targets: tuple[Target, ...]
    calls: frozenset[str]  # names of the methods and builtins that it calls
    gives: tuple[Any, ...] = ()  # what it returns, as trees


class Part(NamedTuple):
    """Instructions of a function: their numbers, the first among them first; the stack's depth where they begin."""

    code: CodeType
    ops: tuple[Op, ...]
    depth: list[int | None]
    at: dict[int, int]  # numbers by offset
    ways: tuple[tuple[int, ...], ...]  # what may run next
    inside: Sequence[int]
    base: int


def told(part: Part, whole: bool = False) -> Told | None:
    """What a part of some code does; None where that is not known. The `whole` of a function may raise errors."""
    reading = _Reading(part, whole)
    if not reading.run():
        return None
    assigned = _assigned(part, back=reading.back)
    reads: dict[str, None] = {}
    stored = dict.fromkeys(reading.stored)
    at_end: set[str] | None = None
    for n in part.inside:
        op, known = part.ops[n], assigned.get(n)
        if known is None:
            continue
        name = op.value
        if (
            op.name in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF")
            and name in part.code.co_varnames
        ):
            if name not in known:
                reads[name] = None
        after = known | {name} if op.name == "STORE_FAST" and n not in reading.back else known
        leaves = [m for m in part.ways[n] if m not in assigned]
        if leaves:
            at_end = set(after) if at_end is None else at_end & after
    kept = reading.saved
    makes = [v for v in stored if v in (at_end or ()) and v not in kept]
    scratch = [v for v in stored if v not in makes and v not in kept]
    return Told(
        tuple(reads),
        tuple(makes),
        tuple(scratch),
        tuple(reading.targets),
        frozenset(reading.calls),
        tuple(reading.gives),
    )


def managers(part: Part) -> list[Any]:
    """The context managers that a part without branches enters, as trees."""
    reading = _Reading(part)
    return [t.place for t in reading.targets if t.kind == "with"] if reading.run() else []


def _is_mixed(tree: Any) -> bool:
    """Whether a tree begins with a variable that is written often."""
    while tree and tree[0] in ("attr", "item", "call", "part", "each"):
        tree = tree[1]
    return bool(tree) and tree[0] == "mixed"


def _assigned(
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


def _always(part: Part) -> set[int]:
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


class _Reading:
    """Runs the instructions of a part in the order of their offsets."""

    def __init__(self, part: Part, whole: bool = False) -> None:
        self.part, self._whole = part, whole
        self.targets: list[Target] = []
        self.calls: set[str] = set()
        self.gives: list[Any] = []
        self.stored: list[str] = []
        self.saved: set[str] = set()  # variables that a comprehension puts back
        self.back: set[int] = set()  # the instructions that do
        self._held: dict[
            str, Any
        ] = {}  # what variables hold that are written once, before they are read
        self._often = self._written_often()
        self._values: dict[str, list[Any]] = {}  # all that they are given

    def _written_often(self) -> set[str]:
        seen: set[str] = set()
        often: set[str] = set()
        cleared: set[str] = set()
        for n in self.part.inside:
            op = self.part.ops[n]
            if op.name == "LOAD_FAST_AND_CLEAR":  # by a comprehension, which puts it back
                cleared.add(op.value)
            elif op.name == "STORE_FAST" and op.value in seen & cleared:
                pass  # it is put back, also after an error
            elif op.name == "STORE_FAST":
                (often if op.value in seen else seen).add(op.value)
            elif op.name.startswith("LOAD_FAST") and op.value not in seen:
                often.add(op.value)
        return often

    def run(self) -> bool:
        part = self.part
        states: dict[int, list[Any]] = {part.inside[0]: []}
        inside = set(part.inside)
        for n in part.inside:
            depth = part.depth[n]
            if depth is None:
                continue
            if depth < part.base:
                return False
            stack = states.get(n, [None] * (depth - part.base))
            op = part.ops[n]
            if not self._step(op, stack):
                return False
            for m in part.ways[n]:
                goal = part.depth[m]
                if m in inside and m not in states and goal is not None:
                    deep = goal - part.base
                    states[m] = stack[:deep] + [None] * (deep - len(stack))
        self.targets = [t._replace(place=self._resolved(t.place)) for t in self.targets]
        return True

    def _resolved(self, tree: Any) -> Any:
        """A place with all that the variable which it begins with may hold, where that is written often."""
        if tree is None or tree[0] not in ("mixed", "attr"):
            return tree
        if tree[0] == "attr":
            return ("attr", self._resolved(tree[1]), tree[2])
        values = [VALUE if _is_mixed(v) else v for v in self._values.get(tree[1], ())]
        return ("any", (("local", tree[1]), *values) if tree[2] else tuple(values))

    @functools.cached_property
    def _stores(self) -> set[str]:
        ops = self.part.ops
        return {ops[n].value for n in self.part.inside if ops[n].name == "STORE_FAST"}

    @functools.cached_property
    def _parameters(self) -> set[str]:
        code = self.part.code
        more = bool(code.co_flags & 4) + bool(code.co_flags & 8)
        return {*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + more]}

    @functools.cached_property
    def _maybe(self) -> dict[int, frozenset[str]]:
        return _assigned(self.part, frozenset.union)

    @functools.cached_property
    def _surely(self) -> dict[int, frozenset[str]]:
        return _assigned(self.part)

    @functools.cached_property
    def _always(self) -> set[int]:
        return _always(self.part)

    def _note(self, op: Op, kind: str, place: Any, name: Any) -> None:
        self.targets.append(Target(kind, place, name, self.part.at[op.offset] in self._always))

    def _step(self, op: Op, stack: list[Any]) -> bool:
        try:
            return self._run(op, stack)
        except IndexError:  # it takes what lies below the part's own operands
            return False

    def _run(self, op: Op, stack: list[Any]) -> bool:
        part, name, arg = self.part, op.name, op.arg
        if name in ("LOAD_FAST", "LOAD_FAST_CHECK"):
            stack.append(self._variable(op))
        elif name == "LOAD_FAST_AND_CLEAR":
            self.saved.add(op.value)
            stack.append(("saved", op.value))
        elif name == "STORE_FAST" and stack[-1] == ("saved", op.value):
            stack.pop()
            self._held.pop(op.value, None)
            self.back.add(part.at[op.offset] + (op.part == 2))
        elif name == "STORE_FAST":
            value = stack.pop()
            self.stored.append(op.value)
            self._values.setdefault(op.value, []).append(value or VALUE)
            if op.value not in self._often:
                self._held[op.value] = value or VALUE
        elif name == "DELETE_FAST":
            self.stored.append(op.value)
        elif name in STORES:
            return self._store(op, STORES[name], stack)
        elif name == "POP_TOP":
            self._drop(op, stack.pop())
        elif name in ("BUILD_LIST", "BUILD_MAP", "BUILD_SET"):
            del stack[len(stack) - (2 * arg if name == "BUILD_MAP" else arg) :]
            stack.append(NEW)
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and stack[-1] is None:
            stack[-1] = VALUE
            return runs(op, stack, self.part.code)
        elif name == "BEFORE_WITH":
            manager = stack.pop() or VALUE
            self._note(op, "with", manager, None)
            stack += [("exit", manager), ("entered", manager)]
        elif name == "MAKE_FUNCTION":
            made = stack.pop()
            if arg or made is None or made[0] != "const":
                return False
            stack.append(("made", made[1]))
        elif name in ("UNPACK_SEQUENCE", "UNPACK_EX"):
            whole = stack.pop()
            count = arg if name == "UNPACK_SEQUENCE" else (arg & 255) + 1 + (arg >> 8)
            stack += [("part", whole or VALUE)] * count
        elif name == "GET_ITER":
            pass
        elif name == "FOR_ITER":
            stack.append(("each", stack[-1] or VALUE))
        elif name == "BUILD_TUPLE":
            parts = stack[len(stack) - arg :]
            del stack[len(stack) - arg :]
            stack.append(("parts", tuple(parts)))
        elif name == "BINARY_SUBSCR" and stack[-1] is None:
            stack.pop()
            stack[-1] = ("part", stack[-1] or VALUE)
        elif name == "BINARY_SLICE":
            del stack[len(stack) - 2 :]
            stack[-1] = ("attr", stack[-1] or VALUE, "[:]")
        elif name == "RETURN_VALUE":
            self.gives.append(stack.pop())
        elif name == "END_FOR":
            stack.pop()
        elif name == "RETURN_CONST" or (name.startswith("JUMP_") and "IF" not in name):
            pass
        elif "JUMP" in name:
            if "OR_POP" not in name:
                stack.pop()
        elif name == "CALL_FUNCTION_EX":
            return self._spread(op, stack)
        elif name == "RAISE_VARARGS":
            del stack[len(stack) - arg :]
            return self._whole
        else:
            if name.startswith("INPLACE_") or (name == "BINARY_OP" and arg >= IN_PLACE):
                self._note(op, "in place", stack[-2] or VALUE, None)
            if not runs(op, stack, self.part.code):
                return False
            top = stack[-1] if stack else None
            if name.startswith("CALL") and top is not None and top[0] == "call":
                self._call(op, top)
            elif top is None and name.startswith(OPERATORS):
                stack[-1] = OPERATED
        return True

    def _variable(self, op: Op) -> Any:
        """What a local variable holds where it is read; ("mixed", name, whether it may be what it held before)."""
        name, n = op.value, self.part.at[op.offset] + (op.part == 2)
        if name in self.saved:  # the comprehension's own, or what it has put back
            return self._held.get(name, ("local", name))
        if name not in self._stores or name not in self._maybe.get(n, ()):
            return ("local", name)
        sure = name in self._surely.get(n, ())
        if sure and name in self._held:
            return self._held[name]
        before = not self._whole or name in self._parameters
        return ("mixed", name, before and not sure)

    def _store(self, op: Op, kind: str, stack: list[Any]) -> bool:
        operands = [stack.pop() for _ in range(TAKEN[kind])][::-1]
        if kind in ("global", "free"):
            self._note(op, kind, None, op.value)
            return kind == "global" or op.value in self.part.code.co_freevars
        place, name = (operands[-1], op.value) if kind == "attr" else (operands[1], operands[2])
        if kind == "attr" and name in OF_TENSORS:
            return False
        if place == NEW:
            return True
        if place is None:
            return False
        self._note(op, kind, place, name)
        return True

    def _spread(self, op: Op, stack: list[Any]) -> bool:
        """A call with ``*args``."""
        for _ in range(1 + (op.arg & 1)):
            stack.pop()
        callee = stack.pop()
        if callee is None or callee == NULL:
            callee = stack.pop()
        elif stack and stack[-1] == NULL:
            stack.pop()
        call = ("call", callee, (None,))
        self._call(op, call)
        stack.append(call)
        return True

    def _call(self, op: Op, call: Any) -> None:
        callee, args = call[1] or VALUE, call[2]
        if callee[0] == "exit":
            return
        if callee[0] == "made":
            self.calls |= {op.value for op in steps(callee[1]) if op.name in LOOKED_UP}
        else:
            self.calls.add(str(callee[-1]))
        if callee[0] == "attr" and callee[2] in CHANGES:
            if callee[1] != NEW:
                self._note(op, "change", callee, args)
        else:
            self._note(op, "use", callee, args)

    def _drop(self, op: Op, value: Any) -> None:
        """The result of a call is dropped: of the last one, as it is noted."""
        if value is None or value[0] != "call" or not self.targets:
            return
        last = self.targets[-1]
        if last.kind == "use" and last.place == (value[1] or VALUE):
            self.targets[-1] = last._replace(kind="call")
