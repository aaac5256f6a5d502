"""Program: one captured path of a function, optimised and made ready; what it assumes, and what it changes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends.budgets import ready
from ..backends.executor import Executable
from ..backends.hooks import hooks_for
from ..core.backend import backend_for
from ..core.constant import exact
from ..core.devices import CPU, Device
from ..core.errors import (
    CaptureError,
    DualgraphError,
    Location,
    describe,
)
from ..core.node import Var
from ..core.numbers.draws import Draw
from ..core.process.interrupts import Unbroken
from ..core.process.spared import survived
from ..core.trees import TreeDef
from ..effects import Effect, Pending
from ..passes.memory import MemoryPlan, within_budget
from ..passes.pipeline import PassRecord, optimise
from ..static.checks import Assumption, tells
from ..static.footprint import Footprint
from ..static.graph import Graph
from ..static.trace import Mark, Trace
from .bare import Bare, bare_form
from .conditions import Conditions
from .dump import dump_program, dumping
from .literals import plain_trace
from .outcome import MISMATCH
from .pay import Meter
from .results import Result
from .slots import as_array, fetch, leaf_tensors
from .stages import ANY, Env, Left, Path, Stage

# What ops raise; eager mode will name the user's line.
FAILURES = (DualgraphError, ValueError, IndexError, TypeError, ZeroDivisionError)


class Program(Conditions):
    """A compiled specialisation. ``graph`` is what runs; ``captured`` what the eager run did."""

    guards: tuple[str, ...] = ()  # conditions on symbolic sizes under which the capture is as it is
    read_at: Location | None = None  # where the user's code looks at a symbolic size
    template: Program | None = None  # the program of symbolic sizes that this is at some sizes
    effects: tuple[Effect, ...] = ()  # what is done at the end of each call besides writing tensors
    extra: tuple[Any, ...] = ()  # further inputs: numbers that depend on sizes
    owner: Any = None  # the compiled function that it is of

    def __init__(
        self, name: str, trace: Trace, results: tuple[Result, ...], tree: TreeDef, footprint: Footprint,
        arguments: tuple[Assumption, ...], contents: tuple[tuple[int, Any], ...], swept: bool, fast_math: bool,
        device: Device, use: str | None,
    ) -> None:  # fmt: skip
        self.name = name
        super().__init__(trace, footprint, arguments, contents, swept)
        self.captured: Graph = trace.graph
        self._out_types = trace.graph.out_types
        self.results = results
        self.tree = tree
        self._calls = 0
        self.tally = np.zeros(1, dtype=np.int64)  # calls that Python did not see
        self.given: tuple[TreeDef, tuple[Any, ...]] | None = None  # the captured call's arguments
        self.marks: tuple[Mark, ...] = ()  # values that have names
        self.changed: list[Callable[[], None]] = []  # to tell that it runs otherwise from now on
        self.taps: Any = None  # what is read of it while it runs
        self._fast_math = fast_math
        self._device = device
        self._use = use
        self.budget: int | None = None  # bytes that the arena may take
        self._needed = 0  # bytes that the largest part of it takes
        self._aim: int | None = None  # that passes were to stay below for that
        self.meter: Meter | None = None  # of the calls that it serves
        self._bare: Bare | None = None
        self._executable: Executable | None = None
        self._passes: list[PassRecord] = []
        self.failure: Exception | None = None
        self.ready = False  # whether the compiled program is in use
        self._tracked = any(r.requires_grad and not r.released for r in results)
        slots = trace.slots
        self._single = tree.kind is None
        self._arrays = tuple(i for i, r in enumerate(results) if r.array)
        leaf_of = {id(t): i for i, t in enumerate(leaf_tensors(slots))}
        self._owners = tuple(leaf_of.get(id(g.owner), g.owner) for g in trace.grads)
        self.path: Path | None = None  # where numbers are taken out of tensors
        self._required = tuple(i for i, s in enumerate(slots) if s.required)
        self._inputs = tuple(v.id for v in trace.graph.inputs)
        self._worked = tuple(i for i, s in enumerate(slots) if s.kind == "worked")
        concrete = len(trace.graph.outputs) - len(trace.concrete)
        self._checked = tuple((concrete + i, c.outcome) for i, c in enumerate(trace.concrete))
        viewed = (
            r.key if r.output is None else r.output
            for r in results
            if r.base is not None or r.output is not None
        )
        end = concrete - len(trace.numbers)
        self._borrowed = frozenset(
            (*(s.output for s in trace.stores), *viewed, *range(end, concrete))
        )
        self._taken = frozenset(i for i, _ in self._checked)
        self._size = tree.num_leaves

    turned: Callable[..., bool] | None = None  # what takes its native program for a call

    @property
    def calls(self) -> int:
        """How many calls the program has served."""
        return self._calls + int(self.tally[0])

    def fixed(self) -> Program:
        """This program at one choice of sizes, as if these were all it is for: itself, unless some are symbolic."""
        return self

    @property
    def works(self) -> bool:
        """Whether calls work out or draw arrays, which takes sizes that are known."""
        return bool(self._worked) or any(c.outcome is None for c in self.trace.concrete)

    # --- making it ready ---

    def join(self, roots: list[Stage]) -> None:
        """Puts the program into a tree, where it shares the stages that other programs have, too."""
        if self.trace.concrete and self.trace.recording is not None:
            self.path = Path(self.trace, self, roots, self.any_taken)

    def build(self) -> None:
        """Makes the program ready to run."""
        try:
            stores = self._direct_stores()
            if self.path is None and self.trace.concrete:
                self.join([])
            if self.path is None:
                # numbers taken out are looked at when all is computed, and nothing may have been written by then
                stores = () if self._checked else stores
                self._take(self._compile(self.captured, self._borrowed, stores, self._passes))
            else:
                self.path.build(self._borrowed, stores, self._planned)
                assert self.path.tail is not None
                places = {v: i for i, v in enumerate(self.trace.graph.inputs)}
                self._direct = tuple(places[v] for v in self.path.tail.donated)
                within_budget(self.name, self._needed, self.budget)
            self.ready = True
        except Exception as problem:  # the function goes on eagerly, and explain() says why
            self.failure = survived(problem)

    def _direct_stores(self) -> tuple[tuple[int, int], ...]:
        """The stores (input, output) that the program may do itself."""
        direct = (s for s in self.trace.stores if not self._tracked and s.input in self._row_major)
        return tuple((s.input, s.output) for s in direct)

    def _take(self, executable: Executable) -> None:
        """Runs calls through `executable` from now on."""
        self._direct = tuple(i for i, _ in executable.donated)
        plain = not (self.effects or self._checked or self.moves)
        self._bare = (
            bare_form(self.trace, self.results, self.tree, self._out_types) if plain else None
        )
        self._executable = executable

    def _compile(self, *what: Any) -> Executable:
        """As `_planned`, within the budget."""
        made = self._planned(*what)
        within_budget(self.name, made.memory.total_bytes, self.budget)
        return made

    def _planned(
        self, captured: Graph, borrowed: frozenset[int], stores: tuple[tuple[int, int], ...],
        passes: list[PassRecord] | None = None, held: int = 0,
    ) -> Executable:  # fmt: skip
        """Runs the passes and plans the memory, of which `held` bytes are taken by values that stages hand on."""
        backend, hooks = backend_for(self._device), hooks_for(self._device, self._use)

        def make(graph: Graph) -> Executable:
            return Executable(graph, backend, borrowed, stores)

        budget = None if self.budget is None else max(self.budget - held, 0)
        found = ready(captured, hooks, self._fast_math, not dumping(), make, budget)
        if passes is not None:
            passes[:], self._aim = found.records, found.aim
        dump_program(self.name, captured, found.records, found.executable)
        self._needed = max(self._needed, held + found.executable.memory.total_bytes)
        if self._device is CPU:
            found.executable.warm()  # here, as the first call that uses it is not to wait
        return found.executable

    def learn(self, vars: list[Var], stop: int) -> bool:
        """Lets the first `stop` stages give these values, too; whether that takes building them again."""
        assert self.path is not None
        wanted = set(vars)
        return sum(self.path.want(stage, wanted) for stage in self.path.stages[:stop]) > 0

    def value_at(self, stage: Stage) -> Any:
        """The number that leads this program on from a stage."""
        assert self.path is not None
        return self.trace.concrete[self.path.stages.index(stage)].value

    def _built(self) -> Executable:
        """The whole path as one executable. Where it is cut into stages, these run in its place."""
        if self._executable is None and self.path is None:
            self.build()
        if self._executable is None:
            if self.failure is not None:
                raise self.failure
            read = self._borrowed | self._taken
            self._executable = self._planned(self.captured, read, (), self._passes)
        return self._executable

    @property
    def graph(self) -> Graph:
        """The optimised graph."""
        return self._built().graph

    @property
    def passes(self) -> list[PassRecord]:
        """What each pass did."""
        self._built()
        if not self._passes:  # an earlier process ran them
            hooks, how = hooks_for(self._device, self._use), (self._fast_math, self._aim)
            self._passes[:] = optimise(self.captured, hooks, *how)[1]
        return self._passes

    @property
    def memory(self) -> MemoryPlan:
        """The plan of the arena."""
        return self._built().memory

    def promote(self, name: str) -> None:
        """Makes a Python number an input, so that its other values will need no other program.

        `name` is that of an assumption: an argument, a global or closure variable, an attribute. The next call
        with another value captures the function once more. ArgumentError if it assumes no such number.

        >>> import dualgraph as dg
        >>> f = dg.compile(lambda x, lr: x * lr, wait=True)
        >>> _ = f(dg.ones(2), 0.5)
        >>> f.programs[0].promote("lr")
        >>> [f(dg.ones(2), lr).tolist() for lr in (0.25, 2.0)], len(f.programs)
        ([[0.25, 0.25], [2.0, 2.0]], 1)
        """
        if self.owner is None:
            raise CaptureError(describe("promote", self.name, "it is no program of a function"))
        self.owner.promote(self, name)

    def known_at_capture(self, leaves: Sequence[Any]) -> list[Any]:
        """The leaves of the captured call, and behind them the numbers that it took out of tensors."""
        return [*leaves, *(c.value for c in self.trace.concrete)]

    def at_its_numbers(self, numbers: Sequence[Any], taken: Sequence[Any] = ()) -> Program:
        """The program with its promoted numbers as constants, as a plain capture would have made it that has `taken`
        these out of tensors."""
        at = self.fixed()
        trace, results = plain_trace(at.trace, at.results, numbers)
        concrete = [c._replace(value=v) for c, v in zip(trace.concrete, taken, strict=False)]
        trace = trace._replace(concrete=(*concrete, *trace.concrete[len(concrete) :]))
        out = Program(
            self.name, trace, results, self.tree, self.footprint, self._arguments, self._contents,
            bool(self._unhooked), self._fast_math, self._device, self._use,
        )  # fmt: skip
        out.given, out.budget, out.marks = self.given, self.budget, self.marks
        out.as_sizes = at.as_sizes
        out.effects, out.moves, out.places = self.effects, self.moves, self.places
        return out

    def text(self, number: int) -> list[str]:
        """What there is to say of it, as lines."""
        failed = f"failed: {self.failure!r}" if self.failure else "compiling"
        status = "in use" if self.ready else failed
        done = dict.fromkeys(e.where for e in self.effects)
        ops = len(self.captured.nodes)
        told = [a for a in self.assumptions if tells(a)]
        others = len(self.assumptions) - len(told)
        more = (
            f"and that {others} names, objects and containers are what they were" if others else ""
        )
        return [
            f"program {number}: {status}, {self.calls} call(s), {ops} ops captured",
            *(f"    assumes {a}" for a in told),
            *([f"    {more}: see its `assumptions`"] if others else []),
            *(f"    puts a result at {m.place.name}" for m in self.moves),
            *(f"    at the end of each call runs the statement at {at}" for at in done),
        ]

    # --- looking into it; the first call loads what does that, and puts itself here instead ---

    def replay(self, *args: Any, **kwargs: Any) -> Any:
        """A call step by step; see `dualgraph.debugging.replay`."""
        return self._debugging("replay")(self, *args, **kwargs)

    def tap(self, *args: Any, **kwargs: Any) -> Any:
        """Reads an intermediate value on each call; see `dualgraph.debugging.tap`."""
        return self._debugging("tap")(self, *args, **kwargs)

    @staticmethod
    def _debugging(name: str) -> Any:
        importlib.import_module("..debugging", __package__)
        return getattr(Program, name)

    # --- running it ---

    def call(self, leaves: list[Any]) -> Any:
        """Runs the program, or gives MISMATCH, having changed nothing, when this call takes another path."""
        result = self.start(leaves)
        return MISMATCH if type(result) is Left else result

    def start(self, leaves: list[Any]) -> Any:
        """As `call`; where other programs share stages with this one, it goes on with the one that fits.

        A call that takes a path which no program has gives what it knows by then, as a `Left`.
        """
        if self._bare is not None and self.promoted is None:
            return self._call_bare(leaves, self._bare)
        if self.trace.stores or self.trace.grads or self.moves:
            with Unbroken():
                result = self._begin(leaves)
        else:
            result = self._begin(leaves)
        return result.finish() if type(result) is Pending else result

    def _begin(self, leaves: list[Any]) -> Any:
        """Runs a call up to its effects; `MISMATCH` if it is none that this program may serve, with nothing written."""
        held = self._fetch(leaves)
        if type(held) is str:
            return self._differs(held)
        tensors, arrays = held
        arrays += self.extra
        problem = self._unfit(arrays)
        if problem:
            return self._differs(problem)
        try:
            if self.path is not None:
                return self._walk(leaves, tensors, arrays)
            runs, keeping = self._built(), self._keeping()
            if keeping is not None:
                arrays, runs = arrays[: len(tensors)], keeping.forward
            return runs.run(arrays, lambda outs: self._commit(outs, tensors, leaves))
        except FAILURES as problem:
            return self._differs(f"an op failed: {problem}")

    def _walk(self, leaves: list[Any], tensors: list[Any], arrays: list[Any]) -> Any:
        """Stage by stage along the tree, to the end of a path, or to where it is left."""
        program, path, stop = self, self.path, 0
        env: Env = dict(zip(self._inputs, arrays, strict=True))
        known = list(leaves)  # and, behind them, the numbers that were taken out by then
        drawn: list[tuple[Draw, Any]] = []  # those that are random
        assert path is not None
        while stop < len(path.stages):
            stage = path.stages[stop]
            try:
                value = stage.form.run(env, known)
            except FAILURES:
                if not drawn:
                    raise
                return Left(program, env, stop, path.stages[stop - 1], None, None, True, drawn)
            known.append(value)
            if type(stage.piece.draw) is Draw:
                drawn.append((stage.piece.draw, value))
            outcome, stop = ANY if type(value) is np.ndarray else exact(value), stop + 1
            leads = path.outcomes[stop - 1] in (ANY, outcome)
            if not (leads and program._learn(known, tensors, env)):
                found, waits = program._follower(stage, outcome, known)
                if found is not None:
                    # Both programs number the variables of passed stages alike, but not their inputs.
                    for var in program._inputs:
                        env.pop(var, None)
                    program, path = found, found.path
                    held = program._fetch(known)
                    waits = type(held) is str
                    if not waits:
                        tensors, arrays = held
                        env.update(zip(program._inputs, arrays, strict=True))
                        waits = bool(program._unfit(arrays)) or not path.has_all(env, stop)
                if found is None or waits:
                    stage.left += 1
                    path.know(known[len(leaves) :], env)
                    return Left(program, env, stop, stage, outcome, value, waits, drawn)
            outcome = path.outcomes[stop - 1]
            stage.counts[outcome] = stage.counts.get(outcome, 0) + 1
        keeping = program._keeping()
        keeps = keeping is not None and keeping.forward.ready(env)
        tail = keeping.forward if keeping is not None and keeps else path.tail
        try:
            return tail.run(env, lambda outs: program._commit(outs, tensors, known))
        except FAILURES:
            if not drawn:
                raise
            return Left(program, env, stop, path.stages[-1], None, None, True, drawn)

    def _learn(self, known: list[Any], tensors: list[Any], env: Env) -> bool:
        """Takes in the numbers that are `known` by now; False where the code goes another way at them."""
        if not self._work_out(known, tensors, env):
            return False
        if self.promoted is None or not self.promoted.takes:
            return True
        numbers = self.promoted.numbers(known)
        if type(numbers) is str:
            return False
        for i, slot in enumerate(self.trace.slots):
            if slot.kind == "computed" and tensors[i] is None and slot.key.place < len(numbers):
                tensors[i] = numbers[slot.key.place]
                try:
                    env[self._inputs[i]] = as_array(slot, tensors[i])
                except DualgraphError:  # its dtype cannot hold it; eager mode will say so
                    return False
        return True

    def _work_out(self, known: list[Any], tensors: list[Any], env: Env) -> bool:
        """Has NumPy make what the program reads of arrays that are `known` by now; whether that is as it was."""
        memo: dict[int, Any] = {}
        for i in self._worked:
            if tensors[i] is None:
                array = tensors[i] = fetch(self.trace.slots[i], known, memo)
                env[self._inputs[i]] = array
                if array is not None and not self.trace.slots[i].type.of_array(array):
                    return False
        return True

    @staticmethod
    def _follower(stage: Stage, outcome: Any, leaves: list[Any]) -> tuple[Any, bool]:
        """The program that goes on from a stage, or None, and whether one is being made ready."""
        waits = False
        for program in (*stage.followers.get(outcome, ()), *stage.followers.get(ANY, ())):
            if program.broken(leaves) is None:
                if program.ready:
                    return program, False
                waits = True
        return None, waits

    def _call_bare(self, leaves: list[Any], bare: Bare) -> Any:
        """The result of a call of a program that only makes fresh tensors; `MISMATCH` if an op fails."""
        executable = self._executable
        if executable is None:  # forgotten by another thread, for programs of other sizes
            return self._differs("the program was forgotten")
        try:
            result = bare.run(executable, leaves, self.extra)
        except FAILURES as problem:
            return self._differs(f"an op failed: {problem}")
        self._calls += 1
        return result
