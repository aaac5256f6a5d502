"""Watching: a traced function runs as it is, and its statements that are set apart are seen as they run.

While one of them runs, the capture looks away: what it computes and takes out of tensors is no part of the program.
Afterwards it is asked whether it may run at the end of each call instead, with the values that its local variables
had: that it writes no tensor, reads none that is written later, and changes nothing that the rest of the code reads.
"""

from __future__ import annotations

import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from ..core.constant import exact
from ..core.context import state
from ..core.trees import containers, flatten
from ..eager.tensor import Tensor
from ..static.bytecode import mentions
from ..static.capture import Tracer
from ..static.checks import ATOMS, class_attribute
from ..static.footprint import Footprint
from ..static.statements import (
    CHANGES,
    Statement,
    changed_names,
    changes_outside,
    function_of,
    names_read,
    statements,
)
from .whose import is_library, of_user

MAX_HAPPENINGS = 500  # of one call
MAX_OPS = 8  # ops that one statement may run beside the program
CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, Counter)
TELLING = (
    "logging",
    "warnings",
    "_io",
    "io",
)  # of the standard library: they tell the world, and that is all
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()


class Write(NamedTuple):
    """A place that a statement writes: an object, and the attribute or variable there (None: all of it)."""

    holder: Any
    name: Any
    kind: str  # "call", "item", "attr", "global" or "free", as of a statement


class Happening:
    """One run of a statement that is set apart: the values it read, where it wrote, what speaks against it.

    `serial` is the call that it is a part of; `numbers` counts those taken out before it, of those that go nowhere but
    into the result or into such statements; `leaves` are those of `values`; `touched` has tensors with their versions.
    """

    def __init__(
        self, statement: Statement, run: FunctionType, serial: int, values: dict[str, Any], numbers: int
    ) -> None:  # fmt: skip
        self.statement = statement
        self.run = run
        self.serial = serial
        self.values = values
        self.numbers = numbers
        self.grad: bool = state.grad
        self.writes: list[Write] = []
        self.names = names_read(statement)  # that it, and what it calls, mentions
        self.leaves = flatten(list(values.values()))[0]
        self.touched = [(t, t._version) for t in self.leaves if isinstance(t, Tensor)]
        self.problem = ""


class Aside(Tracer):
    """Looks on while a statement runs beside the capture."""

    def __init__(self, happening: Happening) -> None:
        super().__init__()
        self.happening = happening
        self.ops = 0

    def trouble(self, what: str) -> None:
        self.happening.problem = self.happening.problem or what

    def touch(self, t: Any) -> None:
        if isinstance(t, Tensor):
            self.happening.touched.append((t, t._version))

    def record(self, prim: Any, args: list[Any], params: Any, outs: Any, where: Any) -> None:
        self.ops += 1
        if self.ops > MAX_OPS:
            self.trouble("it computes much")
        for a in args:
            self.touch(a)

    def concretize(self, t: Any, value: Any) -> None:
        self.touch(t)

    def escape(self, t: Any, what: str) -> None:
        self.touch(t)

    def name(self, t: Any, known: Any) -> None:
        self.touch(known)

    def before_write(self, op: str, t: Any) -> None:
        self.trouble("it writes a tensor")

    def assign(self, t: Any, new: Any) -> None:
        self.trouble("it writes a tensor")

    def constant(self, t: Any) -> None:
        pass

    def external_array(self, t: Any, array: Any) -> None:
        pass

    def number(self, holder: Any, key: str, dtype: Any, make: Any) -> Any:
        self.trouble("it runs an optimiser")
        return make()

    def failed(self) -> None:
        self.trouble("an op failed in it")

    def foreign(self, kind: str) -> None:
        if kind == "source of random seeds":
            self.trouble("it draws random numbers")

    def mark(self, owner: Any, result: Any) -> None:
        self.trouble("it runs a module")

    def read_grad(self, t: Any) -> None:
        self.trouble("it reads a gradient")

    def write_grad(self, t: Any, value: Any) -> None:
        self.trouble("it writes a gradient")


