"""compile: run a function eagerly once, capture it as it runs, and use the compiled program from then on."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from ..backends.native import api
from ..core.context import state
from ..core.errors import ArgumentError, CaptureError, MemoryBudgetError, describe
from ..core.numbers.draws import drawn_again
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..static.graph import Graph
from . import hot
from .dynamic import Template
from .entries import Entry, Forecast, explanation, sized_forecast
from .growing import MAX_PROGRAMS, Growing, background
from .keys import call_key, leaves_to_keep
from .pay import WARM, Meter
from .program import MISMATCH, Program
from .stages import MAX_DEPTH, Left
from .tracing import resume, trace
from .turning import turning

MAX_KINDS = 1024  # kinds of arguments that are told apart
ROW = 100  # calls at sizes that come once, from which on the next calls are not looked at
MAX_TRIES = 2  # programs tried on one call before it goes on eagerly
PLAIN = {Tensor, bool, int, float, str, type(None), np.ndarray}  # argument types that are leaves


class Compiled(Growing):
    """A function that runs as compiled programs where it can, and eagerly where it must.

    Attributes: ``programs`` (one `Program` a specialisation); ``explain()``; ``wait()``.
    """

    __slots__ = ("__dict__", "__weakref__", "_hot")  # the last at a place that native code knows

    def __init__(
        self, fn: Any, backend: str | None, wait: bool, fast_math: bool, memory: str | int | None,
        dynamic: Any = None,
    ) -> None:  # fmt: skip
        functools.update_wrapper(self, fn, updated=())
        super().__init__(fn, backend, wait, fast_math, memory, dynamic)
        self._eager_calls = 0

    # --- use ---

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer
        passed = (tracer is not None and not tracer.watches) or state.batching is not None
        if self._plain > 0 or passed:
            self._plain = max(self._plain - 1, 0)
            return self._captured_function(*args, **kwargs)
        leaves, tree = self._parts(args, kwargs)
        key = self._key(leaves, tree)
        entry = self._entries.get(key)
        if entry is None:
            if self._sizes.declared is not None:
                self._sizes.declared.check(args, kwargs, leaves)
            if len(self._entries) >= MAX_KINDS and not self._make_room():
                self._eager_calls += 1
                return self._captured_function(*args, **kwargs)
            with self._lock:
                entry = self._entries.setdefault(key, Entry(kept=leaves_to_keep(leaves)))
        meter = entry.meter
        if meter.settled or self._memory is not None:
            if meter.used or meter.skip(1 + self._passed) or any(p.taps for p in entry.programs):
                meter.use()
                return self._run(entry, key, args, kwargs, leaves)
            self._pass()
            return self._captured_function(*args, **kwargs)
        return self._measured(entry, meter, key, args, kwargs, leaves)

    def _measured(
        self, entry: Entry, meter: Meter, key: Any, args: Any, kwargs: Any, leaves: Any
    ) -> Any:
        """A call while it is not known yet whether the program pays."""
        timed = any(p.ready for p in entry.programs) and not any(p.taps for p in entry.programs)
        if entry.measuring or not timed or not meter.warm():
            return self._run(entry, key, args, kwargs, leaves)
        captures = self._captures
        entry.measuring = True
        try:
            if meter.turn():
                result = meter.time(True, lambda: self._captured_function(*args, **kwargs))
            else:
                record = entry.record
                self._hot = () if record is None else (record,)
                result = meter.time(False, lambda: self(*args, **kwargs))
        finally:
            self._hot = ()
            entry.measuring = False
        if captures != self._captures <= MAX_PROGRAMS:
            meter.start()
        calls = sum(p.calls for p in entry.programs)
        meter.decide(sum(p.gradients.spent for p in entry.programs if p.gradients) / max(calls, 1))
        record = entry.record  # which another thread may take away
        if meter.settled and meter.used and record is not None:
            self._hot = (record,)
        if meter.settled and not meter.used:
            self._pass()
        return result

    def _pass(self, at_once: bool = False) -> None:
        """Where no program pays, or `at_once`, the next calls are not looked at; then one is, as it may be another kind
        of call."""
        self._passed = 0
        if self._sizes.declared is not None and self._sizes.declared.limits:
            return  # each call is looked at
        if at_once or all(e.passes() for e in list(self._entries.values())):
            self._passed = hot.BATCH
            if hot.ready(Compiled, Compiled._run_hot, background.submit):
                self._hot = hot.straight(self._captured_function)
            else:
                self._plain = hot.BATCH

    def _parts(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The leaves of a call, those that go along with its arguments too, and their structure."""
        leaves, tree = _parts(args, kwargs)
        along = self._rebound.along
        return along.join(leaves, tree) if along.places else (leaves, tree)

    def _key(self, leaves: Any, tree: Any) -> Any:
        """What a call has in common with those that the same programs may serve."""
        promoted = self._promotion.leaves
        return call_key(leaves, tree, promoted.get(tree) if promoted else None)

    def _run(self, entry: Entry, key: Any, args: Any, kwargs: Any, leaves: Any) -> Any:
        """A call that uses a compiled program if one fits."""
        tried = waiting = 0
        broken = ""
        for program in tuple(entry.programs):
            changed = program.broken(leaves)
            if changed:
                broken = broken or changed
                continue
            if not program.ready:
                if isinstance(program.failure, MemoryBudgetError):
                    raise program.failure
                waiting += 1
                continue
            if tried == MAX_TRIES:
                break
            tried += 1
            result = program.start(leaves)
            if type(result) is Left:
                return self._go_on(entry, result, args, kwargs, leaves)
            if result is not MISMATCH:
                if tried > 1:
                    with self._lock:  # not by sorting: while that goes on other threads find none
                        entry.programs[:] = sorted(entry.programs, key=lambda p: p is not program)
                elif (at_any := turning(program)) is None:
                    if hot.due(program):
                        self._remember(entry, program, args, kwargs, leaves)
                elif at_any.due(program):
                    self._remember(entry, at_any, args, kwargs, leaves)
                return result
            broken = program.mismatch
        return self._run_otherwise(
            entry, key, args, kwargs, leaves, broken, waiting > 0, tried == MAX_TRIES
        )

    def _run_otherwise(
        self, entry: Entry, key: Any, args: Any, kwargs: Any, leaves: Any, broken: str, waiting: bool,
        enough: bool,
    ) -> Any:  # fmt: skip
        """A call that no program serves, because of what is `broken`: by another program, captured now, or eagerly.

        `waiting`: a program may serve it that is still being compiled; `enough`: as many as may be were tried.
        """
        if not waiting and not enough:
            found = self._sizes.matching(key, leaves, entry.programs)
            if found is not None:
                return self._arrived(*found, entry, key, args, kwargs, leaves)
            if not self._full and self._promotion.notice(entry, key, leaves):
                key = self._key(leaves, key[0])
                with self._lock:
                    entry = self._entries.setdefault(key, Entry(kept=entry.kept))
                return self._run(entry, key, args, kwargs, leaves)
        if enough:
            with self._lock:
                branched = self._sizes.branch(key, leaves, entry.programs)
            if branched:
                return self._run(entry, key, args, kwargs, leaves)
        if not (waiting or enough or self._sizes.empty(key, leaves)):
            done, result = self._captured(entry, args, kwargs, leaves, broken, key)
            if done:
                return result
        entry.meter.left += not waiting
        self._eager_calls += 1
        if entry.eager_because and not entry.programs and entry.meter.left > WARM:
            self._pass()
        return self._captured_function(*args, **kwargs)

    def _arrived(
        self, template: Template, sizes: tuple[int, ...], entry: Entry, key: Any, args: Any, kwargs: Any,
        leaves: Any,
    ) -> Any:  # fmt: skip
        """A call at sizes that a symbolic program has not met: by the program, unless that takes longer than eager
        mode, as it is to be made ready; then by it when the same sizes come again."""
        meter = self._arrivals
        timed = template.ready and not template.taps and self._memory is None and not entry.came

        def compiled() -> Any:
            self._natively()
            sized = template.at(sizes)
            sized.meter = entry.meter
            with self._lock:
                entry.add(sized)
            return self._run(entry, key, args, kwargs, leaves)

        def eager() -> Any:
            entry.came = True
            self._eager_calls += 1
            return self._captured_function(*args, **kwargs)

        if not timed:
            return compiled()
        if meter.settled and (meter.used or meter.skip(1 + self._passed)):
            meter.use()
            return compiled()
        if meter.settled:
            if self._only_arrivals():
                self._pass(at_once=True)
            return eager()
        if not meter.warm():
            return compiled()
        turn = meter.turn()
        result = meter.time(turn, eager if turn else compiled)
        meter.decide(0.0)
        return result

    def _only_arrivals(self) -> bool:
        """Counts a call at sizes that had not come; whether the last `ROW` calls were such."""
        self._row += 1
        if 1 < self._row < ROW:
            return False
        served = sum(p.calls for p in self.programs)
        if self._row == 1 or served != self._served:
            self._row, self._served = 1, served
        return self._row >= ROW

    def _remember(
        self, entry: Entry, program: Program, args: Any, kwargs: Any, leaves: Any
    ) -> None:
        """Lets calls like this one go straight to their program from now on."""
        if self._natively() and not self._rebound.along.places:
            record = hot.record_of(program, args, kwargs, leaves)
            if record is not None:
                entry.record = record
                if not hot.PATIENT or entry.meter.settled or self._memory is not None:
                    others = self._hot if type(self._hot) is tuple else ()
                    self._hot = (record, *others)[: hot.MOST]

    def _natively(self) -> bool:
        """Whether native code tells calls and state; when first asked, sees to it beside the calls."""
        wanted = self._backend != "numpy"
        return wanted and hot.ready(Compiled, Compiled._run_hot, background.submit)

    def _run_hot(self, program: Program, leaves: tuple[Any, ...]) -> Any:
        """A call, by the leaves of its arguments, that was found to be one for this program; or `hot.UNLIKE`."""
        meter, records = program.meter, self._hot
        unseen = hot.unseen(program, records)
        if meter is not None and meter.settled:
            meter.use(1 + unseen)
            if not meter.settled:  # it is asked again whether the program pays
                self._hot = ()
        result = program.start(leaves)
        if type(result) is Left:  # the leaves are the arguments
            entry = self._entries.get(self._key(leaves, len(leaves)))
            if entry is not None or result.drawn:
                return self._go_on(entry or Entry(), result, leaves, {}, leaves)
            self._hot = ()  # another thread's capture has changed what calls are told by
            return hot.UNLIKE
        if result is MISMATCH:
            if program.turned is None:  # another number is no sign of a change
                self._hot = ()
            return hot.UNLIKE
        return result

    def _go_on(self, entry: Entry, left: Left, args: Any, kwargs: Any, leaves: list[Any]) -> Any:
        """Ends a call that left the tree; the path that it takes becomes a program, if it may. What the call has drawn
        from generators of random numbers is not drawn anew."""
        with drawn_again(left.drawn):
            return self._go_on_from(entry, left, args, kwargs, leaves)

    def _go_on_from(
        self, entry: Entry, left: Left, args: Any, kwargs: Any, leaves: list[Any]
    ) -> Any:
        why = left.stage.no_path(left.outcome, left.value)
        if left.stop > MAX_DEPTH:
            why = f"more than {MAX_DEPTH} numbers are taken out of tensors on the way"
        where = left.stage.piece.where
        crowded = why or self._crowded(entry)
        drawn = left.stage.piece.draw is not None  # by a statement that stays
        if (
            crowded
            and not drawn
            and self._apart.holds(where)
            and self._start_apart(entry, crowded, left)
        ):
            why = crowded
        elif why:
            if not left.waits and self._taking.may_help(left.program, where, left.value):
                why = ""
            else:
                left.stage.close(left.outcome, why)
        if not why and not left.waits:
            seen = f"{left.value!r} was not seen before at {where}"
            key = self._key(*self._parts(args, kwargs))
            # nothing was written yet, so it may as well run as a whole
            goes_on = None if self._taking.active else left
            done, result = self._captured(entry, args, kwargs, leaves, seen, key, goes_on)
            if done:
                return result
        entry.meter.left += 1
        result, learned = resume(self._captured_function, args, kwargs, leaves, left)
        if learned and left.program.learn(learned, left.stop):
            self._build(left.program)
        return result

    def _make_room(self) -> bool:
        """Makes room for kinds of arguments: forgets one that is a matter of sizes alone, if there is one."""
        with self._lock:
            for key, entry in self._entries.items():
                if (entry.programs or entry.came) and all(p.template for p in entry.programs):
                    del self._entries[key]
                    return True
        return False

    # --- what users ask ---

    def wait(self) -> Compiled:
        """Blocks until every captured program is in use, and the gradients that were asked of them."""
        while self._jobs:
            self._jobs.pop().result()
        for program in self.programs:
            if program.gradients is not None:
                program.gradients.finish()
        return self

    def would_compile(self, *args: Any, **kwargs: Any) -> Forecast:
        """Whether a call with these arguments would use a compiled program, and why; nothing is run.

        >>> import dualgraph as dg
        >>> f = dg.compile(lambda x: x + 1, wait=True)
        >>> bool(f.would_compile(dg.ones(2))), f.would_compile(dg.ones(2)).reason
        (False, 'it was never called')
        >>> _ = f(dg.ones(2))
        >>> bool(f.would_compile(dg.ones(2)))
        True
        """
        leaves, tree = self._parts(args, kwargs)
        leaves, key = list(leaves), self._key(leaves, tree)
        entry = self._entries.get(key)
        if state.tracer is not None or state.batching is not None:
            return Forecast(False, "it would be a part of the capture or vmap that is running")
        if entry is None or not (entry.programs or entry.eager_because):
            sized = self._sizes.ready_for(key, leaves, ())
            why = entry.refused if entry is not None and entry.refused else self._new(key)
            if sized and not self._arrivals.used and (entry is None or not entry.came):
                return Forecast(False, str(self._arrivals))
            return sized_forecast(sized, leaves) or Forecast(False, why)
        if not entry.meter.used or self._passed:
            return Forecast(False, str(entry.meter))
        found = entry.forecast(leaves)
        if found.hit or not entry.programs:
            return found
        return sized_forecast(self._sizes.ready_for(key, leaves, entry.programs), leaves) or found

    def explain(self) -> str:
        """Why it compiled what it compiled, what the programs assume, and what runs eagerly."""
        fn = self._captured_function
        name = getattr(fn, "__qualname__", type(fn).__name__)
        log = [*self._log, *self._promotion.told]
        if hot.Guard.problem is not None:
            log.append(f"calls are told in Python, not natively: {hot.Guard.problem!r}")
        if self._arrivals.times:
            log.append(f"at sizes that are new {self._arrivals}")
        with self._lock:
            told = explanation(self.programs, list(self._entries.values()), log)
        return f"{name}: {len(self.programs)} program(s), {self._eager_calls} call(s) run eagerly\n{told}"

    def __reduce__(self) -> Any:
        module, name = getattr(self, "__module__", None), getattr(self, "__qualname__", None)
        if getattr(sys.modules.get(str(module)), str(name), None) is self:
            return name  # a decorated function, known by its name
        how = self._backend, self._wait, self._fast_math, self._memory, self._dynamic
        return Compiled, (self._captured_function, *how)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_captured"):
            raise AttributeError(name)
        return getattr(self._captured_function, name)

    def __repr__(self) -> str:
        return f"<compiled {self._captured_function!r}>"


