"""Footprint: the Python state that a function reads, found before it runs, checked on each call.

Starting from a function, code objects are followed through globals, closures, attributes and the
functions called. Attributes count when some reachable code mentions their name, so the footprint
may list more than was read but not less. What cannot be checked (iterators, clocks, random numbers of
other libraries, files) makes the function run eagerly, with the reason in ``explain()``.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types
from typing import Any

import numpy as np

from ..core.errors import NOWHERE, Location
from ..core.process.spared import survived
from .checks import (
    MISSING,
    AttributeCheck,
    BuiltinCheck,
    CellCheck,
    Check,
    Checklist,
    DictCheck,
    GlobalCheck,
)  # fmt: skip
from .code.bytecode import GENERATES, Mentions, all_named, mentions
from .code.handlers import after_errors
from .code.reach import basic_blocks
from .code.statements import Apart, Statement
from .code.unbound import unbound
from .holders import ByName, Holders, Sought
from .members import FUNCTION_PARTS, MAKING, held_by, hideable, is_dunder, may_miss, reflective
from .outside import ENGINE, closed, is_library, users

MAX_OBJECTS = 20_000
ENOUGH = 2_000  # objects that are looked into where something is refused already
IMPURE_BUILTINS = (print, input, open, breakpoint, exec, eval, id)
# Ways to an optimiser's numbers.
GROUPS = frozenset("param_groups get_last_lr get_lr state_dict".split())


class Footprint(Holders):
    """What a function reads besides its arguments: `checks`, the tensors and arrays found, and `refusals`.

    Names that code mentions say which attributes count, and what these hold may be code that mentions more. So
    objects with attributes wait until all code at hand is known; what it mentions later is looked up in them again.
    """

    telling: frozenset[str] = frozenset()  # names of what tells live numbers from plain ones
    types_followed = False  # whether all that code does with `type` is to call it
    steady = False  # whether all was as before when the call had ended

    @property
    def followed(self) -> frozenset[str]:
        """The names in `telling` that tell nothing, as what stands for them sees to it."""
        return frozenset(("type",)) if self.types_followed else frozenset()

    def __init__(
        self, roots: list[tuple[Any, str]], apart: Apart | None = None, enough: int = ENOUGH
    ) -> None:
        self._apart = apart
        self._enough = enough
        self._asked = None
        self._shared: set[types.CodeType] = set()  # code of more than one function
        self.reflects = self.misses = self.makes = False
        self.about = frozenset()
        before = None
        while (known := self._known()) != before:
            before = known
            self._find(roots)
            if self.ended:
                return
        if apart is not None and apart.active:
            self._asked = frozenset(self.user_names)
            self._find(roots)
        if apart is not None:
            own = {getattr(value, "__code__", None) for value, _ in roots}  # which surely runs
            apart.reach.wanted = any(
                c not in own or len(basic_blocks(c)) > 1 for c in self.doubtful
            )

    @property
    def doubtful(self) -> list[types.CodeType]:
        """The code that mentions what is refused: some of it may never run."""
        at = self._refused_at
        return [c for c in self.functions if (c.co_filename, c.co_firstlineno) in at]

    def _known(self) -> Any:
        """What one walk finds out for the next."""
        return self.reflects, self.misses, self.makes, len(self._shared), self.about

    def _find(self, roots: list[tuple[Any, str]]) -> None:
        """Finds all that the roots lead to; what fails when it is looked into is refused."""
        try:
            self._walk(roots)
        except Exception as problem:
            self._refuse(f"looking into what it reads fails: {survived(problem)!r}", "it", NOWHERE)
            self.ended = True

    def _walk(self, roots: list[tuple[Any, str]]) -> None:
        """Finds all that the roots lead to, until no more names come up."""
        self.names: set[str] = set()
        self.written: set[str] = set()
        self.user_names: set[str] = set()  # those in code outside of the engine
        self.all_names: set[str] = set()  # those, and the ones in statements set apart
        self.takes_memory = self.reads_memory = False
        self.descriptors: list[Any] = []  # methods that no object is bound to
        self.ended = False  # before all was looked into: there are refusals
        self.checks: list[Check] = []
        self.drawing: list[Check] = []
        self.holding: list[Check] = []
        self.caching: list[Check] = []
        self._quick: Checklist | None = None
        self.functions: dict[types.CodeType, types.FunctionType] = {}  # the user's
        self.tensors, self.arrays = {}, {}
        self.refusals, self._refused_at = [], set()
        self._registry = False
        self._seen, self._classes, self._methods = {}, set(), {}
        self._work, self._waiting = [], []
        for value, name in roots:
            self._visit(value, name, Location("", 0))
            if getattr(getattr(value, "__code__", None), "co_flags", 0) & GENERATES:
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
                if len(self._seen) > (self._enough if self.refusals else MAX_OBJECTS):
                    self._refuse(
                        f"it reaches {len(self._seen)} Python objects and more", name, where
                    )
                    self.ended = True
                    return
            more, names = self.names - names, set(self.names)
            more_written, written = self.written - written, set(self.written)
            for look, value, name, where in known if more or more_written else ():
                look(value, name, where, Sought(more, more_written, False))
            waiting, self._waiting = self._waiting, []
            for look, value, name, where in waiting:
                look(value, name, where, Sought(names, written, True))
            known += waiting
        users = frozenset(self.user_names)
        for value, name, where in [k[1:] for k in known if k[0] == self._attributes]:
            for method in hideable(value, users):
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

    def notices_reads(self, array: Any) -> bool:
        """Whether something can stand for an array argument that notices when code looks at its values."""
        plain = type(array) is np.ndarray and id(array) not in self.arrays
        return plain and not (self.takes_memory or "type" in self.telling)

    def unbound(self, kind: Any) -> tuple[str, ...]:
        """The methods that code reads from a class of numbers or arrays, or finds: they take no stand-ins."""
        named = (n for c in self.checks if c.expected is kind for n in (c.key, c.name))
        names = frozenset((kind.__name__, *(n for n in named if isinstance(n, str))))
        read = (r for code in self.functions for r in unbound(code, kind, names))
        held = (d.__name__ for d in self.descriptors if d.__objclass__ is kind)
        return (*read, *(f"{kind.__name__}.{name}" for name in held))

    def found(self) -> list[Any]:
        """Every object that was found."""
        return list(self._seen.values())

    def reaches(self, value: Any) -> bool:
        """Whether this very object was found, so that it is the same one on each call."""
        return id(value) in self._seen

    # --- code ---

    def _descriptor(self, value: Any, name: str, where: Location) -> None:
        self.descriptors.append(value)

    def _function(self, fn: types.FunctionType, name: str, reached: Location) -> None:
        """Takes in the code of a function, by whose it is: a library's, the package's or the user's."""
        where = Location(fn.__code__.co_filename, fn.__code__.co_firstlineno, fn.__name__)
        module = fn.__globals__.get("__name__", "__main__")
        if closed(module):
            self._outside(module, name, where)
            if not module.startswith(ENGINE) or hasattr(fn, "__wrapped__"):  # around the user's
                self._around(fn, name, where, frozenset(fn.__code__.co_freevars))
            return
        if module.startswith(ENGINE):
            return self._engine_code(fn, name, where)
        told = mentions(fn.__code__)
        self.all_names |= told.names
        self.reads_memory |= told.buffers and not is_library(fn.__code__.co_filename)
        self.takes_memory |= told.buffers
        if self.functions.setdefault(fn.__code__, fn) is not fn:
            self._shared.add(fn.__code__)
        pieces = [r for s in self.apart(fn.__code__) for r in s.ranges]
        if self._apart is not None:
            pieces += self._apart.reach.left_out(fn.__code__)
        if pieces:
            told = mentions(fn.__code__, (*pieces, *after_errors(fn.__code__)))
        self.names |= told.names
        self._user_code(fn, told, name, where)

    def _engine_code(self, fn: types.FunctionType, name: str, where: Location) -> None:
        """Takes in what a function of the package's mentions: its variables hold what they always do."""
        names, held = all_named(fn.__code__), fn.__globals__
        self.names |= names
        self._around(fn, name, where, frozenset(fn.__code__.co_freevars))
        # Variables also where the names are attributes: more than is called. By their types: on Python 3.10 tuple[int]
        # calls itself a class.
        for var in sorted(names & held.keys()):
            if issubclass(type(held[var]), (types.FunctionType, type)):
                self._visit(held[var], var, where)

    def _user_code(
        self, fn: types.FunctionType, told: Mentions, name: str, where: Location
    ) -> None:
        """Takes in what a function of the user's mentions, beside the statements that are set apart."""
        self.user_names |= told.names
        self.written |= told.written
        self.about |= frozenset(filter(is_dunder, told.names))
        self.reflects = self.reflects or told.reflects
        self.misses = self.misses or told.reflects or may_miss(fn.__code__, told.names)
        self.makes = self.makes or told.reflects or not MAKING.isdisjoint(told.names)
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
                else:
                    self._place(BuiltinCheck(var, where))

    def apart(self, code: types.CodeType) -> tuple[Statement, ...]:
        """The statements of a function that are set apart: what they mention does not count."""
        if self._apart is None or code not in self.functions or code in self._shared:
            return ()
        if is_library(code.co_filename):  # whose statements nobody wrote for this
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
        for part in ("__defaults__", "__kwdefaults__", *sorted(FUNCTION_PARTS & self.about)):
            if getattr(fn, part) is not None or part in self.about:
                self._place(AttributeCheck(fn, part, getattr(fn, part), f"{name}.{part}", where))
        if vars(fn) or self.misses:
            self._waiting.append((self._held, fn, name, where))

    def _bound(self, value: Any, name: str, where: Location) -> None:
        if isinstance(value, functools.partial):
            parts: list[Any] = [value.func, *value.args, value.keywords]
        elif isinstance(value, property):
            parts = [f for f in (value.fget, value.fset) if f is not None]
        elif isinstance(value, functools.cached_property):
            parts = [value.func]
        else:
            parts = [
                value.__func__,
                *([value.__self__] if isinstance(value, types.MethodType) else []),
            ]
        for part in parts:
            self._visit(part, name, where)

    def _builtin(self, value: Any, name: str, where: Location) -> None:
        """What a function written in C is bound to, or why it cannot be called in a program."""
        self.reflects = self.reflects or reflective(value)
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            self._visit(owner, name, where)
        elif isinstance(value, types.BuiltinFunctionType) and value in IMPURE_BUILTINS:
            self._refuse("an effect outside of tensors", name, where)
        else:
            module = getattr(value, "__module__", None)
            if users(module) if module else isinstance(value, types.BuiltinFunctionType):
                self.takes_memory = True
            self._outside(module or "", name, where)
