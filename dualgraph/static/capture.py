"""Capture: an eager run on real values, seen by a tracer that writes down every op.

The tracer never holds anything up: each op has run before it is recorded. Writes become values: a
written tensor's latest value is an output that is stored back when a compiled call ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, MappingProxyType
from typing import Any

import numpy as np

from ..core.backend import execute_eagerly
from ..core.constant import ConstArray
from ..core.context import state
from ..core.dtypes import float64, int64
from ..core.errors import CaptureError, Location, user_location
from ..core.node import Literal, Node, Var, sequence
from ..core.numbers.draws import Draw, Reading
from ..core.numbers.live import LIVE_OF, mode
from ..core.prim import lookup
from ..core.spans import is_view
from ..core.trees import flatten
from ..core.types import TensorType
from .code.flow import Watching, flow_here
from .graph import Graph, Operand, rewrite
from .region import is_region
from .scopes import group_scopes
from .trace import Concrete, GradEffect, Mark, Recording, Slot, Store, Trace

CHANGES = "the function changes"  # some Python state; what is made on first use settles
OWN = "gradients flow through a function of the user's own"


@dataclass(slots=True)
class Root:
    """A tensor that existed before the capture: its slot, and its var at entry."""

    tensor: Any
    slot: Slot
    var: Var
    twin: bool = False  # the same tensor is an input already: this one is not read


@dataclass(slots=True)
class GradTrack:
    """What a capture did with the ``.grad`` of one tensor that existed before it."""

    tensor: Any
    at_entry: Any  # the gradient when it was first read, or None
    read: bool = False
    written: bool = False


class Tracer:
    """Records the ops of one eager run as SSA nodes.

    ``depth``: ops on tensors of vmaps up to this deep are recorded as they are; of deeper ones, what
    they become in the tensors within.
    """

    depth = 0
    watches = False  # looks on, and writes nothing down
    watch: Callable[..., None] | None = None  # sees each op that is recorded, too
    quick = True  # whether it may hear of ops after they ran, as they do outside of captures
    hears_after = False  # whether these may run natively, too: where no number is live
    resuming = False  # whether results of ops may be known without running them
    takes_numbers = True  # whether live numbers may be inputs of the graph
    execute = staticmethod(execute_eagerly)  # how ops are run while this tracer looks on
    of_body = False  # it writes down the body of a loop or branch
    places: Mapping[int, Slot] = MappingProxyType({})  # of tensors from places known before
    at: Location | None = None  # where the op of another graph that is being run was written
    # What the code gets for a number that leads the way
    take: Callable[[Concrete], Any] | None = None
    working: Any = None  # what follows what NumPy makes of arrays

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.roots: list[Root] = []
        self.concrete: list[Concrete] = []
        self.numbers: list[Concrete] = []  # those that go nowhere but into the result
        self.root: CodeType | None = None  # what called the traced function
        self.apart: Watching | None = None  # who knows which statements are set apart
        self.refusals: list[str] = []
        self.latest: Any = None  # what the code got for the latest number that it drew
        self.grads: dict[int, GradTrack] = {}
        self.entry: dict[tuple[int, Any], Any] = {}  # numbers before the call, by dict and key
        self.places: dict[int, Slot] = {}  # of tensors that come from places where others may be
        # Arrays of tensors that go nowhere but into the result, each with its tensor.
        self.arrays: dict[int, tuple[Any, Any]] = {}
        self.swept = False  # gradients were computed
        # Hooks that the call changed, by identity: the list, and what a tensor from outside had there before (or None).
        self.hooks: dict[int, tuple[list[Any], list[Any] | None]] = {}
        self.writes = 0  # of tensors, and of gradients
        self.began = next(sequence)  # entries of the tape after this time are made here
        self._taped = state.grad
        self._untaped: set[Var] = set()  # results of ops that ran off the tape, of operands on it
        self._vars = 0
        # Results of nodes that are only repeated, by what these compute.
        self._known: dict[Any, list[tuple[Var, ...]]] = {}
        # The operand that each tensor is now, by identity; weak, so that intermediate values are freed.
        self._current: dict[int, tuple[weakref.ref[Any], Operand, int]] = {}
        self._numbers: dict[tuple[int, str, str], Any] = {}
        self._known_arrays: dict[int, Slot] = {}
        self._root_ids: set[int] = set()
        self.scopes: list[tuple[int, int, str]] = []  # closed composites: first node, end, name
        self.marks: list[Mark] = []
        self.alike: dict[Any, Any] = {}  # ops of calls that may come again on other tensors
        self.views: set[int] = set()  # nodes whose result has the memory of their operand

    # --- vars ---

    def _new_var(self, type: TensorType) -> Var:
        self._vars += 1
        return Var(self._vars - 1, type)

    def _set(self, t: Any, operand: Operand) -> None:
        self._current[id(t)] = (weakref.ref(t), operand, t._version)

    def _entry(self, t: Any) -> tuple[weakref.ref[Any], Operand, int] | None:
        entry = self._current.get(id(t))
        return entry if entry is not None and entry[0]() is t else None

    def add_root(self, t: Any, slot: Slot) -> Var:
        """Makes `t` an input of the graph."""
        var = self._new_var(slot.type)
        twin = id(t) in self._root_ids
        self.roots.append(Root(t, slot, var, twin))
        if not twin:
            self._root_ids.add(id(t))
            self._set(t, var)
        return var

    def is_root(self, t: Any) -> bool:
        return id(t) in self._root_ids

    def written(self, root: Root) -> bool:
        """Whether a tensor that was there before has another value by now."""
        return not root.twin and self._current[id(root.tensor)][1] is not root.var

    def var_of(self, t: Any) -> Operand:
        """The latest value of a tensor: recorded, viewed afresh, or read from outside."""
        entry = self._entry(t)
        if entry is not None and (t._parent is None or entry[2] == t._version or self.is_root(t)):
            return entry[1]
        if t._parent and (entry is not None or self._stays_a_view(t)):
            parent, prim, params = t._parent
            base = self.var_of(parent)
            operand: Operand = self._emit(prim, (base,), params, (t.tensor_type,), user_location())[
                0
            ]
            self._set(t, operand)
            return operand
        use = None if mode.formulas is None else mode.formulas.use_of(t)
        if use is not None:
            return self.add_root(t, Slot("computed", use, t.tensor_type))
        slot = self.places.get(id(t)) or Slot("tensor", t, t.tensor_type, t._requires_grad)
        return self.add_root(t, slot)

    def operand(self, x: Any) -> Operand:
        """What stands for an operand of an op, as dispatch has it: a tensor, or a number in some dtype."""
        entry = self._entry(x)
        if entry is not None and x._parent is None:  # as `var_of` would say
            return entry[1]
        if hasattr(x, "_cell"):
            return self.var_of(x)
        if type(x) is Literal:
            return x
        tensor = x.tensor()
        return Literal(x.value, x.dtype) if tensor is None else self.var_of(tensor)

    def _stays_a_view(self, t: Any) -> bool:
        """Whether a view that was there before is one of a tensor of the graph on every call."""
        base = t
        while base._parent is not None and self._entry(base) is None:
            if id(base) in self.places or not is_view(base):
                return False  # another tensor may be at its place, or it has other memory
            base = base._parent[0]
        roots = (r for r in self.roots if r.tensor is base)
        return self._entry(base) is not None and all(r.slot.kind == "tensor" for r in roots)

    def knows(self, t: Any) -> bool:
        """Whether `t`, or what it is a view of, is part of the graph. Other views are inputs of their own."""
        return self._entry(t) is not None or (is_view(t) and self.knows(t._parent[0]))

    def _emit(
        self,
        prim: Any,
        inputs: tuple[Operand, ...],
        params: dict[str, Any],
        types: tuple[TensorType, ...],
        where: Any,
    ) -> tuple[Var, ...]:
        """Adds a node to the graph, or gives the results of an equal one that is only repeated."""
        node = Node(prim, inputs, dict(params), (), where)
        if self._known and (known := self._known.get(node.key())):
            return known.pop(0)
        node.outputs = tuple([self._new_var(t) for t in types])
        self.nodes.append(node)
        return node.outputs

    @contextmanager
    def once_more(self, start: int, end: int) -> Iterator[None]:
        """What is done inside was done before, by nodes number `start` to `end`: it is not written down again."""
        before, self._known = self._known, {}
        for node in self.nodes[start:end]:
            self._known.setdefault(node.key(), []).append(node.outputs)
        try:
            yield
        finally:
            self._known = before

    # --- what the eager layer tells ---

    def record(
        self, prim: Any, args: list[Any], params: dict[str, Any], outs: tuple[Any, ...], where: Any
    ) -> None:
        """One op has run."""
        where = self.at or where
        if Tracer.watch is not None:
            Tracer.watch(prim, args, params, outs, where)
        inputs = tuple([self.operand(a) for a in args])
        count = len(self.nodes)
        made = self._emit(prim, inputs, params, tuple([o.tensor_type for o in outs]), where)
        if outs[0]._parent is not None and len(self.nodes) > count:
            self.views.add(len(self.nodes) - 1)
        if self._taped and not state.grad:
            if any(getattr(a, "requires_grad", False) for a in args):
                self._untaped.update(made)
        for out, var in zip(outs, made, strict=True):
            self._set(out, var)

    def name(self, t: Any, known: Any) -> None:
        """`t` is made as another name for the value of a known tensor."""
        self._set(t, self.var_of(known))

    def on_tape(self, t: Any) -> None:
        """`t` has a place on the tape, though it was made off it."""
        entry = self._entry(t)  # None: a tensor inside of a vmap
        if entry is not None:
            self._untaped.discard(entry[1])

    def require(self, t: Any) -> None:
        """`t`, which did not, requires gradients from now on."""
        for root in self.roots:
            if root.tensor is t and not root.twin and root.slot.kind == "leaf":
                if not any(root.var in node.inputs for node in self.nodes):
                    root.slot = root.slot._replace(required=True)

    def before_write(self, op: str, t: Any) -> None:
        """`t` is about to be written in place."""
        if self.working is not None:
            self.working.spoil(t._data)

    def assign(self, t: Any, new: Any, taped: bool = True) -> None:
        """`t` was written in place and now has the value of `new`; its history is that of `new` (`taped`), or stays."""
        self.writes += 1
        if self._entry(t) is None:
            self.var_of(t)
        operand = self.var_of(new)
        if not (taped or t.is_leaf or self.is_root(t)):
            inputs = operand, self.var_of(t)
            off = {"taped": False}
            operand = self._emit(lookup("written"), inputs, off, (t.tensor_type,), user_location())[
                0
            ]
        self._set(t, operand)

    def constant(self, t: Any) -> None:
        """`t` was made from Python data."""
        self._bake(t)

    def _bake(self, t: Any) -> None:
        device = str(t.device)
        if device != "cpu":
            self.refusals.append(f"array data went to {device} at {user_location()}")
            return
        data = ConstArray(t._data, t.dtype)
        params = {"data": data, "device": device}
        self._set(
            t, self._emit(lookup("constant"), (), params, (t.tensor_type,), user_location())[0]
        )

    def know_array(self, array: Any, slot: Slot) -> None:
        """Declares a NumPy array that is found again on each call; the first slot given stays."""
        self._known_arrays.setdefault(id(array), slot)

    def forget_array(self, array: Any) -> None:
        """A NumPy array is not found again after all."""
        self._known_arrays.pop(id(array), None)

    def external_array(self, t: Any, array: Any) -> None:
        """`t` shares the memory of a NumPy array."""
        slot = self._known_arrays.get(id(array))
        if slot is None:
            self._bake(t)
            return
        for root in self.roots:
            if root.slot is slot:
                self._set(t, root.var)
                self._root_ids.add(id(t))
                return
        self.add_root(t, slot)

    def number(self, holder: dict[str, Any], key: str, dtype: Any, make: Any) -> Any:
        """The 0-d tensor that stands for a Python float which each call reads afresh."""
        known = self._numbers.get((id(holder), key, dtype.name))
        if known is None:
            known = self._numbers[id(holder), key, dtype.name] = make()
            self.add_root(known, Slot("number", (holder, key), known.tensor_type))
        return known

    def rewritten(self, holder: dict[str, Any], key: str) -> bool:
        """Whether the call itself has written a number that was there before."""
        return holder[key] is not self.entry.get((id(holder), key), holder[key])

    def concretize(self, t: Any, value: Any) -> Any:
        """Python takes the number out of `t`, and gets it from here: the path may depend on it."""
        operand = self.var_of(t)
        flow = flow_here(self.root, self.apart)
        taken = Concrete(operand, value, user_location(), len(self.nodes), flow)
        (self.concrete if flow is None else self.numbers).append(taken)
        return value if flow is not None or self.take is None else self.take(taken)

    def drawn(self, draw: Draw | Reading, value: Any) -> Any:
        """Python has drawn a random number from a generator of its own or of NumPy's, or the time, and gets it here."""
        where = user_location()
        if type(value) is np.ndarray and self.working is not None and not value.dtype.hasobject:
            operand, at = Literal(0.0, float64), len(self.nodes)
            self.concrete.append(Concrete(operand, value.copy(), where, at, None, draw))
            return self.working.drawn(value, len(self.concrete) - 1)
        if type(value) not in LIVE_OF:
            self.refusals.append(f"{draw.name} gives a {type(value).__name__} at {where}")
            return value
        whole = isinstance(value, (int, np.integer))
        operand = Literal(0, int64) if whole else Literal(0.0, float64)
        self.concrete.append(taken := Concrete(operand, value, where, len(self.nodes), None, draw))
        self.latest = value if self.take is None else self.take(taken)
        return self.latest

    def failed(self) -> None:
        """An op raised an error: if that is caught, the path depends on values that nothing checks."""
        self.refusals.append(f"an op failed at {user_location()}")

    def refuse_function(self, name: str) -> None:
        """A user's function has a gradient of its own, which ops alone do not tell."""
        self.refusals.append(f"{OWN}, {name}")

    def foreign(self, kind: str) -> None:
        """Data came in from an object of another library, where changes cannot be seen."""
        self.refusals.append(f"data came from a {kind} at {user_location()}")

    def before_hook(self, hooks: list[Any], made_here: bool = False) -> None:
        """Hooks are about to change: of what this call made, or of something that other calls may meet."""
        self.hooks.setdefault(id(hooks), (hooks, None if made_here else list(hooks)))

    def array_of(self, t: Any, listed: bool = False) -> Any:
        """What the code gets for the array of `t`, or the list of its numbers, if each call can have its own."""
        return None if self.working is None else self.working.taken(t, listed)

    def escape(self, t: Any, what: str, array: Any = None) -> None:
        """All values of `t` went to Python as `array`, where nothing can be followed unless it is a result."""
        flow = None if what != "numpy()" else flow_here(self.root, self.apart)
        if flow is not None and not flow.reads and array is t._data:
            self.arrays[id(array)] = array, t
            return
        self.refusals.append(f"{what} took the values of {t.tensor_type} out at {user_location()}")

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """The ops recorded inside belong to one composite."""
        start = len(self.nodes)
        yield
        self.scopes.append((start, len(self.nodes), name))

    def mark(self, owner: Any, result: Any) -> None:
        """`result` is what a module gave, or what a user named: its tensors can be found again by that."""
        for i, t in enumerate(flatten(result)[0]):
            known = self._current.get(id(t))
            if known is not None:
                self.marks.append(Mark(owner, i, known[1]))

    # --- gradients ---

    def _track(self, t: Any) -> GradTrack:
        return self.grads.setdefault(id(t), GradTrack(t, t._grad))

    def lasting_grads(self) -> list[GradTrack]:
        """All but those of tensors made inside: these are gone when the call ends, and so are their gradients."""
        own = {id(r.tensor) for r in self.roots}
        return [t for i, t in self.grads.items() if i in own or i not in self._current]

    def read_grad(self, t: Any) -> None:
        """``t.grad`` is read."""
        track = self._track(t)
        if not track.read and not track.written:
            track.read = True
            if track.at_entry is not None:
                place = next(
                    (r.slot.key for r in self.roots if r.tensor is t and r.slot.kind == "leaf"),
                    None,
                )
                slot = Slot("grad", t, track.at_entry.tensor_type)
                self.add_root(
                    track.at_entry,
                    slot if place is None else slot._replace(kind="leaf grad", key=place),
                )

    def write_grad(self, t: Any, value: Any) -> None:
        """``t.grad`` is set."""
        self.writes += 1
        self._track(t).written = True
        if value is not None:
            self.var_of(value)

    def __enter__(self) -> Tracer:
        self._outer = state.tracer
        if self._outer is not None and not self._outer.watches:
            raise CaptureError("a capture is already in progress on this thread")
        state.tracer = self
        return self

    def __exit__(self, *exc: object) -> None:
        state.tracer = self._outer


