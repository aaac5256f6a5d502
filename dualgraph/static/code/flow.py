"""Flow: proof that a number taken out of a tensor goes nowhere but into what the traced function returns.

Such a number needs no assumption: a compiled call computes it and returns it. The proof runs the byte code from the
call that took the number out to every ``return`` it may reach, on symbols: the number, containers that hold it, and
things it cannot be in (abstract interpretation). The number may be kept in local variables, given to ``float`` (or
``int``, ``bool``), put into tuples, lists and dicts, and returned; any other use, and any instruction not known here,
means that there is no proof. Whether ``float`` leaves the number what it is shows in what the traced call returned.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
from types import CodeType, FrameType
from typing import Any, NamedTuple, Protocol

from ...core.context import HANDS_ON
from ...core.errors import user_frame
from ...core.numbers.live_calls import Conversion
from .bytecode import generates
from .calls import (
    NOTHING,
    TAKERS,
    called,
    callee_of,
    given_to,
    instructions,
    looks_around,
    taker_of,
)

MAX_STATES = 4000
NUMBER = "number"  # the symbol of the number itself; None stands for anything that it is not in

# How many operands other instructions take from the stack, and how many they leave.
EFFECTS = {
    "LOAD_CONST": (0, 1), "LOAD_DEREF": (0, 1), "LOAD_CLOSURE": (0, 1), "LOAD_NAME": (0, 1),
    "LOAD_ASSERTION_ERROR": (0, 1), "LOAD_CLASSDEREF": (0, 1), "PUSH_NULL": (0, 1),
    "LOAD_METHOD": (1, 2), "BINARY_OP": (2, 1), "BINARY_SUBSCR": (2, 1), "COMPARE_OP": (2, 1), "IS_OP": (2, 1),
    "CONTAINS_OP": (2, 1), "BINARY_SLICE": (3, 1), "UNARY_NEGATIVE": (1, 1), "UNARY_NOT": (1, 1),
    "UNARY_POSITIVE": (1, 1), "UNARY_INVERT": (1, 1), "TO_BOOL": (1, 1), "GET_ITER": (1, 1), "GET_LEN": (1, 2),
    "FORMAT_SIMPLE": (1, 1), "STORE_ATTR": (2, 0), "STORE_SUBSCR": (3, 0), "STORE_DEREF": (1, 0),
    "STORE_GLOBAL": (1, 0), "DELETE_SUBSCR": (2, 0), "DELETE_ATTR": (1, 0),
    "LIST_TO_TUPLE": (1, 1), "BEFORE_WITH": (1, 2), "IMPORT_NAME": (2, 1), "IMPORT_FROM": (1, 2),
    "CALL_INTRINSIC_1": (1, 1), "SET_FUNCTION_ATTRIBUTE": (2, 1),
}  # fmt: skip
EFFECTS.update({
    f"{kind}_{op}": (2, 1) for kind in ("BINARY", "INPLACE") for op in (
        "ADD SUBTRACT MULTIPLY TRUE_DIVIDE FLOOR_DIVIDE MODULO POWER MATRIX_MULTIPLY AND OR XOR LSHIFT RSHIFT"
    ).split()
})  # fmt: skip
IN_HANDLERS = {
    "PUSH_EXC_INFO": (1, 2),
    "POP_EXCEPT": (1, 0),
    "WITH_EXCEPT_START": (0, 1),
    "CHECK_EXC_MATCH": (1, 1),
}
INTO = {
    "LIST_EXTEND": 1,
    "LIST_APPEND": 1,
    "DICT_UPDATE": 1,
    "DICT_MERGE": 1,
    "MAP_ADD": 2,
    "SET_ADD": 1,
}
# What cannot raise an error, and so never goes on at an error handler.
SAFE = (
    "LOAD_FAST",
    "STORE_FAST",
    "LOAD_CONST",
    "BUILD_",
    "POP_TOP",
    "COPY",
    "SWAP",
    "ROT_",
    "DUP_TOP",
    "JUMP_",
)
BUILDERS = {"BUILD_TUPLE": tuple, "BUILD_LIST": list}

_Stack = tuple[Any, ...]  # symbols
_Names = tuple[tuple[str, Any], ...]  # the variables that hold more than None, with their symbols
_State = tuple[int, _Stack, _Names]


class Flow(NamedTuple):
    """Where a number goes: how it was taken out ("item", "float", ...), and the form of what is returned."""

    taker: str
    form: Any  # NUMBER, None (anything else), or (container, forms of its parts)
    # Statements set apart that read it: the frame, the statement, the variable, and what that holds.
    reads: tuple[tuple[int, Statement, str, Any], ...] = ()


class Watching(Protocol):
    """Who knows which statements are set apart."""

    def of(self, code: CodeType) -> tuple[Statement, ...]: ...

    def serial(self, frame: FrameType) -> int: ...


class Statement(Protocol):
    """A statement set apart, as `statements.Statement` has it."""

    first: int
    entry: int
    follows: str

    @property
    def stand_in(self) -> str: ...

    @property
    def goal(self) -> int: ...

    @property
    def returns(self) -> bool: ...

    @property
    def reads(self) -> tuple[str, ...]: ...

    @property
    def makes(self) -> tuple[str, ...]: ...


def flow_here(root: CodeType | None, apart: Watching | None) -> Flow | None:
    """Where the number goes that the user's code is taking out of a tensor now; None where that is not known."""
    frame: FrameType | None = sys._getframe(1)
    user = user_frame()
    while frame is not None and frame.f_back is not user:
        frame = frame.f_back
    known = frame is not None and root is not None
    return follow(user, frame.f_code.co_name, root, apart) if known else None  # type: ignore[union-attr, arg-type]


