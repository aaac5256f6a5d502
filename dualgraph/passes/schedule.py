"""Scheduling: a graph becomes steps over buffers with lifetimes."""

from __future__ import annotations

from typing import NamedTuple

from ..core.node import Literal, Node, Var
from ..core.types import TensorType
from ..static.constants import is_constant
from ..static.graph import Graph
from .layout import Layout, fills, row_major, view_layout

INPUT, CONSTANT, OUTPUT, TEMPORARY = "input", "constant", "output", "temporary"


class Buffer(NamedTuple):
    """Memory that values live in from step `first` to step `last`, both included.

    ``role``: "input" (the caller's), "constant" (the program's), "output" (fresh on each call, given
    to the caller) or "temporary" (may share memory with others that are not live beside it).
    """

    id: int
    role: str
    type: TensorType
    first: int
    last: int

    @property
    def nbytes(self) -> int:
        return self.type.nbytes

    def meets(self, other: Buffer) -> bool:
        """Whether both are live at some step."""
        return self.first <= other.last and other.first <= self.last


class Place(NamedTuple):
    """Where a value lies: a buffer, and the layout in it."""

    buffer: int
    layout: Layout


class Step(NamedTuple):
    """One node to run. A view step moves nothing: its result is a place in its operand's buffer.

    ``overwrites``: pairs (result, operand) of positions that share one buffer: the result is written
    over the operand, which nobody reads later.
    """

    node: Node
    view: bool = False
    overwrites: tuple[tuple[int, int], ...] = ()


class Schedule(NamedTuple):
    """A graph's steps in order, and the place of every var. `Graph` has the values, this the memory.

    Inputs are taken to be row-major. Every place is inside its buffer, and no step writes to a buffer
    that another value still needs.
    """

    graph: Graph
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    places: dict[Var, Place]

    def buffer_of(self, v: Var) -> Buffer:
        return self.buffers[self.places[v].buffer]

    @property
    def temporaries(self) -> tuple[Buffer, ...]:
        """The buffers of the arena; those that steps overwrote are gone."""
        used = {p.buffer for p in self.places.values()}
        return tuple(b for b in self.buffers if b.role == TEMPORARY and b.id in used)

    def __str__(self) -> str:
        lines = []
        for i, step in enumerate(self.steps):
            outs = ", ".join(f"{v} in b{self.places[v].buffer}" for v in step.node.outputs)
            reads = ", ".join(str(v) for v in step.node.inputs)
            note = " (view)" if step.view else " (in place)" if step.overwrites else ""
            lines.append(f"{i:4}  {outs} = {step.node.prim.name}({reads}){note}")
        return "\n".join(lines)


def schedule(graph: Graph, borrowed: frozenset[int] = frozenset()) -> Schedule:
    """Given: a graph, in the order to run. Result: its steps, with views placed in their base's buffer.

    ``borrowed``: positions of outputs that are only read when the call ends, and stay in the arena.
    """
    places: dict[Var, Place] = {}
    made: list[tuple[str, TensorType, int]] = []

    def own(v: Var, role: str, step: int) -> None:
        places[v] = Place(len(made), row_major(v.type))
        made.append((role, v.type, step))

    for v in graph.inputs:
        own(v, INPUT, -1)
    steps = []
    for i, node in enumerate(graph.nodes):
        view = _view_place(node, places)
        if view is not None:
            places[node.outputs[0]] = view
        else:
            for v in node.outputs:
                own(v, CONSTANT if is_constant(node) else TEMPORARY, i)
        steps.append(Step(node, view=view is not None))
    return _with_lifetimes(graph, steps, places, made, borrowed)


def _view_place(node: Node, places: dict[Var, Place]) -> Place | None:
    """The place of a view of a known place."""
    if not node.prim.aliases or not isinstance(node.inputs[0], Var):
        return None
    base = places[node.inputs[0]]
    layout = view_layout(node, base.layout)
    return None if layout is None else Place(base.buffer, layout)


