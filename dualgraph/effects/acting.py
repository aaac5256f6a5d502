"""Acting: whether code may draw random numbers, or write tensors, in another call than the one that was watched.

Whether `dropout` draws depends on a flag, and so may ``if self.on: old = self.mean.copy_(x)``. A statement that runs at
the end of a call would draw after what the program draws, and write after what it reads; so none is set apart whose
code, or the user's code that it calls, names what may.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import types
from collections.abc import Iterable, Mapping, Set
from types import CodeType
from typing import Any

from ..eager import random
from ..eager.tensor import Tensor
from ..static.code.bytecode import mentions
from ..static.code.steps import steps
from ..static.outside import ENGINE, is_library

FLAGS = {"training", "dropout_p", "dropout"}  # parameters of functions that draw in some calls
WRITES = {"out=", "inplace="}  # arguments by which functions are told to write
KEYWORDS = ("KW_NAMES", "CALL_KW", "CALL_FUNCTION_KW")
# Functions of `operator` that write as ``+=`` and ``x[i] = y`` do, or call methods by their names.
OPERATORS = {"setitem", "delitem", "methodcaller"} | {
    n for n in dir(operator) if n.startswith("i") and hasattr(operator, n[1:])
}


def named(code: CodeType, ranges: Iterable[range] | None = None) -> set[str]:
    """The names that some code, or a part of it, mentions; ``out=`` and ``inplace=`` where it gives such arguments."""
    inside = None if ranges is None else tuple(ranges)
    found: set[str] = set()
    before: Any = None
    for op in steps(code):
        if inside is None or any(op.offset in r for r in inside):
            if isinstance(op.value, str) and op.name.startswith("LOAD_"):
                found.add(op.value)
            given = code.co_consts[op.arg] if op.name == "KW_NAMES" else before
            if op.name in KEYWORDS and isinstance(given, tuple):
                found |= WRITES & {f"{v}=" for v in given}
        before = op.value
    return found


def may_act(names: Set[str], *places: Mapping[str, Any]) -> str:
    """Why a function or method of one of these names, found in a place or of what is there, may draw or write.

    "" if none may. Names of a later place hide those of an earlier one.
    """
    return _writes_by(names) or _any_acts(_held(names, places))


def acts(fn: Any) -> str:
    """The same of one function."""
    return _any_acts([fn])


def _any_acts(held: list[Any]) -> str:
    """The same of functions, and of those that they call in turn."""
    known: set[CodeType] = set()
    while held:
        fn = held.pop()
        while isinstance(fn, (types.MethodType, functools.partial)):
            fn = fn.__func__ if isinstance(fn, types.MethodType) else fn.func
        if not isinstance(fn, types.FunctionType):
            continue
        code = fn.__code__
        if (fn.__module__ or "").partition(".")[0] == ENGINE:
            why = _engines(fn)
        elif code in known or is_library(code.co_filename):
            continue
        else:
            known.add(code)
            cells = _cells(fn)
            names = mentioned(code) | cells.keys()
            why = _writes_by(names)
            held += _held(names, (fn.__globals__, cells))
        if why:
            return why
    return ""


def _held(names: Set[str], places: tuple[Mapping[str, Any], ...]) -> list[Any]:
    """What has these names in the places, and in what is there."""
    held = list({n: p[n] for p in places for n in names if n in p}.values())
    for owner in tuple(held):
        if isinstance(owner, types.ModuleType):
            held += [v for n, v in vars(owner).items() if n in names]
        else:
            own = [v for c in type(owner).__mro__ for n, v in vars(c).items() if n in names]
            held += [v.fget if isinstance(v, property) else v for v in own]
    return held


def _engines(fn: types.FunctionType) -> str:
    """Why a function of the engine may draw or write."""
    if fn.__module__ == random.__name__ or _has_flag(fn):
        return "it may draw random numbers"
    return "it may write a tensor" if fn.__name__.endswith("_") else ""


def _cells(fn: types.FunctionType) -> dict[str, Any]:
    """The variables of enclosing functions that have values."""
    cells = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            cells[name] = cell.cell_contents
    return cells


def _writes_by(names: Set[str]) -> str:
    """Why code that mentions these names may write a tensor."""
    may = any(map(writes, names)) or not names.isdisjoint(WRITES | OPERATORS)
    return "it may write a tensor" if may else ""


@functools.lru_cache(maxsize=4096)
def writes(name: str) -> bool:
    """Whether a method of tensors of this name writes one."""
    return name.endswith("_") and not name.startswith("_") and hasattr(Tensor, name)


@functools.lru_cache(maxsize=4096)
def mentioned(code: CodeType) -> frozenset[str]:
    """The names in code and in the code inside it."""
    found = mentions(code)
    return frozenset({*found.names, *found.variables, *named(code)})


@functools.lru_cache(maxsize=1024)
def _has_flag(fn: types.FunctionType) -> bool:
    """Whether a parameter says whether the function draws."""
    return not FLAGS.isdisjoint(inspect.signature(fn).parameters)
