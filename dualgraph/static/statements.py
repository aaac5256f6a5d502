"""Statements: those of a function that do something to Python state, as pieces of its byte code.

``print(loss.item())``, ``losses.append(loss.item())``, ``self.last = y`` and ``count += 1`` can be set apart from what
a capture compiles: nothing else in the code reads what they leave. They are found here by shape alone; whether a run
of them may be set apart is for the one who watches it run. Each can be run again as a function of its local
variables: the byte code of the user's function from the first instruction of the statement to its last.
"""

from __future__ import annotations

import dis
import functools
import itertools
import sys
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import Location
from .steps import LOADS, Op, depths, runs, steps

# Methods of builtin containers that change them.
CHANGES = frozenset(
    "append extend insert appendleft extendleft add update setdefault remove discard clear rotate".split()
)
if TYPE_CHECKING:
    from typing import TypeGuard

# Whether the instructions of this Python are known; elsewhere nothing may be set apart.
SEEN = sys.version_info < (3, 14)
MAX_TRIES = 8  # captures to find out which statements can be set apart
LESS = frozenset("pop popitem popleft sort reverse difference_update intersection_update".split())
TAKERS = frozenset("item tolist numpy float int bool".split())
STORES = {
    "STORE_ATTR": "attr",
    "STORE_SUBSCR": "item",
    "STORE_GLOBAL": "global",
    "STORE_DEREF": "free",
}
TAKEN = {"attr": 2, "item": 3, "global": 1, "free": 1}  # operands
# Attributes of tensors: writing them is no matter of Python alone.
OF_TENSORS = frozenset("grad data requires_grad".split())
GUARDS = frozenset(("SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH"))


class Statement(NamedTuple):
    """A statement: its code, its offsets, the local variables that it reads and makes, and what it writes.

    `kind` is "call" (of `place`, with the trees of its arguments as `name`), "attr", "item" (of `place`, with
    `name`), "global", "free" (the variable `name`) or "local" (nothing but the local variables in `makes`).
    A place is a tree over "local", "global", "free", "const", "attr", "item" and "call".
    """

    code: CodeType
    start: int  # of its first instruction
    first: int  # where it has its first instruction to itself
    end: int
    entry: int  # values on the stack by then
    follows: str  # the variable that its last instruction also loads
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    kind: str
    place: Any
    name: Any
    line: int

    @property
    def where(self) -> Location:
        return Location(self.code.co_filename, self.line, self.code.co_name)

    @property
    def key(self) -> tuple[CodeType, int]:
        return self.code, self.first


@functools.lru_cache(maxsize=4096)
def statements(code: CodeType, but: frozenset[int] = frozenset()) -> tuple[Statement, ...]:
    """The statements of `code` that could be set apart, in order. None of them overlap.

    `but` are those that have to stay, each by the offset of its first instruction.
    """
    return _closed(steps(code), [s for s in _candidates(code) if s.first not in but], code)


class Apart:
    """The statements of a compiled function, and of what it calls, that are set apart: all but some.

    `active` says whether any are: only a function that cannot be captured otherwise has its statements set apart.
    """

    def __init__(self) -> None:
        self.active = False
        self._any = False  # whether there are statements that could be
        self._kept: dict[CodeType, frozenset[int]] = {}
        self._fresh = False  # whether some are kept since it was asked
        self._tries = 0

    def of(self, code: CodeType) -> tuple[Statement, ...]:
        """The statements of some code that are set apart."""
        if not self.active:
            self._any = self._any or bool(statements(code))
            return ()
        return statements(code, self._kept.get(code, frozenset()))

    def keep(self, s: Statement) -> None:
        """Leaves a statement where it is from now on."""
        self._kept[s.code] = self._kept.get(s.code, frozenset()) | {s.first}
        self._fresh = True

    def again(self) -> bool:
        """Whether a function that was just refused may fare better now, with other statements set apart."""
        better = self._fresh if self.active else self._any
        self.active, self._fresh = self.active or better, False
        self._tries += 1
        return better and self._tries <= MAX_TRIES


@functools.lru_cache(maxsize=4096)
def _candidates(code: CodeType) -> tuple[Statement, ...]:
    if not SEEN or code.co_flags & 0x2A0:
        return ()
    ops = steps(code)
    if any(op.name in GUARDS for op in ops):
        return ()
    depth = depths(ops)
    lines = sorted((start, line) for start, _, line in code.co_lines() if line)
    parse = getattr(dis, "_parse_exception_table", None)
    guarded = [range(e.start, e.end) for e in parse(code)] if parse else []
    found = []
    begin = 0
    for i, op in enumerate(ops):
        more = op.name == "STORE_FAST" and i + 1 < len(ops) and ops[i + 1].name.startswith("STORE_")
        if op.name in ("POP_TOP", "STORE_FAST", *STORES) and not more:
            s = _statement(code, ops, depth, begin, i, lines)
            if s is not None and not any(s.first in g for g in guarded):
                found.append(s)
                begin = i + 1
    return tuple(found)


