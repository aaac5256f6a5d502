"""Plans: a schedule and its memory plan acted out step by step, to see whether every value is there when it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.node import Node, Var
from ..passes.memory import ALIGNMENT, MemoryPlan
from ..passes.schedule import TEMPORARY, Schedule, Step
from .values import distance

Report = Callable[[str, Node | None, float, str], None]  # stage, node, ulp, problem
DIRT = 0xA5


def act_out(plan: Schedule, inputs: Sequence[Any], truth: dict[Any, Any], report: Report) -> bool:
    """Each buffer in memory of its own: steps write the right values, and no step may lose one that is read.

    `truth` has the value of each var. The first fault is reported as the schedule's; whether there is none.
    """
    memory = {b.id: np.full(b.nbytes, DIRT, np.uint8) for b in plan.buffers}
    return _Play("schedule", plan, memory, truth, report).run(inputs)


def act_out_in_arena(
    plan: Schedule, memory: MemoryPlan, inputs: Sequence[Any], truth: dict[Any, Any], report: Report
) -> bool:
    """The same with all temporaries in one arena; the first fault is reported as the memory plan's."""
    arena = np.full(memory.arena_bytes, DIRT, np.uint8)
    parts = {}
    for b in plan.buffers:
        if b.role != TEMPORARY:
            parts[b.id] = np.full(b.nbytes, DIRT, np.uint8)
        elif b.id in memory.offsets:
            at = memory.offsets[b.id]
            if at < 0 or at % ALIGNMENT or at + b.nbytes > len(arena):
                maker = _maker(plan, b.id)
                problem = f"its place {at} is not aligned, or outside of the arena"
                report("memory plan", maker, float("inf"), problem)
                return False
            parts[b.id] = arena[at : at + b.nbytes]
    pair = _overlapping(plan, memory)
    if pair is not None:
        problem = f"its place is that of buffer {pair[0]}, which is live beside it"
        report("memory plan", _maker(plan, pair[1]), float("inf"), problem)
        return False
    return _Play("memory plan", plan, parts, truth, report).run(inputs)


def _overlapping(plan: Schedule, memory: MemoryPlan) -> tuple[int, int] | None:
    """Two buffers that are live at one step and share bytes."""
    live = [b for b in plan.temporaries if b.nbytes and b.id in memory.offsets]
    start = np.array([memory.offsets[b.id] for b in live])
    end = start + np.array([b.nbytes for b in live])
    first, last = (np.array([getattr(b, k) for b in live]) for k in ("first", "last"))
    for i, b in enumerate(live):
        both = (first <= b.last) & (last >= b.first) & (start < end[i]) & (end > start[i])
        both[: i + 1] = False
        if both.any():
            return b.id, live[int(both.argmax())].id
    return None


def _maker(plan: Schedule, buffer: int) -> Node | None:
    for step in plan.steps:
        if any(plan.places[v].buffer == buffer for v in step.node.outputs):
            return step.node
    return None


class _Play:
    """A schedule acted out in given memory: each value is compared with the true one when it is read."""

    def __init__(
        self, stage: str, plan: Schedule, memory: dict[int, Any], truth: dict[Any, Any], report: Report
    ) -> None:  # fmt: skip
        self.stage, self.plan, self.memory = stage, plan, memory
        self.truth, self.report = truth, report

    def run(self, inputs: Sequence[Any]) -> bool:
        """Whether all steps, and then the outputs, find what they read."""
        for v, array in zip(self.plan.graph.inputs, inputs, strict=True):
            _write(self.value(v), array)
        for i, step in enumerate(self.plan.steps):
            if not (self.alive(i, step.node) and self.step(i, step)):
                return False
        producers = self.plan.graph.producers()
        end = "is an output, and was overwritten before the end"
        return not any(self.lost(v, producers.get(v), end) for v in self.plan.graph.outputs)

    def alive(self, i: int, node: Node) -> bool:
        """Whether the buffers of a step's operands and results live while it runs."""
        for v in (*node.inputs, *node.outputs):
            if (
                isinstance(v, Var)
                and not self.plan.buffer_of(v).first <= i <= self.plan.buffer_of(v).last
            ):
                problem = f"the buffer of {v} does not live at step {i}"
                self.report("schedule", node, float("inf"), problem)
                return False
        return True

    def step(self, i: int, step: Step) -> bool:
        """Writes the right results; whether no operand was lost before, and no result lies on another."""
        node = step.node
        if any(
            self.lost(v, node, f"was overwritten before step {i} reads it") for v in node.inputs
        ):
            return False
        if step.view:
            return not self.lost(node.outputs[0], node, f"is no such view at step {i}")
        for v in node.outputs:
            _write(self.value(v), self.truth[v])
        shared = f"lies where step {i} puts another of its results"
        return not any(self.lost(v, node, shared) for v in node.outputs)

    def lost(self, v: Any, reader: Node | None, what: str) -> bool:
        """Whether the memory of `v` has another value than it should; that is reported."""
        if not isinstance(v, Var) or v.type.size == 0:
            return False
        ulp = distance(self.value(v), self.truth[v], v.type)
        if ulp:
            self.report(self.stage, reader, ulp, f"{v} {what}")
        return bool(ulp)

    def value(self, v: Var) -> Any:
        """The array of `v`, where the plan says that it lies."""
        place = self.plan.places[v]
        part = self.memory[place.buffer]
        base = _base(part)
        at = part.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        layout = place.layout
        return np.ndarray(
            v.type.shape, v.type.dtype.numpy, base, at + layout.offset, layout.strides
        )


def _base(part: Any) -> Any:
    return part if part.base is None else part.base


def _write(target: Any, array: Any) -> None:
    if target.size:
        np.copyto(target, array)
