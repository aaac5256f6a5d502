"""Tracing: one eager run of a function, seen by a tracer, as a program - or the reasons why it cannot be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import NOWHERE, Location
from ..core.formulas import Formulas
from ..core.guards import guarded
from ..core.node import Var
from ..core.symbolic import SymFloat, SymInt, plain
from ..core.trees import flatten, unflatten
from ..core.types import Shape
from ..core.watch import Watched, origin_of
from ..eager.random import default_generator
from ..eager.tensor import Tensor
from ..effects import Happening, Watch, Written, effects_of, relied_on
from ..static.capture import Tracer, finish
from ..static.checks import ATOMS, Assumption, EntryCheck
from ..static.footprint import Footprint
from ..static.statements import Apart
from ..static.symbolic import SymbolicTracer
from ..static.trace import Slot
from .arguments import Arguments
from .program import Program
from .promoted import Leaf, Place, Promoted, called, kept_numbers, sources_of, with_any_number
from .rebound import FormCheck, Move, Rebound, results_of
from .refusals import unrepeatable
from .results import Result
from .resume import Resumer
from .returned import describe_results, place_numbers
from .stages import Left


def trace(
    fn: Any, args: Any, kwargs: Any, leaves: list[Any], fast_math: bool = False, use: str | None = None,
    whole: bool = False, left: Left | None = None,
    shapes: Mapping[int, Shape] | None = None, make: Callable[..., Program] = Program,
    apart: Apart | None = None, sources: Sequence[Leaf | Place] = (), rebound: Rebound | None = None,
) -> tuple[Any, Program | None, list[str]]:  # fmt: skip
    """Runs `fn` eagerly under a tracer: its result, and the program, or the reasons why there is none.

    With `whole` the graph gives all results, also those that a call would not take from it (inputs and
    views of them). With `left` it goes on from where a compiled call left the tree, whose values are
    not computed again. With `shapes` argument leaves have symbolic sizes, and `make`
    makes the program. Statements in `apart` are no part of the program: they run at the end of each call.
    The numbers in `sources` are inputs of the program, as are the tensors at places that `rebound` knows.
    """
    objects = [
        (v, f"argument {i}")
        for i, v in enumerate(leaves)
        if not isinstance(v, (Tensor, np.ndarray, *ATOMS))
    ]
    name = getattr(fn, "__name__", type(fn).__name__)
    roots = [(fn, name), *objects, (default_generator, "the default generator")]
    footprint = Footprint(roots, apart)
    everything = Footprint(roots) if apart is not None and apart.active else footprint
    arguments = Arguments(args, kwargs, leaves, footprint)
    footprint.refuse_attributes([(i, v) for i, v in enumerate(leaves) if isinstance(v, Tensor)])
    tracer: Tracer
    if left is not None:
        tracer = Resumer(left.program.trace, left.env, left.stop, True)
    else:
        plain_sizes = shapes is None or footprint.refusals
        tracer = Tracer() if plain_sizes else SymbolicTracer(shapes or {})
    tracer.root = called.__code__
    _introduce(tracer, leaves, footprint, left)
    leak = tracer.sizes_read if isinstance(tracer, SymbolicTracer) else None
    watch = Watch(footprint, tracer, dict if rebound is None else rebound.at)
    formulas = Formulas(sources, leaves) if sources else None
    tracer.entry = _entry_numbers(footprint, formulas)
    with (
        guarded(leak=leak) if leak is not None else nullcontext() as guards,
        tracer,
        nullcontext() if formulas is None else formulas.recording(),
    ):
        with watch.watching():
            call = fn, arguments.args, arguments.kwargs
            result, uses = called(*call, sources, formulas, footprint.checks)
        tracer.entry.clear()  # it would keep live numbers
        watch.gives(result)
        given = None if watch.returned else result  # what the program gives
        cannot = watch.settle(given, [args, kwargs, *leaves])
        happened = [] if cannot else watch.happenings
        written = Written(tracer)
        if happened:
            relied = relied_on(everything, footprint, happened, written)
            footprint.checks = [*footprint.checks, *relied]
            if written.any():
                _read_by(happened, tracer, footprint, everything)
        moves: list[Move] = []
        if rebound is not None and not whole:
            moves = rebound.take(tracer, footprint, result, arguments.tree, happened)
        written.learn(tracer)
        numbers = place_numbers(tracer, given, happened)
        out_leaves, out_tree = flatten(given)
        uses = {} if watch.returned else uses
        for h in happened:
            uses.update({len(out_leaves) + i: use for i, use in h.uses.items()})
            out_leaves += h.leaves
        moves = results_of(moves, out_leaves, uses, formulas)
        out_leaves = [origin_of(v) for v in out_leaves]
        whole_leaves, whole_tree = flatten(result)
        if any(isinstance(v, (Watched, SymInt, SymFloat)) for v in whole_leaves):
            result = unflatten(whole_tree, [plain(origin_of(v)) for v in whole_leaves])
        for t in out_leaves:  # so that tensors that are only returned count as read
            if isinstance(t, Tensor):
                tracer.var_of(t)
        for root in tracer.roots:
            if root.slot.kind == "number":  # read afresh on each call, so no assumption
                footprint.forget(*root.slot.key)
        if not any(root.tensor is default_generator.state for root in tracer.roots):
            footprint.forget_objects(
                default_generator, default_generator.state
            )  # nothing was drawn
        refusals = [
            *footprint.refusals,
            *tracer.refusals,
            *cannot,
            *kept_numbers(formulas, happened),
        ]
        if watch.returned and not tracer.nodes:
            refusals.append("all that it does would run at the end of the call")
        refusals = refusals or unrepeatable(tracer, footprint, arguments, given, out_leaves, moves)
        if refusals:
            return result, None, refusals
        if whole:
            finished = finish(tracer, [v for v in out_leaves if isinstance(v, Tensor)])
            results: tuple[Result, ...] = ()
        else:
            finished, results = describe_results(tracer, out_leaves, arguments, numbers)
            results = tuple(
                Result("computed", uses[i].place) if i in uses else r for i, r in enumerate(results)
            )
    footprint.checks = with_any_number(footprint.checks, sources)
    described = _described(fn, args, kwargs, leaves)
    contents = tuple((a.leaf, a.before) for a in arguments.arrays if a.was_read())
    program = make(
        name, finished, results, out_tree, footprint, described, contents, tracer.swept, fast_math,
        finished.device, use,
    )  # fmt: skip
    program.given = arguments.structure, tuple(leaves)
    program.marks = tuple(tracer.marks)
    if formulas is not None:
        program.promoted = Promoted(sources, formulas.values, formulas)
    program.effects, program.moves = effects_of(happened), moves
    program.places = [c for c in footprint.checks if isinstance(c, FormCheck)]
    if isinstance(tracer, SymbolicTracer):
        program.guards, program.read_at = tuple(guards or ()), tracer.read_at
    return result, program, []


def resume(fn: Any, args: Any, kwargs: Any, leaves: list[Any], left: Left) -> tuple[Any, list[Var]]:
    """Goes on with a call that left the tree: its result, and the values that were computed again."""
    tracer = Resumer(left.program.trace, left.env, left.stop, False)
    tracer.root = called.__code__
    _introduce(tracer, leaves, left.program.footprint, left)
    sources = sources_of(left.program)
    formulas = Formulas(sources, leaves) if sources else None
    recording = nullcontext() if formulas is None else formulas.recording()
    with tracer, recording, Watch(left.program.footprint, tracer).watching():
        checks = left.program.footprint.checks
        result = called(fn, args, kwargs, sources, formulas, checks)[0]
    kept_numbers(formulas)
    return result, tracer.learned


def _described(fn: Any, args: Any, kwargs: Any, leaves: list[Any]) -> tuple[Assumption, ...]:
    """What is assumed of the argument leaves, each under the name of its parameter."""
    code = getattr(getattr(fn, "__func__", fn), "__code__", None)
    where = NOWHERE
    names: list[str] = []
    if code is not None:
        where = Location(code.co_filename, code.co_firstlineno, code.co_name)
        skip = 1 if hasattr(fn, "__self__") else 0
        names = list(code.co_varnames[skip : code.co_argcount])
    labels: list[str] = []
    for i, value in enumerate([*args, *kwargs.values()]):
        rest = f"argument {i}" if i < len(args) else list(kwargs)[i - len(args)]
        label = names[i] if i < min(len(args), len(names)) else rest
        inner, tree = flatten(value)
        each = [f"{label}, leaf {j}" for j in range(len(inner))]
        labels += [label] if tree.kind is None else each
    return tuple(
        Assumption("argument", label, str(v.type) if isinstance(v, Tensor) else v, where)
        for label, v in zip(labels, leaves, strict=True)
    )


def _introduce(tracer: Tracer, leaves: list[Any], footprint: Footprint, left: Left | None) -> None:
    """Tells a tracer where tensors and arrays of each call come from."""
    if left is not None:
        slots = (s for s in left.program.trace.slots if s.kind == "place")
        tracer.places = {id(s.key.read()): s for s in slots}
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            tracer.add_root(leaf, Slot("leaf", (i, leaf), leaf.type, leaf._requires_grad))
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray):
            _know(tracer, leaf, "leaf", (i, leaf))
    for array, _ in footprint.arrays.values():
        _know(tracer, array, "array", array)


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


def _know(tracer: Tracer, array: Any, kind: str, key: Any) -> None:
    """Lets the tracer find an array again that can be an input."""
    if array.dtype.isnative and array.dtype.name in dt.BY_NAME:
        tracer.know_array(array, Slot(kind, key, Tensor(array, dt.from_numpy(array.dtype)).type))
