"""Growing: how a compiled function gets its programs - captures, what is made of them, and when there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..core.context import as_before
from ..core.errors import MemoryBudgetError, user_location
from ..core.process.forks import records
from ..core.process.settings import undisturbed
from ..core.process.workers import Job, Workers
from ..passes.sizes import as_bytes
from ..static.capture import CHANGES
from ..static.code.statements import Apart
from .conditions import CONTENTS
from .dynamic import Template
from .entries import Entry
from .keys import describes, difference, labels
from .pay import Meter
from .program import Program
from .promoted import KEPT, Source
from .promotion import Promotion, told_apart
from .rebound import Rebound
from .rehearsal import AT_ONCE, make_ready, rehearse
from .sizes import Call, Sizes, Spec
from .stages import Left
from .taking import Taking
from .tracing import capturing, trace

MAX_PROGRAMS = 64  # specialisations of one function
MAX_PATHS = 16  # paths through the code, and states, for one kind of arguments
MAX_UNSTABLE = 3  # captures given up because something passing stood in the way
PATIENCE = 0.5  # seconds that a call which waits for its program waits for another thread's capture
OTHERWISE = "with other values the code does something else"
APART = "tried again with such statements set apart"
ALONG = "its sizes change, so it goes along with the arguments from now on"
background = Workers("dualgraph-compile", 1)


class _Attempt(NamedTuple):
    """A capture: the entry and the structure of its call, where it was, and what it took as inputs and as symbolic."""

    entry: Entry
    tree: Any
    where: Any
    sources: Sequence[Source]
    call: Call | None  # None: it goes on from where a program left
    spec: Spec | None
    left: Left | None
    tries: int  # how often statements had been set apart anew when it began


class Growing:
    """A function, its programs by kind of arguments, and what was learned of it on the way."""

    __slots__ = ()
    # Of a call, as `Compiled` has it: the leaves and their structure, and what programs are looked up by.
    _parts: Any
    _key: Any

    def __init__(
        self, fn: Any, backend: str | None, wait: bool, fast_math: bool, memory: str | int | None,
        dynamic: Any,
    ) -> None:  # fmt: skip
        self._hot: Any = ()  # records of calls that are told natively, or what lets all pass
        self._plain = 0  # calls that go straight to the function, as no program pays
        self._passed = 0  # those that did so natively, or will
        self._captures = 0
        self._arrivals = Meter()  # of calls at sizes that a symbolic program has not met
        # of such calls in a row that ran eagerly, and how many calls programs had served when it began
        self._row, self._served = 0, 0
        # Whether code looks at numbers of arrays that differ from call to call
        self._of_arrays = False
        self._full = False  # whether it has as many programs as it may have
        self._captured_function = fn
        self._backend = backend
        self._wait = wait
        self._fast_math = fast_math
        self._memory = None if memory is None else as_bytes(memory)
        self._dynamic = dynamic
        self._promotion = Promotion(self)
        self._sizes = Sizes(fn, dynamic, self._promotion.sizes)
        self._rebound = Rebound(self._promotion)
        self._taking = Taking(self._promotion)
        self._apart = Apart()  # statements that run at the end of each call
        self._entries: dict[Any, Entry] = {}
        self._jobs: list[Job[None]] = []
        self._log: list[str] = []
        self._unstable: Counter[Any] = Counter()  # captures in a row that changed state they read
        self._changing: Counter[Any] = Counter()  # those that found such a change, in all
        self._lock = records

    @property
    def programs(self) -> list[Program]:
        """One program a specialisation, in the order of capture."""
        found = (p for e in list(self._entries.values()) for p in e.programs)
        return list(dict.fromkeys(p.template or p for p in found))

    def _captured(
        self, entry: Entry, args: Any, kwargs: Any, leaves: list[Any], why: str, key: Any,
        left: Left | None = None,
    ) -> tuple[bool, Any]:  # fmt: skip
        """Captures a call, if it may and no other thread captures one: whether it did, and the result of the call."""
        if entry.eager_because or not self._may_grow(entry):
            return False, None
        alone, taken = capturing.lock, False
        before = alone._is_owned()  # type: ignore[attr-defined]
        with as_before():
            try:
                taken = alone.acquire(timeout=PATIENCE if self._wait else 0.0)
                if not taken:
                    return False, None
                now = self._key(*self._parts(args, kwargs))
                if now != key or self._entries.get(key) is not entry:
                    # calls are told by other things since another thread was here
                    return False, None
                result, program = self._capture(entry, args, kwargs, leaves, why, key, left)
            finally:
                # Also where an interrupt came just when it had been taken
                if taken or (alone._is_owned() and not before):  # type: ignore[attr-defined]
                    alone.release()
            if program is not None:
                self._build(program.template or program)
        if program is not None and self._wait and isinstance(program.failure, MemoryBudgetError):
            raise program.failure
        return True, result

    def _may_grow(self, entry: Entry) -> bool:
        if crowded := self._crowded(entry):
            entry.eager_because.append(crowded)
        elif self._full or len(self.programs) >= MAX_PROGRAMS:
            self._full = True
            entry.eager_because.append(f"{MAX_PROGRAMS} programs were compiled for this function")
        return not entry.eager_because

    @staticmethod
    def _crowded(entry: Entry) -> str:
        """Why no program is added for one kind of arguments ("": one may be)."""
        full = len({p.template or p for p in entry.programs}) >= MAX_PATHS
        return f"{MAX_PATHS} paths or states were compiled and none fits" if full else ""

    def _new(self, key: Any) -> str:
        """What is new about a kind of arguments."""
        names = labels(self._captured_function, key[0])
        return difference(key, [k for k, e in list(self._entries.items()) if e.programs], names)

    def _forget(self) -> None:
        """Calls are looked up anew: a program runs in another way from now on."""
        self._hot, self._plain, self._passed, self._full = (), 0, 0, False

    def _capture(
        self, entry: Entry, args: Any, kwargs: Any, leaves: list[Any], why: str, key: Any, left: Left | None
    ) -> tuple[Any, Program | None]:  # fmt: skip
        """The result of a call, which is captured as it runs, and the program, if that is a new one; with `left` from
        where a program left it."""
        self._captures += 1
        self._of_arrays = self._of_arrays or why.startswith(CONTENTS)
        where, why = user_location(), why or self._new(key)
        spec, before, tree, tries = None, left and left.program, key[0], self._apart.tries
        others = self._rebound.noticed(entry.programs)
        sources, confirmed = self._promotion.plan(others, tree, leaves, before)
        if left is confirmed is None and (last := self._taking.to_confirm(entry.programs)):
            sources, confirmed = (), last
        call = None if left is not None else self._sizes.call(key, leaves)
        if call is not None and confirmed is None and self._may_be_symbolic(sources, tree, leaves):
            spec = self._sizes.spec(call, args, kwargs, any_numbers=bool(sources))
        takes = self._taking.allows if self._taking.active and left is confirmed is None else None
        shapes, make, sizes = (None, Program, ()) if spec is None else spec.how
        with undisturbed, self._blaming(sources, takes is not None, tree):
            result, program, refusals = trace(
                self._captured_function, args, kwargs, leaves, self._fast_math, self._backend, left=left,
                shapes=shapes, make=make, apart=self._apart, sources=sources, rebound=self._rebound,
                sizes=sizes, takes=takes, of_arrays=self._of_arrays, cached=entry.cached,
            )  # fmt: skip
        attempt = _Attempt(entry, tree, where, sources, call, spec, left, tries)
        with self._lock:
            if program is None:
                kept = [r for r in refusals if r.startswith(KEPT)]
                if kept and left is None and not self._apart.active and self._apart.again():
                    entry.start_over()  # what keeps numbers may be set apart
                    self._forget()
                    self._not_yet(entry, f"not captured at {where}: {kept[0]}; {APART}")
                    return result, None
                if takes is None or not self._taking.refuse(refusals):
                    self._not_captured(attempt, refusals)
                return result, None
            if self._entries.get(key) is not entry or not describes(key, program.trace.slots):
                # what tells calls, or an argument's memory, is another thread's meanwhile
                return result, None
            self._unstable.pop(tree, None)
            if self._apart.active:
                self._changing.clear()
            program.budget, program.owner = self._memory, self._promotion
            self._promotion.taken(program, tree, leaves, before)
            confirm = self._promotion.confirm
            if confirmed is not None and confirm(confirmed, program, tree, entry.programs):
                self._drop_superseded(entry)
                self._forget()
                return result, None
            program, known = self._enter(attempt, program)
            self._taking.captured(program)
            self._drop_superseded(entry, program)
            if known:
                self._log.append(f"tried other sizes at {where}: they do the same")
                return result, None
            self._log.append(f"captured at {where}: {why}")
        return result, program

    def _drop_superseded(self, entry: Entry, new: Program | None = None) -> None:
        """Drops programs for random numbers that do not come again, when others were found to serve for any."""
        superseded = self._taking.superseded(entry.programs, new)
        entry.programs[:] = [p for p in entry.programs if p not in superseded]
        for program in superseded:
            if program.path is not None:
                program.path.leave(program)

    @contextmanager
    def _blaming(self, sources: Sequence[Source], takes: bool, tree: Any) -> Iterator[None]:
        """A TypeError may come from code in C that takes plain numbers alone: no later capture gives it others."""
        try:
            yield
        except TypeError as problem:
            why = f"{KEPT} it where that is not followed: {problem}"
            with self._lock:
                if takes:
                    self._taking.refuse([why])
                self._promotion.blame(sources, tree, [why])
                self._promotion.regroup(tree)
            raise

    def _may_be_symbolic(self, sources: Sequence[Source], tree: Any, leaves: list[Any]) -> bool:
        """Whether a capture with these numbers as inputs may take sizes as symbolic."""
        if self._memory is not None or not self._rebound.at_any_size or self._taking.active:
            return False
        if self._promotion.cautious and not self._promotion.trusted(sources, tree, leaves):
            return False
        if any(p.works for p in self.programs):
            return False
        seen = [p.footprint for p in self.programs]
        if any("type" in f.telling - f.followed for f in seen):
            return False
        # What a statement set apart leaves of a size must be what it leaves of a number.
        return not self._apart.active or all(told_apart(f) is None for f in seen)

    def _enter(self, attempt: _Attempt, program: Program) -> tuple[Program, bool]:
        """Puts a program where calls find it: the one for the sizes of its call, and whether its template was known."""
        entry, call = attempt.entry, attempt.call
        if call is not None:
            program = self._sizes.settle(call, attempt.spec, program)
        program.changed.append(self._forget)
        program.meter = entry.meter
        known = program.template in self.programs
        entry.programs.insert(0, program)
        if call is not None:
            self._learn(attempt, call, program)
        if program.template is None:
            program.join(entry.tree)
        return program, known

    def _learn(self, attempt: _Attempt, call: Call, program: Program) -> None:
        """Compares a new program with those known: which numbers need no program of their own, and which do."""
        every = ((k, p) for k, e in list(self._entries.items()) for p in e.programs)
        elsewhere = self._sizes.elsewhere(call, program, attempt.spec, every)
        self._promotion.learn(attempt.entry.programs, program, attempt.tree, elsewhere)
        for source in self._sizes.hopeless(call):
            self._promotion.give_up(source, attempt.tree, OTHERWISE)
        self._promotion.regroup(attempt.tree)

    def _not_yet(self, entry: Entry, why: str) -> None:
        """Says that there is no program so far; another capture may go better."""
        entry.refused = why
        self._log.append(why)

    def _not_captured(self, attempt: _Attempt, refusals: list[str]) -> None:
        """Makes sure that the next capture goes otherwise, or that there is none."""
        if self._rebound.along.fresh:
            self._forget()
            self._not_yet(attempt.entry, f"not captured at {attempt.where}: {refusals[0]}; {ALONG}")
            return
        if attempt.entry.cached.grown:
            if len(refusals) > 1:
                self._apart.again()  # what else stands in the way may go, too
            self._not_yet(attempt.entry, f"not captured at {attempt.where}: {refusals[0]}")
            return
        if attempt.spec is not None and (self._rebound.active or self._apart.active):
            self._rebound.at_any_size = False
            self._log.append(f"not captured at {attempt.where} with symbolic sizes: {refusals[0]}")
            return
        if not self._promotion.blame(attempt.sources, attempt.tree, refusals):
            self._refused(attempt, refusals)
        self._promotion.regroup(attempt.tree)

    def _build(self, program: Program) -> None:
        """Makes a program ready, now or beside the calls."""
        program.waits = self._wait
        if self._wait:
            make_ready(program)
            return rehearse(program, self._jobs, background, AT_ONCE)
        self._jobs.append(background.submit(lambda: make_ready(program)))
        if isinstance(program, Template):
            rehearsing = background.submit(lambda: rehearse(program, self._jobs, background))
            self._jobs.insert(0, rehearsing)

    def _start_apart(self, entry: Entry, why: str, left: Left) -> bool:
        """Drops the programs if the function may be captured better with statements set apart; whether it did, or
        another thread had."""
        with self._lock:
            if left.program not in entry.programs:
                return True
            if not self._apart.again():
                return False
            entry.start_over()
            self._forget()
            self._log.append(f"{why}; {APART}")
            return True

    def _refused(self, attempt: _Attempt, refusals: list[str]) -> None:
        """Lets calls of this kind run eagerly, unless another capture may go better."""
        entry, tree, where, left = attempt.entry, attempt.tree, attempt.where, attempt.left
        said = f"not captured at {where}: {refusals[0]}"
        if left is not None:
            if self._apart.active or not self._start_apart(entry, said, left):
                left.stage.close(left.outcome, "; ".join(refusals))
            return
        changing = [r for r in refusals if r.startswith((CHANGES, "a hook is set"))]
        if changing and len(changing) == len(refusals):
            # what is made on first use settles after one call; what logs each n-th comes again between others
            self._unstable[tree] += 1
            self._changing[what := (tree, *changing)] += 1
            most = MAX_UNSTABLE if self._apart.active else 2
            if max(self._unstable[tree], self._changing[what]) < most:
                self._not_yet(
                    entry, f"not captured at {where}: {changing[0]}; tried again on the next call"
                )
                return
        # what this capture learned of statements may serve another thread, which has asked meanwhile
        if attempt.tries != self._apart.tries or self._apart.again():
            return self._not_yet(entry, f"{said}; {APART}")
        entry.eager_because.extend(r for r in refusals if r not in entry.eager_because)
        self._log.append(f"runs eagerly since {where}: {'; '.join(refusals)}")