def off_the_tape(
    given: Sequence[Node], tracer: Tracer, before: Mapping[Var, Operand] = MappingProxyType({})
) -> tuple[list[Node], dict[Var, Operand]]:
    """The nodes, with results of ops that ran under ``no_grad`` stopped, as a replay for gradients needs it; and
    what stands for these.

    Those of composites are, too, inside of the bodies; `before` has what was stopped further out.
    """
    nodes = []
    stopped = dict(before)
    for node in given:
        node = rewrite(node, stopped)
        if is_region(node):
            body: Graph = node.params["body"]
            ops, _ = off_the_tape(body.nodes, tracer, stopped)
            inner = Graph(node.inputs, tuple(ops), body.outputs)
            node = Node(
                node.prim, node.inputs, {**node.params, "body": inner}, node.outputs, node.where
            )
        nodes.append(node)
        for v in node.outputs:
            if v in tracer._untaped and v.type.dtype.is_inexact:
                stopped[v] = tracer._new_var(v.type)
                nodes.append(Node(lookup("stop_gradient"), (v,), {}, (stopped[v],), node.where))
    return nodes, stopped


def swept(t: Any) -> bool:
    """Whether a tensor has a history of which a sweep has let go."""
    node = None if t is None else t._node
    return node is not None and node.prim is not None and bool(node.released)


