"""Surroundings: the Python state that a body reaches, and what a run of it has changed there.

A body is run once, to be written down, and not by Python from then on. One that appends to a list, counts or rebinds a
variable would do so once only; one that changes nothing that it could read does the same in each run.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from operator import attrgetter, is_
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..core.numbers.draws import again, is_source, stood_for
from ..eager.tensor import Tensor
from ..static.capture import CHANGES
from ..static.code.bytecode import codes, global_names
from ..static.outside import closed, users

MOST = 10_000  # objects that are looked at; what holds more is not
MISSING: Any = object()
PLAIN = (Tensor, np.ndarray, str, bytes, int, float, complex, type(None), type, ModuleType)
CONTAINERS = (list, dict, set, deque)


class Place(NamedTuple):
    """Something that can be given another value: its name, what holds it, and what that held.

    `key` is the name of a variable or attribute in the dict `holder`; else all of `holder` counts, a cell or container.
    """

    name: str
    holder: Any
    key: str | None
    before: Any

    def holds(self) -> bool:
        """Whether nothing has changed."""
        now = _held(self.holder, self.key)
        if self.key is not None or isinstance(self.holder, CellType):
            return now is self.before
        return len(now) == len(self.before) and all(map(is_, now, self.before))

    def restore(self) -> None:
        """Gives it back what it held."""
        holder, before = self.holder, self.before
        if isinstance(holder, CellType) and before is MISSING:
            del holder.cell_contents
        elif isinstance(holder, CellType):
            holder.cell_contents = before
        elif self.key is not None and before is MISSING:
            holder.pop(self.key, None)
        elif self.key is not None:
            holder[self.key] = before
        else:
            holder.clear()
            if isinstance(holder, dict):
                half = len(before) // 2
                holder.update(zip(before[:half], before[half:], strict=True))
            else:
                (holder.update if isinstance(holder, set) else holder.extend)(before)


class Stream(NamedTuple):
    """A generator of random numbers of Python or NumPy, likewise; `again` are numbers drawn for it before."""

    name: str
    source: Any
    before: Any
    again: tuple[Any, ...]

    def holds(self) -> bool:
        """Whether nothing was drawn."""
        unchanged = pickle.dumps(_state(self.source)) == pickle.dumps(self.before)
        return unchanged and len(again.numbers) == len(self.again)

    def restore(self) -> None:
        """Has it give the same numbers again."""
        if hasattr(self.source, "setstate"):
            self.source.setstate(self.before)
        elif hasattr(self.source, "bit_generator"):
            self.source.bit_generator.state = self.before
        else:
            self.source.set_state(self.before)
        again.numbers.clear()
        again.numbers.extend(self.again)


def _state(source: Any) -> Any:
    """Of a `random.Random`, of NumPy's Generator, or of its RandomState."""
    if hasattr(source, "getstate"):
        return source.getstate()
    if hasattr(source, "bit_generator"):
        return source.bit_generator.state
    return source.get_state(legacy=False)


SHARED = {  # where modules have a method of their generator; NumPy imports its own when first asked
    "random": attrgetter("random"),
    "numpy": attrgetter("random.rand"),
    "numpy.random": attrgetter("rand"),
}


