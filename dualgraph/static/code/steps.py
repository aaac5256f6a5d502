"""Instructions: byte code as a list of single steps, and what one of them does to a stack of trees.

A tree says where a value comes from; None is any other value.

    ("local", name), ("global", name), ("free", name)  a variable, of the function or of one around it
    ("const", value)                                   a constant
    ("attr", tree, name), ("item", tree, tree)         an attribute, an entry of a container
    ("call", tree, trees)                              the result of a call
"""

from __future__ import annotations

import dis
import functools
import sys
from types import CodeType
from typing import Any, NamedTuple

from .calls import NOTHING
from .flow import EFFECTS

NULL = ("null",)
LOADS = {
    "LOAD_FAST": "local", "LOAD_FAST_CHECK": "local", "LOAD_GLOBAL": "global", "LOAD_DEREF": "free",
    "LOAD_CONST": "const",
}  # fmt: skip
# Beside loads, calls and what `flow.EFFECTS` lists: how many operands these take and leave.
MORE = {
    "FORMAT_VALUE": (1, 1), "FORMAT_WITH_SPEC": (2, 1), "CONVERT_VALUE": (1, 1), "LIST_EXTEND": (2, 1),
    "DICT_UPDATE": (2, 1), "DICT_MERGE": (2, 1), "LIST_APPEND": (2, 1), "PUSH_EXC_INFO": (1, 2), "POP_EXCEPT": (1, 0),
    "CHECK_EXC_MATCH": (1, 1), "WITH_EXCEPT_START": (0, 1), "RERAISE": (1, 0), "LOAD_ASSERTION_ERROR": (0, 1),
}  # fmt: skip
REARRANGING = frozenset("COPY DUP_TOP DUP_TOP_TWO SWAP ROT_TWO ROT_THREE ROT_FOUR".split())
NEVER = frozenset(
    "STORE_ATTR STORE_SUBSCR STORE_DEREF STORE_GLOBAL DELETE_SUBSCR DELETE_ATTR BEFORE_WITH IMPORT_NAME IMPORT_FROM"
    " GET_ITER LOAD_ASSERTION_ERROR LOAD_CLASSDEREF LOAD_NAME LOAD_CLOSURE SET_FUNCTION_ATTRIBUTE".split()
)


class Op(NamedTuple):
    """One instruction; of one that does two things at once, one of them."""

    name: str
    arg: int
    value: Any
    offset: int
    end: int  # the offset of the next instruction
    part: int = 0  # 1, 2: the first or second half
    target: bool = False  # whether some jump leads here


@functools.lru_cache(maxsize=4096)
def steps(code: CodeType) -> tuple[Op, ...]:
    """The instructions of `code`, those that do two things at once as two."""
    found = [i for i in dis.get_instructions(code) if i.opname != "CACHE"]
    ends_at = [*(i.offset for i in found[1:]), len(code.co_code)]
    ops: list[Op] = []
    start = None
    for i, end in zip(found, ends_at, strict=True):
        offset = i.offset if start is None else start
        if i.opname == "EXTENDED_ARG":
            start = offset
            continue
        start = None
        halves = {
            "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
            "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
            "STORE_FAST_STORE_FAST": ("STORE_FAST", "STORE_FAST"),
        }.get(i.opname)
        if halves is None:
            ops.append(Op(i.opname, i.arg or 0, i.argval, offset, end, 0, i.is_jump_target))
            continue
        arg = i.arg or 0
        for part, name, at in ((1, halves[0], arg >> 4), (2, halves[1], arg & 15)):
            target = i.is_jump_target and part == 1
            ops.append(Op(name, at, i.argval[part - 1], offset, end, part, target))
    return tuple(ops)


def _effect(op: Op, jump: bool) -> int:
    if op.part:
        return 1 if op.name == "LOAD_FAST" else -1
    if op.name in ("PRECALL", "CALL") and "PRECALL" in dis.opmap:  # operands stay until the second
        return 0 if op.name == "PRECALL" else -op.arg - 1
    number = dis.opmap[op.name]
    arg = op.arg if number >= dis.HAVE_ARGUMENT else None
    return dis.stack_effect(number, arg, jump=jump)


@functools.lru_cache(maxsize=4096)
def numbers(code: CodeType) -> dict[int, int]:
    """The numbers of the instructions by their offsets; of two in one place, the first's."""
    found: dict[int, int] = {}
    for n, op in enumerate(steps(code)):
        found.setdefault(op.offset, n)
    return found


@functools.lru_cache(maxsize=4096)
def ways(code: CodeType) -> tuple[tuple[int, ...], ...]:
    """For each instruction, those that may run next, errors aside."""
    ops, at = steps(code), numbers(code)

    def after(n: int, op: Op) -> tuple[int, ...]:
        goals = (at[op.value],) if jumps(op) and op.value in at else ()
        return goals if ends(op) or n + 1 >= len(ops) else (*goals, n + 1)

    return tuple(after(n, op) for n, op in enumerate(ops))


def jumps(op: Op) -> bool:
    """Whether an instruction may go on elsewhere than at the next."""
    return not op.part and (dis.opmap[op.name] in dis.hasjrel or dis.opmap[op.name] in dis.hasjabs)


