"""Watching: a traced function runs as it is, and its statements that are set apart are seen as they run.

While one of them runs, the capture looks away: what it computes and takes out of tensors is no part of the program.
Afterwards it is asked whether it may run at the end of each call instead, with the values that its local variables
had: that it writes no tensor, reads none that is written later, and changes nothing that the rest of the code reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from ..core.constant import exact
from ..core.context import state
from ..core.errors import Location
from ..core.numbers.guards import mode as sizes
from ..core.numbers.live import mode
from ..core.numbers.symbolic import is_symbolic
from ..core.trees import containers, flatten
from ..eager.tensor import Tensor
from ..static.capture import Tracer
from ..static.checks import ATOMS, Check
from ..static.code.bytecode import generates, mentions
from ..static.code.changes import (
    changed_names,
    changes_outside,
    exchanged_names,
    names_before,
    raises,
)
from ..static.code.pieces import function_of
from ..static.code.statements import Statement, statements
from ..static.code.steps import steps
from ..static.footprint import Footprint
from ..static.members import held_by
from .acting import may_act, mentioned, named
from .happening import Aside, Happening, Write
from .places import MISSING, same_cells
from .sight import View, sight
from .standing import standing
from .vet import Vet
from .whose import of_user

MAX_HAPPENINGS = 500  # of one call
MANY = 32  # statements of one call, from which on what has changed by then is not looked at


class Watch:
    """Sees the statements that a footprint sets apart, in the functions that run while it is entered."""

    def __init__(
        self, footprint: Footprint, tracer: Tracer, at: Callable[[], dict[Any, int]] = dict,
        learns: bool = False,
    ) -> None:  # fmt: skip
        """`at` says what is at the places that calls exchange the tensors and numbers of.

        Where it `learns`, it sees which code runs, so that later captures can leave out the rest.
        """
        self._at_places = at
        self.entry: dict[Any, int] = {}  # what was there when the call began
        self.happenings: list[Happening] = []
        self._footprint = footprint
        self._tracer = tracer
        self._at: dict[CodeType, dict[int, Statement]] = {}
        for code in footprint.functions:
            found = footprint.apart(code)
            if found:
                self._at[code] = {i: s for s in found for i in range(s.first, s.end, 2)}
        self._ran: dict[CodeType, set[int]] = {}  # offsets, of code that may be left out
        if learns and footprint._apart is not None:
            looked_at = (*footprint._apart.reach.codes, *footprint.doubtful)
            self._ran = {code: set() for code in looked_at if code in footprint.functions}
            self._at = {code: {} for code in self._ran} | self._at
        self._serials: dict[int, int] = {}
        self._calls = 0
        self._open: tuple[FrameType, Happening, Aside] | None = None
        self._formulas: Any = None  # those that are written down while no statement is open
        self._guards: Any = None  # and what is decided on sizes
        self._made: dict[tuple[int, str], Any] = {}

    @property
    def returned(self) -> bool:
        """Whether a statement set apart has made the result of the call."""
        return bool(self.happenings) and self.happenings[-1].statement.returns

    def gives(self, result: Any) -> None:
        """What the call gave: a statement that makes tensors of it is better left in the program."""
        if self.returned:
            h = self.happenings[-1]
            if any(isinstance(t, Tensor) and id(t) in h.made for t in flatten(result)[0]):
                h.problem = h.problem or "it computes what the function gives"

    def of(self, code: CodeType) -> tuple[Statement, ...]:
        return self._footprint.apart(code)

    def serial(self, frame: FrameType) -> int:
        """The number of a call that is running."""
        return self._serials.get(id(frame), 0)

    @property
    def codes(self) -> Collection[CodeType]:
        """The code whose frames are looked at."""
        return self._at

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the functions that are called inside."""
        if not self._at:
            yield
            return
        self._tracer.apart = self
        self._tracer.refusals += filter(None, [sight.begin(self)])
        try:
            yield
        finally:
            self._close()
            self.over()

    def over(self) -> None:
        """Nothing is watched from now on."""
        self._tracer.refusals += filter(None, [sight.end(self)])

    def begins(self, frame: FrameType) -> View | None:
        """What is to look at a frame that begins."""
        if self._open is not None and of_user(frame):
            return self._called(frame)
        if frame.f_code not in self._at:
            return None
        self._calls += 1
        self._serials[id(frame)] = self._calls
        return _Running(self)

    def _called(self, frame: FrameType) -> View | None:
        """A user's function is called by a statement that is set apart: it may write only what can be told."""
        assert self._open is not None
        h = self._open[1]
        code = frame.f_code
        if changes_outside(code) or (generates(code) and code.co_name != "<genexpr>"):
            h.problem = h.problem or f"it calls {code.co_name}"
            return None
        h.names |= mentions(code).names | {*mentions(code).variables}
        h.raises = h.raises or raises(code)
        fn = self._footprint.functions.get(code)
        held = frame.f_locals
        vet = Vet(h, frame.f_globals, held, _cells(fn))
        h.problem = h.problem or may_act(mentioned(code), frame.f_globals, held) or vet.called(code)
        return _Called(self, h, code)

    def _step(self, frame: FrameType, at: int) -> None:
        """An instruction is about to run."""
        if frame.f_code in self._ran:
            self._ran[frame.f_code].add(at)
        if self._open is not None:
            running, h, _ = self._open
            if running is not frame or h.statement.has(at):
                h.raising = h.raising and running is not frame
                return
            self._close()
        s = self._at[frame.f_code].get(at)
        if s is not None and state.tracer is not None:
            self._begin(frame, s)

    def _begin(self, frame: FrameType, s: Statement) -> None:
        """A statement begins: from here on a tracer of its own (`Aside`) hears what it does."""
        held, serial = frame.f_locals, self.serial(frame)
        fn = self._footprint.functions[frame.f_code]
        run = function_of(s, fn)
        reads = [n for n in s.reads if n != s.stand_in]
        values = {n: held[n] for n in reads if n in held and not self._is_made(serial, n, held[n])}
        if s.cut is not None and s.cut.of_clock:
            values[s.cut.name] = self._tracer.latest
        stands = standing(frame, s.guards, s.line, self._tracer.root, self.serial)
        h = Happening(s, run or fn, serial, values, len(self._tracer.numbers), stands)
        h.at = self._at_places()
        h.problem, h.writes_before = stands.problem, self._tracer.writes
        h.changed = self._changed() if len(self.happenings) < MANY else []
        if h.problem:
            pass
        elif run is None:
            h.problem = "its code is too long"
        elif state.tracer is not self._tracer or state.batching is not None:
            h.problem = "it is inside of a loop, a branch or a vmap"
        elif s.returns and not _ends_call(frame, self._tracer.root):
            h.problem = "it ends a function that others call"
        elif any(n not in held for n in reads):
            h.problem = "it reads a variable that has no value"
        elif not same_cells(fn, held):
            h.problem = "its function was made anew"
        else:
            h.problem = may_act(named(frame.f_code, s.ranges), frame.f_globals, frame.f_locals)
            self._write(h, s, fn, frame)
        self.happenings.append(h)
        if state.tracer is not self._tracer:  # which writes down a body, and must see all of it
            h.problem = h.problem or "it is inside of a loop or a branch"
            return
        aside = Aside(h)
        aside._outer, state.tracer = state.tracer, aside
        self._formulas, mode.formulas = mode.formulas, None  # what it does with numbers is its own
        self._guards, sizes.guards = sizes.guards, None  # and so is what it does with sizes
        self._open = frame, h, aside

    def _is_made(self, serial: int, name: str, value: Any) -> bool:
        """Whether a variable holds what a statement set apart has made."""
        return self._made.get((serial, name), MISSING) is value

    def _close(self) -> None:
        """The statement that was running has ended: the tracer of the capture goes on."""
        if self._open is None:
            return
        frame, h, aside = self._open
        self._open = None
        if h.raising:
            h.problem = h.problem or "it raises an error"
        elif h.diverted:  # not all that surely runs has run
            self._write(h, h.statement, self._footprint.functions.get(frame.f_code), frame)
        state.tracer, mode.formulas, sizes.guards = aside._outer, self._formulas, self._guards
        h.by_size = self._guards is not None and (aside.ops > 0 or any(map(_has_size, h.leaves)))
        if h.statement.stand_in and h.statement.stand_in not in h.values:
            h.problem = h.problem or "it takes no number out of a tensor"
        if aside.swept:
            h.problem = h.problem or "it computes gradients"
        for n in h.statement.makes:
            self._made[h.serial, n] = frame.f_locals.get(n, MISSING)
        if len(self.happenings) > MAX_HAPPENINGS:
            h.problem = f"more than {MAX_HAPPENINGS} statements like it run in one call"

    # --- what it writes ---

    def _write(self, h: Happening, s: Statement, fn: FunctionType | None, frame: FrameType) -> None:
        """Notes what a statement writes, or why that cannot be told."""
        vet = Vet(h, frame.f_globals, frame.f_locals, _cells(fn))
        for t in s.targets:
            h.problem = h.problem or vet.target(t, not h.diverted)

    def settle(self, result: Any, own: list[Any]) -> list[str]:
        """Why what happened cannot be repeated at the end of each call; such statements are not set apart again.

        `own` are the objects that belong to the arguments.
        """
        reasons = self._ran_after_all()
        if not self.happenings:
            return reasons
        places = {(id(c.holder), c.key) for c in self._footprint.checks}
        outside = {id(c) for v in own for c in (v, *containers(v))}
        seen = {id(c): None for c in containers(result)}
        reached = self._footprint
        apart = reached._apart
        stays = [changed_names(code, reached.apart(code)) for code in reached.functions]
        changed = frozenset().union(*stays)
        for h in self.happenings:
            self._look_up_again(h)
        for h in self._needlessly_late():
            h.problem = h.problem or "all that it computes would run at the end of the call"
        for h in self.happenings:
            if 0 <= h.clock_at < len(self._tracer.nodes):
                h.problem = h.problem or "it looks at a clock, and more is computed after it"
            early = {n for n in h.names & changed if not self._as_at_the_end(h, n)}
            self._judge(h, places, outside, seen)
            if h.problem or early:
                assert apart is not None
                apart.keep(h.statement, forever=bool(h.problem))
                h.problem = h.problem or f"other code changes {min(early)!r}"
                reasons.append(f"{h.statement.where} cannot be set apart: {h.problem}")
        for h in self.happenings:
            h.changed = []  # live numbers among them count as kept
        self._made.clear()
        return list(dict.fromkeys(reasons))

    def _ran_after_all(self) -> list[str]:
        """Takes in what code ran; what did although it was left out is why there is no program."""
        apart = self._footprint._apart
        if apart is None or not self._ran:
            return []
        found = [
            Location(c.co_filename, c.co_firstlineno, c.co_name) for c in apart.came_to(self._ran)
        ]
        return [f"{at} runs code that did not run before" for at in found]

    def _look_up_again(self, h: Happening) -> None:
        """A cut statement looks up places before its tensor is computed: they have to be the same at the end."""
        before = names_before(h.statement)
        if before and h.statement.cut is not None:
            exchanged = (exchanged_names(code, h.statement) for code in self._footprint.functions)
            if self._footprint.reflects or not before.isdisjoint(
                frozenset[str]().union(*exchanged)
            ):
                h.problem = h.problem or "what it looks up before its tensor is computed may change"

    def _needlessly_late(self) -> list[Happening]:
        """Where all ops of the call are in such statements: those that make variables of them, if there are some."""
        if not self.returned or self._tracer.nodes:
            return []
        found = [h for h in self.happenings if h.made]
        return [h for h in found if not h.statement.changes] or found

    def _as_at_the_end(self, h: Happening, name: str) -> bool:
        """Whether all that other code writes under a name had its last value when a statement ran, or at a place that
        calls exchange things at its first: that gets its last after the statement then."""
        checks, end = self._footprint.checks, self._at_places()
        named = [c.expected for c in checks if name in (c.key, c.name)]
        holders = {id(v) for held in named for v in (held, held_by(held))} - {id(None)}
        changed = [
            (id(c.holder), c.key)
            for c in checks
            if (name in (c.key, c.name) or id(c.holder) in holders) and not c.holds()
        ]
        known = {key[1:] for key, now in end.items() if h.at.get(key) == now}
        known |= {key[1:] for key, was in self.entry.items() if h.at.get(key) == was}
        if changed:
            return known.issuperset(changed)
        return bool(h.changed) and _same_state(h.changed, self._changed())

    def _changed(self) -> list[tuple[Check, Any]]:
        """The places in Python state that hold something else than before the call, and what."""
        return [(c, c.read()) for c in self._footprint.checks if not c.holds()]

    def _judge(self, h: Happening, places: Any, outside: Any, seen: Any) -> None:
        """Notes what speaks against a run, as the end of the call shows."""
        if h.problem or any(t._version != version for t, version in h.touched):
            h.problem = h.problem or "a tensor that it reads is written later"
            return
        if h.raises and h.writes_before != self._tracer.writes:
            h.problem = "it may raise an error, and tensors are written later"
        if any(t._grad is not grad for t, grad in h.grads):
            h.problem = "a gradient that it reads is written later"
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
        """Notes it if other code reads what a run has written."""
        holder, name, kind = write
        reached = self._footprint
        if kind in ("change", "item"):
            if reached.reaches(holder) or id(holder) in outside:
                h.problem = "what it changes is read elsewhere"
        elif kind == "attr":
            held = vars(holder)
            read = (id(holder), name) in places or (id(held), name) in places
            if name not in held or read or (reached.reflects and reached.reaches(holder)):
                h.problem = f"the attribute {name!r} that it writes is read elsewhere"
        elif (id(holder), name) in places:
            h.problem = "the variable that it writes is read elsewhere"


