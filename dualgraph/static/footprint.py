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
import sys
import types
from collections.abc import Callable, Set
from typing import Any

import numpy as np

from ..core.errors import NOWHERE, Location
from .bytecode import mentions, names_in_class
from .checks import (
    ATOMS,
    MISSING,
    AttributeCheck,
    CellCheck,
    Check,
    Checklist,
    ClassCheck,
    ContentCheck,
    DictCheck,
    EntryCheck,
    GlobalCheck,
    ItemCheck,
    LengthCheck,
    MembersCheck,
    TensorCheck,
    TypeCheck,
    class_attribute,
    short,
    slots_of,
    told_of,
)  # fmt: skip
from .handlers import after_errors
from .members import CODE, FROZEN, absent, dict_of, held_by, hideable, may_miss
from .outside import ENGINE, closed, for_its_own_use, impure
from .statements import Apart, Statement

ENGINE_STATE = "dualgraph.optim", "dualgraph.data"  # objects whose state is the engine's own matter
MAX_OBJECTS = 20_000
MAX_ARRAY_BYTES = 1 << 24  # arrays beyond this are not compared on each call
IMPURE_BUILTINS = (print, input, open, breakpoint, exec, eval, id)
# Ways to an optimiser's numbers.
GROUPS = frozenset("param_groups get_last_lr get_lr state_dict".split())
# A look at an object by names: its name and place, names to look for, those that code writes, whether it is the first.
ByName = Callable[[Any, str, Location, Set[str], Set[str], bool], None]