class Watch:
    """Sees the statements that a footprint sets apart, in the functions that run while it is entered."""

    def __init__(self, footprint: Footprint, tracer: Tracer) -> None:
        self.happenings: list[Happening] = []
        self._footprint = footprint
        self._tracer = tracer
        self._at: dict[CodeType, dict[int, Statement]] = {}
        for code in footprint.functions:
            found = footprint.apart(code)
            if found:
                self._at[code] = {i: s for s in found for i in range(s.first, s.end, 2)}
        self._serials: dict[int, int] = {}
        self._calls = 0
        self._open: tuple[FrameType, Happening, Aside] | None = None
        self._made: dict[tuple[int, str], Any] = {}

    def of(self, code: CodeType) -> tuple[Statement, ...]:
        return self._footprint.apart(code)

    def serial(self, frame: FrameType) -> int:
        """The number of a call that is running."""
        return self._serials.get(id(frame), 0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the functions that are called inside."""
        if not self._at:
            yield
            return
        before = sys.gettrace()
        own = self._enter(before)
        self._tracer.apart = self
        sys.settrace(own)
        try:
            yield
        finally:
            if sys.gettrace() is not own:  # a debugger's, say: statements went unseen
                why = "another trace function took over while it was watched"
                self._tracer.refusals.append(why)
            sys.settrace(before)
            self._close()

    def _enter(self, before: Any) -> Any:
        """What the interpreter calls for each new frame; `before` is what it called until now."""

        def enter(frame: FrameType, event: str, arg: Any) -> Any:
            inner = before(frame, event, arg) if before is not None else None
            if self._open is not None and of_user(frame):
                return self._called(frame, inner)
            if frame.f_code not in self._at:
                return inner
            self._calls += 1
            self._serials[id(frame)] = self._calls
            frame.f_trace_opcodes = True
            return self._local(inner)

        return enter

    def _local(self, inner: Any) -> Any:
        def local(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal inner
            if event == "opcode":
                self._step(frame)
            elif event in ("return", "exception") and self._open and self._open[0] is frame:
                self._open[1].problem = self._open[1].problem or "it raises an error"
                self._close()
            if event != "opcode" and inner is not None:
                inner = inner(frame, event, arg)
            return local

        return local

    def _called(self, frame: FrameType, inner: Any) -> Any:
        """A user's function is called by a statement that is set apart: it may write only what can be told."""
        assert self._open is not None
        h = self._open[1]
        code = frame.f_code
        left = set(statements(code))
        at = {i: s for s in left for i in range(s.first, s.end, 2)}
        fn = self._footprint.functions.get(code)
        if changes_outside(code) or code.co_flags & 0x2A0:
            h.problem = h.problem or f"it calls {code.co_name}"
            return inner
        h.names |= mentions(code).names | {*mentions(code).variables}
        frame.f_trace_opcodes = bool(left)

        def local(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal inner
            if event == "opcode" and at.get(frame.f_lasti) in left:
                s = at[frame.f_lasti]
                left.discard(s)
                if s.kind in ("global", "free") and fn is None:
                    h.problem = f"it calls {code.co_name}, which writes a variable"
                else:
                    self._write(h, s, fn, frame)
            elif event == "return" and any(s.kind != "local" for s in left):
                h.problem = h.problem or f"it calls {code.co_name}, which may do different things"
            if event != "opcode" and inner is not None:
                inner = inner(frame, event, arg)
            return local

        return local

    def _step(self, frame: FrameType) -> None:
        """An instruction is about to run."""
        at = frame.f_lasti
        if self._open is not None:
            running, h, _ = self._open
            if running is not frame or h.statement.first <= at < h.statement.end:
                return
            self._close()
        s = self._at[frame.f_code].get(at)
        if s is not None and state.tracer is not None:
            self._begin(frame, s)

    def _begin(self, frame: FrameType, s: Statement) -> None:
        held, serial = frame.f_locals, self.serial(frame)
        fn = self._footprint.functions[frame.f_code]
        run = function_of(s, fn)
        values = {
            n: held[n] for n in s.reads if n in held and not self._is_made(serial, n, held[n])
        }
        h = Happening(s, run or fn, serial, values, len(self._tracer.numbers))
        if run is None:
            h.problem = "its code is too long"
        elif state.tracer is not self._tracer or state.batching is not None:
            h.problem = "it is inside of a loop, a branch or a vmap"
        elif any(n not in held for n in s.reads):
            h.problem = "it reads a variable that has no value"
        elif not _same_cells(fn, held):
            h.problem = "its function was made anew"
        else:
            self._write(h, s, fn, frame)
        self.happenings.append(h)
        aside = Aside(h)
        aside._outer, state.tracer = state.tracer, aside
        self._open = frame, h, aside

    def _is_made(self, serial: int, name: str, value: Any) -> bool:
        """Whether a variable holds what a statement set apart has made."""
        return self._made.get((serial, name), MISSING) is value

    def _close(self) -> None:
        if self._open is None:
            return
        frame, h, aside = self._open
        self._open = None
        state.tracer = aside._outer
        if aside.swept:
            h.problem = h.problem or "it computes gradients"
        for n in h.statement.makes:
            self._made[h.serial, n] = frame.f_locals.get(n, MISSING)
        if len(self.happenings) > MAX_HAPPENINGS:
            h.problem = f"more than {MAX_HAPPENINGS} statements like it run in one call"

    # --- what it writes ---

    def _write(self, h: Happening, s: Statement, fn: FunctionType | None, frame: FrameType) -> None:
        """Notes what a statement writes, or why that cannot be told."""
        held, known = frame.f_locals, frame.f_globals
        holder, name = MISSING, s.name
        if s.kind == "local" or s.place == ("global", "print"):
            return
        if s.kind == "global":
            holder = known
        elif s.kind == "free":
            assert fn is not None and fn.__closure__ is not None
            holder, name = fn.__closure__[fn.__code__.co_freevars.index(s.name)], None
        elif s.kind == "attr":
            holder = _value(s.place, known, held)
            h.problem = h.problem or _plain_attribute(holder, s.name)
        elif s.kind == "call" and not (s.place[0] == "attr" and s.place[2] in CHANGES):
            h.problem = h.problem or _calls(s, known, held)
            return
        else:
            holder, name = _value(s.place if s.kind == "item" else s.place[1], known, held), None
            if type(holder) not in CONTAINERS:
                if s.kind == "item":
                    h.problem = h.problem or f"it changes a {type(holder).__name__}"
                else:
                    h.problem = h.problem or _calls(s, known, held)
                return
        h.writes.append(Write(holder, name, s.kind))

    def settle(self, result: Any, own: list[Any]) -> list[str]:
        """Why what happened cannot be repeated at the end of each call; such statements are not set apart again.

        `own` are the objects that belong to the arguments.
        """
        if not self.happenings:
            return []
        places = {(id(c.holder), c.key) for c in self._footprint.checks}
        outside = {id(c) for v in own for c in (v, *containers(v))}
        seen = {id(c): None for c in containers(result)}
        reached = self._footprint
        apart = reached._apart
        stays = [changed_names(code, reached.apart(code)) for code in reached.functions]
        changed = frozenset().union(*stays)
        reasons = []
        for h in self.happenings:
            if h.names & changed:
                h.problem = h.problem or f"other code changes {min(h.names & changed)!r}"
            self._judge(h, places, outside, seen)
            if h.problem:
                assert apart is not None
                apart.keep(h.statement)
                reasons.append(f"{h.statement.where} cannot be set apart: {h.problem}")
        return list(dict.fromkeys(reasons))

    def _judge(self, h: Happening, places: Any, outside: Any, seen: Any) -> None:
        if h.problem or any(t._version != version for t, version in h.touched):
            h.problem = h.problem or "a tensor that it reads is written later"
            return
        now = flatten(list(h.values.values()))[0]
        if len(now) != len(h.leaves) or any(
            a is not b and not (isinstance(a, ATOMS) and exact(a) == exact(b))
            for a, b in zip(now, h.leaves, strict=True)
        ):
            h.problem = "a container that it reads is changed later"
        for c in containers(list(h.values.values()))[1:]:
            if not isinstance(c, tuple) and seen.setdefault(id(c), h.statement) is not h.statement:
                h.problem = "a container that it reads goes elsewhere, too"
        for leaf in h.leaves:
            known = isinstance(leaf, (Tensor, np.generic, type, *ATOMS)) or id(leaf) in outside
            if not known and not self._footprint.reaches(leaf):
                h.problem = f"it reads a {type(leaf).__name__} that is made anew on each call"
        for write in h.writes:
            self._judge_write(h, write, places, outside)

    def _judge_write(self, h: Happening, write: Write, places: Any, outside: Any) -> None:
        holder, name, kind = write
        reached = self._footprint
        if kind in ("call", "item"):
            if reached.reaches(holder) or id(holder) in outside:
                h.problem = "what it changes is read elsewhere"
        elif kind == "attr":
            held = vars(holder)
            read = (id(holder), name) in places or (id(held), name) in places
            if name not in held or read or (reached.reflects and reached.reaches(holder)):
                h.problem = f"the attribute {name!r} that it writes is read elsewhere"
        elif (id(holder), name) in places:
            h.problem = "the variable that it writes is read elsewhere"


def _calls(s: Statement, known: dict[str, Any], held: Any) -> str:
    """Why the function that a statement calls cannot be called later ("": it can).

    Functions of the user are followed as they run. Libraries know of the user's state only what they are given.
    """
    called = _value(s.place, known, held)
    if called is MISSING and s.place[0] == "attr":
        called = _value(s.place[1], known, held)
    if called is MISSING:
        return "what it calls is not known"
    module = getattr(called, "__module__", None) or type(called).__module__
    if isinstance(called, types.ModuleType):
        module = called.__name__
    top = module.partition(".")[0]
    if top in ("dualgraph", "numpy", "builtins"):
        return f"it calls {top}"
    user = not is_library(getattr(sys.modules.get(module), "__file__", None) or "")
    if user or top in TELLING:
        return ""
    if top in sys.stdlib_module_names:
        return f"it calls {module}"
    for tree in s.name:
        if tree is not None and tree[0] != "call":
            value = _value(tree, known, held)
            if not isinstance(value, (Tensor, np.generic, *ATOMS)):
                return f"it gives a {type(value).__name__} to {module}"
    return ""


def _same_cells(fn: FunctionType, held: Any) -> bool:
    """Whether the running function has the enclosing variables of `fn`."""
    for var, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            content = MISSING
        if held.get(var, MISSING) is not content:
            return False
    return True


def _plain_attribute(holder: Any, name: str) -> str:
    """Why writing an attribute may do more than that ("": it does not)."""
    cls = type(holder)
    if isinstance(holder, (Tensor, type)) or not hasattr(holder, "__dict__"):
        return f"it writes an attribute of a {cls.__name__}"
    if hasattr(class_attribute(cls, name), "__set__"):
        return f"{name!r} is a property"
    setter = class_attribute(cls, "__setattr__")
    if setter is not object.__setattr__ and not setter.__module__.startswith("dualgraph.nn"):
        return f"a {cls.__name__} sees its attributes written"
    if isinstance(vars(holder).get(name), Tensor) and cls.__module__.startswith("dualgraph"):
        return "it writes a tensor of a module"
    return ""


def _value(place: Any, known: dict[str, Any], held: Any) -> Any:
    """What a place holds, looked up without running any code; MISSING where that cannot be."""
    kind, *rest = place
    if kind == "local":
        return held.get(rest[0], MISSING)
    if kind == "free":
        return held.get(rest[0], MISSING)
    if kind == "global":
        return known.get(rest[0], MISSING)
    if kind == "const":
        return rest[0]
    if kind == "call":  # of setdefault
        base = _value(place[1][1], known, held)
        key = _value(place[2][0], known, held) if place[2] and place[2][0] else MISSING
        return _entry(base, key)
    base = MISSING if rest[0] is None else _value(rest[0], known, held)
    if base is MISSING:
        return MISSING
    if kind == "attr":
        own = getattr(base, "__dict__", {}).get(rest[1], MISSING)
        shared = class_attribute(type(base), rest[1])
        hidden = hasattr(shared, "__get__") and own is MISSING
        return (
            MISSING
            if hidden or hasattr(shared, "__set__")
            else own
            if own is not MISSING
            else shared
        )
    return _entry(base, MISSING if rest[1] is None else _value(rest[1], known, held))


def _entry(base: Any, key: Any) -> Any:
    """An entry of a container; a dict that lacks it is itself what will be changed."""
    if type(base) not in (list, tuple, *CONTAINERS) or isinstance(base, (set, deque)):
        return MISSING
    try:
        return base.get(key, base) if isinstance(base, dict) else base[key]
    except (LookupError, TypeError):
        return MISSING