def ends(op: Op) -> bool:
    """Whether an instruction never goes on at the next."""
    return op.name.startswith(("RETURN_V", "RETURN_C", "RAISE", "RERAISE")) or (
        op.name.startswith("JUMP_") and "IF" not in op.name
    )


def depths(code: CodeType, handlers: tuple[tuple[int, int], ...] = ()) -> list[int | None]:
    """How deep the stack is before each instruction (None: not known); `handlers` are further ways in."""
    ops, at = steps(code), numbers(code)
    depth: list[int | None] = [None] * len(ops)
    work = [*((at[h], d) for h, d in handlers), (0, 0)]
    while work:
        n, d = work.pop()
        if n >= len(ops) or depth[n] is not None:
            continue
        depth[n] = d
        op = ops[n]
        if jumps(op) and op.value in at:
            work.append((at[op.value], d + _effect(op, True)))
        if not ends(op):
            work.append((n + 1, d + _effect(op, False)))
    return depth


def runs(op: Op, stack: list[Any], code: CodeType) -> bool:
    """Runs one instruction on trees; False where a statement set apart may not have it."""
    try:
        return _step(op, stack, code)
    except IndexError:  # it takes what lies below the statement's own operands
        return False


def _step(op: Op, stack: list[Any], code: CodeType) -> bool:
    name, arg = op.name, op.arg
    if name in NOTHING:
        return True
    if name in LOADS or name in ("PUSH_NULL", "LOAD_ATTR", "LOAD_METHOD"):
        return _load(op, stack, code)
    if name in REARRANGING:
        return _rearrange(op, stack)
    if name in ("CALL", "CALL_METHOD", "CALL_FUNCTION", "CALL_FUNCTION_KW", "CALL_KW"):
        _call(name, arg, stack)
    elif name == "BINARY_SUBSCR":
        base, key = _pop(stack, 2)
        stack.append(("item", base, key) if base and key else None)
    elif name in ("BUILD_TUPLE", "BUILD_LIST", "BUILD_SET", "BUILD_STRING", "BUILD_SLICE"):
        _pop(stack, arg)
        stack.append(None)
    elif name in ("BUILD_MAP", "BUILD_CONST_KEY_MAP"):
        _pop(stack, 2 * arg if name == "BUILD_MAP" else arg + 1)
        stack.append(None)
    elif name == "FORMAT_VALUE":
        _pop(stack, 2 if arg & 4 else 1)
        stack.append(None)
    elif name in ("LIST_EXTEND", "LIST_APPEND", "SET_ADD", "DICT_UPDATE", "DICT_MERGE", "MAP_ADD"):
        _pop(stack, 2 if name == "MAP_ADD" else 1)
    elif (name in EFFECTS and name not in NEVER) or name in MORE:
        takes, gives = MORE.get(name) or EFFECTS[name]
        _pop(stack, takes)
        stack.extend([None] * gives)
    else:
        return False
    return True


def _pop(stack: list[Any], count: int) -> list[Any]:
    """The uppermost values of the stack, lowest first, which are taken from it."""
    return [stack.pop() for _ in range(count)][::-1]


def _load(op: Op, stack: list[Any], code: CodeType) -> bool:
    """Instructions that put a variable, a constant or an attribute on the stack."""
    name, arg = op.name, op.arg
    if name == "LOAD_DEREF" and op.value not in (*code.co_freevars, *code.co_varnames):
        return False
    if name == "PUSH_NULL":
        stack.append(NULL)
    elif name in ("LOAD_ATTR", "LOAD_METHOD"):
        base = stack.pop()
        found = None if base is None else ("attr", base, op.value)
        method = name == "LOAD_METHOD" or (sys.version_info >= (3, 12) and arg & 1)
        stack.extend((found, base) if method else (found,))
    else:
        entry: Any = (LOADS[name], op.value)
        both = name == "LOAD_GLOBAL" and sys.version_info >= (3, 11) and arg & 1
        if both:
            stack.extend((entry, NULL) if sys.version_info >= (3, 13) else (NULL, entry))
        else:
            stack.append(entry)
    return True


def _rearrange(op: Op, stack: list[Any]) -> bool:
    """Instructions that copy values of the stack, or change their order."""
    name, arg = op.name, op.arg
    if name in ("COPY", "DUP_TOP"):
        stack.append(stack[-(arg or 1)])
    elif name == "DUP_TOP_TWO":
        stack.extend(stack[-2:])
    elif name in ("SWAP", "ROT_TWO"):
        n = arg or 2
        stack[-1], stack[-n] = stack[-n], stack[-1]
    else:
        n = 3 if name == "ROT_THREE" else 4
        if len(stack) < n:
            return False
        top = stack.pop()
        stack.insert(len(stack) + 1 - n, top)
    return True


def _call(name: str, arg: int, stack: list[Any]) -> None:
    """A call: the arguments and the callee become one tree."""
    if name in ("CALL_FUNCTION_KW", "CALL_KW"):
        stack.pop()
    args = _pop(stack, arg)
    if name in ("CALL_FUNCTION", "CALL_FUNCTION_KW"):
        callee = stack.pop()
    else:
        lower, upper = _pop(stack, 2)
        callee = upper if lower == NULL else lower
    stack.append(("call", callee, tuple(args)))
