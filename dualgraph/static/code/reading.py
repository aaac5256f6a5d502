"""Reading: what a part of a function's byte code does to variables and places, found by running it on trees.

That is symbolic execution: a tree says where a value would come from. Beside those of `steps` there are

    ("new",)                           a list, dict or set made here
    ("parts", trees)                   a tuple made here
    ("made", code)                     a function made here
    ("each", tree), ("part", tree)     something in a container
    ("entered", tree), ("exit", tree)  what a context manager gives, and its end
    ("op",)                            the result of an operator
    ("saved", name)                    a variable that a comprehension hides
    ("any", trees)                     one of several
    ("value",)                         anything else

("local", name) is what the variable holds where the part begins.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from .dataflow import Part, always, assigned
from .steps import NULL, Op, runs, steps

STORES = {
    "STORE_ATTR": "attr",
    "STORE_SUBSCR": "item",
    "STORE_GLOBAL": "global",
    "STORE_DEREF": "free",
}
VARIABLES = frozenset(
    "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR STORE_FAST DELETE_FAST".split()
)
CONTAINERS = frozenset(
    """BUILD_LIST BUILD_MAP BUILD_SET BUILD_TUPLE UNPACK_SEQUENCE UNPACK_EX GET_ITER FOR_ITER END_FOR
    BINARY_SLICE""".split()
)
ENDS = frozenset("RETURN_VALUE RETURN_CONST RAISE_VARARGS".split())
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


def told(part: Part, whole: bool = False) -> Told | None:
    """What a part of some code does; None where that is not known. The `whole` of a function may raise errors."""
    reading = _Reading(part, whole)
    if not reading.run():
        return None
    known_at = assigned(part, back=reading.back)
    reads: dict[str, None] = {}
    stored = dict.fromkeys(reading.stored)
    at_end: set[str] | None = None
    for n in part.inside:
        op, known = part.ops[n], known_at.get(n)
        if known is None:
            continue
        name = op.value
        loads = op.name in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF")
        if loads and name in part.code.co_varnames and name not in known:
            reads[name] = None
        after = known | {name} if op.name == "STORE_FAST" and n not in reading.back else known
        leaves = [m for m in part.ways[n] if m not in known_at]
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
        # What variables hold that are written once, before they are read.
        self._held: dict[str, Any] = {}
        self._often = self._written_often()
        self._values: dict[str, list[Any]] = {}  # all that they are given

    def _written_often(self) -> set[str]:
        """The variables that are written more than once, or read before that."""
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
        """Runs all of them; False where what one of them does is not known."""
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
        return assigned(self.part, frozenset.union)

    @functools.cached_property
    def _surely(self) -> dict[int, frozenset[str]]:
        return assigned(self.part)

    @functools.cached_property
    def _always(self) -> set[int]:
        return always(self.part)

    def _note(self, op: Op, kind: str, place: Any, name: Any) -> None:
        self.targets.append(Target(kind, place, name, self.part.at[op.offset] in self._always))

    def _step(self, op: Op, stack: list[Any]) -> bool:
        try:
            return self._run(op, stack)
        except IndexError:  # it takes what lies below the part's own operands
            return False

    def _run(self, op: Op, stack: list[Any]) -> bool:
        """Runs one instruction on the stack; False where a statement set apart may not have it."""
        if op.name in STORES:
            return self._store(op, STORES[op.name], stack)
        if op.name in VARIABLES:
            return self._move(op, stack)
        if op.name in CONTAINERS or (op.name == "BINARY_SUBSCR" and stack[-1] is None):
            return self._contain(op, stack)
        if op.name in ENDS or "JUMP" in op.name:
            return self._leave(op, stack)
        return self._work(op, stack)

    def _move(self, op: Op, stack: list[Any]) -> bool:
        """Instructions that take values from the stack to local variables, and back."""
        name = op.name
        if name in ("LOAD_FAST", "LOAD_FAST_CHECK"):
            stack.append(self._variable(op))
        elif name == "LOAD_FAST_AND_CLEAR":
            self.saved.add(op.value)
            stack.append(("saved", op.value))
        elif name == "DELETE_FAST":
            self.stored.append(op.value)
        elif stack[-1] == ("saved", op.value):  # STORE_FAST at the end of a comprehension
            stack.pop()
            self._held.pop(op.value, None)
            self.back.add(self.part.at[op.offset] + (op.part == 2))
        else:
            value = stack.pop()
            self.stored.append(op.value)
            self._values.setdefault(op.value, []).append(value or VALUE)
            if op.value not in self._often:
                self._held[op.value] = value or VALUE
        return True

    def _contain(self, op: Op, stack: list[Any]) -> bool:
        """Instructions that make containers, or take values out of them."""
        name, arg = op.name, op.arg
        if name in ("BUILD_LIST", "BUILD_MAP", "BUILD_SET"):
            del stack[len(stack) - (2 * arg if name == "BUILD_MAP" else arg) :]
            stack.append(NEW)
        elif name == "BUILD_TUPLE":
            parts = stack[len(stack) - arg :]
            del stack[len(stack) - arg :]
            stack.append(("parts", tuple(parts)))
        elif name in ("UNPACK_SEQUENCE", "UNPACK_EX"):
            whole = stack.pop()
            count = arg if name == "UNPACK_SEQUENCE" else (arg & 255) + 1 + (arg >> 8)
            stack += [("part", whole or VALUE)] * count
        elif name == "FOR_ITER":
            stack.append(("each", stack[-1] or VALUE))
        elif name == "END_FOR":
            stack.pop()
        elif name == "BINARY_SUBSCR":
            stack.pop()
            stack[-1] = ("part", stack[-1] or VALUE)
        elif name == "BINARY_SLICE":
            del stack[len(stack) - 2 :]
            stack[-1] = ("attr", stack[-1] or VALUE, "[:]")
        return True  # GET_ITER leaves the container in the place of its iterator

    def _leave(self, op: Op, stack: list[Any]) -> bool:
        """Jumps, and what ends a function; an error may leave a whole function only."""
        name = op.name
        if name == "RETURN_VALUE":
            self.gives.append(stack.pop())
        elif name == "RAISE_VARARGS":
            del stack[len(stack) - op.arg :]
            return self._whole
        elif "IF" in name and "OR_POP" not in name:
            stack.pop()
        return True

    def _work(self, op: Op, stack: list[Any]) -> bool:
        """All other instructions: calls, operators, attributes, context managers."""
        name, arg = op.name, op.arg
        if name in ("LOAD_ATTR", "LOAD_METHOD") and stack[-1] is None:
            stack[-1] = VALUE
            return runs(op, stack, self.part.code)
        if name == "CALL_FUNCTION_EX":
            return self._spread(op, stack)
        if name == "POP_TOP":
            self._drop(op, stack.pop())
        elif name == "BEFORE_WITH":
            manager = stack.pop() or VALUE
            self._note(op, "with", manager, None)
            stack += [("exit", manager), ("entered", manager)]
        elif name == "MAKE_FUNCTION":
            made = stack.pop()
            if arg or made is None or made[0] != "const":
                return False
            stack.append(("made", made[1]))
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
        """A place outside of the local variables is written."""
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
        """Notes a call: which name it has, and whether it changes a container."""
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