def follow(
    frame: FrameType | None, method: str, root: CodeType, apart: Watching | None = None
) -> Flow | None:
    """Where the number goes that is being taken out in `frame`; None where that is not known.

    `method` is the method of the tensor that `frame` came to, `root` the code that called the traced
    function.
    """
    if frame is None:
        return None
    taker = taker_of(frame.f_code, frame.f_lasti)
    if method.strip("_") != taker:
        return None
    if taker in TAKERS and _hidden(frame, taker):
        return None
    form: Any = NUMBER
    reads: list[tuple[int, Statement, str, Any]] = []
    while True:
        pieces = () if apart is None else apart.of(frame.f_code)
        converters = frozenset(name for name in TAKERS if not _hidden(frame, name))
        found = _returned(frame.f_code, frame.f_lasti, form, pieces, converters)
        if found is None:
            return None
        form = found[0]
        if apart is not None and found[1]:
            reads += [(apart.serial(frame), *told) for told in found[1]]
        caller = frame.f_back
        while caller is not None and HANDS_ON.get(caller.f_code, _never)(caller):
            frame, caller = caller, caller.f_back
        if caller is None or caller.f_code is root:
            return None if caller is None else Flow(taker, form, tuple(reads))
        if not _calls(caller, frame.f_code):
            return None
        frame = caller


def _hidden(frame: FrameType, name: str) -> bool:
    """Whether the name of a built-in function means something else there."""
    own = name in frame.f_globals and not isinstance(frame.f_globals[name], Conversion)
    return own or getattr(builtins, name) is not TAKERS[name]


def _never(frame: FrameType) -> bool:
    return False


def _calls(caller: FrameType, code: CodeType) -> bool:
    """Whether the running instruction of `caller` calls the function with this code itself, by its name."""
    callee = callee_of(caller.f_code, caller.f_lasti)
    if callee is None:
        return False
    kind, name = callee
    held = caller.f_globals if kind == "LOAD_GLOBAL" else caller.f_locals
    return (
        kind in ("LOAD_GLOBAL", "LOAD_DEREF") and getattr(held.get(name), "__code__", None) is code
    )


