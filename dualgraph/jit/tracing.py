"""Tracing: one eager run of a function, seen by a tracer, as a program - or the reasons why it cannot be one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..core.context import as_before
from ..core.errors import NOWHERE, Location
from ..core.node import Var
from ..core.numbers.draws import NAMES as DRAWING
from ..core.numbers.draws import Draw, is_clock, is_source, stood_for
from ..core.numbers.formulas import Formulas, Use
from ..core.numbers.guards import guarded
from ..core.numbers.live import LIVE_OF, mode
from ..core.numbers.symbolic import SymFloat, SymInt, plain
from ..core.process.alone import Alone
from ..core.trees import containers, flatten, unflatten
from ..core.types import Shape
from ..core.watch import Watched, origin_of
from ..eager.random import default_generator
from ..eager.tensor import Tensor
from ..effects import Happening, Watch, Written, effects_of, relied_on
from ..static.capture import Tracer, finish, swept
from ..static.checks import Assumption, EntryCheck
from ..static.code.statements import Apart, statements
from ..static.footprint import ENOUGH, Footprint
from ..static.outside import users
from ..static.symbolic import SymbolicTracer
from ..static.trace import Concrete, Trace
from .arguments import Arguments
from .cached import CachedCall, CachedCalls, taking_down
from .drawing import why_not_drawn
from .keys import labels, modes
from .left_behind import settle_sizes, settle_writes
from .program import Program
from .promoted import (
    LEADS,
    Place,
    Promoted,
    Source,
    Taken,
    called,
    kept_numbers,
    place_key,
    sources_of,
    with_any_number,
)
from .promotion import note_telling
from .rebound import FormCheck, Move, Rebound, results_of
from .refusals import unrepeatable
from .results import Result
from .resume import Resumer
from .returned import describe_results, place_numbers
from .slots import introduce
from .stages import Left
from .working import Working

# Captures put stand-ins at places of Python state, where another thread's capture would take them for what is there.
capturing = Alone()


def trace(
    fn: Any, args: Any, kwargs: Any, leaves: list[Any], fast_math: bool = False, use: str | None = None,
    whole: bool = False, left: Left | None = None,
    shapes: Mapping[int, Shape] | None = None, make: Callable[..., Program] = Program,
    apart: Apart | None = None, sources: Sequence[Source] = (), rebound: Rebound | None = None,
    sizes: Sequence[tuple[Source, SymInt]] = (), takes: Callable[[Location], bool] | None = None,
    of_arrays: bool = False, cached: CachedCalls | None = None,
) -> tuple[Any, Program | None, list[str]]:  # fmt: skip
    """Runs `fn` eagerly under a tracer: its result, and the program, or the reasons why there is none.

    With `whole` the graph gives all results, also those that a call would not take from it (inputs and
    views of them). With `left` it goes on from where a compiled call left the tree, whose values are
    not computed again. With `shapes` argument leaves have symbolic sizes, and so are the numbers in `sizes`; `make`
    makes the program. Statements in `apart` are no part of the program: they run at the end of each call.
    The numbers in `sources` are inputs of the program, as are the tensors at places that `rebound` knows, and numbers
    taken out of tensors where `takes` says so; with `of_arrays` those of arrays among the arguments are as these are.
    `cached` knows the calls of functions whose results Python keeps.
    """
    with capturing.lock:
        call = _Call(
            fn, args, kwargs, leaves, left, shapes, apart, sources, rebound, takes, whole, of_arrays,
            cached or CachedCalls(),
        )  # fmt: skip
        tracer, numbers = call.tracer, call.formulas
        symbolic = isinstance(tracer, SymbolicTracer)
        decided: Any = guarded(leak=tracer.sizes_read) if symbolic else nullcontext()
        with as_before(call.watch.over), decided as guards, tracer, numbers or nullcontext():
            try:
                result = call.run(fn, symbolic, sizes if symbolic else ())
            except BaseException:
                if symbolic:
                    settle_sizes(call.footprint, (args, kwargs))
                raise
            happened = call.settle(result)
            moves = [] if whole else call.moves(result, happened)
            out = call.outcome(result, happened, moves, whole)
            result = _plainly(result)
            call.forget_what_is_read_afresh()
            refusals = call.refusals(out, happened)
            if whole:
                refusals += [f"{draw.name} gives others on each call" for draw, _ in call.drawn]
            if symbolic:
                settle_writes(call.watch.happenings)
                if refusals:
                    settle_sizes(call.footprint, (args, kwargs))
            if refusals:
                return result, None, refusals
            finished, results = call.finished(out, whole)
        every = (*sources, *(s for s, _ in sizes))
        call.footprint.checks = with_any_number(call.footprint.checks, every)
        program = make(
            call.name, finished, results, out.tree, call.footprint, _described(fn, call.labels, leaves),
            call.arguments.contents(), call.tracer.swept, fast_math, finished.device, use,
        )  # fmt: skip
        call.complete(program, out, happened)
        if symbolic:
            program.guards, program.read_at = tuple(guards or ()), call.tracer.read_at
        return result, program, []


class _Outcome(NamedTuple):
    """What a program gives: the leaves of the result, those that statements set apart read, and those moved."""

    given: Any
    leaves: list[Any]
    tree: Any
    numbers: dict[int, Result]
    uses: dict[int, Use]
    arrays: list[int]  # which of the leaves stand for their arrays
    moves: list[Move]
    histories: frozenset[int]  # ids of gradients among the leaves


class _Call:
    """One traced call: what is known before it runs, and what it turns out to have done, in the order of `trace`."""

    def __init__(
        self, fn: Any, args: Any, kwargs: Any, leaves: list[Any], left: Left | None,
        shapes: Mapping[int, Shape] | None, apart: Apart | None, sources: Sequence[Source],
        rebound: Rebound | None, takes: Callable[[Location], bool] | None, whole: bool, of_arrays: bool,
        cached: CachedCalls,
    ) -> None:  # fmt: skip
        self.leaves, self.sources, self.rebound = leaves, sources, rebound
        self.modes = modes()
        self.labels = labels(fn, flatten((args, kwargs))[1])
        if rebound is not None and len(leaves) > len(self.labels):
            self.labels += rebound.along.labels()
        self.name = getattr(fn, "__name__", type(fn).__name__)
        roots = [(fn, self.name), *_objects(leaves, (args, kwargs))]
        roots += [(default_generator, "the default generator"), *cached.roots]
        self.cached = cached
        self.met: list[CachedCall] = []  # what it calls of functions whose results Python keeps
        self.footprint = Footprint(roots, apart)
        some_apart = apart is not None and apart.active
        # what statements set apart reach besides is looked into so far
        enough = len(self.footprint.found()) + ENOUGH
        self.everything = Footprint(roots, enough=enough) if some_apart else self.footprint
        if self.everything.ended:
            self.footprint.refusals += self.everything.refusals[-1:]
        note_telling(self.footprint, self.everything)
        if shapes is not None and "type" in self.footprint.telling - self.footprint.followed:
            self.footprint.refusals += [
                "sizes are symbolic, and the code does more with `type` than to call it"
            ]
        self.footprint.refusals += why_not_drawn(self.footprint, leaves)
        self.footprint.refuse_attributes(
            [(i, v) for i, v in enumerate(leaves) if isinstance(v, Tensor)]
        )
        self.tracer = self._tracer(left, shapes)
        eager = whole or bool(self.footprint.refusals) or isinstance(self.tracer, SymbolicTracer)
        follows = not eager and self._follows_arrays()
        # what takes arrays of tensors may be set apart
        functions = self.footprint.functions

        def last() -> bool:
            return some_apart or not any(map(statements, functions))

        self.working = Working(self.tracer, leaves, of_arrays, last) if follows else None
        self.tracer.working = self.working
        how = shapes or {}, self.working
        self.arguments = Arguments(args, kwargs, leaves, self.footprint, *how)
        self.tracer.root = called.__code__
        introduce(self.tracer, leaves, self.footprint, left and left.program.trace)
        at = dict if rebound is None else rebound.at
        self.watch = Watch(self.footprint, self.tracer, at, some_apart)
        self.formulas = Formulas(sources, leaves) if sources or takes is not None else None
        plain = type(self.tracer) is Tracer and self.formulas is None
        self.tracer.hears_after = plain and self.tracer.quick
        self.takes = takes
        self.taken: list[tuple[Taken, Concrete]] = []  # numbers that are inputs from there on
        if takes is not None:
            self.tracer.take = self._take
        self.tracer.entry = _entry_numbers(self.footprint, self.formulas)
        self.uses: dict[int, Use] = {}  # numbers in the result that were worked out from live ones
        self.rewritten: set[Any] = set()  # places that no longer hold the number put there
        self.cannot: list[str] = []  # why statements could not be set apart

    def _tracer(self, left: Left | None, shapes: Mapping[int, Shape] | None) -> Tracer:
        if left is not None:
            return Resumer(left.program.trace, left.env, left.stop, True)
        plain_sizes = shapes is None or self.footprint.refusals
        return Tracer() if plain_sizes else SymbolicTracer(shapes or {})

    def _take(self, number: Concrete) -> Any:
        """What the code gets for a number that it takes out of a tensor: a live one, where that may be any."""
        live = type(number.value) in LIVE_OF and mode.formulas is self.formulas
        if not (live and self.takes is not None and self.takes(number.where)):
            return number.value
        source = Taken(len(self.tracer.concrete) - 1, len(self.leaves), number.where)
        self.taken.append((source, number))
        assert self.formulas is not None
        return self.formulas.take(source, number.value)

    def _follows_arrays(self) -> bool:
        """Whether what NumPy makes of arrays is followed: not where code could tell what stands for one, or has NumPy
        tell of what its functions meet."""
        told = self.everything.all_names & {*"type errstate seterr seterrcall simplefilter".split()}
        return not (self.footprint.takes_memory or told)

    def run(self, fn: Any, symbolic: bool, sizes: Sequence[tuple[Source, SymInt]]) -> Any:
        """Runs the function, and gives its result."""
        arguments, tracer = self.arguments, self.tracer
        if self.rebound is not None:
            inputs = () if self.formulas is None else self.formulas.inputs
            stand_ins = (*zip(self.sources, inputs, strict=False), *sizes)
            self.watch.entry = self.rebound.at() | {s.key: id(x) for s, x in stand_ins}
        try:
            with self.watch.watching():
                result, self.uses, self.rewritten = called(
                    fn, *arguments.tree, self.sources, self.formulas, self.everything,
                    symbolic, sizes, None if self.footprint.refusals else arguments.watched, self.working,
                    partial(taking_down, self.everything.caching, self.met),
                )  # fmt: skip
        finally:
            tracer.working = None  # which refers to the tracer: what the call met would outlive it
            tracer.latest = None
        tracer.entry.clear()  # it would keep live numbers
        self.watch.gives(result)
        return result

    def settle(self, result: Any) -> list[Happening]:
        """The runs of statements that are set apart; what they rely on is checked from now on."""
        given = None if self.watch.returned else result
        if not all(draw.of_clock for draw, _ in self.drawn):
            self._keep_what_draws()
        self.cannot = self.watch.settle(given, [*self.arguments.tree, *self.leaves])
        self.cannot += self.cached.learn(self.met)
        if not self.cannot:
            given_again = (c.check() for c in self.cached.known if any(map(c.same, self.met)))
            self.footprint.checks = [*self.footprint.checks, *given_again]
        happened = [] if self.cannot else self.watch.happenings
        self.written = Written(self.tracer)
        if happened:
            relied = relied_on(self.everything, self.footprint, happened, self.written)
            self.footprint.checks = [*self.footprint.checks, *relied]
            if self.written.any():
                _read_by(happened, self.tracer, self.footprint, self.everything)
        return happened

    def _keep_what_draws(self) -> None:
        """Statements that may draw random numbers, as the program does, stay where they are."""
        places = [c for c in self.everything.drawing if not is_clock(c.expected)]
        names = DRAWING | {str(c.key) for c in places} | {c.name for c in places}
        for h in self.watch.happenings:
            if h.names & names or any(stood_for(v) is not v for v in h.values.values()):
                h.problem = h.problem or "it may draw random numbers, as the program does"

    @property
    def drawn(self) -> list[tuple[Draw, Any]]:
        """The random numbers that Python drew, and how."""
        return [(c.draw, c.value) for c in self.tracer.concrete if type(c.draw) is Draw]

    def moves(self, result: Any, happened: list[Happening]) -> list[Move]:
        """Places in Python state that the call has given other tensors or numbers."""
        tree, writes = self.arguments.tree, self.tracer.writes
        moves = []
        if self.rebound is not None:
            moves = self.rebound.take(
                self.tracer, self.footprint, result, tree, happened, self.rewritten,
                self.watch.entry,
            )  # fmt: skip
        left = {m.place.key: id(m.place.read(())) for m in moves}
        for h in happened:
            h.by_size &= h.writes_before != writes or any(h.at.get(k) != v for k, v in left.items())
        return moves

    def outcome(
        self, result: Any, happened: list[Happening], moves: list[Move], whole: bool
    ) -> _Outcome:
        """What a program has to give for this."""
        self.written.learn(self.tracer)
        given = None if self.watch.returned else result
        numbers = place_numbers(self.tracer, given, happened)
        leaves, tree = flatten(given)
        uses = {} if self.watch.returned else self.uses
        for h in happened:
            uses.update({len(leaves) + i: use for i, use in h.uses.items()})
            leaves += h.leaves
        moves = results_of(moves, leaves, uses, self.formulas)
        leaves = [origin_of(v) for v in leaves]
        for i, v in enumerate(leaves):
            if self.working is not None and self.working.has(v, i < tree.num_leaves):
                self.tracer.arrays[id(v)] = v, self.working.tensor_of(v)
        shown = [] if whole else self.grads_to_give(leaves)
        there = set(map(id, leaves))
        leaves += {id(g): g for g in shown if id(g) not in there}.values()
        taken = [self.tracer.arrays.get(id(v)) for v in leaves]
        leaves = [v if known is None else known[1] for v, known in zip(leaves, taken, strict=True)]
        for t in leaves:  # so that tensors that are only returned count as read
            if isinstance(t, Tensor):
                self.tracer.var_of(t)
        arrays = [i for i, known in enumerate(taken) if known is not None]
        return _Outcome(
            given, leaves, tree, numbers, uses, arrays, moves, frozenset(map(id, shown))
        )

    def grads_to_give(self, leaves: list[Any]) -> list[Tensor]:
        """The gradients that the call leaves and that have to be results of it, too: those that can themselves be
        differentiated, and those whose memory results or other gradients have."""
        left = [t.tensor._grad for t in self.tracer.lasting_grads() if t.written]
        left = [g for g in left if g is not None]
        shown = [*leaves, *left]
        met = Counter(id(b) for v in shown if isinstance(v, Tensor) for b in _views_up(v))
        return [
            g
            for g in left
            if (g.requires_grad and not swept(g)) or any(met[id(b)] > 1 for b in _views_up(g))
        ]

    def forget_what_is_read_afresh(self) -> None:
        """No assumptions are made on what each call reads anew, nor on a generator that nothing was drawn from."""
        promoted = () if self.rebound is None else self.rebound.numbers.places
        kept = {(id(c.holder), c.key) for c in self.footprint.checks if place_key(c) in promoted}
        for root in self.tracer.roots:
            if root.slot.kind == "number":
                holder, key = root.slot.key
                if (id(holder), key) not in kept:  # captures are compared by what was there
                    self.footprint.forget(holder, key)
        if not any(root.tensor is default_generator.state for root in self.tracer.roots):
            self.footprint.forget_objects(default_generator, default_generator.state)

    def refusals(self, out: _Outcome, happened: list[Happening]) -> list[str]:
        """The reasons why there can be no program."""
        tracer, footprint = self.tracer, self.footprint
        numbers = kept_numbers(self.formulas, happened)
        # a statement that could not be set apart may have kept them
        worked = () if self.working is None else self.working.refusals(out.leaves)
        reasons = [*footprint.refusals, *worked, *tracer.refusals, *(self.cannot or numbers)]
        if modes() != self.modes:
            reasons.append("it leaves another gradient mode, default dtype or default device")
        early = [h.statement.where for h in happened if h.by_size]
        reasons += [f"{at} may fail at other sizes, and tensors are written later" for at in early]
        if any(tracer.concrete[s.index] is not number for s, number in self.taken):
            reasons.append(LEADS)
        if self.watch.returned and not tracer.nodes:
            reasons.append("all that it does would run at the end of the call")
        return reasons or unrepeatable(
            tracer, footprint, self.arguments, out.given, out.leaves, out.moves
        )

    def finished(self, out: _Outcome, whole: bool) -> tuple[Trace, tuple[Result, ...]]:
        """The trace with its outputs, and how each leaf of the result is made of them."""
        if whole:
            return finish(self.tracer, [v for v in out.leaves if isinstance(v, Tensor)]), ()
        trace, results = describe_results(
            self.tracer, out.leaves, self.arguments, out.numbers, self.footprint.tensors
        )
        places = {id(t): i for i, t in enumerate(out.leaves) if id(t) in out.histories}
        grads = tuple(
            g._replace(result=places[id(g.owner._grad)], released=False)
            if id(g.owner._grad) in places
            else g
            for g in trace.grads
        )
        trace = trace._replace(grads=grads)
        return trace, tuple(
            Result("computed", out.uses[i].place)
            if i in out.uses
            else r._replace(array=i in out.arrays)
            for i, r in enumerate(results)
        )

    def complete(self, program: Program, out: _Outcome, happened: list[Happening]) -> None:
        """Gives a program what else was found out: names, promoted numbers, effects and rebound places."""
        program.given = self.arguments.structure, tuple(self.leaves)
        program.marks = tuple(self.tracer.marks)
        if self.formulas is not None and self.formulas.sources:
            sources = (*self.sources, *(source for source, _ in self.taken))
            program.promoted = Promoted(sources, self.formulas.values, self.formulas)
        program.effects, program.moves = effects_of(happened), out.moves
        program.places = [c for c in self.footprint.checks if isinstance(c, FormCheck)]


def _objects(leaves: Sequence[Any], tree: Any) -> list[tuple[Any, str]]:
    """Objects among the arguments whose state counts, and classes of arguments whose methods do."""
    data = (Tensor, np.ndarray)
    objects = [
        (v, f"argument {i}")
        for i, v in enumerate(leaves)
        if not (isinstance(v, data) or is_source(v))
    ]
    holders = [*containers(tree), *(v for v in leaves if isinstance(v, data))]
    kinds = dict.fromkeys(map(type, holders))
    return [*objects, *((k, k.__name__) for k in kinds if users(k.__module__))]


def _plainly(result: Any) -> Any:
    """A result without what stood for arrays and sizes while the function ran."""
    leaves, tree = flatten(result)
    if any(isinstance(v, (Watched, SymInt, SymFloat)) for v in leaves):
        return unflatten(tree, [plain(origin_of(v)) for v in leaves])
    return result


def resume(fn: Any, args: Any, kwargs: Any, leaves: list[Any], left: Left) -> tuple[Any, list[Var]]:
    """Goes on with a call that left the tree: its result, and the values that were computed again."""
    tracer = Resumer(left.program.trace, left.env, left.stop, False)
    tracer.root = called.__code__
    introduce(tracer, leaves, left.program.footprint, left.program.trace)
    sources = sources_of(left.program)
    formulas = Formulas(sources, leaves) if sources else None
    watch = Watch(left.program.footprint, tracer)
    with as_before(watch.over), tracer, formulas or nullcontext(), watch.watching():
        footprint = left.program.footprint
        caching = partial(taking_down, footprint.caching, [])
        result = called(
            fn, args, kwargs, sources, formulas, footprint, watched={}, caching=caching
        )[0]
    kept_numbers(formulas)
    return result, tracer.learned


def _views_up(t: Tensor) -> Iterator[Tensor]:
    """A tensor, what it is a view of, and so on."""
    yield t
    while t._parent is not None:
        t = t._parent[0]
        yield t


def _described(fn: Any, names: Sequence[str], leaves: list[Any]) -> tuple[Assumption, ...]:
    """What is assumed of the argument leaves, each under the name of its parameter."""
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    where = (
        NOWHERE if code is None else Location(code.co_filename, code.co_firstlineno, code.co_name)
    )
    return tuple(
        Assumption("argument", label, str(v.tensor_type) if isinstance(v, Tensor) else v, where)
        for label, v in zip(names, leaves, strict=True)
    )


def _read_by(
    happened: Sequence[Happening], tracer: Tracer, footprint: Footprint, everything: Footprint
) -> None:
    """Makes inputs of what statements set apart read, where a call writes tensors: it must not be the same memory."""
    for t in (t for h in happened for t, _ in h.touched):
        if id(t) in everything.tensors and not tracer.knows(t):
            footprint.tensors.setdefault(id(t), everything.tensors[id(t)])
            tracer.var_of(t)


def _entry_numbers(footprint: Footprint, formulas: Formulas | None) -> dict[tuple[int, Any], Any]:
    """The floats among the entries of dicts before the call, by dict and key; each as an object of its own."""
    found = {}
    for c in footprint.checks:
        if isinstance(c, EntryCheck) and type(c.expected) is float and c.read() is c.expected:
            c.expected = found[id(c.holder), c.key] = float.fromhex(c.expected.hex())
            dict.__setitem__(c.holder, c.key, c.expected)
    for source, number in zip(formulas.sources, formulas.inputs, strict=True) if formulas else ():
        if isinstance(source, Place):
            found[id(source.check.holder), source.check.key] = number
    return found
