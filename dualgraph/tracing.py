"""Tracing: one eager run of a function, seen by a tracer, as a program - or the reasons why it cannot be one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from .core import dtypes as dt
from .core.constant import exact
from .core.context import state
from .core.devices import CPU
from .core.errors import NOWHERE, Location
from .core.formulas import Formulas
from .core.guards import guarded
from .core.node import THROUGH, Var, hooked
from .core.prim import Prim
from .core.spans import in_one_memory
from .core.symbolic import SymFloat, SymInt, plain
from .core.trees import containers, flatten, unflatten
from .core.types import Shape
from .core.watch import Watched, origin_of, watched
from .eager.random import default_generator
from .eager.tensor import Tensor
from .effects import Happening, Watch, effects_of, relied_on
from .program import Program
from .promoted import Leaf, Place, Promoted, called, kept_numbers, sources_of, with_any_number
from .results import Result
from .resume import Resumer
from .stages import Left
from .static.capture import Slot, Trace, Tracer, finish
from .static.checks import ATOMS, Assumption, same_bytes
from .static.flow import TAKERS, Flow, places
from .static.footprint import MAX_ARRAY_BYTES, Footprint
from .static.statements import Apart
from .static.symbolic import SymbolicTracer


@dataclass(slots=True)
class ArrayArgument:
    """A NumPy array among the argument leaves: its place, its values before the call, and who saw them."""

    leaf: int
    array: Any
    before: Any
    seen: Watched | None  # None where reads cannot be noticed

    def was_read(self) -> bool:
        return self.seen is None or self.seen.was_read


class Arguments:
    """The arguments of a traced call, arrays replaced by watched ones where reads of them can be noticed."""

    def __init__(self, args: Any, kwargs: Any, leaves: list[Any], footprint: Footprint) -> None:
        self.leaves = leaves
        self.tree = (args, kwargs)
        self.flat, self.structure = flatten(self.tree)
        self.args, self.kwargs = args, kwargs
        self.arrays: list[ArrayArgument] = []
        places = [i for i, v in enumerate(leaves) if isinstance(v, np.ndarray)]
        if not places:
            return
        given = [*args, *kwargs.values()]
        direct = {}
        for v in given if not footprint.reads_arrays else ():
            if type(v) is np.ndarray and sum(v is u for u in given) == sum(v is u for u in leaves):
                direct[id(v)] = watched(v)
        self.arrays = [
            ArrayArgument(i, leaves[i], leaves[i].copy(), direct.get(id(leaves[i]))) for i in places
        ]
        self.args = tuple(direct.get(id(v), v) for v in args)
        self.kwargs = {k: direct.get(id(v), v) for k, v in kwargs.items()}

    def changed(self) -> bool:
        """Whether a container among the arguments was changed by the call."""
        now, structure = flatten(self.tree)
        return structure != self.structure or any(
            a is not b for a, b in zip(now, self.flat, strict=True)
        )


def trace(
    fn: Any, args: Any, kwargs: Any, leaves: list[Any], fast_math: bool = False, use: str | None = None,
    whole: bool = False, left: Left | None = None,
    shapes: Mapping[int, Shape] | None = None, make: Callable[..., Program] = Program,
    apart: Apart | None = None, sources: Sequence[Leaf | Place] = (),
) -> tuple[Any, Program | None, list[str]]:  # fmt: skip
    """Runs `fn` eagerly under a tracer: its result, and the program, or the reasons why there is none.

    With `whole` the graph gives all results, also those that a call would not take from it (inputs and
    views of them). With `left` it goes on from where a compiled call left the tree, whose values are
    not computed again. With `shapes` argument leaves have symbolic sizes, and `make`
    makes the program. Statements in `apart` are no part of the program: they run at the end of each call.
    The numbers in `sources` are inputs of the program.
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
    _introduce(tracer, leaves, footprint)
    leak = tracer.sizes_read if isinstance(tracer, SymbolicTracer) else None
    watch = Watch(footprint, tracer)
    formulas = Formulas(sources, leaves) if sources else None
    with (
        guarded(leak=leak) if leak is not None else nullcontext() as guards,
        tracer,
        nullcontext() if formulas is None else formulas.recording(),
    ):
        with watch.watching():
            call = fn, arguments.args, arguments.kwargs
            result, uses = called(*call, sources, formulas, footprint.checks)
        watch.gives(result)
        given = None if watch.returned else result  # what the program gives
        cannot = watch.settle(given, [args, kwargs, *leaves])
        happened = [] if cannot else watch.happenings
        if happened:
            footprint.checks = [*footprint.checks, *relied_on(everything, footprint, happened)]
        numbers = _place_numbers(tracer, given, happened)
        out_leaves, out_tree = flatten(given)
        uses = {} if watch.returned else uses
        for h in happened:
            uses.update({len(out_leaves) + i: use for i, use in h.uses.items()})
            out_leaves += h.leaves
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
        refusals = refusals or [
            *_changes(tracer, footprint, arguments), *_unknown(tracer, footprint), *_overlapping(tracer),
            *_unrepeatable(given, out_leaves, footprint, arguments), *_untraceable_gradients(tracer, out_leaves),
        ]  # fmt: skip
        if refusals:
            return result, None, refusals
        if whole:
            finished = finish(tracer, [v for v in out_leaves if isinstance(v, Tensor)])
            results: tuple[Result, ...] = ()
        else:
            finished, results = _describe_results(tracer, out_leaves, arguments, numbers)
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
    program.effects = effects_of(happened)
    if isinstance(tracer, SymbolicTracer):
        program.guards, program.read_at = tuple(guards or ()), tracer.read_at
    return result, program, []


