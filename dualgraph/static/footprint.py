"""Footprint: the Python state that a function reads, found before it runs, checked on each call.

Starting from a function, code objects are followed through globals, closures, attributes and the
functions called. Attributes count when some reachable code mentions their name, so the footprint
may list more than was read but not less. What cannot be checked (iterators, clocks, random numbers of
other libraries, files) makes the function run eagerly, with the reason in ``explain()``.
"""

from __future__ import annotations

import builtins
import collections
import dis
import enum
import functools
import re
import sys
import types

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.constant import exact
from ..core.devices import Device
from ..core.dtypes import DType
from ..core.errors import Location

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()
MAX_OBJECTS = 20_000
ENGINE = "dualgraph"
OPEN_PARTS = ("dualgraph.nn", "dualgraph.optim", "dualgraph.transforms")
ATOMS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range, DType, Device, enum.Enum)
FROZEN = (re.Pattern, np.dtype)
IMPURE_MODULES = ("random", "time", "secrets", "uuid", "os", "posix", "socket", "datetime", "numpy.random", "_random")
IMPURE_BUILTINS = (print, input, open, breakpoint, exec, eval)


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing a capture relied on: what it is, its value, and where the code reads it."""

    kind: str
    name: str
    value: Any
    where: Location

    def __str__(self) -> str:
        at = f"   # {self.where}" if self.where.line else ""
        return f"{self.kind}: {self.name} = {_short(self.value)}{at}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, (*ATOMS, tuple)) else f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."


class Check:
    """A place in Python state and what was there: ``read()`` must give the same object or equal number."""

    __slots__ = ("atom", "expected", "holder", "key", "name", "where")

    def __init__(self, holder: Any, key: Any, expected: Any, name: str, where: Location) -> None:
        self.holder = holder
        self.key = key
        self.expected = expected
        self.name = name
        self.where = where
        self.atom = exact(expected) if isinstance(expected, ATOMS) and not isinstance(expected, enum.Enum) else None

    def read(self) -> Any:
        raise NotImplementedError

    def holds(self) -> bool:
        now = self.read()
        if now is self.expected:
            return True
        return self.atom is not None and type(now) is type(self.expected) and exact(now) == self.atom

    def assumption(self) -> Assumption:
        return Assumption("state", self.name, self.expected, self.where)


class DictCheck(Check):
    """A key of a dict: a global, an attribute, an entry."""

    __slots__ = ()

    def read(self) -> Any:
        return self.holder.get(self.key, MISSING)


class CellCheck(Check):
    """A variable of an enclosing function."""

    __slots__ = ()

    def read(self) -> Any:
        try:
            return self.holder.cell_contents
        except ValueError:
            return MISSING


class ItemCheck(Check):
    """An element of a list."""

    __slots__ = ()

    def read(self) -> Any:
        return self.holder[self.key] if self.key < len(self.holder) else MISSING


class LengthCheck(Check):
    """The number of elements of a container."""

    __slots__ = ()

    def read(self) -> Any:
        return len(self.holder)


class AttributeCheck(Check):
    """An attribute of an object without a ``__dict__``."""

    __slots__ = ()

    def read(self) -> Any:
        return getattr(self.holder, self.key, MISSING)


class ContentCheck(Check):
    """The elements of a NumPy array."""

    __slots__ = ()

    def __init__(self, array: Any, name: str, where: Location) -> None:
        super().__init__(array, None, array.copy(), name, where)

    def read(self) -> Any:
        return self.holder

    def holds(self) -> bool:
        return bool(np.array_equal(self.holder, self.expected, equal_nan=self.holder.dtype.kind in "fc"))


class Footprint:
    """What a function reads besides its arguments: `checks`, the tensors and arrays found, and `refusals`."""

    def __init__(self, roots: list[tuple[Any, str]]) -> None:
        self.names: set[str] = set()
        self.written: set[str] = set()
        while True:
            before = len(self.names)
            self._walk(roots)
            if len(self.names) == before:
                break

    def _walk(self, roots: list[tuple[Any, str]]) -> None:
        self.checks: list[Check] = []
        self._quick: tuple[int, list[Any], list[Check]] | None = None
        self.tensors: dict[int, str] = {}
        self.arrays: dict[int, tuple[Any, str]] = {}
        self.refusals: list[str] = []
        self._seen: dict[int, Any] = {}
        self._work: list[tuple[Any, str, Location]] = []
        for value, name in roots:
            self._visit(value, name, Location("", 0))
            if getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x2A0:  # yield, async
                self._refuse("a generator or coroutine cannot be one program", name, Location("", 0))
        while self._work:
            value, name, where = self._work.pop()
            self._expand(value, name, where)
            if len(self._seen) > MAX_OBJECTS:
                self._refuse(f"it reaches more than {MAX_OBJECTS} Python objects", name, where)
                return

    def failing(self) -> Check | None:
        """The first check that does not hold now."""
        quick = self._quick
        if quick is None or len(self.checks) != quick[0]:
            quick = self._quick = self._prepare()
        for held, key, expected, check in quick[1]:
            if held.get(key, MISSING) is not expected and not check.holds():
                return check
        for check in quick[2]:
            if not check.holds():
                return check
        return None

    def _prepare(self) -> tuple[int, list[Any], list[Check]]:
        """The checks of dict entries, which are most, as plain tuples; and the others."""
        plain = [(c.holder, c.key, c.expected, c) for c in self.checks if type(c) is DictCheck]
        return len(self.checks), plain, [c for c in self.checks if type(c) is not DictCheck]

    def guard_arrays(self) -> None:
        """From now on the contents of all reachable arrays count, too."""
        known = {id(c.holder) for c in self.checks if isinstance(c, ContentCheck)}
        for array, name in self.arrays.values():
            if id(array) not in known:
                self.checks.append(ContentCheck(array, name, Location("", 0)))

    def _refuse(self, why: str, name: str, where: Location) -> None:
        at = f" at {where}" if where.line else ""
        self.refusals.append(f"{name}{at}: {why}")

    # --- one value ---

    def _place(self, check: Check) -> None:
        self.checks.append(check)
        if check.expected is not MISSING:
            self._visit(check.expected, check.name, check.where)

    def _visit(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, ATOMS) or isinstance(value, (np.generic, *FROZEN)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._work.append((value, name, where))

    def _expand(self, value: Any, name: str, where: Location) -> None:
        if hasattr(value, "_version_cell"):
            self.tensors[id(value)] = name
        elif isinstance(value, np.ndarray):
            self.arrays[id(value)] = (value, name)
        elif isinstance(value, (tuple, frozenset)):
            for i, item in enumerate(value):
                self._visit(item, f"{name}[{i}]", where)
        elif isinstance(value, (list, collections.deque)):
            self.checks.append(LengthCheck(value, None, len(value), f"len({name})", where))
            for i in range(len(value)):
                self._place(ItemCheck(value, i, value[i], f"{name}[{i}]", where))
        elif isinstance(value, dict):
            self.checks.append(LengthCheck(value, None, len(value), f"len({name})", where))
            for key in list(value):
                self._place(DictCheck(value, key, value[key], f"{name}[{key!r}]", where))
            if type(value).__module__ != "builtins":
                self._instance(value, name, where)
        elif isinstance(value, set):
            self.checks.append(LengthCheck(value, None, len(value), f"len({name})", where))
        elif isinstance(value, types.FunctionType):
            self._function(value, name)
        elif isinstance(value, (types.MethodType, functools.partial, staticmethod, classmethod, property)):
            self._bound(value, name, where)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType, np.ufunc)):
            self._builtin(value, name, where)
        elif isinstance(value, types.ModuleType):
            self._module(value, name, where)
        elif isinstance(value, type):
            self._class(value, name, where)
        else:
            self._instance(value, name, where)

    # --- code ---

    def _function(self, fn: types.FunctionType, name: str) -> None:
        if _closed(fn.__module__):
            return
        where = Location(fn.__code__.co_filename, fn.__code__.co_firstlineno, fn.__name__)
        engine = fn.__module__.startswith(ENGINE)
        for names, written in map(_code_names, _codes(fn.__code__)):
            self.names |= names
            self.written |= written
        for var, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:
                content = MISSING
            self._place(CellCheck(cell, None, content, var, where))
        for var in sorted(set().union(*(code.co_names for code in _codes(fn.__code__)))):
            if engine:
                held = fn.__globals__.get(var)
                if isinstance(held, (types.FunctionType, type)):
                    self._visit(held, var, where)
            elif var in fn.__globals__:
                self._place(DictCheck(fn.__globals__, var, fn.__globals__[var], var, where))
            elif hasattr(builtins, var) and getattr(builtins, var) in IMPURE_BUILTINS:
                self._refuse(f"calls {var}, an effect outside of tensors", name, where)
        for i, default in enumerate(fn.__defaults__ or ()):
            self._visit(default, f"{name}.default[{i}]", where)
        for key, default in (fn.__kwdefaults__ or {}).items():
            self._visit(default, f"{name}.default[{key!r}]", where)
        wrapped = getattr(fn, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped, name, where)

    def _bound(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, functools.partial):
            parts: list[Any] = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, property):
            parts = [f for f in (value.fget, value.fset) if f is not None]
        else:
            parts = [value.__func__, *([value.__self__] if isinstance(value, types.MethodType) else [])]
        for part in parts:
            self._visit(part, name, where)

    def _builtin(self, value: Any, name: str, where: Location) -> None:
        owner = getattr(value, "__self__", None)
        module = getattr(value, "__module__", None) or ""
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            module = type(owner).__module__
            if module not in IMPURE_MODULES and not module.startswith("numpy.random"):
                self._visit(owner, name, where)
                return
        if value in IMPURE_BUILTINS if isinstance(value, types.BuiltinFunctionType) else False:
            self._refuse("an effect outside of tensors", name, where)
        if module in IMPURE_MODULES or module.startswith("numpy.random"):
            self._refuse(f"depends on {module}, which changes from call to call", name, where)

    def _module(self, module: types.ModuleType, name: str, where: Location) -> None:
        if module.__name__ in IMPURE_MODULES or not _closed(module.__name__):
            held = vars(module)
            for attribute in sorted(self.names & held.keys()):
                self._place(DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where))
        elif module.__name__.partition(".")[0] == "numpy" and "random" in self.names:
            self._visit(np.random, f"{name}.random", where)

    # --- objects ---

    def _class(self, cls: type, name: str, where: Location) -> None:
        if _closed(cls.__module__):
            if cls.__module__ in IMPURE_MODULES:
                self._refuse(f"depends on {cls.__module__}, which changes from call to call", name, where)
            return
        for base in cls.__mro__:
            if _closed(base.__module__):
                continue
            for attribute, value in list(vars(base).items()):
                dunder = attribute.startswith("__") and attribute.endswith("__")
                if attribute in self.names or (dunder and isinstance(value, types.FunctionType)):
                    if isinstance(value, (types.FunctionType, property, staticmethod, classmethod, functools.cached_property)):
                        self._visit(value, f"{name}.{attribute}", where)
                    elif not dunder:
                        self._place(AttributeCheck(base, attribute, getattr(base, attribute, MISSING), f"{name}.{attribute}", where))

    def _instance(self, value: Any, name: str, where: Location) -> None:
        cls = type(value)
        if getattr(cls, "_engine_state", False):
            return
        inner = getattr(value, "_captured_function", None)  # a compiled function: what it wraps counts
        if inner is not None:
            self._visit(inner, name, where)
            return
        if _closed(cls.__module__) and not isinstance(value, (dict, types.SimpleNamespace)):
            if not cls.__module__.startswith(ENGINE):
                self._refuse(f"the state of a {cls.__module__}.{cls.__qualname__} cannot be checked", name, where)
            return
        self._visit(cls, cls.__qualname__, where)
        held = getattr(value, "__dict__", None)
        if held is not None:
            for attribute in sorted((self.names | self.written) & held.keys()):
                self._place(DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where))
            for attribute in sorted(self.written - held.keys()):
                if not hasattr(cls, attribute):
                    self.checks.append(DictCheck(held, attribute, MISSING, f"{name}.{attribute}", where))
        for base in cls.__mro__:
            for attribute in _slots(base):
                if attribute in self.names:
                    self._place(AttributeCheck(value, attribute, getattr(value, attribute, MISSING), f"{name}.{attribute}", where))


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _closed(module: str | None) -> bool:
    """Whether code of a module is known to read no state of the user's."""
    if not module:
        return True
    if module.startswith(OPEN_PARTS):
        return False
    top = module.partition(".")[0]
    return top in (ENGINE, "numpy", "builtins") or (top in sys.stdlib_module_names and top != "__main__")


@functools.lru_cache(maxsize=4096)
def _codes(code: types.CodeType) -> tuple[types.CodeType, ...]:
    """A code object and those of the functions, lambdas and comprehensions inside it."""
    out = [code]
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            out.extend(_codes(const))
    return tuple(out)


@functools.lru_cache(maxsize=4096)
def _code_names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Names that code mentions (with strings that could be names), and attribute names it writes."""
    strings = {c for c in code.co_consts if isinstance(c, str) and c.isidentifier()}
    written = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_ATTR", "DELETE_ATTR")}
    return frozenset({*code.co_names, *strings}), frozenset(written)


