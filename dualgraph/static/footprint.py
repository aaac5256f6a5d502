"""Footprint: the Python state that a function reads, found before it runs, checked on each call.

Starting from a function, code objects are followed through globals, closures, attributes and the
functions called. Attributes count when some reachable code mentions their name, so the footprint
may list more than was read but not less. What cannot be checked (iterators, clocks, random numbers of
other libraries, files) makes the function run eagerly, with the reason in ``explain()``.
"""

from __future__ import annotations

import builtins
import collections
import functools
import re
import sys
import types
from typing import Any

import numpy as np

from ..core.errors import Location
from .bytecode import code_names, codes, global_names
from .checks import (
    ATOMS,
    MISSING,
    AttributeCheck,
    CellCheck,
    Check,
    ClassCheck,
    ContentCheck,
    DictCheck,
    EntryCheck,
    GlobalCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    TensorCheck,
    class_attribute,
    short,
)  # fmt: skip

MAX_OBJECTS = 20_000
MAX_ARRAY_BYTES = 1 << 24  # arrays beyond this are not compared on each call
ENGINE = "dualgraph"
OPEN_PARTS = ("dualgraph.nn", "dualgraph.optim", "dualgraph.transforms")
_TUPLE_GETTER: Any = type(vars(Location)["file"])  # a field of a named tuple
SLOT_DESCRIPTORS = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType,
    types.MethodDescriptorType, _TUPLE_GETTER,
)  # fmt: skip
FROZEN = (re.Pattern, np.dtype, *SLOT_DESCRIPTORS, type(NotImplemented))
PURE_MODULES = frozenset(
    """__future__ _collections_abc _operator _thread abc bisect builtins cmath collections collections.abc
    contextlib copy dataclasses enum fractions functools heapq itertools math numbers operator re statistics
    string textwrap types typing""".split()
)
IMPURE_BUILTINS = (print, input, open, breakpoint, exec, eval, id)
# What tensors tell of themselves beside their type.
UNFOLLOWED = frozenset("_version data_ptr is_leaf grad_fn".split())
# Ways to an optimiser's numbers.
GROUPS = frozenset("param_groups get_last_lr get_lr state_dict".split())
REFLECTION = frozenset(
    """getattr setattr delattr hasattr vars dir globals locals __dict__ __getattribute__ attrgetter
    methodcaller""".split()
)
BUFFERS = frozenset("memoryview bytes bytearray".split())  # builtins that read the memory of arrays


