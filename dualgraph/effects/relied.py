"""Relied on: what statements set apart take for granted besides their values, as checks.

That a statement may run at the end of a call was found out for the functions that it called, the classes of the
objects that it used, and the containers that it changed. Others in their places have to be looked at anew; but objects
and containers of the same make, which nothing else in the code reaches, are as good.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..eager.tensor import Tensor
from ..static.checks import (
    ATOMS,
    MISSING,
    AttributeCheck,
    CellCheck,
    Check,
    ClassCheck,
    DictCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    TypeCheck,
)
from ..static.footprint import Footprint
from ..static.members import CODE
from .happening import Happening
from .places import CONTAINERS

DATA = (Tensor, np.ndarray, np.generic, *ATOMS)
HOLDERS = (*CONTAINERS, tuple, frozenset)
PLACES = (DictCheck, CellCheck, ItemCheck, AttributeCheck)
ACTING = (
    types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType, functools.partial, type,
    types.ModuleType, *CODE,
)  # fmt: skip


class MakeCheck(Check):
    """A place that holds an object or a container; another of the same make will do, if nothing else reaches it."""

    __slots__ = ("kind", "known", "place")

    def __init__(self, place: Check, known: Footprint) -> None:
        super().__init__(place.holder, place.key, place.expected, place.name, place.where)
        self.place, self.kind, self.known = place, place.kind, known

    def read(self) -> Any:
        return self.place.read()

    def holds(self) -> bool:
        now = self.read()
        if now is self.expected:
            return True
        alike = _alike(now, self.expected, self.known)
        if alike and type(now) in CONTAINERS:
            self.expected = now
        return alike


def relied_on(whole: Footprint, known: Footprint, happened: Sequence[Happening]) -> list[Check]:
    """What statements set apart rely on; `whole` is the footprint of all code, `known` that of the rest."""
    written = {(id(w.holder), w.name) for h in happened for w in h.writes}
    changed = {holder for holder, _ in written}
    places = {_place(c) for c in known.checks}
    found: list[Check] = []
    for c in whole.checks:
        if _place(c) in places or (id(c.holder), c.key) in written:
            continue
        if isinstance(c, (ClassCheck, TypeCheck)) or c.key == "__code__" or c.expected is MISSING:
            found.append(c)
        elif isinstance(c, (LengthCheck, MembersCheck)):
            if id(c.holder) not in changed and not _data(c.holder):
                found.append(c)
        elif isinstance(c, PLACES) and isinstance(c.expected, ACTING):
            found.append(c)
        elif isinstance(c, PLACES) and (id(c.expected) in changed or not _data(c.expected)):
            found.append(MakeCheck(c, known))
    return found


def _place(c: Check) -> tuple[type, int, Any]:
    return type(c), id(c.holder), c.key if isinstance(c.key, (str, int)) else id(c.key)


def _data(value: Any) -> bool:
    """Whether something is data: no function, no object with methods, and nothing that holds such."""
    seen, waiting = set[int](), [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, DATA) or id(value) in seen:
            continue
        if type(value) not in HOLDERS:
            return False
        seen.add(id(value))
        waiting += value.values() if isinstance(value, dict) else value
    return True


def _alike(now: Any, was: Any, known: Footprint) -> bool:
    """Whether an object or a container is of the same make as another, and nothing else reaches it."""
    seen, waiting = set[tuple[int, int]](), [(now, was)]
    while waiting:
        now, was = waiting.pop()
        if now is was or (id(now), id(was)) in seen:
            continue
        seen.add((id(now), id(was)))
        if type(now) is not type(was):
            return False
        if isinstance(now, DATA):
            continue
        if known.reaches(now) or isinstance(now, ACTING):
            return False
        if type(now) in HOLDERS:
            if not (_data(now) and _data(was)):
                return False
            continue
        held, before = getattr(now, "__dict__", None), getattr(was, "__dict__", None)
        if held is None or before is None or held.keys() != before.keys():
            return False
        waiting += [(held[n], before[n]) for n in held]
    return True
