"""Vetting: whether what a statement calls may run at the end of a call instead, and what it writes (effect analysis).

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
from typing import Any

import numpy as np

from ..core.numbers.live import LIVE
from ..eager.tensor import Tensor
from ..static.checks import ATOMS, class_attribute
from ..static.code.bytecode import generates, mentions
from ..static.code.changes import changes_outside, raises
from ..static.code.reading import CHANGES, NEW, OPERATED, VALUE, Target
from ..static.code.statements import whole
from ..static.outside import PURE_MODULES
from .acting import WRITES, acts, writes
from .happening import Happening, Write
from .kinds import Values, is_data
from .places import CONTAINERS, MISSING, why_not_written
from .whose import is_user_module, module_of

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
TENSOR_CHANGES = frozenset(
    "backward register_hook register_prehook register_post_accumulate_grad_hook retain_grad".split()
)
ARRAY_METHODS = frozenset("fill itemset partition put resize setfield setflags byteswap".split())
ARRAY_CHANGES = frozenset("copyto put put_along_axis putmask place fill_diagonal".split())
NAMES_OF_ARRAYS = frozenset("numpy asarray ascontiguousarray __array__ from_dlpack".split())
# Methods of numbers, texts, containers, tensors and arrays that change nothing.
HARMLESS = frozenset(
    n for kind in (str, float, list, dict, set, Tensor, np.ndarray) for n in dir(kind)
    if not (n.startswith("_") or writes(n) or n in CHANGES | TENSOR_CHANGES | ARRAY_METHODS)
)  # fmt: skip
GIVE_NUMBERS = frozenset("item float int bool len round str repr format".split())


class Vet(Values):
    """Looks at what a statement does, where it runs with these global and local variables; notes what it writes.

    `cells` has the variables of enclosing functions; `depth` counts the functions that led to the code looked at.
    Most methods give why something speaks against the statement ("": nothing does).
    """

    def __init__(
        self,
        h: Happening,
        known: dict[str, Any],
        held: Any,
        cells: Mapping[str, Any],
        depth: int = 0,
    ) -> None:
        super().__init__(known, held)
        self.h, self.cells, self.depth = h, cells, depth

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
        return self._written(t, sure)

    def _written(self, t: Target, sure: bool) -> str:
        """Why a place that is written speaks against the statement; a place that does not is noted."""
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
                    return f"it changes a {holder.__class__.__name__}"
                if not (sure and t.sure):
                    return self.unseen(t.place, t.name)
                return self.dropped(t)
        self.h.writes.append(Write(holder, name, t.kind))
        return ""

    @staticmethod
    def _rooted_in_new(place: Any) -> bool:
        """Whether a place is in a container that the statement itself makes."""
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
            if called is MISSING and self.is_opened_file(t.place[1]):
                return ""
        if called is MISSING and t.place[0] in ("each", "part"):
            return self.unseen(t.place, t.name)
        if called is MISSING and t.place[0] == "attr" and t.place[1][0] in ("each", "part"):
            return self.unseen(t.place, t.name)
        if called is MISSING:
            return "" if t.place[0] == "made" else "what it calls is not known"
        module = module_of(called)
        top = module.partition(".")[0]
        if top in ("dualgraph", "numpy", "builtins"):
            return f"it calls {top}"
        if is_user_module(module) or top in TELLING:
            return ""
        if top in sys.stdlib_module_names:
            return f"it calls {module}"
        return self._handed(t.name, module)

    def _handed(self, args: Any, module: str) -> str:
        """Why a library cannot be called with such arguments later: they lead to the user's state."""
        for tree in args:
            if tree is not None and tree[0] != "call":
                value = self.value(tree)
                if value is MISSING and self.stands_for_data(tree):
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
        module = module_of(called)
        top = module.partition(".")[0]
        if top in ("dualgraph", "builtins", *TELLING) or module in QUIET or is_user_module(module):
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
        value, container = self.value(tree), MISSING
        if tree[0] in ("each", "part", "item"):
            container = self.value(tree[1])
        if type(container) in (*CONTAINERS, tuple) and (value is MISSING or value is container):
            values = list(container.values()) if isinstance(container, dict) else list(container)
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
        does = None if generates(code) else whole(code)
        if does is None:
            known = code.co_name == "<genexpr>"
            return "" if known else f"it calls {code.co_name}, which may do different things"
        calls = (t for t in does.targets if not t.stored or (t.kind == "call" and not t.sure))
        problems = map(self._passed, calls)
        return next((f"in {code.co_name}, {why}" for why in problems if why), "")

    def _passed(self, t: Target) -> str:
        """Why what a running function calls, or does in place, may be something else in another call."""
        if t.kind == "in place":
            return self.in_place(t.place, t.sure)
        if t.sure:
            return self.used(t) if module_of(self.value(t.place)).startswith("numpy") else ""
        if t.place[0] == "attr" and t.place[2] in HARMLESS and self.value(t.place[1]) is MISSING:
            return ""
        return self.unseen(t.place, t.name)

    # --- context managers ---

    def manager(self, tree: Any, sure: bool) -> str:
        """Why a context manager cannot be entered later."""
        if self.is_opened_file(("entered", tree)):
            return ""
        value = self.value(tree)
        if value is MISSING and tree[0] == "call":
            value = self.value(tree[1])
        if value is MISSING:
            return "its context manager is not known"
        module = module_of(value)
        if module.partition(".")[0] in ("dualgraph", "contextlib", "threading", "_thread", "_io"):
            return ""
        if is_user_module(module) and sure:
            return ""
        if is_user_module(module) and not isinstance(value, (type, types.FunctionType)):
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
        if holder is not MISSING and not is_data(holder):
            return self.method(holder, name, args)
        if base[0] in ("each", "part") and not self.stands_for_data(base):
            return self._all(base, lambda v: self.method(v, name, args))
        if not (self.stands_for_data(base) or self.is_opened_file(base)):
            return f"what it may call as .{name} is not known"
        changes = writes(name) or name in TENSOR_CHANGES | ARRAY_METHODS
        return f"it may call .{name}" if changes else ""

    def _all(self, tree: Any, vet: Callable[[Any], str]) -> str:
        """Why `vet` speaks against one of the values that a container holds."""
        container = self.value(tree[1])
        if type(container) not in (*CONTAINERS, tuple):
            return "what it may call is not known"
        inside = list(container.values()) if isinstance(container, dict) else list(container)
        return next(filter(None, map(vet, inside)), "")

    def method(self, holder: Any, name: str, args: Any) -> str:
        """Why a method of an object cannot be called later."""
        own = class_attribute(type(holder), name)
        if isinstance(own, types.FunctionType) and name not in getattr(holder, "__dict__", {}):
            if is_user_module(own.__module__):
                return self.user_function(own, [holder, *map(self.value, args)])
            return self.function(own, args)
        module = module_of(holder)
        if module.partition(".")[0] in TELLING:
            return ""
        return f"it may call .{name} of a {type(holder).__name__}"

    def function(self, called: Any, args: Any) -> str:
        """Why a function cannot be called later, whatever it does with these arguments."""
        if isinstance(called, types.MethodType):
            if not is_user_module(module_of(called.__func__)):
                return self.method(called.__self__, called.__func__.__name__, args)
            return self.user_function(called.__func__, [called.__self__, *map(self.value, args)])
        if isinstance(called, functools.partial):
            return self.function(called.func, (None,))
        module = module_of(called)
        name = getattr(called, "__name__", type(called).__name__)
        if isinstance(called, types.FunctionType) and is_user_module(module):
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
            return acts(called) or ("" if _pure(called, args) else f"it may call {name}")
        return f"it may call {name}"

    def user_function(self, fn: types.FunctionType, values: list[Any]) -> str:
        """Why a function of the user's cannot be called later: by all that its code does."""
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
