"""Checks: places in Python state that a capture read, and what was there."""

from __future__ import annotations

import abc
import builtins
import collections
import enum
import functools
import types
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..core.constant import Spelled, exact
from ..core.devices import Device
from ..core.dtypes import DType
from ..core.errors import PACKAGE, Location
from ..core.numbers.draws import stood_for
from ..core.spans import is_view
from .lengths import as_usual
from .outside import STDLIB, closed, users

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()
ATOMS = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type(Ellipsis),
    slice,
    range,
    DType,
    Device,
    enum.Enum,
    Spelled,
)


class Assumption(NamedTuple):
    """One thing a capture relied on: what it is, its value, and where the code reads it."""

    kind: str
    name: str
    value: Any
    where: Location

    def __str__(self) -> str:
        at = f"   # {self.where}" if self.where.line else ""
        return f"{self.kind}: {self.name} = {short(self.value)}{at}"


NAMED = frozenset(("global", "closure"))
OFTEN = 16  # times that checks are gone through until they are told natively


def tells(x: Assumption) -> bool:
    """Whether an assumption tells users something at a glance: not what is absent, nor objects in private places, nor
    what libraries hold under its own name."""
    file = x.where.file
    if file.startswith(PACKAGE) or (file.startswith(STDLIB) and "site-packages" not in file):
        return False
    library, own = _asked(x.value, "__module__"), _asked(x.value, "__name__")
    if isinstance(library, str) and not users(library) and own == x.name.rpartition(".")[2]:
        return False
    if isinstance(x.value, (*ATOMS, tuple)):
        return x.kind not in ("length", "members", "bases")
    private = "._" in x.name or x.name.startswith("__")
    return x.value is not MISSING and not private and (x.kind in NAMED or callable(x.value))


def _asked(value: Any, name: str) -> Any:
    """An attribute of an object that may answer with any error."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def short(value: Any) -> str:
    """A value in a few characters; of objects no more than their type."""
    text = repr(value) if isinstance(value, (*ATOMS, tuple)) else f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


class Check:
    """A place in Python state and what was there: ``read()`` must give the same object or equal number."""

    __slots__ = ("expected", "holder", "key", "name", "where")
    kind = "attribute"

    def __init__(self, holder: Any, key: Any, expected: Any, name: str, where: Location) -> None:
        self.holder = holder
        self.key = key
        self.expected = expected
        self.name = name
        self.where = where

    def read(self) -> Any:
        raise NotImplementedError

    def holds(self) -> bool:
        now = self.read()
        if now is self.expected:
            return True
        was = self.expected
        if stood_for(now) is was:
            return True
        same = type(now) is type(was) and by_value(was) and by_value(now)
        return same and bool(exact(now) == exact(was))

    def assumption(self) -> Assumption:
        return Assumption(self.kind, self.name, self.expected, self.where)


class DictCheck(Check):
    """A key of a dict: an attribute, unless a subclass says what else."""

    __slots__ = ()

    def read(self) -> Any:
        return built_of(self.holder).get(self.holder, self.key, MISSING)


class GlobalCheck(DictCheck):
    """A global variable."""

    __slots__ = ()
    kind = "global"


class BuiltinCheck(Check):
    """A builtin that no global hides: tests put others in its place, and some programs more of them."""

    __slots__ = ()
    kind = "builtin"

    def __init__(self, name: str, where: Location) -> None:
        found = as_usual(vars(builtins).get(name, MISSING))
        super().__init__(vars(builtins), name, found, name, where)

    def read(self) -> Any:
        return as_usual(self.holder.get(self.key, MISSING))


class EntryCheck(DictCheck):
    """An entry of a dict of the user's."""

    __slots__ = ()
    kind = "item"


class CellCheck(Check):
    """A variable of an enclosing function."""

    __slots__ = ()
    kind = "closure"

    def read(self) -> Any:
        try:
            return self.holder.cell_contents
        except ValueError:
            return MISSING


class ItemCheck(Check):
    """An element of a list."""

    __slots__ = ()
    kind = "item"

    def read(self) -> Any:
        kind, held = built_of(self.holder), self.holder
        return kind.__getitem__(held, self.key) if self.key < kind.__len__(held) else MISSING