def _with_lifetimes(
    graph: Graph,
    steps: list[Step],
    places: dict[Var, Place],
    made: list[tuple[str, TensorType, int]],
    borrowed: frozenset[int],
) -> Schedule:
    """The schedule, with the step after which nobody reads each buffer."""
    last = [first for _, _, first in made]
    for i, step in enumerate(steps):
        for v in step.node.inputs:
            if isinstance(v, Var):
                last[places[v].buffer] = i
    ends = [
        (i, places[v].buffer) for i, v in enumerate(graph.outputs) if not isinstance(v, Literal)
    ]
    leaving = {b for i, b in ends if i not in borrowed}
    for _, b in ends:
        last[b] = len(steps)
    buffers = []
    for i, (role, type, first) in enumerate(made):
        if i in leaving:
            buffers.append(
                Buffer(i, OUTPUT if role == TEMPORARY else role, type, first, len(steps))
            )
        else:
            buffers.append(Buffer(i, role, type, first, last[i]))
    return Schedule(graph, tuple(steps), tuple(buffers), places)


def merge(plan: Schedule, step: int, result: int, source: Var) -> Schedule:
    """The schedule with a step's result in the buffer of `source`, which lies row-major in it."""
    node = plan.steps[step].node
    old, new = plan.buffer_of(node.outputs[result]), plan.buffer_of(source)
    places = dict(plan.places)
    for v in [v for v, p in places.items() if p.buffer == old.id]:
        places[v] = places[v]._replace(buffer=new.id)
    buffers = list(plan.buffers)
    role = old.role if new.role == TEMPORARY else new.role
    buffers[new.id] = new._replace(last=max(new.last, old.last), role=role)
    steps = list(plan.steps)
    if source in node.inputs:
        pair = (result, node.inputs.index(source))
        steps[step] = steps[step]._replace(overwrites=(*steps[step].overwrites, pair))
    return Schedule(plan.graph, tuple(steps), tuple(buffers), places)


def schedule_like(graph: Graph, like: Schedule) -> Schedule | None:
    """Given: a graph, and the final schedule of the same graph at other sizes.

    Result: its schedule, with views and values in each other's buffers as in that one; None where sizes do not allow
    that. It costs a fraction of making one anew.
    """
    places: dict[Var, Place] = {}
    types: list[TensorType] = []  # of what had a buffer of its own first
    homes: list[int] = []  # and where it lies now

    def own(v: Var, w: Var) -> None:
        place = like.places[w]
        homes.append(place.buffer)
        types.append(v.type)
        places[v] = place if v is w else Place(place.buffer, row_major(v.type))

    for v, w in zip(graph.inputs, like.graph.inputs, strict=True):
        own(v, w)
    steps = []
    for node, old in zip(graph.nodes, like.steps, strict=True):
        if old.view:
            view = _view_place_like(node, places, old, like)
            if view is None:
                return None
            places[node.outputs[0]] = view
        else:
            for v, w in zip(node.outputs, old.node.outputs, strict=True):
                own(v, w)
        if not _may_overwrite_like(node, places, old, like):
            return None
        steps.append(old if node is old.node else Step(node, old.view, old.overwrites))
    if any(i != b and types[b].nbytes != types[i].nbytes for i, b in enumerate(homes)):
        return None
    buffers = [
        b if types[b.id] is b.type else Buffer(b.id, b.role, types[b.id], b.first, b.last)
        for b in like.buffers
    ]
    return Schedule(graph, tuple(steps), tuple(buffers), places)


def _view_place_like(
    node: Node, places: dict[Var, Place], old: Step, like: Schedule
) -> Place | None:
    """`_view_place` of a node whose counterpart `old` is a view; the known place where nothing changed."""
    if node is old.node and places[node.inputs[0]] is like.places[old.node.inputs[0]]:
        return like.places[node.outputs[0]]
    return _view_place(node, places)


def _may_overwrite_like(node: Node, places: dict[Var, Place], old: Step, like: Schedule) -> bool:
    """Whether the operands that `old` writes over lie row-major here, too."""
    for _, operand in old.overwrites:
        source = node.inputs[operand]
        if not isinstance(source, Var):
            return False
        unchanged = source is old.node.inputs[operand] and places[source] is like.places[source]
        if not unchanged and not fills(source.type, places[source].layout):
            return False
    return True