def resume(fn: Any, args: Any, kwargs: Any, leaves: list[Any], left: Left) -> tuple[Any, list[Var]]:
    """Goes on with a call that left the tree: its result, and the values that were computed again."""
    tracer = Resumer(left.program.trace, left.env, left.stop, False)
    tracer.root = called.__code__
    _introduce(tracer, leaves, left.program.footprint)
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


def _introduce(tracer: Tracer, leaves: list[Any], footprint: Footprint) -> None:
    """Tells a tracer where tensors and arrays of each call come from."""
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            tracer.add_root(leaf, Slot("leaf", (i, leaf), leaf.type, leaf._requires_grad))
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, np.ndarray):
            _know(tracer, leaf, "leaf", (i, leaf))
    for array, _ in footprint.arrays.values():
        _know(tracer, array, "array", array)


def _know(tracer: Tracer, array: Any, kind: str, key: Any) -> None:
    """Lets the tracer find an array again that can be an input."""
    if array.dtype.isnative and array.dtype.name in dt.BY_NAME:
        tracer.know_array(array, Slot(kind, key, Tensor(array, dt.from_numpy(array.dtype)).type))


# --- why a capture cannot be repeated ------------------------------------------------------------


def _changes(tracer: Tracer, footprint: Footprint, arguments: Arguments) -> list[str]:
    """State that the function itself changes, other than tensors."""
    reasons = []
    changed = footprint.failing()
    if changed is not None:
        reasons.append(f"the function changes {changed.name}, which it also reads")
    if arguments.changed():
        reasons.append("it changes a container among its arguments")
    for root in tracer.roots:
        given = root.slot.kind in ("leaf", "tensor")
        if given and root.tensor._requires_grad is not root.slot.requires_grad:
            reasons.append("it changes whether an input requires gradients")
    stored = {
        id(r.slot.key[1]) for r in tracer.roots if r.slot.kind == "leaf" and _is_written(tracer, r)
    }
    for a in arguments.arrays:
        if a.array.dtype.hasobject:
            reasons.append("the objects in a NumPy array cannot be checked")
        elif a.was_read() and a.array.nbytes > MAX_ARRAY_BYTES:
            reasons.append(
                "it looks into a NumPy array that is too large to compare on each call; pass a tensor"
            )
        elif not same_bytes(a.array, a.before) and (a.was_read() or id(a.array) not in stored):
            reasons.append("it changes a NumPy array in place")
    return reasons


def _unknown(tracer: Tracer, footprint: Footprint) -> list[str]:
    """Tensors and gradients that may be others on the next call."""
    reasons = []
    for root in tracer.roots:
        if root.slot.kind == "tensor" and id(root.slot.key) not in footprint.tensors:
            reasons.append(f"a tensor {root.slot.type} comes from a place that cannot be checked")
    for track in tracer.grads.values():
        known = id(track.tensor) in footprint.tensors or any(
            r.tensor is track.tensor for r in tracer.roots
        )
        if not known and track.at_entry is not None:
            reasons.append("the gradient of a tensor of unknown origin is read")
    if tracer.swept and any(hooked(r.tensor._node) for r in tracer.roots):
        reasons.append("a hook is set on an input, and gradients are computed inside")
    devices = {v.type.device for n in tracer.nodes for v in n.outputs} - {CPU}
    if len(devices) > 1:
        reasons.append(f"it works on several devices: {', '.join(sorted(map(str, devices)))}")
    return reasons