class LengthCheck(Check):
    """The number of elements of a container."""

    __slots__ = ()
    kind = "length"

    def read(self) -> Any:
        return built_of(self.holder).__len__(self.holder)


class MembersCheck(Check):
    """The elements of a set, or the keys of a dict, in their order."""

    __slots__ = ()
    kind = "members"

    def __init__(self, holder: Any, name: str, where: Location) -> None:
        super().__init__(holder, None, None, name, where)
        self.expected = self.read()

    def read(self) -> Any:
        return tuple([_member(v) for v in built_of(self.holder).__iter__(self.holder)])

    def holds(self) -> bool:
        return bool(self.read() == self.expected)

    def assumption(self) -> Assumption:
        shown = [v[1] if type(v) is tuple else "an object" for v in self.expected]
        return Assumption(self.kind, self.name, tuple(shown), self.where)


class AttributeCheck(Check):
    """An attribute of an object without a ``__dict__``."""

    __slots__ = ()

    def read(self) -> Any:
        return getattr(self.holder, self.key, MISSING)


class BasesCheck(AttributeCheck):
    """The classes that a class derives from, in their order."""

    __slots__ = ()
    kind = "bases"

    def __init__(self, cls: type, name: str, where: Location) -> None:
        super().__init__(cls, "__mro__", cls.__mro__, f"the bases of {name}", where)


class TypeCheck(Check):
    """The class of an object."""

    __slots__ = ()
    kind = "class"

    def read(self) -> Any:
        return type(self.holder)


class ClassCheck(Check):
    """What a class gives for a name, itself or through its bases; descriptors are not called."""

    __slots__ = ()
    kind = "class attribute"

    def read(self) -> Any:
        return class_attribute(self.holder, self.key)


class RegistryCheck(Check):
    """That no abstract class was told of another subclass (``Base.register``), which `isinstance` asks for."""

    __slots__ = ()
    kind = "registry"

    def __init__(self, where: Location) -> None:
        super().__init__(abc, None, abc.get_cache_token(), "registered subclasses", where)

    def read(self) -> Any:
        return abc.get_cache_token()


class PlacedCheck(Check):
    """A place where more than one thing may be: the program takes it as an input."""

    __slots__ = ("kind", "place")

    def __init__(self, place: Check) -> None:
        super().__init__(place.holder, place.key, place.expected, place.name, place.where)
        self.place = place
        self.kind = place.kind

    def read(self) -> Any:
        return self.place.read()


class NumberCheck(PlacedCheck):
    """A place where any number of one type may be."""

    __slots__ = ()

    def holds(self) -> bool:
        return type(self.read()) is type(self.expected)

    def assumption(self) -> Assumption:
        return super().assumption()._replace(value=f"any {type(self.expected).__name__}")


def told_of(t: Any) -> tuple[Any, bool, bool]:
    """What a program relies on of a tensor that it reads from outside."""
    return t.tensor_type, t._requires_grad, bool(vars(t))


class TensorCheck(Check):
    """The type of a tensor, whether it requires gradients, and whether users have put attributes on it."""

    __slots__ = ()
    kind = "tensor"

    def read(self) -> Any:
        return told_of(self.holder)

    def holds(self) -> bool:
        return bool(self.read() == self.expected)

    def assumption(self) -> Assumption:
        kind, requires, extended = self.expected
        more = [*["requires grad"] * requires, *["with attributes"] * extended]
        return super().assumption()._replace(value=", ".join([str(kind), *more]))


class ViewCheck(Check):
    """That a tensor is a view of another still: ``.data = `` may have given either other memory."""

    __slots__ = ()
    kind = "view"

    def __init__(self, t: Any, name: str, where: Location) -> None:
        super().__init__(t, None, None, name, where)
        self.expected = self.read()

    def read(self) -> Any:
        t = self.holder
        while is_view(t):
            t = t._parent[0]
        return t._parent is None


