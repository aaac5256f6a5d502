"""Frames: where the values of a schedule lie while a native program runs it, and its steps as kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ...core.node import Literal, Node, Var
from ...core.numbers.worked import largest
from ...passes.memory import MemoryPlan
from ...passes.schedule import CONSTANT, TEMPORARY, Schedule, Step
from ...static.constants import is_constant
from ...static.control import is_control
from ...static.graph import Graph
from .addresses import address_of
from .team.program import Writer
from .team.room import Ahead, Room
from .team.spots import ZERO_WORD, Check, NotNative, Ref, Spot
from .waves import Chains
from .writing import new_room, write_node

WriteLoop = Callable[["Frame", Node, dict[str, Any]], None]


class Planned(Protocol):
    """What frames ask of an executable."""

    graph: Graph
    plan: Schedule
    memory: MemoryPlan
    kernels: dict[int, Any]
    bodies: dict[int, dict[str, Any]]


class Frame:
    """The memory of one schedule: an arena, and references to the buffers that come with a call.

    ``given``: for buffers of the caller (inputs, outputs) where they lie. ``ahead``: of the loop whose body it is.
    """

    def __init__(
        self,
        w: Writer,
        program: Planned,
        arena: int,
        given: dict[int, Ref],
        ahead: Ahead | None = None,
    ) -> None:
        self.w, self.program, self.arena, self.given = w, program, arena, given
        self.ahead = ahead
        self.plan = program.plan
        self.chains: Chains | None = None
        self.constants: dict[int, Any] = {}
        for step in self.plan.steps:
            if is_constant(step.node):
                v = step.node.outputs[0]
                array = np.ascontiguousarray(step.node.params["data"].array)
                self.constants[self.plan.places[v].buffer] = array
                w.keep.append(array)

    def chain(self) -> None:
        """Lets steps that repeat a stencil go through memory together."""
        self.chains = Chains(self)

    def spot(self, v: Var | Literal) -> Spot:
        """Where a value lies."""
        if isinstance(v, Literal):
            raise NotNative("a number in the graph")
        place = self.plan.places[v]
        buffer = self.plan.buffers[place.buffer]
        if buffer.role == TEMPORARY:
            base = Ref(ZERO_WORD, self.arena + self.program.memory.offsets[buffer.id])
        elif buffer.role == CONSTANT:
            base = Ref(ZERO_WORD, address_of(self.constants[buffer.id]))
        else:
            base = self.given[buffer.id]
        strides = place.layout.strides
        return Spot(base + place.layout.offset, v.type.shape, v.type.dtype.numpy, strides)

    def room(self, i: int, step: Step) -> Room:
        """The kernels of a step that is no loop or condition."""
        node = step.node
        operands = [self.spot(v) for v in node.inputs]
        results = [self.spot(v) for v in node.outputs]
        return write_node(node, self.program.kernels[i], operands, results, self.ahead)

    def add(self, room: Room) -> None:
        """Runs the kernels of a room."""
        self.w.room = largest(self.w.room, room.bytes)
        for kernel in room.kernels:
            if isinstance(kernel, Check):
                self.w.check(kernel)
            else:
                self.w.kernel(kernel)

    def copy(self, out: Spot, x: Spot) -> None:
        """Copies x to `out`."""
        room = new_room()
        room.copy(out, x)
        self.add(room)

    def write(self, i: int, step: Step, loops: dict[Any, WriteLoop]) -> None:
        """Writes a step; `loops` has what writes conditions and loops."""
        node = step.node
        if step.view or is_constant(node):
            return
        if self.chains is not None and i in self.chains.inside:
            if i in self.chains.waves:
                self.chains.write(i)
            return
        if not is_control(node):
            self.add(self.room(i, step))
        elif node.prim in loops and i in self.program.bodies:
            loops[node.prim](self, node, self.program.bodies[i])
        else:
            raise NotNative("a loop or condition")

    def write_all(self, loops: dict[Any, WriteLoop]) -> None:
        """Writes all steps."""
        self.chain()
        for i, step in enumerate(self.plan.steps):
            self.write(i, step, loops)

    def inputs_at(self, operands: Sequence[Ref]) -> None:
        """Says where the inputs of the graph lie."""
        for v, at in zip(self.program.graph.inputs, operands, strict=True):
            self.given[self.plan.places[v].buffer] = at
