"""Draws: whether code may draw random numbers in another call than the one that was watched.

Whether `dropout` draws depends on a flag. A statement that runs at the end of a call would draw after what the program
draws, so none is set apart whose code, or the user's code that it calls, names a function that may.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Iterable, Mapping, Set
from functools import lru_cache
from types import CodeType
from typing import Any

from ..eager import random
from ..static.code.bytecode import mentions
from ..static.code.steps import steps
from ..static.outside import ENGINE
from .whose import is_library

FLAGS = {"training", "dropout_p", "dropout"}  # parameters of functions that draw in some calls


def named(code: CodeType, ranges: Iterable[range]) -> set[str]:
    """The names that a part of some code mentions."""
    inside = tuple(ranges)
    ops = (op for op in steps(code) if any(op.offset in r for r in inside))
    return {op.value for op in ops if isinstance(op.value, str) and op.name.startswith("LOAD_")}


def may_draw(
    names: Set[str], *places: Mapping[str, Any], seen: set[CodeType] | None = None
) -> bool:
    """Whether a function or method of one of these names, found in a place or of what is there, may draw.

    `seen` has the code that was looked at.
    """
    known = set() if seen is None else seen
    held = [p[n] for p in places for n in names if n in p]
    for owner in tuple(held):
        if isinstance(owner, types.ModuleType):
            held += [v for n, v in vars(owner).items() if n in names]
        else:
            held += [v for c in type(owner).__mro__ for n, v in vars(c).items() if n in names]
    return any(_draws(fn, known) for fn in held if isinstance(fn, types.FunctionType))


def _draws(fn: types.FunctionType, seen: set[CodeType]) -> bool:
    if (fn.__module__ or "").partition(".")[0] == ENGINE:
        return fn.__module__ == random.__name__ or _has_flag(fn)
    code = fn.__code__
    if code in seen or is_library(code.co_filename):
        return False
    seen.add(code)
    found, cells = mentions(code), {}
    for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            cells[name] = cell.cell_contents
    return may_draw({*found.names, *found.variables, *cells}, fn.__globals__, cells, seen=seen)


@lru_cache(maxsize=1024)
def _has_flag(fn: types.FunctionType) -> bool:
    """Whether a parameter says whether the function draws."""
    return not FLAGS.isdisjoint(inspect.signature(fn).parameters)
