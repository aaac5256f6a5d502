"""Relied on: what statements set apart take for granted besides their values, as checks.

That a statement may run at the end of a call was found out for the functions that it called, the classes of the
objects that it used, and the containers that it changed. Others in their places have to be looked at anew; but objects
and containers of the same make, which nothing else in the code reaches, are as good.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..core.backend import backend_for
from ..core.devices import CPU
from ..eager.tensor import Tensor
from ..static.capture import Tracer
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


class Written:
    """The tensors that the calls of one program write in place, as far as a check can come to them."""

    def __init__(self, tracer: Tracer) -> None:
        self.learn(tracer)

    def learn(self, tracer: Tracer) -> None:
        """Those that a capture has written, where they are found on each call."""
        self._slots = tuple(r.slot for r in tracer.roots if tracer.written(r))

    def any(self) -> bool:
        """Whether there are any."""
        return bool(self._slots)

    def touches(self, value: Any) -> bool:
        """Whether a tensor, or one in a container or object, may share memory with one of them."""
        inside = list(_arrays(value)) if self._slots else ()
        for slot in self._slots if inside else ():
            if slot.kind not in ("tensor", "array", "place"):
                return True  # an argument, which may be any tensor
            target = slot.key.read() if slot.kind == "place" else slot.key
            if [v for v in inside if _share(v, target)]:
                return True
        return False


class MakeCheck(Check):
    """A place that holds an object or a container; another of the same make will do, if nothing else reaches it.

    For data, which `known` (None) says, anything will do. But statements run at the end of the call, so what they
    read must not share memory with what the program writes.
    """

    __slots__ = ("kind", "known", "place", "written")

    def __init__(self, place: Check, known: Footprint | None, written: Written) -> None:
        super().__init__(place.holder, place.key, place.expected, place.name, place.where)
        self.place, self.kind, self.known, self.written = place, place.kind, known, written

    def read(self) -> Any:
        return self.place.read()

    def holds(self) -> bool:
        now = self.read()
        if now is self.expected:
            return True
        if self.written.touches(now):
            return False
        alike = self.known is None or _alike(now, self.expected, self.known)
        if alike and type(now) in CONTAINERS and not self.written.any():
            self.expected = now
        return alike


def relied_on(
    whole: Footprint, known: Footprint, happened: Sequence[Happening], stored: Written
) -> list[Check]:
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
            # an empty one tells nothing of what it will hold
            if id(c.holder) not in changed and not (c.expected and _data(c.holder)):
                found.append(c)
        elif isinstance(c, PLACES) and isinstance(c.expected, ACTING):
            found.append(c)
        elif isinstance(c, PLACES) and (id(c.expected) in changed or not _data(c.expected)):
            found.append(MakeCheck(c, known, stored))
        elif isinstance(c, PLACES) and stored.any():
            found.append(MakeCheck(c, None, stored))
    return found


def _place(c: Check) -> tuple[type, int, Any]:
    return type(c), id(c.holder), c.key if isinstance(c.key, (str, int)) else id(c.key)


def _arrays(value: Any) -> Iterator[Any]:
    """The tensors and arrays in a value."""
    seen, waiting = set[int](), [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (Tensor, np.ndarray)):
            yield value
        elif id(value) not in seen and not isinstance(value, (*DATA, *ACTING)):
            seen.add(id(value))
            if type(value) in HOLDERS:
                waiting += value.values() if isinstance(value, dict) else value
            else:
                waiting += getattr(value, "__dict__", {}).values()


def _share(a: Any, b: Any) -> bool:
    """Whether two tensors or arrays may share memory."""
    devices = {v.device if isinstance(v, Tensor) else CPU for v in (a, b)}
    first, second = (v._data if isinstance(v, Tensor) else v for v in (a, b))
    return len(devices) == 1 and bool(backend_for(*devices).xp.may_share_memory(first, second))


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