def _statement(
    code: CodeType, ops: tuple[Op, ...], depth: list[int | None], begin: int, last: int, lines: Any
) -> Statement | None:
    base = depth[last + 1] if last + 1 < len(ops) else None
    if base is None:
        return None
    first = last
    while first >= begin and (depth[first] is None or depth[first] > base):  # type: ignore[operator]
        first -= 1
    if first < begin or depth[first] != base:
        return None
    if ops[first].part == 2 and ops[first - 1].name != "STORE_FAST":
        return None
    inside = ops[first : last + 1]
    if any(op.target for op in inside[1:]):
        return None
    stack: list[Any] = []
    reads: dict[str, None] = {}
    makes: list[str] = []
    written: Any = None
    takes = False
    for op in inside:
        if op.name.startswith("LOAD_") and LOADS.get(op.name) in ("local", "free"):
            if op.value in code.co_varnames and op.value not in makes:
                reads[op.value] = None
        if op is inside[-1] and op.name in STORES:
            written = _written(op, stack) if len(stack) >= TAKEN[STORES[op.name]] else None
        elif op is inside[-1] and op.name == "POP_TOP":
            top = stack[-1] if stack else None
            written = ("call", *top[1:]) if _is_call(top) else None
        elif op.name == "STORE_FAST":
            if not stack:
                return None
            makes.append(op.value)
            stack.pop()
            written = ("local", None, None)
        elif not runs(op, stack, code):
            return None
        top = stack[-1] if stack else None
        if _is_call(top) and top[1][-1] in TAKERS:
            takes = True
    if written is None or not _writes(written, takes, reads, code, ops):
        return None
    own = inside[1] if inside[0].part == 2 else inside[0]
    tail = inside[-1]
    follows = ops[last + 1].value if tail.part == 1 else ""
    line = max((n for n in lines if n[0] <= inside[0].offset), default=(0, 0))[1]
    return Statement(
        code, inside[0].offset, own.offset, tail.end, int(inside[0].part == 2), follows, tuple(reads),
        tuple(dict.fromkeys(makes)), written[0], written[1], written[2], line,
    )  # fmt: skip


def _is_call(tree: Any) -> TypeGuard[tuple[Any, ...]]:
    return tree is not None and tree[0] == "call" and tree[1] is not None


def _written(op: Op, stack: list[Any]) -> tuple[str, Any, Any] | None:
    kind = STORES[op.name]
    if kind == "attr":
        return None if op.value in OF_TENSORS else (kind, stack[-1], op.value)
    if kind == "item":
        return kind, stack[-2], stack[-1]
    return kind, None, op.value


def _writes(
    written: tuple[str, Any, Any], takes: bool, reads: Any, code: CodeType, ops: tuple[Op, ...]
) -> bool:
    """Whether a statement that writes this may be one to set apart."""
    kind, place, name = written
    if kind == "free":
        return name in code.co_freevars
    if kind == "global":
        return True
    if kind == "local":
        return takes or bool(reads)
    if place is None:
        return False
    if kind == "call":
        if place == ("global", "print") or takes:
            return True
        if place[0] != "attr":
            return False
        return _lasting(place[1], code, ops, within=place[2] in CHANGES)
    return _lasting(place, code, ops, within=kind == "item")


def _lasting(place: Any, code: CodeType, ops: tuple[Op, ...], within: bool) -> bool:
    """Whether a place may be one outside of the call: what is reached from a global, or from an argument."""
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
    stored = any(op.name == "STORE_FAST" and op.value == place[1] for op in ops)
    return place[1] in given and not stored and (steps > 0 or not within)


def _closed(ops: tuple[Op, ...], found: list[Statement], code: CodeType) -> tuple[Statement, ...]:
    """Without those that make a variable which code outside of these statements reads, too."""
    while True:
        covered = [(s.start, s.end) for s in found]
        apart: set[str] = set()
        outside: set[str] = set(code.co_cellvars)
        for op in ops:
            if op.name in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR", "DELETE_FAST"):
                inside = any(a <= op.offset < b for a, b in covered)
                if not inside or any(s.end == op.end and op.part == 2 for s in found):
                    outside.add(op.value)
            if op.name == "STORE_FAST" and not any(a <= op.offset < b for a, b in covered):
                outside.add(op.value)
        for s in found:
            apart.update(s.makes)
        kept = [
            s
            for s in found
            if not (set(s.makes) & outside)
            and (s.kind != "local" or _number_like(s, apart - outside))
        ]
        if len(kept) == len(found):
            return tuple(kept)
        found = kept


def _number_like(s: Statement, apart: set[str]) -> bool:
    """Whether a statement that only makes variables takes numbers out, or goes on with such."""
    return bool(TAKERS & _names(s)) or bool(set(s.reads) & apart)


def _names(s: Statement) -> set[str]:
    return {str(op.value) for op in steps(s.code) if s.first <= op.offset < s.end}


