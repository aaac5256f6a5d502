"""Vetting: whether what a statement calls may run at the end of a call instead, and what it writes.

Functions of the user's are followed as they run, where they surely do. What stands in a branch, or in a loop, may not
run in the captured call: of that all has to be known by its code alone.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core.numbers.live import LIVE
from ..core.numbers.live_calls import Conversion
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..static.checks import ATOMS, class_attribute
from ..static.code.bytecode import mentions
from ..static.code.changes import changes_outside, raises
from ..static.code.reading import CHANGES, NEW, OPERATED, VALUE, Target
from ..static.code.statements import whole
from ..static.outside import PURE_MODULES
from .acting import WRITES, acts, writes
from .happening import Happening, Write
from .places import CONTAINERS, MISSING, value_at, why_not_written
from .whose import is_library

MOST_CALLS = 8  # functions that call each other
# Of the standard library: they tell the world, and that is all.
TELLING = ("logging", "warnings", "_io", "io")
# Others that leave nothing behind which the rest of the code could read.
QUIET = PURE_MODULES | {
    "time",
    "datetime",
    "json",
    "random",
    "posixpath",
    "ntpath",
    "genericpath",
    "_random",
}
# Builtin functions that change things, or lead anywhere.
CHANGING = frozenset(
    "setattr delattr exec eval compile next input globals vars locals breakpoint __import__ super".split()
)
TENSOR_CHANGES = frozenset("backward register_hook retain_grad".split())
ARRAY_METHODS = frozenset("fill itemset partition put resize setfield setflags byteswap".split())
ARRAY_CHANGES = frozenset("copyto put put_along_axis putmask place fill_diagonal".split())
NAMES_OF_ARRAYS = frozenset("numpy asarray ascontiguousarray __array__ from_dlpack".split())
# Methods of numbers, texts, containers, tensors and arrays that change nothing.
HARMLESS = frozenset(
    n for kind in (str, float, list, dict, set, Tensor, np.ndarray) for n in dir(kind)
    if not (n.startswith("_") or writes(n) or n in CHANGES | TENSOR_CHANGES | ARRAY_METHODS)
)  # fmt: skip
GIVE_NUMBERS = frozenset("item float int bool len round str repr format".split())
GENERATES = 0x2A0  # flags of code that is a generator or coroutine
THROUGH = frozenset("zip enumerate sorted reversed list tuple set iter items values keys".split())


class Vet(NamedTuple):
    """Looks at what a statement does, where it runs with these global and local variables; notes what it writes."""

    h: Happening
    known: dict[str, Any]
    held: Any
    cells: Mapping[str, Any]  # of enclosing functions
    depth: int = 0

    def value(self, tree: Any) -> Any:
        return MISSING if tree is None else value_at(tree, self.known, self.held)

    def target(self, t: Target, sure: bool) -> str:
        """Why a target speaks against the statement ("": it does not)."""
        if t.kind == "in place":
            return self.in_place(t.place, sure and t.sure)
        if t.kind in ("call", "use"):
            if not (sure and t.sure):
                return self.unseen(t.place, t.name)
            return self.dropped(t) if t.kind == "call" else self.used(t)
        if t.kind == "with":
            return self.manager(t.place, sure and t.sure)
        holder, name = MISSING, t.name
        if t.kind == "global":
            holder = self.known
        elif t.kind == "free":
            holder, name = self.cells.get(t.name, MISSING), None
            if holder is MISSING:
                return "it writes a variable of a function made anew"
        elif t.kind == "attr":
            if t.place == NEW:
                return ""
            holder = self.value(t.place)
            problem = why_not_written(holder, t.name)
            if problem:
                return problem
        else:
            place = t.place[1] if t.kind == "change" else t.place
            if self._rooted_in_new(place):
                return ""
            holder, name = self.value(place), None
            if type(holder) not in CONTAINERS:
                if t.kind == "item":
                    return f"it changes a {type(holder).__name__}"
                if not (sure and t.sure):
                    return self.unseen(t.place, t.name)
                return self.dropped(t)
        self.h.writes.append(Write(holder, name, t.kind))
        return ""

    @staticmethod
    def _rooted_in_new(place: Any) -> bool:
        while place is not None and place[0] in ("attr", "item", "part", "each"):
            place = place[1]
        return bool(place == NEW)

    # --- calls that surely run ---

    def dropped(self, t: Target) -> str:
        """Why a function whose result is dropped cannot be called later ("": it can).

        Functions of the user are followed as they run. Libraries know of the user's state only what they are given.
        """
        if t.place == ("global", "print"):
            return ""
        called = self.value(t.place)
        if called is MISSING and t.place[0] == "attr":
            called = self.value(t.place[1])
            if called is MISSING and self._opened(t.place[1]):
                return ""
        if called is MISSING and t.place[0] in ("each", "part"):
            return self.unseen(t.place, t.name)
        if called is MISSING and t.place[0] == "attr" and t.place[1][0] in ("each", "part"):
            return self.unseen(t.place, t.name)
        if called is MISSING:
            return "" if t.place[0] == "made" else "what it calls is not known"
        module = _module(called)
        top = module.partition(".")[0]
        if top in ("dualgraph", "numpy", "builtins"):
            return f"it calls {top}"
        if _of_user(module) or top in TELLING:
            return ""
        if top in sys.stdlib_module_names:
            return f"it calls {module}"
        return self._handed(t.name, module)

    def _handed(self, args: Any, module: str) -> str:
        for tree in args:
            if tree is not None and tree[0] != "call":
                value = self.value(tree)
                if value is MISSING and self.plain(tree):
                    continue
                if not isinstance(value, (Tensor, np.generic, *ATOMS)):
                    return f"it gives a {type(value).__name__} to {module}"
        return ""

    def used(self, t: Target) -> str:
        """Why a function whose result is used cannot be called later."""
        called = self.value(t.place)
        if t.place[0] == "global" and called is MISSING and t.place[1] in CHANGING:
            return f"it calls {t.place[1]}"
        if called is MISSING:
            return ""
        module = _module(called)
        top = module.partition(".")[0]
        if (
            top in ("dualgraph", "builtins")
            or _of_user(module)
            or module in QUIET
            or top in TELLING
        ):
            return ""
        if top == "numpy":
            return f"it calls {module}" if _writes_array(called, t.name) else ""
        return (
            f"it calls {module}" if top in sys.stdlib_module_names else self._handed(t.name, module)
        )

    # --- what is done in place ---

    def in_place(self, tree: Any, sure: bool) -> str:
        """Why ``+=`` and the like may do more than to make a number. Tensors that are surely written were seen."""
        if tree[0] == "any":
            return next(filter(None, (self.in_place(v, sure) for v in tree[1])), "")
        if tree in (NEW, OPERATED) or tree[0] == "const" or _gives_number(tree):
            return ""
        value, whole = self.value(tree), MISSING
        if tree[0] in ("each", "part", "item"):
            whole = self.value(tree[1])
        if type(whole) in (*CONTAINERS, tuple) and (value is MISSING or value is whole):
            values = list(whole.values()) if isinstance(whole, dict) else list(whole)
        elif value is not MISSING:
            values = [value]
        else:
            array = tree == VALUE or not NAMES_OF_ARRAYS.isdisjoint(_names(tree))
            return "" if sure and not array else "what it changes in place is not known"
        for v in values:
            if isinstance(v, (Tensor, np.ndarray)):
                return "it may write a tensor"
            if type(v) in CONTAINERS:
                self.h.writes.append(Write(v, None, "change"))
            elif not (sure or isinstance(v, (np.generic, tuple, *ATOMS)) or type(v) in LIVE):
                return f"it may change a {type(v).__name__} in place"
        return ""

    # --- functions of the user's that run ---

    def called(self, code: types.CodeType) -> str:
        """Why a function that runs may do something else in another call: by what may not run, or is done in place."""
        does = None if code.co_flags & GENERATES else whole(code)
        if does is None:
            known = code.co_name == "<genexpr>"
            return "" if known else f"it calls {code.co_name}, which may do different things"
        calls = (t for t in does.targets if not t.stored or (t.kind == "call" and not t.sure))
        problems = map(self._passed, calls)
        return next((f"in {code.co_name}, {why}" for why in problems if why), "")

    def _passed(self, t: Target) -> str:
        if t.kind == "in place":
            return self.in_place(t.place, t.sure)
        if t.sure:
            return self.used(t) if _module(self.value(t.place)).startswith("numpy") else ""
        if t.place[0] == "attr" and t.place[2] in HARMLESS and self.value(t.place[1]) is MISSING:
            return ""
        return self.unseen(t.place, t.name)

    # --- context managers ---

    def _opened(self, tree: Any) -> bool:
        """Whether it is a file opened in the statement."""
        if tree is None or tree[0] != "entered":
            return False
        call = tree[1]
        return (
            bool(call[0] == "call" and call[1] == ("global", "open")) and "open" not in self.known
        )

    def manager(self, tree: Any, sure: bool) -> str:
        """Why a context manager cannot be entered later."""
        if self._opened(("entered", tree)):
            return ""
        value = self.value(tree)
        if value is MISSING and tree[0] == "call":
            value = self.value(tree[1])
        if value is MISSING:
            return "its context manager is not known"
        module = _module(value)
        if module.partition(".")[0] in ("dualgraph", "contextlib", "threading", "_thread", "_io"):
            return ""
        if _of_user(module) and sure:
            return ""
        if _of_user(module) and not isinstance(value, (type, types.FunctionType)):
            return self.method(value, "__enter__", ()) or self.method(
                value, "__exit__", (None,) * 3
            )
        return f"its context manager is a {module}.{type(value).__name__}"

    # --- calls that may not run in the captured call ---

    def unseen(self, callee: Any, args: Any) -> str:
        """Why a function cannot be called later, by its code alone."""
        if callee[0] == "global" and callee[1] not in self.known:
            name = callee[1]
            ok = name not in CHANGING and hasattr(builtins, name)
            return "" if ok else f"it may call {name}"
        if callee[0] == "attr" and callee[1] and callee[1][0] == "any":
            found = (self.unseen(("attr", v, callee[2]), args) for v in callee[1][1])
            return next(filter(None, found), "")
        called = self.value(callee)
        if called is not MISSING:
            return self.function(called, args)
        if callee[0] in ("each", "part"):
            return self._all(callee, lambda v: self.function(v, args))
        if callee[0] == "made":
            does = None if changes_outside(callee[1]) else whole(callee[1])
            if does is None:
                return f"it may call {callee[1].co_name}"
            inner = Vet(self.h, self.known, {}, {}, self.depth + 1)
            return next(filter(None, (inner.target(t, False) for t in does.targets)), "")
        if callee[0] != "attr":
            return "what it may call is not known"
        base, name = callee[1], callee[2]
        holder = self.value(base)
        if holder is not MISSING and not _plain(holder):
            return self.method(holder, name, args)
        if base[0] in ("each", "part") and not self.plain(base):
            return self._all(base, lambda v: self.method(v, name, args))
        if not (self.plain(base) or self._opened(base)):
            return f"what it may call as .{name} is not known"
        changes = writes(name) or name in TENSOR_CHANGES | ARRAY_METHODS
        return f"it may call .{name}" if changes else ""

    def _all(self, tree: Any, vet: Callable[[Any], str]) -> str:
        """The same of all that a container holds."""
        whole = self.value(tree[1])
        if type(whole) not in (*CONTAINERS, tuple):
            return "what it may call is not known"
        inside = list(whole.values()) if isinstance(whole, dict) else list(whole)
        return next(filter(None, map(vet, inside)), "")

    def method(self, holder: Any, name: str, args: Any) -> str:
        """The same of a method of an object."""
        own = class_attribute(type(holder), name)
        if isinstance(own, types.FunctionType) and name not in getattr(holder, "__dict__", {}):
            if _of_user(own.__module__):
                return self.user_function(own, [holder, *map(self.value, args)])
            return self.function(own, args)
        module = _module(holder)
        if module in TELLING or module.partition(".")[0] in TELLING:
            return ""
        return f"it may call .{name} of a {type(holder).__name__}"

    def function(self, called: Any, args: Any) -> str:
        """The same of a function."""
        if isinstance(called, types.MethodType):
            if not _of_user(_module(called.__func__)):
                return self.method(called.__self__, called.__func__.__name__, args)
            return self.user_function(called.__func__, [called.__self__, *map(self.value, args)])
        if isinstance(called, functools.partial):
            return self.function(called.func, (None,))
        module = _module(called)
        name = getattr(called, "__name__", type(called).__name__)
        if isinstance(called, types.FunctionType) and _of_user(module):
            return self.user_function(called, [*map(self.value, args)])
        if isinstance(called, type) and module == "builtins":
            return ""
        if isinstance(called, types.BuiltinFunctionType) and module == "builtins":
            return f"it may call {name}" if name in CHANGING else ""
        top = module.partition(".")[0]
        function = isinstance(called, (types.FunctionType, types.BuiltinFunctionType, np.ufunc))
        if module in QUIET or top in TELLING:
            return ""
        if function and top == "numpy" and not _writes_array(called, args):
            return ""
        if isinstance(called, types.FunctionType) and top == "dualgraph":
            return acts(called, set()) or ("" if _pure(called, args) else f"it may call {name}")
        return f"it may call {name}"

    def user_function(self, fn: types.FunctionType, values: list[Any]) -> str:
        """The same of a function of the user's: all that its code does."""
        code, name = fn.__code__, fn.__name__
        does = None if raises(code) else whole(code)
        if does is None or self.depth > MOST_CALLS or code.co_flags & 0x0C:
            return f"it may call {name}"
        names = code.co_varnames[: code.co_argcount]
        held = dict(zip(names, values, strict=False))
        with contextlib.suppress(ValueError):
            held = {
                n: p.default
                for n, p in inspect.signature(fn).parameters.items()
                if p.default is not inspect.Parameter.empty
            } | held
        cells = dict(zip(code.co_freevars, fn.__closure__ or (), strict=True))
        for n, cell in cells.items():
            with contextlib.suppress(ValueError):
                held[n] = cell.cell_contents
        inner = Vet(self.h, fn.__globals__, held, cells, self.depth + 1)
        self.h.names |= mentions(code).names | {*mentions(code).variables}
        for t in does.targets:
            problem = inner.target(t, False)
            if problem:
                return f"in {name}, {problem}"
        return ""

    # --- kinds of values ---

    def plain(self, tree: Any) -> bool:
        """Whether a value is surely a tensor, an array, a number, a text, or a builtin container."""
        if tree is None or tree[0] in ("value", "exit", "made", "null"):
            return False
        if tree[0] in ("op", "new", "parts", "const"):
            return True
        value = self.value(tree)
        if value is not MISSING:
            return _plain(value)
        if tree[0] == "attr":
            return self.plain(tree[1])
        if tree[0] in ("each", "part", "item"):
            return self.of_plain(tree[1])
        if tree[0] == "call":
            return self.gives_plain(tree)
        return self._opened(tree)

    def gives_plain(self, call: Any) -> bool:
        """Whether what a call gives is such a value."""
        callee = call[1]
        if callee is None:
            return False
        own = self.known.get(callee[1]) if callee[0] == "global" else callee
        if own is None or isinstance(own, Conversion):
            named = getattr(builtins, callee[1], None)
            return named is not None and all(map(self.plain, call[2]))
        called = self.value(callee)
        if called is not MISSING:
            return _module(called).partition(".")[0] in ("dualgraph", "numpy", "math", "time")
        return callee[0] == "attr" and (self.plain(callee[1]) or self._of_engine(callee[1]))

    def _of_engine(self, tree: Any) -> bool:
        value = self.value(tree)
        return value is not MISSING and any(
            c.__module__.startswith("dualgraph.") for c in type(value).__mro__
        )

    def of_plain(self, tree: Any) -> bool:
        """Whether what a container holds are such values."""
        if tree is None:
            return False
        if tree[0] == "parts":
            return all(map(self.plain, tree[1]))
        value = self.value(tree)
        if value is not MISSING:
            if isinstance(value, (Tensor, np.ndarray, str, range)):
                return True
            inside = list(value.values()) if isinstance(value, dict) else value
            return type(value) in (*CONTAINERS, tuple) and all(
                map(_plain, flatten(list(inside))[0])
            )
        if tree[0] in ("each", "part"):
            return self.of_plain(tree[1])
        if tree[0] != "call" or tree[1] is None:
            return self.plain(tree)
        callee, args = tree[1], tree[2]
        if callee[-1] in THROUGH:
            return all(map(self.of_plain, args if callee[0] == "global" else (callee[1],)))
        return self.gives_plain(tree)


