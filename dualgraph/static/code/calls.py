"""Calls: what a call in some byte code calls, and whether that takes a number out of a tensor."""

from __future__ import annotations

import dis
import functools
from types import CodeType
from typing import Any

TAKERS: dict[str, Any] = {"float": float, "int": int, "bool": bool}
LOOKS = frozenset("locals vars eval exec dir globals stack".split())  # by these names
FRAMES = frozenset("_getframe _current_frames currentframe inspect".split())  # under any name
NOTHING = frozenset(
    "NOP RESUME CACHE PRECALL EXTENDED_ARG KW_NAMES POP_BLOCK MAKE_CELL COPY_FREE_VARS".split()
)


@functools.lru_cache(maxsize=1024)
def instructions(code: CodeType) -> tuple[list[dis.Instruction], dict[int, int]]:
    """The instructions, and which of them lies at an offset (which may be in an instruction's cache)."""
    found = list(dis.get_instructions(code))
    # In 3.11 calls of built-in classes are made by the PRECALL once they have been made a few times.
    at = {i.offset: n + (i.opname == "PRECALL") for n, i in enumerate(found)}
    for offset in range(0, len(code.co_code), 2):
        at.setdefault(offset, at.get(offset - 2, 0))
    return found, at


@functools.lru_cache(maxsize=1024)
def looks_around(code: CodeType) -> bool:
    """Whether the code may look at its own variables by their names (methods called ``eval`` do not)."""
    found, _ = instructions(code)
    loaded = {i.argval for i in found if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return not (LOOKS.isdisjoint(loaded) and FRAMES.isdisjoint(code.co_names))


def given_to(i: dis.Instruction) -> int | None:
    """How many stack entries a call takes besides the called; None where `i` is no plain call."""
    return i.arg if i.opname in ("CALL", "CALL_METHOD", "CALL_FUNCTION") else None


@functools.lru_cache(maxsize=1024)
def callee_of(code: CodeType, offset: int) -> tuple[str, str] | None:
    """The instruction that loaded what the call at `offset` calls, and the name it loaded."""
    found, at = instructions(code)
    n = at.get(offset)
    given = None if n is None else given_to(found[n])
    if n is None or given is None:
        return None
    depth = given + (1 if found[n].opname == "CALL_FUNCTION" else 2)
    while depth > 0:
        n -= 1
        i = found[n]
        if n < 0 or "JUMP" in i.opname or i.opname in ("FOR_ITER", "SEND"):
            return None
        if i.opname in NOTHING and not i.is_jump_target:
            continue
        inner = given_to(i)
        if inner is None:
            depth -= dis.stack_effect(i.opcode, i.arg, jump=False)
        else:  # in 3.11 a part of this is the effect of PRECALL
            depth += inner + (0 if i.opname == "CALL_FUNCTION" else 1)
        if i.is_jump_target and depth > 0:
            return None
    if i.opname == "PUSH_NULL":
        i = found[n + 1]
    return (i.opname, str(i.argval)) if depth == 0 else None


def called(code: CodeType, i: dis.Instruction) -> str:
    """The global name that a call calls; "" for anything else."""
    callee = callee_of(code, i.offset)
    return callee[1] if callee and callee[0] == "LOAD_GLOBAL" else ""


@functools.lru_cache(maxsize=1024)
def taker_of(code: CodeType, offset: int) -> str:
    """What takes values out in the call at `offset`: "item", "numpy", "float", "int" or "bool"; "" if unknown."""
    found, at = instructions(code)
    n = at.get(offset)
    given = None if n is None else given_to(found[n])
    if n is None or given is None or looks_around(code):
        return ""
    if given == 1:
        name = called(code, found[n])
        return name if name in TAKERS else ""
    before = [i for i in found[max(0, n - 4) : n] if i.opname not in NOTHING]
    if given or not before or before[-1].opname not in ("LOAD_METHOD", "LOAD_ATTR"):
        return ""
    return before[-1].argval if before[-1].argval in ("item", "numpy") else ""
