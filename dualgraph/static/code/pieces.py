"""Pieces: a statement as a function of all local variables, of the user's own byte code (outlining).

The function's code is copied; a jump at its beginning leads to the statement, and where the statement ends, the copy
returns the variables that were made.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType, FunctionType
from typing import Any

from .bytecode import kept_by_place
from .cuts import Cut
from .handlers import entries, table
from .statements import Statement
from .steps import steps


def code_of(s: Statement) -> CodeType | None:
    """Code of a function that takes all local variables and runs the statement; it gives those it makes."""
    return _code_of(s.code, s)


@kept_by_place
def _code_of(code: CodeType, s: Statement) -> CodeType | None:
    text = bytearray(code.co_code)
    names = code.co_varnames
    begin = _after_entry(code)
    _replace_halves(s, text)
    ending, jump = _ending(s), _jump(begin, s.start if s.cut is None else s.cut.begin)
    if ending is None or jump is None:
        return None
    out, consts = ending
    goals = s.goals if out else ()
    spoiled = [*range(begin, begin + len(jump))]
    if s.cut is not None:
        load = _load_of_cut(s, s.cut)
        if load is None:
            return None
        spoiled += range(s.cut.at, s.cut.at + len(load))
        text[s.cut.at : s.cut.at + len(load)] = load
    for goal in goals:
        spoiled += range(goal, goal + len(out))
    if any(a <= at < b for a, b in ((s.start, s.end), *s.annex) for at in spoiled):
        return None
    if len(set(spoiled)) < len(spoiled):
        return None
    text[begin : begin + len(jump)] = jump
    for goal in goals:
        text[goal:] = out + bytes(text[goal + len(out) :])
    rows = [e for e in entries(code) if s.has(e.start) and s.has(e.handler)]
    rows = [e._replace(end=min(e.end, s.end) if e.start < s.end else e.end) for e in rows]
    more: dict[str, Any] = {"co_exceptiontable": table(rows)} if sys.version_info >= (3, 11) else {}
    return code.replace(
        co_code=bytes(text), co_consts=consts, co_argcount=len(names), co_posonlyargcount=0,
        co_kwonlyargcount=0, co_flags=code.co_flags & ~0x0C, co_stacksize=code.co_stacksize + len(s.makes) + 2,
        **more,
    )  # fmt: skip


def _after_entry(code: CodeType) -> int:
    """The offset after the instructions that enter the frame."""
    begin = 0
    for i in steps(code):
        if i.name not in ("MAKE_CELL", "COPY_FREE_VARS", "RESUME"):
            break
        begin = i.end
    return begin


def _replace_halves(s: Statement, text: bytearray) -> None:
    """Of a double instruction that the statement shares with its neighbour, leaves its own half."""
    op = dis.opmap
    if s.entry and s.cut is None:
        (loaded,) = [i for i in steps(s.code) if i.offset == s.start and i.part == 2]
        text[s.start : s.start + 2] = bytes((op["LOAD_FAST"], loaded.arg))
    if s.follows:
        (stored,) = [i for i in steps(s.code) if i.end == s.end and i.part == 1]
        text[s.end - 2 : s.end] = bytes((op["STORE_FAST"], stored.arg))


def _load_of_cut(s: Statement, cut: Cut) -> bytes | None:
    """Instructions that put the tensor of a cut statement on the stack, in the place of those that compute it."""
    load = bytes((dis.opmap["LOAD_FAST"], s.code.co_varnames.index(cut.name)))
    jump = _jump(cut.at + len(load), s.start)
    return None if jump is None or cut.at + len(load + jump) > s.start else load + jump


def _ending(s: Statement) -> tuple[bytes, tuple[Any, ...]] | None:
    """Instructions that return what the statement makes, and the constants with those that they need."""
    op, consts = dis.opmap, s.code.co_consts
    if s.returns:
        return b"", consts
    if s.makes:
        names = s.code.co_varnames
        if any(names.index(n) > 255 for n in s.makes):
            return None
        out = b"".join(bytes((op["LOAD_FAST"], names.index(n))) for n in s.makes)
        return out + bytes((op["BUILD_TUPLE"], len(s.makes), op["RETURN_VALUE"], 0)), consts
    if len(consts) > 255:
        return None
    return bytes((op["LOAD_CONST"], len(consts), op["RETURN_VALUE"], 0)), (*consts, None)


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