def _same_state(before: list[tuple[Check, Any]], now: list[tuple[Check, Any]]) -> bool:
    """Whether the same places held the same objects."""
    pairs = zip(before, now, strict=False)
    return len(before) == len(now) and all(a is b and v is w for (a, v), (b, w) in pairs)


class _Running:
    """Looks at a frame whose statements are set apart."""

    whole = True

    def __init__(self, watch: Watch) -> None:
        self.step = watch._step
        self._watch = watch

    def raised(self, frame: FrameType) -> None:
        opened = self._watch._open
        if opened and opened[0] is frame:
            opened[1].raising = opened[1].diverted = True

    def returned(self, frame: FrameType) -> None:
        opened = self._watch._open
        if opened and opened[0] is frame:
            h = opened[1]
            if h.raising or not h.statement.returns:
                h.problem = h.problem or "it raises an error"
            self._watch._close()


class _Called:
    """Looks at a frame of a function that a statement set apart has called."""

    def __init__(self, watch: Watch, h: Happening, code: CodeType) -> None:
        self._left = {s for s in statements(code) if any(t.stored for t in s.targets)}
        self._at = {i: s for s in self._left for i in range(s.first, s.end, 2)}
        self._watch, self._h, self._code = watch, h, code
        self._fn = watch._footprint.functions.get(code)
        self.whole = bool(self._left)

    def step(self, frame: FrameType, at: int) -> None:
        s = self._at.get(at)
        if s not in self._left or s is None:
            return
        self._left.discard(s)
        self._watch._write(self._h, s, self._fn, frame)

    def raised(self, frame: FrameType) -> None:
        pass

    def returned(self, frame: FrameType) -> None:
        if any(s.changes for s in self._left):
            h = self._h
            h.problem = h.problem or f"it calls {self._code.co_name}, which may do different things"


def _ends_call(frame: FrameType, root: CodeType | None) -> bool:
    """Whether what a frame returns is what the whole call gives: those that called it return it, and do no more."""
    at = frame.f_back
    while at is not None and at.f_code is not root:
        after = next((op.name for op in steps(at.f_code) if op.offset > at.f_lasti), "")
        if after != "RETURN_VALUE":
            return False
        at = at.f_back
    return at is not None


def _cells(fn: FunctionType | None) -> dict[str, Any]:
    """The enclosing variables of a function."""
    return (
        {} if fn is None else dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    )


def _has_size(value: Any) -> bool:
    """Whether a value is a symbolic size, or leads to one."""
    return is_symbolic(value) or (isinstance(value, Tensor) and value._dims is not None)
