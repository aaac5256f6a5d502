"""Handlers: where errors go on in a function, by its exception table."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterable
from types import CodeType
from typing import NamedTuple

from .bytecode import generates
from .steps import Op, numbers, steps, ways


class Entry(NamedTuple):
    """Errors raised at offsets from `start` to before `end` go on at `handler`, the stack cut to `depth`."""

    start: int
    end: int
    handler: int
    depth: int
    lasti: bool  # whether the place of the error is put on the stack, too


@functools.lru_cache(maxsize=4096)
def entries(code: CodeType) -> tuple[Entry, ...]:
    """The exception table (of Python 3.11 and later; before there is none)."""
    parse = getattr(dis, "_parse_exception_table", None)
    return (
        tuple(Entry(e.start, e.end, e.target, e.depth, e.lasti) for e in parse(code))
        if parse
        else ()
    )


def table(rows: Iterable[Entry]) -> bytes:
    """An exception table as Python has it: numbers in six bits a byte, highest first; the first of a row is marked."""
    out = bytearray()
    for r in rows:
        numbers = r.start // 2, (r.end - r.start) // 2, r.handler // 2, (r.depth << 1) | r.lasti
        for n, number in enumerate(numbers):
            parts = [number & 63]
            while number := number >> 6:
                parts.append(number & 63)
            digits = [p | (64 if k else 0) for k, p in enumerate(parts)][::-1]
            digits[0] |= 128 if n == 0 else 0
            out += bytes(digits)
    return bytes(out)


@functools.lru_cache(maxsize=4096)
def handled(code: CodeType, handler: int) -> frozenset[int]:
    """The offsets of a handler's own instructions, to where the error is raised again, or forgotten."""
    ops, at, after = steps(code), numbers(code), ways(code)
    found: set[int] = set()  # by number: two may have one offset
    work = [(at[handler], 0)]
    while work:
        n, depth = work.pop()
        op = ops[n]
        if n in found:
            continue
        found.add(n)
        if op.name == "PUSH_EXC_INFO":
            depth += 1
        elif op.name == "POP_EXCEPT":
            depth -= 1
            if depth <= 0:
                continue
        work += [(m, depth) for m in after[n]]
    return frozenset(ops[n].offset for n in found)


@functools.lru_cache(maxsize=4096)
def forgets(code: CodeType, handler: int) -> str:
    """Whether a handler may forget the error: "no", "yes", or "with" (its context manager says so)."""
    inside = handled(code, handler)
    ops = steps(code)
    at = numbers(code)
    mine = [at[offset] for offset in sorted(inside)]
    if any(ops[n].name == "WITH_EXCEPT_START" for n in mine):
        return "with"
    ends = [
        ops[n + 1].name if n + 1 < len(ops) else "" for n in mine if ops[n].name == "POP_EXCEPT"
    ]
    jumps = any(leaves(ops[n], inside) for n in mine)
    return "no" if set(ends) <= {"RERAISE"} and not jumps else "yes"


@functools.lru_cache(maxsize=4096)
def after_errors(code: CodeType) -> tuple[range, ...]:
    """The offsets that run after an error only, and end with raising it again."""
    found = {h for e in entries(code) if forgets(code, h := e.handler) == "no"}
    inside = frozenset[int]().union(*(handled(code, h) for h in found))
    return tuple(range(op.offset, op.end) for op in steps(code) if op.offset in inside)


def leaves(op: Op, inside: frozenset[int]) -> bool:
    """Whether an instruction leads out of these."""
    return op.name.startswith("RETURN") or (op.name.startswith("JUMP") and op.value not in inside)


@functools.lru_cache(maxsize=4096)
def takes_all(code: CodeType) -> bool:
    """Whether some handler of a ``try`` goes on after any error, whatever its class."""
    ops = steps(code)
    starts = {e.handler for e in entries(code)}
    starts |= {op.value for op in ops if op.name == "SETUP_FINALLY"}  # before 3.11
    return any(_goes_on(code, h) for h in starts)


def _goes_on(code: CodeType, handler: int) -> bool:
    """Whether a handler comes to a ``return`` with an error that is of none of its classes."""
    ops, at, after = steps(code), numbers(code), ways(code)
    seen: set[int] = set()
    work = [at[handler]]
    while work:
        n = work.pop()
        op = ops[n]
        if n in seen:
            continue
        seen.add(n)
        if op.name == "WITH_EXCEPT_START":  # its context manager says so
            return False
        if op.name.startswith("RETURN_"):
            return True
        if op.name == "JUMP_IF_NOT_EXC_MATCH" or ops[n - 1].name.startswith("CHECK_E"):
            work.append(at[op.value])
        else:
            work += after[n]
    return False


@functools.lru_cache(maxsize=1024)
def gives_nothing(code: CodeType) -> bool:
    """Whether a function gives None or False, whatever it does."""
    ops = steps(code)
    for n, op in enumerate(ops):
        if op.name == "RETURN_VALUE" and not (
            ops[n - 1].name == "LOAD_CONST" and not ops[n - 1].value
        ):
            return False
        if op.name == "RETURN_CONST" and op.value:
            return False
    return not generates(code)