def _is_written(tracer: Tracer, root: Any) -> bool:
    return not root.twin and tracer._current[id(root.tensor)][1] is not root.var


def _overlapping(tracer: Tracer) -> list[str]:
    """Writes whose order among inputs in one memory would count."""
    written = {id(r) for r in tracer.roots if _is_written(tracer, r)}
    for r in tracer.roots if state.grad else ():
        if id(r) in written and r.tensor._node is not None and r.tensor._node.prim is not None:
            return ["an input that was written in place has a history on the tape"]
    tensors = [r.tensor for r in tracer.roots]
    for i, j in in_one_memory(tensors) if written else ():
        if {id(tracer.roots[i]), id(tracer.roots[j])} & written and tensors[i] is not tensors[j]:
            return ["inputs that share memory are written in place"]
    return []


def _unrepeatable(
    result: Any, leaves: list[Any], footprint: Footprint, arguments: Arguments
) -> list[str]:
    """Results that a program could not give again: objects made by the call, and containers of the caller's."""
    given = {id(v) for v in arguments.flat}
    for leaf in leaves:
        constant = isinstance(leaf, (Tensor, np.generic, type, *ATOMS))
        if not constant and id(leaf) not in given and not footprint.reaches(leaf):
            return [
                f"it gives a {type(leaf).__name__}, which is no tensor and is made anew on each call"
            ]
    own = {id(c) for c in containers(arguments.tree)}
    for container in containers(result):
        if not isinstance(container, tuple) and (
            id(container) in own or footprint.reaches(container)
        ):
            return [f"it gives a {type(container).__name__} that exists outside of it"]
    return []


def _untraceable_gradients(tracer: Tracer, leaves: list[Any]) -> list[str]:
    """What a replay of the graph for gradients could not repeat."""
    inside = {id(r.tensor._node) for r in tracer.roots}
    work: list[Any] = []
    for v in leaves:
        if isinstance(v, Tensor) and v._grad is not None and not tracer.is_root(v):
            return ["it gives a tensor made inside that has a gradient"]
        if isinstance(v, Tensor) and v.requires_grad and not tracer.is_root(v):
            if v._node is None:
                return ["it gives a new leaf that requires gradients"]
            if not state.grad and not v._node.released:
                return ["gradients flow through it, though it was called under no_grad"]
            if id(v._node) not in inside and not v._node.released:
                work.append(v._node)
    if work:
        for root in tracer.roots:
            if root.slot.requires_grad and _is_written(tracer, root):
                return [
                    "an input that requires gradients is written in place, and gradients flow through the call"
                ]
    seen: set[int] = set()
    while work:
        node = work.pop()
        if id(node) in seen or id(node) in inside:
            continue
        seen.add(id(node))
        if node.released:
            return ["gradients flow through a part of the call that was already swept"]
        if node.prim is not THROUGH and getattr(node.prim, "as_its_ops", False):
            return [f"gradients flow through a {node.prim.name}, whose values a program would keep"]
        if not isinstance(node.prim, Prim) and node.prim is not THROUGH:
            return ["gradients flow through a user's own function or a new leaf"]
        if _spoiled(node):
            return ["a value that a gradient may need was written in place"]
        if hooked(node):
            return ["gradients flow through an intermediate that has a hook"]
        work.extend(e[0] for e in node.inputs if e is not None)
    return []


def _spoiled(node: Any) -> bool:
    """Whether something that a tape node saved was written since."""
    kept, results = node.saved
    return any(type(k) is tuple and k[0]._version != k[1] for k in kept) or any(
        r[1][0] != r[2] for r in results or ()
    )


# --- results -------------------------------------------------------------------------------------