class _Unknown(Exception):
    """An instruction may use the number, or is not known."""


@functools.lru_cache(maxsize=1024)
def _returned(
    code: CodeType,
    offset: int,
    form: Any,
    apart: tuple[Statement, ...] = (),
    converters: frozenset[str] = frozenset(),
) -> tuple[Any, tuple[tuple[Statement, str, Any], ...]] | None:
    """The form of what `code` returns, once the call at `offset` gave `form`; None where that is not known.

    Statements in `apart` are passed over: the second part says which variables they read that hold it. Calls of
    `converters`, by these names, leave the number what it is.
    """
    if looks_around(code) or generates(code):
        return None
    ways = _Ways(code, apart, converters)
    try:
        ways.follow(offset, form)
    except _Unknown:
        return None
    if len(ways.forms) != 1 or any(len(held) > 1 for held in ways.reads.values()):
        return None
    reads = ((s, name, v) for (s, name), (v,) in ways.reads.items() if v is not None)
    return ways.forms.pop(), tuple(reads)


class _Ways:
    """All ways through some code, as states: the instruction that is next, the stack, and the variables that count.

    `forms` has what is returned at their ends, `reads` what variables hold where statements set apart read them.
    """

    def __init__(
        self, code: CodeType, apart: tuple[Statement, ...], converters: frozenset[str]
    ) -> None:
        self.code, self.converters = code, converters
        self.instructions, self.at = instructions(code)
        self.starts = {s.first: s for s in apart}
        self.guarded = _guarded(code)
        self.forms: set[Any] = set()
        self.reads: dict[tuple[Statement, str], set[Any]] = {}
        self.seen: set[_State] = set()
        self.waiting: list[_State] = []

    def follow(self, offset: int, form: Any) -> None:
        """Goes all ways from the call at `offset`, which gave `form`."""
        self._add((self.at[offset] + 1, (form,), ()))
        while self.waiting:
            n, stack, names = self.waiting.pop()
            i = self.instructions[n]
            if i.offset in self.starts:
                self._pass_over(self.starts[i.offset], _Frame(stack, dict(names)))
                continue
            self._go_on_after_errors(i, stack, names)
            if i.opname in ("RETURN_VALUE", "RETURN_CONST"):
                self.forms.add(stack[-1] if i.opname == "RETURN_VALUE" and stack else None)
            elif i.opname in ("RAISE_VARARGS", "RERAISE"):
                _Frame(stack, {}).pop(i.arg or 0)
            else:
                self._step(n, i, stack, names)

    def _add(self, state: _State) -> None:
        if state not in self.seen:
            self.seen.add(state)
            self.waiting.append(state)
            if len(self.seen) > MAX_STATES:
                raise _Unknown

    def _pass_over(self, s: Statement, frame: _Frame) -> None:
        """Goes on after a statement that is set apart."""
        for _ in range(s.entry):
            frame.take()
        for name in s.reads:
            if name != s.stand_in:
                self.reads.setdefault((s, name), set()).add(frame.names.get(name))
        for name in s.makes:  # others that it writes are read nowhere else
            frame.names.pop(name, None)
        if s.follows:
            frame.load(s.follows)
        if s.returns:
            self.forms.add(None)
        else:
            self._add((self.at[s.goal], *frame.known))

    def _go_on_after_errors(self, i: dis.Instruction, stack: _Stack, names: _Names) -> None:
        """Goes on at the handlers of errors that an instruction may raise."""
        if i.opname.startswith((*SAFE, *NOTHING)):
            return
        handlers = [h for g, h in self.guarded if i.offset in g]
        if handlers and any(v is not None for v in stack):
            raise _Unknown
        for h in handlers:
            if h is None:
                raise _Unknown
            self._add((self.at[h], (), names))

    def _step(self, n: int, i: dis.Instruction, stack: _Stack, names: _Names) -> None:
        """Runs instruction `n`, and goes on where it leads."""
        kept = stack[-1:] == (NUMBER,) and given_to(i) == 1
        kept = kept and called(self.code, i) in self.converters
        frame = _Frame((*stack[:-1], None) if kept else stack, dict(names))
        goals = frame.step(i)
        if kept:
            frame.stack[-1] = NUMBER
        for goal in goals:
            self._add((n + 1 if goal is None else self.at[goal], *frame.known))