class Footprint:
    """What a function reads besides its arguments: `checks`, the tensors and arrays found, and `refusals`.

    Names that code mentions say which attributes count, and what these hold may be code that mentions more. So
    objects with attributes wait until all code at hand is known; what it mentions later is looked up in them again.
    """

    def __init__(self, roots: list[tuple[Any, str]], apart: Apart | None = None) -> None:
        self._apart = apart
        self._asked: frozenset[str] | None = (
            None  # names in the user's code, if only those count for his data
        )
        self._shared: set[types.CodeType] = set()  # code of more than one function
        self.reflects = False  # some code may read attributes by names that are not seen
        self.misses = False  # some code may go on where an attribute is missing
        while True:
            before = self.reflects, self.misses, len(self._shared)
            self._walk(roots)
            if (self.reflects, self.misses, len(self._shared)) == before:
                break
        if apart is not None and apart.active:
            self._asked = frozenset(self.user_names)
            self._walk(roots)

    def _walk(self, roots: list[tuple[Any, str]]) -> None:
        self.names: set[str] = set()
        self.written: set[str] = set()
        self.user_names: set[str] = set()  # those in code outside of the engine
        self.all_names: set[str] = set()  # those, and the ones in statements set apart
        self.reads_arrays = False  # some code may read the memory of arrays unseen
        self.checks: list[Check] = []
        self._quick: Checklist | None = None
        self.functions: dict[types.CodeType, types.FunctionType] = {}  # the user's
        self.tensors: dict[int, str] = {}
        self.arrays: dict[int, tuple[Any, str]] = {}
        self.refusals: list[str] = []
        self._seen: dict[int, Any] = {}
        self._work: list[tuple[str, Any, str, Location]] = []
        self._waiting: list[tuple[ByName, Any, str, Location]] = []
        for value, name in roots:
            self._visit(value, name, Location("", 0))
            if getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x2A0:  # yield, async
                self._refuse(
                    "a generator or coroutine cannot be one program", name, Location("", 0)
                )
        known: list[tuple[ByName, Any, str, Location]] = []
        names: set[str] = set()
        written: set[str] = set()
        while self._work or self._waiting or self.names - names or self.written - written:
            while self._work:
                way, value, name, where = self._work.pop()
                getattr(self, way)(value, name, where)
                if len(self._seen) > MAX_OBJECTS:
                    self._refuse(f"it reaches more than {MAX_OBJECTS} Python objects", name, where)
                    return
            more, names = self.names - names, set(self.names)
            more_written, written = self.written - written, set(self.written)
            for look, value, name, where in known if more or more_written else ():
                look(value, name, where, more, more_written, False)
            waiting, self._waiting = self._waiting, []
            for look, value, name, where in waiting:
                look(value, name, where, names, written, True)
            known += waiting
        for look, value, name, where in known:
            for method in hideable(value, self.user_names) if look == self._attributes else ():
                held = held_by(value)
                self.checks.append(DictCheck(held, method, MISSING, f"{name}.{method}", where))

    def forget(self, holder: Any, key: Any) -> None:
        """Drops the check of a dict entry that the graph reads afresh, unless the user's code may read it, too."""
        if self.reflects or self.user_names & {key, *GROUPS}:
            return
        self.checks = [
            c
            for c in self.checks
            if not (isinstance(c, DictCheck) and c.holder is holder and c.key == key)
        ]

    def forget_objects(self, *holders: Any) -> None:
        """Drops the checks of objects that turned out not to matter."""
        dropped = set(map(id, holders))
        self.checks = [c for c in self.checks if id(c.holder) not in dropped]

    def refuse_attributes(self, arguments: list[tuple[int, Any]]) -> None:
        """Refuses what reads attributes that the user put on tensors among the arguments."""
        for i, t in arguments:
            for name in sorted(vars(t).keys() & self.user_names):
                self._refuse(
                    "it may read this, which was put on a tensor",
                    f"argument leaf {i}.{name}",
                    NOWHERE,
                )

    def failing(self) -> Check | None:
        """The first check that does not hold now."""
        if self._quick is None or self.checks is not self._quick.checks:
            self._quick = Checklist(self.checks)
        return self._quick.failing()

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
        if id(value) not in self._seen:
            kind: Any = type(value)
            way = _way(kind)
            if way:
                self._seen[id(value)] = value
                self._work.append((way, value, name, where))

    def _tensor(self, value: Any, name: str, where: Location) -> None:
        self.tensors[id(value)] = name
        self.checks.append(TensorCheck(value, None, told_of(value), name, where))
        if vars(value):  # what the user put there, which may hide methods
            self._waiting.append((self._held, value, name, where))

    def _fixed(self, value: Any, name: str, where: Location) -> None:
        """A tuple or frozenset."""
        for i, item in enumerate(value):
            self._visit(item, f"{name}[{i}]", where)

    def _list(self, value: Any, name: str, where: Location) -> None:
        self.checks.append(LengthCheck(value, None, len(value), f"len({name})", where))
        for i in range(len(value)):
            self._place(ItemCheck(value, i, value[i], f"{name}[{i}]", where))

    def _dict(self, value: Any, name: str, where: Location) -> None:
        self.checks.append(MembersCheck(value, f"the keys of {name}", where))
        for key in list(value):
            self._visit(key, f"a key of {name}", where)
            self._place(EntryCheck(value, key, value[key], f"{name}[{short(key)}]", where))
        if type(value).__module__ != "builtins":
            self._instance(value, name, where)

    def _set(self, value: Any, name: str, where: Location) -> None:
        self.checks.append(MembersCheck(value, f"the elements of {name}", where))
        for item in value:
            self._visit(item, f"an element of {name}", where)

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

    def _function(self, fn: types.FunctionType, name: str, reached: Location) -> None:
        where = Location(fn.__code__.co_filename, fn.__code__.co_firstlineno, fn.__name__)
        module = fn.__globals__.get("__name__", "__main__")
        if closed(module):
            self._outside(module, name, where)
            if not module.startswith(ENGINE) or hasattr(fn, "__wrapped__"):  # around the user's
                self._around(fn, name, where, frozenset(fn.__code__.co_freevars))
            return
        engine = module.startswith(ENGINE)
        told = mentions(fn.__code__)
        if not engine:
            self.all_names |= told.names
            if self.functions.setdefault(fn.__code__, fn) is not fn:
                self._shared.add(fn.__code__)
            pieces = [r for s in self.apart(fn.__code__) for r in s.ranges]
            if pieces:
                told = mentions(fn.__code__, (*pieces, *after_errors(fn.__code__)))
        self.names |= told.names
        self.written |= told.written
        if engine:
            self._around(fn, name, where, told.enclosing)
            for var in told.variables:
                held = fn.__globals__.get(var)
                if isinstance(held, (types.FunctionType, type)):
                    self._visit(held, var, where)
            return
        self.user_names |= told.names
        self.reflects = self.reflects or told.reflects
        self.misses = self.misses or told.reflects or may_miss(fn.__code__, told.names)
        self.reads_arrays = self.reads_arrays or told.buffers
        for imported in told.imported:
            module = sys.modules.get(imported, MISSING)
            self._place(DictCheck(sys.modules, imported, module, imported, where))
        for word in told.unfollowed:
            self._refuse(f"reads .{word}, which a capture does not follow", name, where)
        if "globals" in told.names:
            self._refuse("globals() reads state that cannot be followed", name, where)
        self._place_function(fn, name, where)
        self._around(fn, name, where, told.enclosing)
        for var in told.variables:
            if var in fn.__globals__:
                self._place(GlobalCheck(fn.__globals__, var, fn.__globals__[var], var, where))
            else:
                self.checks.append(GlobalCheck(fn.__globals__, var, MISSING, var, where))
                if getattr(builtins, var, None) in IMPURE_BUILTINS:
                    self._refuse(f"calls {var}, an effect outside of tensors", name, where)

    def apart(self, code: types.CodeType) -> tuple[Statement, ...]:
        """The statements of a function that are set apart: what they mention does not count."""
        if self._apart is None or code not in self.functions or code in self._shared:
            return ()
        return self._apart.of(code)

    def _around(
        self, fn: types.FunctionType, name: str, where: Location, read: frozenset[str]
    ) -> None:
        """The variables of enclosing functions, and what `fn` wraps."""
        for var, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            if var not in read:
                continue
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
        if vars(fn) or self.misses:
            self._waiting.append((self._held, fn, name, where))

    def _held(
        self, value: Any, name: str, where: Location, names: Set[str], written: Set[str], first: bool,
    ) -> None:  # fmt: skip
        """What an object holds under these names, or under any where some code reflects."""
        held = held_by(value)
        strict = self.misses or hasattr(value, "_version_cell")
        if first and strict and not type(value).__module__.startswith(ENGINE_STATE):
            self.checks.append(MembersCheck(held, f"the attributes of {name}", where))
        whole = held.keys() if first else ()
        wanted = whole if self.reflects else self._read(value, names & held.keys())
        for attribute in sorted(wanted):
            check = DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
            self._place(check)

    def _read(self, value: Any, names: Set[str]) -> Set[str]:
        """Those attributes that are read: what the user put into an object is no matter of the engine's other code."""
        if self._asked is None or type(value).__module__.startswith(ENGINE):
            return names
        engine = frozenset().union(*map(names_in_class, type(value).__mro__))
        held = held_by(value)
        return {
            n
            for n in names
            if n in self._asked or n in engine or type(held[n]).__module__.startswith(ENGINE)
        }

    def _outside(self, module: str, name: str, where: Location) -> None:
        """Code that is not followed."""
        if impure(module):
            self._refuse(f"depends on {module}, which may change from call to call", name, where)
        elif module.partition(".")[0] == "numpy":
            self.reads_arrays = True

    def _bound(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, functools.partial):
            parts: list[Any] = [value.func, *value.args, value.keywords]
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
        if not closed(module.__name__):
            self._waiting.append((self._variables, module, name, where))
        elif module.__name__.partition(".")[0] == "numpy":
            self.reads_arrays = True
            self._waiting.append((self._numpy, module, name, where))
        elif not module.__name__.startswith(ENGINE):
            self._outside(module.__name__, name, where)

    def _variables(
        self, module: types.ModuleType, name: str, where: Location, names: Set[str], written: Set[str], first: bool,
    ) -> None:  # fmt: skip
        """The variables of a module that have these names."""
        held = vars(module)
        wanted = names & held.keys()
        if first and self.misses:
            self.checks.append(MembersCheck(held, f"the variables of {name}", where))
        if self.reflects and not module.__name__.startswith(ENGINE):
            apart = (*CODE, type, types.ModuleType)
            data = {n for n, v in held.items() if not isinstance(v, apart)}
            wanted = wanted | data if first else wanted - data
        for attribute in sorted(wanted):
            if not attribute.startswith("__") and not for_its_own_use(module, held[attribute]):
                check = DictCheck(held, attribute, held[attribute], f"{name}.{attribute}", where)
                self._place(check)

    def _numpy(
        self, module: types.ModuleType, name: str, where: Location, names: Set[str], written: Set[str], first: bool,
    ) -> None:  # fmt: skip
        if "random" in names:
            self._outside("numpy.random", name, where)

    # --- objects ---

    def _class(self, cls: type, name: str, where: Location) -> None:
        if closed(cls.__module__):
            self.misses = self.misses or (cls is not object and issubclass(AttributeError, cls))
            self._outside(cls.__module__, name, where)
        else:
            self._waiting.append((self._members, cls, name, where))

    def _members(
        self, cls: type, name: str, where: Location, names: Set[str], written: Set[str], first: bool,
    ) -> None:  # fmt: skip
        """What a class and its bases have under these names; methods that Python calls count from the first."""
        for base in cls.__mro__:
            if closed(base.__module__):
                continue
            engine = base.__module__.startswith(ENGINE)
            held = vars(base)
            if first and not engine and id(held_in := dict_of(base)) not in self._seen:
                self._seen[id(held_in)] = held_in
                self.checks.append(MembersCheck(held_in, f"the names in {base.__name__}", where))
            for attribute in list(held) if first else names & held.keys():
                value = held[attribute]
                dunder = attribute.startswith("__") and attribute.endswith("__")
                special = dunder and isinstance(value, types.FunctionType)
                if not (first if special or self.reflects else attribute in names):
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
        engine = cls.__module__.startswith(ENGINE)
        inner = getattr(value, "_captured_function", None) if engine else None
        if inner is not None:  # of a compiled function
            self._visit(inner, name, where)
            return
        if closed(cls.__module__) and not isinstance(value, (dict, types.SimpleNamespace)):
            if not engine or cls.__module__.startswith(f"{ENGINE}.data"):
                self._refuse(
                    f"the state of a {cls.__module__}.{cls.__qualname__} cannot be checked",
                    name,
                    where,
                )
            return
        if not engine:
            self.checks.append(TypeCheck(value, None, cls, f"the class of {name}", where))
        self._visit(cls, cls.__qualname__, where)
        self._waiting.append((self._attributes, value, name, where))

    def _attributes(
        self, value: Any, name: str, where: Location, names: Set[str], written: Set[str], first: bool,
    ) -> None:  # fmt: skip
        """The attributes of an object that have these names, and those that it lacks and that would count."""
        cls: Any = type(value)
        held = held_by(value)
        if held is not None:
            self._held(value, name, where, names, written, first)
            for attribute in sorted(absent(cls, names, written, first) - held.keys()):
                self.checks.append(
                    DictCheck(held, attribute, MISSING, f"{name}.{attribute}", where)
                )
        for attribute in slots_of(cls):
            if first if self.reflects else attribute in names:
                now = getattr(value, attribute, MISSING)
                self._place(AttributeCheck(value, attribute, now, f"{name}.{attribute}", where))


@functools.lru_cache(maxsize=1024)
def _way(kind: type) -> str:
    """The method that looks into objects of a type; "" where there is nothing to look into."""
    if issubclass(kind, (*ATOMS, np.generic, *FROZEN)):
        return ""
    if hasattr(kind, "_version_cell"):
        return "_tensor"
    return next(way for kinds, way in WAYS if issubclass(kind, kinds))


WAYS: tuple[tuple[Any, str], ...] = (
    (np.ndarray, "_array"),
    ((tuple, frozenset), "_fixed"),
    ((list, collections.deque), "_list"),
    (dict, "_dict"),
    (set, "_set"),
    (types.FunctionType, "_function"),
    ((types.MethodType, functools.partial, staticmethod, classmethod, property), "_bound"),
    ((types.BuiltinFunctionType, types.MethodWrapperType, np.ufunc), "_builtin"),
    (types.ModuleType, "_module"),
    (type, "_class"),
    (object, "_instance"),
)