class Surroundings:
    """The Python state that a function reaches, as it was when this was made.

    Closure variables, globals, defaults, bound objects and what containers hold are looked at, and attributes and
    methods of names that the user's code there mentions.

    >>> kept = []
    >>> around = Surroundings((lambda seen: lambda x: seen.append(x))(kept))
    >>> kept.append(1)
    >>> around.changed(), around.restore(), kept
    ('seen', None, [])
    """

    def __init__(self, fn: Any) -> None:
        self._fn = fn
        self._places: list[Place | Stream] = []
        self._names = {"forward", "__call__"}  # that code mentions
        self._objects: list[tuple[str, Any]] = []
        looked: set[tuple[int, str]] = set()
        work, seen = [(getattr(fn, "__name__", type(fn).__name__), fn)], {}
        while work and len(seen) < MOST:
            name, x = work.pop()
            if isinstance(x, ModuleType) and "random" in self._names | {x.__name__}:
                x = SHARED[x.__name__](x) if x.__name__ in SHARED else x
            x = stood_for(x)
            if id(x) not in seen and not isinstance(x, PLAIN):
                seen[id(x)] = x
                work.extend(self._enter(name, x))
            if not work:  # names may have come up since objects were looked at
                for name, x in self._objects:
                    for n in {n for n in self._names if (id(x), n) not in looked}:
                        looked.add((id(x), n))
                        work.extend(self._attribute(name, x, n))

    def changed(self) -> str:
        """The name of the first place that holds something else now, or ""."""
        return next((p.name for p in self._places if not p.holds()), "")

    def refusals(self) -> list[str]:
        """Why a graph cannot do what was done here."""
        changed = self.changed()
        said = [f"{CHANGES} {changed}"] if changed else []
        return [*said, *["it calls print"] * prints(self._fn)]

    def restore(self) -> None:
        """Puts back what was there."""
        for p in self._places:
            if not p.holds():
                p.restore()

    def _add(self, name: str, holder: Any, key: str | None = None) -> Any:
        value = _held(holder, key)
        self._places.append(Place(name, holder, key, value))
        return value

    def _enter(self, name: str, x: Any) -> Iterator[tuple[str, Any]]:
        """Notes what can be changed of an object; gives what it leads to, by name."""
        if is_source(x):
            source = getattr(x, "__self__", x)
            self._places.append(Stream(name, source, _state(source), tuple(again.numbers)))
        elif isinstance(x, FunctionType):
            yield from self._function(x)
        elif isinstance(x, MethodType):
            yield from ((name, x.__self__), (name, x.__func__))
        elif isinstance(x, partial):
            yield from _each(name, (x.func, *x.args, *x.keywords.values()))
        elif isinstance(x, (tuple, *CONTAINERS)) and len(x) > MOST:
            return
        elif isinstance(x, tuple):
            yield from _each(name, x)
        elif isinstance(x, CONTAINERS):
            yield from _each(name, self._add(name, x))
        elif closed(type(x).__module__):  # such as a compiled function
            yield name, getattr(x, "__wrapped__", None)
        else:
            self._objects.append((name, x))
            yield from _each(name, getattr(x, "__dict__", {}).get("_modules", {}).values())

    def _attribute(self, owner: str, x: Any, n: str) -> Iterator[tuple[str, Any]]:
        """The same of an attribute or method."""
        held = getattr(x, "__dict__", None)
        if type(held) is dict:
            yield f"{owner}.{n}", self._add(f"{owner}.{n}", held, n)
        of_class = getattr(type(x), n, None)
        if isinstance(of_class, property):
            yield n, of_class.fget
        elif isinstance(of_class, FunctionType):
            yield n, of_class

    def _function(self, fn: FunctionType) -> Iterator[tuple[str, Any]]:
        for n, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            yield n, self._add(n, cell)
        given = *(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()
        yield from _each(fn.__name__, given)
        if not users(fn.__module__):
            return
        inside = codes(fn.__code__)
        self._names.update(*(c.co_names for c in inside))
        known = fn.__globals__
        for n in sorted({n for c in inside for n in global_names(c) if n in known}):
            yield n, self._add(n, known, n)
        if fn.__dict__:
            yield fn.__name__, fn.__dict__


def _each(name: str, values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((name, v) for v in values)


def _held(holder: Any, key: str | None) -> Any:
    """What is there now."""
    if isinstance(holder, CellType):
        try:
            return holder.cell_contents
        except ValueError:  # a variable that is not bound yet
            return MISSING
    if key is not None:
        return holder.get(key, MISSING)
    return [*holder, *holder.values()] if isinstance(holder, dict) else list(holder)


def prints(fn: Any) -> bool:
    """Whether the user's code of a body itself calls `print`."""
    inner = getattr(fn, "__func__", fn)
    if not isinstance(inner, FunctionType):
        return False
    if closed(inner.__module__):  # a body around the user's
        return any(prints(_held(c, None)) for c in inner.__closure__ or ())
    named = any("print" in global_names(c) for c in codes(inner.__code__))
    return named and "print" not in inner.__globals__