def _guarded(code: CodeType) -> list[tuple[range, int | None]]:
    """Where errors go on at a handler, and where that is (None: not known)."""
    found, _ = instructions(code)
    everywhere = [(range(len(code.co_code)), None)]
    if any(i.opname in ("SETUP_FINALLY", "SETUP_WITH") for i in found):  # before 3.11
        return everywhere  # type: ignore[return-value]
    if not getattr(code, "co_exceptiontable", b""):
        return []
    parse = getattr(dis, "_parse_exception_table", None)
    if parse is None:
        return everywhere  # type: ignore[return-value]
    return [(range(entry.start, entry.end), entry.target) for entry in parse(code)]


class _Frame:
    """Stack and local variables as symbols. What lies below the known stack is something else."""

    def __init__(self, stack: tuple[Any, ...], names: dict[str, Any]) -> None:
        self.stack = list(stack)
        self.names = names  # those that hold the number, or a container of it

    @property
    def known(self) -> tuple[_Stack, _Names]:
        """Stack and variables as a part of a state."""
        return tuple(self.stack), tuple(sorted(self.names.items()))

    def take(self) -> Any:
        """The top of the stack, wherever it goes from here."""
        return self.stack.pop() if self.stack else None

    def pop(self, count: int) -> None:
        """Operands of an instruction that uses them."""
        for _ in range(count):
            if self.take() is not None:
                raise _Unknown

    def push(self, count: int) -> None:
        self.stack += [None] * count

    def reach(self, depth: int) -> None:
        """Makes the stack at least this deep."""
        if len(self.stack) < depth:
            self.stack[:0] = [None] * (depth - len(self.stack))

    def store(self, name: str) -> None:
        value = self.take()
        self.names.pop(name, None)
        if value is not None:
            self.names[name] = value

    def load(self, name: str) -> None:
        self.stack.append(self.names.get(name))

    def step(self, i: dis.Instruction) -> list[int | None]:
        """Runs one instruction; the offsets where it may go on (None: the next)."""
        op, arg = i.opname, i.arg or 0
        if op in NOTHING:
            return [None]
        if "JUMP" in op or op == "FOR_ITER":
            return self._jump(i)
        if op in BUILDERS:
            parts = [self.take() for _ in range(arg)][::-1]
            self.stack.append((BUILDERS[op].__name__, tuple(parts)) if any(parts) else None)
        elif op == "BUILD_CONST_KEY_MAP":
            self.pop(1)
            self._dict([self.take() for _ in range(arg)][::-1])
        elif op == "BUILD_MAP":
            pairs = [self.take() for _ in range(2 * arg)][::-1]
            if any(pairs[::2]):
                raise _Unknown
            self._dict(pairs[1::2])
        elif op == "UNPACK_SEQUENCE":
            value = self.take()
            if value is not None and (value[0] not in ("tuple", "list") or len(value[1]) != arg):
                raise _Unknown
            self.stack += [None] * arg if value is None else value[1][::-1]
        else:
            self._move(i, op, arg)
        return [None]

    def _dict(self, parts: list[Any]) -> None:
        """A dict of these values; it counts if one of them does."""
        self.stack.append(("dict", tuple(parts)) if any(parts) else None)

    def _move(self, i: dis.Instruction, op: str, arg: int) -> None:
        """Instructions that take values from the stack to variables and back, or around on the stack."""
        if op == "POP_TOP":
            self.take()
        elif op in ("STORE_FAST", "STORE_FAST_STORE_FAST"):
            for name in _one_or_two(i.argval):
                self.store(name)
        elif op == "STORE_FAST_LOAD_FAST":
            self.store(i.argval[0])
            self.load(i.argval[1])
        elif op in ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_LOAD_FAST"):
            for name in _one_or_two(i.argval):
                self.load(name)
        elif op == "DELETE_FAST":
            self.names.pop(i.argval, None)
        elif op in ("DUP_TOP", "COPY"):
            self.reach(arg or 1)
            self.stack.append(self.stack[-(arg or 1)])
        elif op in ("SWAP", "ROT_TWO"):
            n = arg or 2
            self.reach(n)
            self.stack[-1], self.stack[-n] = self.stack[-n], self.stack[-1]
        elif op in ("ROT_THREE", "ROT_FOUR"):
            n = 3 if op == "ROT_THREE" else 4
            self.reach(n)
            self.stack.insert(-n + 1 or len(self.stack), self.stack.pop())
        else:
            self._use(i, op, arg)

    def _use(self, i: dis.Instruction, op: str, arg: int) -> None:
        """Instructions that use their operands: none of them may be the number."""
        given = {
            "CALL": arg + 2, "CALL_METHOD": arg + 2, "CALL_FUNCTION": arg + 1, "CALL_FUNCTION_KW": arg + 2,
            "CALL_KW": arg + 3, "BUILD_STRING": arg, "BUILD_SLICE": arg, "BUILD_SET": arg,
        }.get(op)  # fmt: skip
        if op == "SETUP_WITH":
            self.pop(1)
            self.push(2)
        elif op in ("LOAD_GLOBAL", "LOAD_ATTR", "FORMAT_VALUE", "MAKE_FUNCTION"):
            takes = {"LOAD_GLOBAL": 0, "LOAD_ATTR": 1}.get(op, 1)
            net = dis.stack_effect(i.opcode, i.arg, jump=False)
            takes = max(takes, -net + 1)
            self.pop(takes)
            self.push(takes + net)
        elif given is not None:
            self.pop(given)
            self.push(1)
        elif op in INTO and not any(s is not None for s in self.stack):
            self.pop(INTO[op])
        elif op == "END_FOR" and not any(s is not None for s in self.stack):
            self.stack = []
        elif op in EFFECTS or op in IN_HANDLERS:
            takes, gives = EFFECTS.get(op) or IN_HANDLERS[op]
            self.pop(takes)
            self.push(gives)
        else:
            raise _Unknown

    def _jump(self, i: dis.Instruction) -> list[int | None]:
        """Where a jump or the head of a loop leads; what a jump tests may not be the number."""
        op = i.opname
        if op == "FOR_ITER":  # what it leaves at the loop's end differs between versions of Python
            if any(s is not None for s in self.stack):
                raise _Unknown
            self.stack = []
            return [None, i.argval]
        if "_OR_POP" in op or "EXC" in op:
            raise _Unknown
        if "IF" in op:
            self.pop(1)
            return [None, i.argval]
        return [i.argval]


def _one_or_two(argval: Any) -> tuple[str, ...]:
    """The variables of an instruction: a name, or two names in a tuple."""
    return argval if isinstance(argval, tuple) else (argval,)


# --- the leaves of a result ----------------------------------------------------------------------


def places(form: Any, result: Any, leaves: Any) -> list[int] | None:
    """Which leaves of `result` are the number, given the form of what is returned; None if it does not fit.

    `leaves(tree)` counts the leaves of a tree.
    """
    if form == NUMBER:
        return [0]
    if form is None:
        return []
    kind, parts = form
    if type(result).__name__ != kind or len(result) != len(parts):
        return None
    found: list[int] = []
    start = 0
    for part, value in zip(parts, result.values() if kind == "dict" else result, strict=True):
        inner = places(part, value, leaves)
        if inner is None:
            return None
        found += [start + k for k in inner]
        start += leaves(value)
    return found