class Footprint:
    """What a function reads besides its arguments: `checks`, the tensors and arrays found, and `refusals`."""

    def __init__(self, roots: list[tuple[Any, str]]) -> None:
        self.names: set[str] = set()
        self.written: set[str] = set()
        self.user_names: set[str] = set()  # those in code outside of the engine
        self.reflects = False  # some code may read attributes by names that are not seen
        self.reads_arrays = False  # some code may read the memory of arrays unseen
        while True:
            before = len(self.names), self.reflects
            self._walk(roots)
            if (len(self.names), self.reflects) == before:
                break

    def _walk(self, roots: list[tuple[Any, str]]) -> None:
        self.checks: list[Check] = []
        self._quick: tuple[int, list[tuple[Any, Any, Any, Check]], list[Check]] | None = None
        self.tensors: dict[int, str] = {}
        self.arrays: dict[int, tuple[Any, str]] = {}
        self.refusals: list[str] = []
        self._seen: dict[int, Any] = {}
        self._work: list[tuple[Any, str, Location]] = []
        for value, name in roots:
            self._visit(value, name, Location("", 0))
            if getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x2A0:  # yield, async
                self._refuse(
                    "a generator or coroutine cannot be one program", name, Location("", 0)
                )
        while self._work:
            value, name, where = self._work.pop()
            self._expand(value, name, where)
            if len(self._seen) > MAX_OBJECTS:
                self._refuse(f"it reaches more than {MAX_OBJECTS} Python objects", name, where)
                return

    def forget(self, holder: Any, key: Any) -> None:
        """Drops the check of a dict entry that the graph reads afresh, unless the user's code may read it, too."""
        if self.reflects or self.user_names & {key, *GROUPS}:
            return
        self.checks = [
            c
            for c in self.checks
            if not (isinstance(c, DictCheck) and c.holder is holder and c.key == key)
        ]

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

    def _prepare(self) -> tuple[int, list[tuple[Any, Any, Any, Check]], list[Check]]:
        """The checks of dict entries, which are most, as plain tuples; and the others."""
        plain: list[tuple[Any, Any, Any, Check]] = [
            (c.holder, c.key, c.expected, c) for c in self.checks if isinstance(c, DictCheck)
        ]
        return len(self.checks), plain, [c for c in self.checks if not isinstance(c, DictCheck)]

    def found(self) -> list[Any]:
        """Every object that was found."""
        return list(self._seen.values())

    def reaches(self, value: Any) -> bool:
        """Whether this very object was found, so that it is the same one on each call."""
        return id(value) in self._seen

    def _refuse(self, why: str, name: str, where: Location) -> None:
        at = f" at {where}" if where.line else ""
        self.refusals.append(f"{name}{at}: {why}")

    # --- one value ---

    def _place(self, check: Check) -> None:
        self.checks.append(check)
        if check.expected is not MISSING:
            self._visit(check.expected, check.name, check.where)

    def _visit(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, (*ATOMS, np.generic, *FROZEN)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        self._work.append((value, name, where))

    def _expand(self, value: Any, name: str, where: Location) -> None:
        if hasattr(value, "_version_cell"):
            self.tensors[id(value)] = name
            self.checks.append(
                TensorCheck(value, None, (value.type, value._requires_grad), name, where)
            )
        elif isinstance(value, np.ndarray):
            self._array(value, name, where)
        elif isinstance(value, (tuple, frozenset)):
            for i, item in enumerate(value):
                self._visit(item, f"{name}[{i}]", where)
        elif isinstance(value, (list, collections.deque)):
            self.checks.append(LengthCheck(value, None, len(value), f"len({name})", where))
            for i in range(len(value)):
                self._place(ItemCheck(value, i, value[i], f"{name}[{i}]", where))
        elif isinstance(value, dict):
            self.checks.append(MembersCheck(value, f"the keys of {name}", where))
            for key in list(value):
                self._place(EntryCheck(value, key, value[key], f"{name}[{short(key)}]", where))
            if type(value).__module__ != "builtins":
                self._instance(value, name, where)
        elif isinstance(value, set):
            self.checks.append(MembersCheck(value, f"the elements of {name}", where))
            for item in value:
                self._visit(item, f"an element of {name}", where)
        elif isinstance(value, types.FunctionType):
            self._function(value, name)
        elif isinstance(
            value, (types.MethodType, functools.partial, staticmethod, classmethod, property)
        ):
            self._bound(value, name, where)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType, np.ufunc)):
            self._builtin(value, name, where)
        elif isinstance(value, types.ModuleType):
            self._module(value, name, where)
        elif isinstance(value, type):
            self._class(value, name, where)
        else:
            self._instance(value, name, where)

    def _array(self, value: Any, name: str, where: Location) -> None:
        if value.dtype.hasobject:
            self._refuse("the objects in a NumPy array cannot be checked", name, where)
        elif value.nbytes > MAX_ARRAY_BYTES:
            self._refuse(
                "this NumPy array is too large to compare on each call; make it a tensor outside",
                name,
                where,
            )
        else:
            self.arrays[id(value)] = (value, name)
            self.checks.append(ContentCheck(value, name, where))

    # --- code ---

    def _function(self, fn: types.FunctionType, name: str) -> None:
        where = Location(fn.__code__.co_filename, fn.__code__.co_firstlineno, fn.__name__)
        module = fn.__globals__.get("__name__", "__main__")
        if _closed(module):
            self._outside(module, name, where)
            if not module.startswith(ENGINE):  # a wrapper such as contextlib's
                self._around(fn, name, where)
            return
        engine = module.startswith(ENGINE)
        for names, written, imported in map(code_names, codes(fn.__code__)):
            self.names |= names
            self.written |= written
            if engine:
                continue
            self.user_names |= names
            self.reflects = self.reflects or bool(names & REFLECTION)
            self.reads_arrays = self.reads_arrays or bool(names & BUFFERS)
            for module in imported:
                self._visit(sys.modules.get(module), module, where)
            for told in sorted(names & UNFOLLOWED):
                self._refuse(f"reads .{told}, which a capture does not follow", name, where)
            if "globals" in names:
                self._refuse("globals() reads state that cannot be followed", name, where)
        if not engine:
            self._place_function(fn, name, where)
        self._around(fn, name, where)
        for var in sorted(set().union(*map(global_names, codes(fn.__code__)))):
            if not var.isidentifier():  # pytest puts some in
                continue
            if engine:
                held = fn.__globals__.get(var)
                if isinstance(held, (types.FunctionType, type)):
                    self._visit(held, var, where)
            elif var in fn.__globals__:
                self._place(GlobalCheck(fn.__globals__, var, fn.__globals__[var], var, where))
            else:
                self.checks.append(GlobalCheck(fn.__globals__, var, MISSING, var, where))
                if getattr(builtins, var, None) in IMPURE_BUILTINS:
                    self._refuse(f"calls {var}, an effect outside of tensors", name, where)

    def _around(self, fn: types.FunctionType, name: str, where: Location) -> None:
        """The variables of enclosing functions, and what `fn` wraps."""
        for var, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:
                content = MISSING
            self._place(CellCheck(cell, None, content, var, where))
        wrapped = getattr(fn, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped, name, where)

    def _place_function(self, fn: types.FunctionType, name: str, where: Location) -> None:
        """What belongs to the function itself and can be exchanged: code, defaults, attributes."""
        self.checks.append(
            AttributeCheck(fn, "__code__", fn.__code__, f"the code of {name}", where)
        )
        for part in ("__defaults__", "__kwdefaults__"):
            if getattr(fn, part) is not None:
                self._place(AttributeCheck(fn, part, getattr(fn, part), f"{name}.{part}", where))
        for attribute in sorted(self._wanted(vars(fn))):
            self._place(
                DictCheck(vars(fn), attribute, vars(fn)[attribute], f"{name}.{attribute}", where)
            )

    def _wanted(self, held: Any) -> Any:
        """The attributes among `held` that some code may read or write."""
        return held.keys() if self.reflects else (self.names | self.written) & held.keys()

    def _outside(self, module: str, name: str, where: Location) -> None:
        """Code of the standard library counts as pure only where it is known to be."""
        top = module.partition(".")[0]
        if module.startswith("numpy.random") or (
            top in sys.stdlib_module_names and module not in PURE_MODULES
        ):
            self._refuse(f"depends on {module}, which may change from call to call", name, where)
        elif top == "numpy":
            self.reads_arrays = True

    def _bound(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, functools.partial):
            parts: list[Any] = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, property):
            parts = [f for f in (value.fget, value.fset) if f is not None]
        else:
            parts = [
                value.__func__,
                *([value.__self__] if isinstance(value, types.MethodType) else []),
            ]
        for part in parts:
            self._visit(part, name, where)

    def _builtin(self, value: Any, name: str, where: Location) -> None:
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            self._visit(owner, name, where)
        elif isinstance(value, types.BuiltinFunctionType) and value in IMPURE_BUILTINS:
            self._refuse("an effect outside of tensors", name, where)
        else:
            self._outside(getattr(value, "__module__", None) or "", name, where)

    def _module(self, module: types.ModuleType, name: str, where: Location) -> None:
        held = vars(module)
        if not _closed(module.__name__):
            whole = self.reflects and not module.__name__.startswith(ENGINE)
            data = {
                n
                for n, v in held.items()
                if whole and not isinstance(v, (*CODE, type, types.ModuleType))
            }
            for attribute in sorted(data | (self.names & held.keys())):
                if not attribute.startswith("__"):
                    self._place(
                        DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
                    )
        elif module.__name__.partition(".")[0] == "numpy":
            self.reads_arrays = True
            if "random" in self.names:
                self._outside("numpy.random", name, where)
        elif not module.__name__.startswith(ENGINE):
            self._outside(module.__name__, name, where)

    # --- objects ---

    def _class(self, cls: type, name: str, where: Location) -> None:
        if _closed(cls.__module__):
            self._outside(cls.__module__, name, where)
            return
        for base in cls.__mro__:
            if _closed(base.__module__):
                continue
            engine = base.__module__.startswith(ENGINE)
            for attribute, value in list(vars(base).items()):
                dunder = attribute.startswith("__") and attribute.endswith("__")
                if not (attribute in self.names or self.reflects) and not (
                    dunder and isinstance(value, types.FunctionType)
                ):
                    continue
                if engine and isinstance(value, CODE):
                    self._visit(value, f"{name}.{attribute}", where)
                elif isinstance(value, CODE) or not dunder:
                    found = class_attribute(cls, attribute)
                    self._place(ClassCheck(cls, attribute, found, f"{name}.{attribute}", where))
                    if found is not value:  # super() may still reach it
                        self._visit(value, f"{name}.{attribute}", where)

    def _instance(self, value: Any, name: str, where: Location) -> None:
        cls = type(value)
        for attribute in getattr(cls, "_state_attributes", ()):
            self._place(
                DictCheck(
                    vars(value), attribute, vars(value)[attribute], f"{name}.{attribute}", where
                )
            )
        inner = getattr(value, "_captured_function", None)  # of a compiled function
        if inner is not None:
            self._visit(inner, name, where)
            return
        if _closed(cls.__module__) and not isinstance(value, (dict, types.SimpleNamespace)):
            if not cls.__module__.startswith(ENGINE) or cls.__module__.startswith(f"{ENGINE}.data"):
                self._refuse(
                    f"the state of a {cls.__module__}.{cls.__qualname__} cannot be checked",
                    name,
                    where,
                )
            return
        self._visit(cls, cls.__qualname__, where)
        held = getattr(value, "__dict__", None)
        if held is not None:
            for attribute in sorted(self._wanted(held)):
                self._place(
                    DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
                )
            if self.reflects and not cls.__module__.startswith(ENGINE):
                self.checks.append(MembersCheck(held, f"the attributes of {name}", where))
            for attribute in sorted(self._absent(cls) - held.keys()):
                self.checks.append(
                    DictCheck(held, attribute, MISSING, f"{name}.{attribute}", where)
                )
        for base in cls.__mro__:
            for attribute in _slots(base):
                if attribute in self.names or self.reflects:
                    self._place(
                        AttributeCheck(
                            value,
                            attribute,
                            getattr(value, attribute, MISSING),
                            f"{name}.{attribute}",
                            where,
                        )
                    )

    def _absent(self, cls: type) -> set[str]:
        """Attributes that an instance lacks and that would count if it had them."""
        absent = {n for n in self.written if not hasattr(cls, n)}
        if cls.__module__.startswith(ENGINE):
            return absent | {"forward"}
        for attribute in self.names:
            found = class_attribute(cls, attribute)
            if found is not MISSING and not isinstance(found, (property, *SLOT_DESCRIPTORS)):
                absent.add(attribute)
        return absent


CODE = (types.FunctionType, property, staticmethod, classmethod, functools.cached_property)


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
    return top in (ENGINE, "numpy", "builtins") or (
        top in sys.stdlib_module_names and top != "__main__"
    )