def _pure(fn: types.FunctionType, args: Any) -> bool:
    """Whether a function of the engine leaves no traces, given so many arguments."""
    if fn.__module__.startswith("dualgraph.nn.functional"):
        given = [*inspect.signature(fn).parameters][: len(args)]
        return WRITES.isdisjoint(f"{name}=" for name in given)
    return not fn.__module__.startswith(("dualgraph.nn.", "dualgraph.optim"))


def _writes_array(called: Any, args: Any) -> bool:
    """Whether a function of NumPy's writes one of its arguments, given so many."""
    more = isinstance(called, np.ufunc) and len(args) > called.nin
    return more or getattr(called, "__name__", "") in ARRAY_CHANGES


def _names(tree: Any) -> set[str]:
    """The names of a tree."""
    if not isinstance(tree, tuple):
        return {tree} if isinstance(tree, str) else set()
    return set().union(*map(_names, tree))


def _gives_number(tree: Any) -> bool:
    """Whether a tree is a call that gives a number, or a text."""
    return bool(tree[0] == "call" and tree[1] and tree[1][-1] in GIVE_NUMBERS)


def _plain(value: Any) -> bool:
    kinds = (Tensor, np.ndarray, np.generic, *ATOMS)
    return isinstance(value, kinds) or type(value) in (*CONTAINERS, tuple)


def _module(called: Any) -> str:
    """The module that a function is of, or the class of an object."""
    if isinstance(called, types.ModuleType):
        return called.__name__
    bound = getattr(called, "__self__", None)
    if isinstance(called, types.BuiltinFunctionType) and bound is not None:
        if not isinstance(bound, (types.ModuleType, type)):
            return type(bound).__module__
    return getattr(called, "__module__", None) or type(called).__module__


def _of_user(module: str) -> bool:
    return not is_library(getattr(sys.modules.get(module), "__file__", None) or "") and (
        module.partition(".")[0] not in ("dualgraph", *sys.builtin_module_names)
    )