def _describe_results(
    tracer: Tracer, leaves: list[Any], arguments: Arguments, numbers: dict[int, Result]
) -> tuple[Trace, tuple[Result, ...]]:
    roots = {id(r.tensor): i for i, r in enumerate(tracer.roots)}
    places = {id(v): i for i, v in enumerate(arguments.leaves) if isinstance(v, np.ndarray)}
    chains = {id(v): _chain(v, roots) for v in leaves if isinstance(v, Tensor)}
    sharing = Counter(id(base) for _, base in chains.values())
    tensors: list[Tensor] = []
    results: list[Result] = []
    first: dict[int, int] = {}  # where among the results a tensor is

    def output(t: Tensor, chain: Any = (), base: int | None = None) -> Result:
        tensors.append(t)
        released = t._node is not None and t._node.prim is not None and t._node.released
        return Result("output", len(tensors) - 1, chain, t.requires_grad, released, base)

    for i, leaf in enumerate(leaves):
        if i in numbers:
            results.append(numbers[i])
        elif not isinstance(leaf, Tensor):
            results.append(
                Result("leaf", places[id(leaf)]) if id(leaf) in places else Result("value", leaf)
            )
        elif id(leaf) in first:
            results.append(Result("same", first[id(leaf)]))
        elif id(chains[id(leaf)][1]) in roots:
            chain, base = chains[id(leaf)]
            if chain and leaf.requires_grad:  # its place on the tape is among the other results
                tracked = output(leaf)
                results.append(
                    tracked._replace(
                        kind="view", key=roots[id(base)], chain=chain, output=tracked.key
                    )
                )
            else:
                kind = "view" if chain else "input"
                results.append(Result(kind, roots[id(base)], chain))
        else:
            results.append(output(leaf))
        first.setdefault(id(leaf), i)
    for i, leaf in enumerate(leaves):
        chain, base = chains.get(id(leaf), ((), leaf))
        if results[i].kind == "output" and chain and sharing[id(base)] > 1:
            if id(base) not in first:
                first[id(base)] = len(results)
                results.append(output(base))
            results[i] = results[i]._replace(chain=chain, base=first[id(base)])
    finished = finish(tracer, tensors)
    start = len(finished.graph.outputs) - len(finished.concrete) - len(finished.numbers)
    for i, r in numbers.items():
        results[i] = r._replace(key=start + r.key)
    return finished, tuple(results)


def _place_numbers(tracer: Tracer, result: Any, happened: list[Happening]) -> dict[int, Result]:
    """For each leaf of the result, and of what statements set apart read, that is a number which goes nowhere
    else: which number, and as what."""
    found: dict[int, Result] = {}
    values = flatten(result)[0]
    size = len(values)
    values += [v for h in happened for v in h.leaves]
    for k, number in enumerate(tracer.numbers):
        assert number.flow is not None
        taker = number.flow.taker
        at = places(number.flow.form, result, _leaves)
        told = _places_told(number.flow, k, happened, size)
        value = TAKERS.get(taker, lambda v: v)(number.value)
        if at is None or told is None or any(i in found for i in at):
            break
        if any(exact(values[i]) != exact(value) for i in (*at, *told)):
            break
        found.update({i: Result(taker, k) for i in (*at, *told)})
    else:
        return found
    merged = [*tracer.concrete, *tracer.numbers]  # no proof after all
    tracer.concrete = sorted(merged, key=lambda c: c.at)
    tracer.numbers = []
    return {}


def _leaves(tree: Any) -> int:
    return len(flatten(tree)[0])


def _places_told(flow: Flow, k: int, happened: list[Happening], start: int) -> list[int] | None:
    """The leaves of what statements set apart have read that are number `k`; None if that does not fit."""
    found: list[int] = []
    for h in happened:
        for name, value in h.values.items():
            for serial, statement, variable, form in flow.reads if h.numbers > k else ():
                if (serial, variable) == (h.serial, name) and statement is h.statement:
                    at = places(form, value, _leaves)
                    if at is None:
                        return None
                    found += [start + i for i in at]
            start += _leaves(value)
    return found


def _chain(leaf: Tensor, roots: dict[int, int]) -> tuple[tuple[Any, ...], Tensor]:
    """The view ops that make `leaf` from an input, or else from the tensor whose memory it has; and that one."""
    chain: list[Any] = []
    t = leaf
    while t._parent is not None and id(t) not in roots:
        parent, prim, params = t._parent
        chain.append((prim, params))
        t = parent
    return tuple(reversed(chain)), t