# --- the public functions ----------------------------------------------------------------------


def _parts(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The leaves of a call, and the tree that they were in."""
    if kwargs or not PLAIN.issuperset(map(type, args)):
        return flatten((args, kwargs))
    return args, len(args)


def serving(program: Program, fn: Any, backend: str | None, args: Any, kwargs: Any) -> Compiled:
    """A compiled function that has `program` for such calls from the first one on, whether that pays or not."""
    compiled = Compiled(fn, backend, False, False, None)
    leaves, tree = _parts(args, kwargs)
    entry = Entry(programs=[program], kept=leaves_to_keep(leaves))
    entry.meter.settle()
    compiled._entries[compiled._key(leaves, tree)] = entry
    if api.available():
        hot.install(Compiled, Compiled._run_hot)
    return compiled


def compile(
    fn: Any = None, *, backend: str | None = None, wait: bool = False, fast_math: bool = False,
    memory: str | int | None = None, dynamic: Any = None,
) -> Any:  # fmt: skip
    """A function (or module, or training step) that runs as compiled programs, with the bits of eager mode.

    The first call runs eagerly and is captured; compilation goes on beside it and is swapped in when
    ready (`wait=True`: before the first call returns). Other dtypes, Python values or state make further
    programs. What cannot be captured soundly runs eagerly; ``explain()`` says why.

    A second shape makes the sizes that changed symbolic: the function is captured and compiled once more,
    and from then on other sizes take no compilation. `dynamic` says so ahead: ``{"x": {0: "batch"}}`` names
    axes of tensors in an argument (sizes of one name go together), `Dim` in place of a name gives limits; True means
    all sizes that are not 1.

    `memory` bounds the arena, as bytes or a text such as ``"300MB"``: values are recomputed to fit, and
    MemoryBudgetError names the least that is needed where that cannot be. `backend`: "native" (default
    where llvmlite is installed) or "numpy". `fast_math` allows rewrites that change bits.

    >>> import dualgraph as dg
    >>> @dg.compile(wait=True)
    ... def f(x):
    ...     return (x * 2 + 1).sum()
    >>> f(dg.ones(3)).item(), f(dg.ones(3)).item()
    (9.0, 9.0)
    """
    if fn is None:
        return functools.partial(
            compile, backend=backend, wait=wait, fast_math=fast_math, memory=memory, dynamic=dynamic
        )
    if backend not in (None, "native", "numpy"):
        raise ArgumentError(describe("compile", repr(backend), "backend is 'native' or 'numpy'"))
    if not callable(fn):
        raise ArgumentError(
            describe("compile", type(fn).__name__, "only functions and modules can be compiled")
        )
    return Compiled(fn, backend, wait, fast_math, memory, dynamic)


def capture(fn: Any, *args: Any, **kwargs: Any) -> Graph:
    """One capture of ``fn(*args)``: its graph, inputs and outputs flattened in order.

    Tensors read from outside follow the arguments as further inputs; written tensors and gradients follow
    the results as further outputs. Last come values that Python took out of tensors, as ``if x.sum() > 0`` does: the
    graph is that of calls in which they are the same. Raises CaptureError where there is no sound capture.

    >>> import dualgraph as dg
    >>> print(dg.capture(lambda x: x + 1, dg.ones(2)).out_types[0])
    f32[2]
    >>> taken = dg.capture(lambda x: x + 1 if x.sum() > 0 else x, dg.ones(2))
    >>> taken.run(-dg.ones(2))[1]  # the graph's result would be another
    tensor(False)
    """
    inner = getattr(fn, "_captured_function", fn)
    leaves = flatten((args, kwargs))[0]
    _, program, refusals = trace(inner, args, kwargs, leaves, whole=True)
    if program is None:
        raise CaptureError(
            describe("capture", getattr(inner, "__name__", "fn"), "; ".join(refusals))
        )
    return program.captured