def finish(tracer: Tracer, results: list[Any], pulled: Sequence[Any] | None = None) -> Trace:
    """The graph of a capture whose result tensors are `results`; gradients may flow through those in `pulled` (None:
    through all that require some)."""
    outputs: list[Operand] = [tracer.var_of(t) for t in results]
    grads: list[GradEffect] = []
    own = {id(r.tensor) for r in tracer.roots}
    tracks = tracer.lasting_grads()
    for track in tracks:
        final = track.tensor._grad
        if not track.written or (id(final) in own and final is track.at_entry):
            continue
        if final is not None:
            outputs.append(tracer.var_of(final))
        output = None if final is None else len(outputs) - 1
        grads.append(GradEffect(track.tensor, output, released=swept(final)))
    stores = []
    for i, root in enumerate(tracer.roots):
        if tracer.written(root):
            outputs.append(tracer._current[id(root.tensor)][1])
            stores.append(Store(i, len(outputs) - 1))
    outputs.extend(c.operand for c in (*tracer.numbers, *tracer.concrete))
    nodes = group_scopes(tracer.nodes, tracer.scopes, outputs)
    if tracer._untaped and any(t.requires_grad for t in (results if pulled is None else pulled)):
        nodes, _ = off_the_tape(nodes, tracer)
    graph = Graph(tuple(r.var for r in tracer.roots), tuple(nodes), tuple(outputs))
    entry = tuple((t.tensor, t.at_entry is not None) for t in tracks if t.read)
    slots, concrete = tuple(r.slot for r in tracer.roots), tuple(tracer.concrete)
    recording = Recording(tuple(tracer.nodes), tuple(tracer.scopes), frozenset(tracer.views))
    return Trace(
        graph, slots, tuple(stores), tuple(grads), entry, concrete, len(results), recording,
        tuple(tracer.numbers),
    )  # fmt: skip