# --- what other code does ------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def changes_outside(code: CodeType) -> bool:
    """Whether code may change Python state elsewhere than in its statements."""
    covered = [range(s.first, s.end) for s in statements(code)]
    for op in steps(code):
        if any(op.offset in r for r in covered):
            continue
        loads = op.name in ("LOAD_ATTR", "LOAD_METHOD") and op.value in CHANGES | LESS
        own = op.name == "STORE_DEREF" and op.value not in code.co_freevars
        if loads or (op.name.startswith(("STORE_", "DELETE_", "YIELD")) and not own):
            if not op.name.endswith("_FAST"):
                return True
    return any(changes_outside(c) for c in code.co_consts if isinstance(c, CodeType))


@functools.lru_cache(maxsize=4096)
def changed_names(code: CodeType, apart: tuple[Statement, ...]) -> frozenset[str]:
    """Attributes and variables that code outside of the statements in `apart` writes, or changes the contents of."""
    covered = [range(s.first, s.end) for s in apart]
    found: set[str] = set()
    ops = [op for op in steps(code) if not any(op.offset in r for r in covered)]
    for before, op in itertools.pairwise(ops):
        if op.name in ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF", "DELETE_ATTR"):
            found.add(op.value)
        if op.name in ("LOAD_ATTR", "LOAD_METHOD") and op.value in CHANGES | LESS:
            found.add(str(before.value))
    for s in _candidates(code):
        if s not in apart and s.place is not None:
            found |= _tree_names(s.place)
    inner = (changed_names(c, ()) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(found).union(*inner)


def _tree_names(tree: Any) -> set[str]:
    if tree is None or tree[0] in ("local", "const"):
        return set()
    if tree[0] in ("global", "free"):
        return {tree[1]}
    own = {tree[2]} if tree[0] == "attr" else set()
    return own | _tree_names(tree[1])


@functools.lru_cache(maxsize=4096)
def names_read(s: Statement) -> frozenset[str]:
    """The attributes and variables that a statement mentions."""
    inside = [op for op in steps(s.code) if s.first <= op.offset < s.end]
    return frozenset(str(op.value) for op in inside if op.name != "LOAD_CONST")


# --- a statement as a function -------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def code_of(s: Statement) -> CodeType | None:
    """Code of a function that takes all local variables and runs the statement; it gives those it makes."""
    code = s.code
    text = bytearray(code.co_code)
    op = dis.opmap
    names = code.co_varnames
    begin = 0  # after what enters the frame
    for i in steps(code):
        if i.name in ("MAKE_CELL", "COPY_FREE_VARS", "RESUME"):
            begin = i.end
        else:
            break
    if s.entry:
        (loaded,) = [i for i in steps(code) if i.offset == s.start and i.part == 2]
        text[s.start : s.start + 2] = bytes((op["LOAD_FAST"], loaded.arg))
    if s.follows:
        (stored,) = [i for i in steps(code) if i.end == s.end and i.part == 1]
        text[s.end - 2 : s.end] = bytes((op["STORE_FAST"], stored.arg))
    consts = code.co_consts
    if s.makes:
        out = b"".join(bytes((op["LOAD_FAST"], names.index(n))) for n in s.makes)
        out += bytes((op["BUILD_TUPLE"], len(s.makes), op["RETURN_VALUE"], 0))
    else:
        consts = (*consts, None)
        if len(consts) > 256:
            return None
        out = bytes((op["LOAD_CONST"], len(consts) - 1, op["RETURN_VALUE"], 0))
    jump = _jump(begin, s.start)
    if jump is None or any(names.index(n) > 255 for n in s.makes):
        return None
    text[begin : begin + len(jump)] = jump
    text[s.end :] = out + bytes(text[s.end + len(out) :])
    table: dict[str, Any] = {"co_exceptiontable": b""} if sys.version_info >= (3, 11) else {}
    return code.replace(
        co_code=bytes(text), co_consts=consts, co_argcount=len(names), co_posonlyargcount=0,
        co_kwonlyargcount=0, co_flags=code.co_flags & ~0x0C, co_stacksize=code.co_stacksize + len(s.makes) + 2,
        **table,
    )  # fmt: skip


def _jump(begin: int, start: int) -> bytes | None:
    """Instructions at `begin` that lead to `start`."""
    forward, extended = dis.opmap["JUMP_FORWARD"], dis.opmap["EXTENDED_ARG"]
    for size in (0, 2, 4, 6):
        far = (start - begin - size) // 2
        if far < 0:
            return None
        if size == 0 and far == 0:
            return b""
        if size and far < 256 ** (size // 2):
            parts = far.to_bytes(size // 2, "big")
            return bytes(v for p in parts[:-1] for v in (extended, p)) + bytes((forward, parts[-1]))
    return None


def function_of(s: Statement, fn: FunctionType) -> FunctionType | None:
    """The statement as a function of all local variables of `fn`, with its globals and closure."""
    code = code_of(s)
    return (
        None
        if code is None
        else FunctionType(code, fn.__globals__, fn.__name__, None, fn.__closure__)
    )
