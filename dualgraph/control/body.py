"""Bodies: a function of tensors, run once on real operands, as a graph and the tensors it closes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..core.backend import backend_for
from ..core.context import as_before, follows_sizes, grad_mode, state, untraced
from ..core.errors import (
    ArgumentError,
    CaptureError,
    DTypeError,
    DualgraphError,
    ShapeError,
    describe,
    user_location,
)
from ..core.hooks import hooked
from ..core.node import TapeNode, Var
from ..core.prim import Prim
from ..core.trees import TreeDef, flatten, paths, unflatten
from ..core.types import TensorType
from ..eager.batch import tracked as on_some_tape
from ..eager.creation import asarray
from ..eager.inplace import write
from ..eager.tensor import Tensor
from ..eager.unfolding import as_it_was
from ..ops.movement import copy
from ..static.capture import CHANGES, OWN, Tracer, off_the_tape
from ..static.graph import Graph, renumber, substitute
from ..static.scopes import group_scopes
from ..static.symbolic import Following
from ..static.trace import Inside, Mark, Slot
from .derive import as_in_bodies, levels
from .surroundings import Surroundings, prints

# --- trees of tensors --------------------------------------------------------------------------


class Structure(NamedTuple):
    """A tree whose leaves are tensors, or None where there is nothing."""

    tree: TreeDef
    empty: tuple[bool, ...]

    def build(self, tensors: Sequence[Any]) -> Any:
        """The tree with these leaves."""
        rest = iter(tensors)
        return unflatten(self.tree, [None if e else next(rest) for e in self.empty])

    def paths(self) -> list[str]:
        """Where each tensor is in the tree."""
        return [p for p, e in zip(paths(self.tree), self.empty, strict=True) if not e]

    @staticmethod
    def of_arguments(*parts: Structure) -> Structure:
        """The tuple of arguments with these structures."""
        tree = TreeDef(tuple, None, tuple(p.tree for p in parts))
        return Structure(tree, tuple(e for p in parts for e in p.empty))

    def __str__(self) -> str:
        return str(self.build(["*"] * (len(self.empty) - sum(self.empty))))


def tensors_of(op: str, tree: Any) -> tuple[list[Tensor], Structure]:
    """The leaves of a tree as tensors (numbers and arrays are made ones), and its structure."""
    leaves, treedef = flatten(tree)
    try:
        out = [asarray(v) for v in leaves if v is not None]
    except (TypeError, ValueError) as problem:
        kinds = ", ".join(type(v).__name__ for v in leaves)
        raise ArgumentError(
            describe(op, kinds, f"trees of tensors, arrays and numbers go in and out: {problem}")
        ) from None
    return out, Structure(treedef, tuple(v is None for v in leaves))


def types_of(tensors: Sequence[Tensor]) -> list[TensorType]:
    return [t.tensor_type for t in tensors]


def listed(tensors: Sequence[Tensor]) -> str:
    """The types of tensors, for errors."""
    return ", ".join(map(str, types_of(tensors)))


def check_same(
    op: str, what: str, new: tuple[Sequence[Tensor], Structure], old: tuple[Sequence[Tensor], Structure], remedy: str
) -> None:  # fmt: skip
    """Raises unless two trees have one structure and the same types."""
    error = difference(op, what, new, old, remedy)
    if error is not None:
        raise error


def difference(
    op: str, what: str, new: tuple[Sequence[Tensor], Structure], old: tuple[Sequence[Tensor], Structure], remedy: str
) -> DualgraphError | None:  # fmt: skip
    """The error for two trees that have not one structure and the same types."""
    if new[1] != old[1]:
        return ArgumentError(
            describe(op, f"{old[1]}, {new[1]}", f"{what}: structure {new[1]}, not {old[1]}", remedy)
        )
    for a, b, path in zip(new[0], old[0], new[1].paths(), strict=True):
        if a.tensor_type != b.tensor_type:
            error = ShapeError if a.dtype is b.dtype else DTypeError
            leaf = f" at {path}" if path else ""
            problem = f"{what}{leaf}: {a.tensor_type}, not {b.tensor_type}"
            return error(describe(op, f"{b.tensor_type}, {a.tensor_type}", problem, remedy))
    return None


KEEPS_TYPES = "the carry keeps its structure, shapes and dtypes from step to step; start with what a step gives"


# --- tracing a body ----------------------------------------------------------------------------


class BodyTracer(Tracer):
    """Records a body inside of whatever else goes on.

    Tensors from outside become inputs. Those of whole numbers that it writes, such as the state of a
    random generator, are ``states``: inputs and results. What the graph could not repeat is in
    ``refusals``; with ``discarded`` the run must leave no trace, so any other write is an error.
    """

    quick = False
    of_body = True

    def __init__(self, discarded: bool) -> None:
        super().__init__()
        self.depth = levels()
        self.discarded = discarded
        self.states: dict[int, tuple[Tensor, Any]] = {}  # each with the values it had
        self.arrays: dict[int, tuple[Tensor, Any]] = {}  # NumPy arrays that it reads
        self._outer: Any = None

    def before_write(self, op: str, t: Any) -> None:
        base = t._root()
        if self._entry(base) is not None and not self.is_root(base):
            return
        argument = any(base is r.tensor for r in self.roots if r.slot.kind == "leaf")
        if not (argument or base.dtype.is_inexact or self.depth):
            self.var_of(base)
            self.states.setdefault(id(base), (base, base._data.copy()))
            return
        problem = f"{op} writes in place to a tensor from outside of the body, {base.tensor_type}, at {user_location()}"
        if self.discarded:
            raise CaptureError(problem)
        self.refusals.append(problem)

    def concretize(self, t: Any, value: Any) -> Any:
        self.refusals.append(
            f"Python looks at the value of {t.tensor_type} at {user_location()}; use dg.cond or dg.where"
        )
        return value

    def read_grad(self, t: Any) -> None:
        self.refusals.append(f"it reads a .grad at {user_location()}")

    def write_grad(self, t: Any, value: Any) -> None:
        self.refusals.append(f"it sets a .grad at {user_location()}; use dg.grad")

    def external_array(self, t: Any, array: Any) -> None:
        if id(array) not in self.arrays:
            self.arrays[id(array)] = (t, array)
            self.add_root(t, Slot("array", array, t.tensor_type))
        elif t is not self.arrays[id(array)][0]:
            self._set(t, self.var_of(self.arrays[id(array)][0]))

    def marks_inside(self) -> Iterator[Mark]:
        """The values here that have names, as the capture around knows them."""
        made = (
            {v: (n, i) for n in self.nodes for i, v in enumerate(n.outputs)} if self.marks else {}
        )
        at = user_location()
        for owner, leaf, operand in self.marks:
            if isinstance(operand, Inside):
                yield Mark(owner, leaf, operand._replace(at=(at, *operand.at)))
            elif operand in made:
                node, output = made[operand]
                alike = [n for n in self.nodes if (n.prim, n.where) == (node.prim, node.where)]
                number = next(i for i, n in enumerate(alike) if n is node)
                yield Mark(owner, leaf, Inside((at,), node.prim.name, node.where, number, output))

    def __enter__(self) -> BodyTracer:
        self._outer, state.tracer = state.tracer, self
        self.takes_numbers = self._outer is None or self._outer.takes_numbers
        return self

    def __exit__(self, *exc: object) -> None:
        state.tracer = self._outer
        if self._outer is None:
            return
        self._outer.marks += self.marks_inside()
        for t, array in self.arrays.values():
            self._outer.external_array(t, array)


class FollowingBody(Following, BodyTracer):
    """A `BodyTracer` inside of a capture that has symbolic sizes: the body is for all of them."""

    def sizes_read(self) -> None:
        self._outer.sizes_read()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._outer.marked += self.marked


def unseen() -> Any:
    """Context manager: ops inside are run but not seen by the running capture; their results have its sizes."""
    return FollowingBody(False) if follows_sizes() else untraced()


class Body(NamedTuple):
    """A traced body: its graph over operands and then ``constants``, and what that run gave.

    The last results of the graph are the new values of ``states``, which are constants that it writes.
    """

    graph: Graph
    constants: tuple[Tensor, ...]
    outs: list[Tensor]
    structure: Structure
    refusals: tuple[str, ...]
    states: tuple[tuple[Tensor, Any], ...]  # each with the values it had

    @property
    def result(self) -> tuple[list[Tensor], Structure]:
        return self.outs, self.structure


def trace_body(
    op: str, fn: Callable[..., Any], args: Structure, tensors: Sequence[Tensor], discarded: bool = False,
    watched: bool = True,
) -> Body:  # fmt: skip
    """Runs ``fn(*args)`` for real, with `tensors` as the leaves of `args`, and writes it down.

    The run is on the tape if that is on. Where it is `watched`, changes of Python state are a refusal, and of a
    `discarded` run they are undone.
    """
    around = Surroundings(fn) if watched else None
    tracer = FollowingBody(discarded) if follows_sizes() else BodyTracer(discarded)
    types = types_of(tensors)
    began = TapeNode(None, (), {}, ()).seq
    with as_in_bodies():
        given = [as_it_was(t, t._edge()) for t in tensors]  # told from the tensors themselves
    try:
        with as_before(), as_in_bodies(), tracer:
            for i, (t, type) in enumerate(zip(given, types, strict=True)):
                tracer.add_root(t, Slot("leaf", (i, t), type))
            outs, structure = tensors_of(op, fn(*args.build(given)))
            states = tuple(tracer.states.values())
            operands = [tracer.var_of(t) for t in (*outs, *(t for t, _ in states))]
        refusals = [*tracer.refusals, *_off_the_ops(outs, began)]
        if around is not None:
            refusals += around.refusals()
    finally:
        if discarded:
            undo(tuple(tracer.states.values()))
            if around is not None:
                around.restore()
    nodes = group_scopes(tracer.nodes, tracer.scopes, operands)
    nodes, stopped = off_the_tape(nodes, tracer)
    results = tuple(substitute(v, stopped) for v in operands)
    graph = renumber(Graph(tuple(r.var for r in tracer.roots), tuple(nodes), results))
    constants = tuple(r.tensor for r in tracer.roots[len(given) :])
    return Body(graph, constants, outs, structure, tuple(refusals), states)


def undo(states: Sequence[tuple[Tensor, Any]]) -> None:
    """Puts the values back that a run of a body wrote over."""
    for t, before in states:
        backend_for(t.device).xp.copyto(t._data, before)


def trace_discarded(
    op: str, name: str, fn: Callable[..., Any], args: Structure, tensors: Sequence[Tensor], watched: bool = True
) -> Body | str:  # fmt: skip
    """A body that is not to run, run only to be written down; or why that cannot be."""
    if watched and prints(fn):
        return f"{name} calls print"
    try:
        return trace_body(op, fn, args, tensors, True, watched)
    except Exception as problem:  # whatever the user's code raises on values it was not to see
        kind = "" if isinstance(problem, CaptureError) else f"{type(problem).__name__}: "
        return f"{name}, which these values do not lead to, cannot run on them: {kind}{problem}"


def _off_the_ops(outs: Sequence[Tensor], began: int) -> list[str]:
    """What the tape of a run holds that the ops alone do not say."""
    stack: list[Any] = [t._node for t in outs]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if node is None or node.seq <= began or id(node) in seen:
            continue
        seen.add(id(node))
        as_its_ops = isinstance(node.prim, Prim) or getattr(node.prim, "as_its_ops", False)
        if node.prim is not None and not as_its_ops:
            return [f"{OWN}, {node.prim.name}"]
        if hooked(node):
            return ["gradients flow through an intermediate that has a hook"]
        stack.extend(e[0] for e in node.inputs if e is not None)
    return []


# --- putting bodies together -------------------------------------------------------------------


class Joined(NamedTuple):
    """Bodies over the same operands, then ``states`` and ``constants``; their last results are new states."""

    graphs: list[Graph]
    states: list[Tensor]
    constants: list[Tensor]

    def first(self) -> list[Tensor]:
        """The states before the op, as operands that stay as they are when it stores the new ones."""
        return owned(self.states)

    def store(self, op: str, new: Sequence[Tensor]) -> None:
        """Writes the states as an op has left them."""
        with grad_mode(False):
            for t, value in zip(self.states, new, strict=True):
                write(op, t, value)


def joined(bodies: Sequence[Body], operands: int) -> Joined:
    """Bodies that one op runs, brought to the same inputs; what they wrote while traced is undone."""
    for body in reversed(bodies):
        undo(body.states)
    read = {id(t): t for b in bodies for t in b.constants}
    written = {id(t): t for b in bodies for t, _ in b.states}
    held = [*written.values(), *(t for key, t in read.items() if key not in written)]
    graphs = []
    for body in bodies:
        own = dict(zip(map(id, body.constants), body.graph.inputs[operands:], strict=True))
        unused = body.graph.unused_id()
        extra = [own.get(id(t)) or Var(unused + i, t.tensor_type) for i, t in enumerate(held)]
        results = len(body.outs)
        latest = dict(
            zip((id(t) for t, _ in body.states), body.graph.outputs[results:], strict=True)
        )
        after = [latest.get(id(t), v) for t, v in zip(written.values(), extra, strict=False)]
        inputs = (*body.graph.inputs[:operands], *extra)
        outputs = (*body.graph.outputs[:results], *after)
        graphs.append(renumber(Graph(inputs, body.graph.nodes, outputs)))
    return Joined(graphs, held[: len(written)], held[len(written) :])


def owned(results: Sequence[Tensor]) -> list[Tensor]:
    """Results in memory of their own, as an op gives them: a body may hand out what others hold."""
    return [copy(t) for t in results]


def unread(out: Tensor) -> Tensor:
    """A result whose values no gradient reads, as a tensor that may be written in place."""
    made = Tensor(out._data, out.dtype, out.device)
    made._node, made._index = out._node, out._index
    batching, tracer = state.batching, state.tracer
    if batching is not None:
        batching.note((made,))
    if tracer is not None and (batching is None or batching.depth((out,)) <= tracer.depth):
        tracer.name(made, out)
    return made


def tracked(tensors: Sequence[Tensor]) -> bool:
    """Whether gradients are recorded and one of the tensors wants them."""
    return state.grad and any(map(on_some_tape, tensors))


def note_refusals(op: str, refusals: Sequence[str]) -> None:
    """Tells a capture in progress why this op cannot be one node."""
    if state.tracer is not None:
        at = f"{op} at {user_location()}"
        said = (
            f"{why} in a body of {at}" if why.startswith(CHANGES) else f"{at}: {why}"
            for why in refusals
        )
        state.tracer.refusals.extend(said)