class ContentCheck(Check):
    """The elements of a NumPy array."""

    __slots__ = ()
    kind = "array"

    def __init__(self, array: Any, name: str, where: Location) -> None:
        super().__init__(array, None, array.copy(), name, where)

    def read(self) -> Any:
        return self.holder

    def holds(self) -> bool:
        return same_bytes(self.holder, self.expected)


class CachedCheck(Check):
    """What a function gives that keeps its results: `key` has the arguments of a call."""

    __slots__ = ()
    kind = "cached"

    def read(self) -> Any:
        args, kwargs = self.key
        try:
            return self.holder(*args, **dict(kwargs))
        except Exception:  # the function's own, which the call will raise, too
            return MISSING


EXCHANGED = (
    DictCheck,
    CellCheck,
    ItemCheck,
    AttributeCheck,
    ClassCheck,
)  # something may be put there


class Checklist:
    """Checks to go through on each call: those of dict entries, which are most, without calling a method.

    What is asked often is told natively, where a backend has put into `natively` what makes of checks a function that
    says whether they hold as they did when it was made. Which one does not is found in Python.
    """

    __slots__ = ("_asked", "_hold", "_others", "_plain", "checks")
    natively: ClassVar[Callable[[list[Check]], Callable[[], bool]] | None] = None

    def __init__(self, checks: list[Check]) -> None:
        self.checks = checks
        self._asked = 0
        self._hold: Callable[[], bool] | None = None
        self._plain: list[tuple[Any, Any, Any, Check]] = []
        self._others: list[Check] = []
        for c in checks:
            # a dict whose class has no method of its own for what is read
            if isinstance(c, DictCheck) and type(c.holder).get in GETS:
                self._plain.append((c.holder, c.key, c.expected, c))
            else:
                self._others.append(c)

    def failing(self) -> Check | None:
        """The first check that does not hold now."""
        if self._hold is not None and self._hold():
            return None
        found = self._first()
        if self._hold is None and found is None and Checklist.natively is not None:
            self._asked += 1
            if self._asked >= OFTEN:
                hold = Checklist.natively(self.checks)
                # Else it was made of another state
                self._hold = hold if self._first() is None else None
        return found

    def _first(self) -> Check | None:
        for held, key, expected, check in self._plain:
            if held.get(key, MISSING) is not expected and not check.holds():
                return check
        for check in self._others:
            if not check.holds():
                return check
        return None


GETS = (dict.get, types.MappingProxyType.get)
CONTAINERS = (
    dict, list, set, tuple, collections.OrderedDict, collections.deque, frozenset
)  # fmt: skip


def built_of(container: Any) -> Any:
    """The builtin class of a container, whose methods tell what is in it, whatever those of its own class do."""
    kind = type(container)
    if kind in CONTAINERS:
        return kind
    return next((k for k in reversed(CONTAINERS) if isinstance(container, k)), kind)


def same_bytes(a: Any, b: Any) -> bool:
    """Whether two arrays have the same type and, element by element, the same bits."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    a, b = (np.ascontiguousarray(v).reshape(-1).view(np.uint8) for v in (a, b))
    return bool(np.array_equal(a, b))


def class_attribute(cls: type, name: str) -> Any:
    """The raw attribute `name` of a class or its bases."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return MISSING


def _member(value: Any) -> Any:
    return (type(value), exact(value)) if by_value(value) else id(value)


def by_value(value: Any) -> bool:
    """Whether any equal object of its class does as well: a number or the like, without attributes of its own."""
    if not isinstance(value, (*ATOMS, np.generic)):
        return False
    kind: Any = type(value)
    return closed(kind.__module__) or not (getattr(value, "__dict__", None) or slots_of(kind))


@functools.lru_cache(maxsize=1024)
def slots_of(cls: Any) -> tuple[str, ...]:
    """The places for attributes that objects of a class have beside their dict."""
    slots: list[str] = []
    for base in cls.__mro__:
        own = vars(base).get("__slots__", ())
        names = (own,) if isinstance(own, str) else own
        slots += [mangled(base, n) for n in names]
    return tuple(slots)


def mangled(cls: type, name: str) -> str:
    """A name as the code of a class has it: private ones begin with that of the class."""
    private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{name}" if private else name
