"""In-place steps: write a result over an operand that nobody needs any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..core.kinds import ELEMENTWISE
from ..core.node import Node, Var
from ..static.graph import Graph
from ..static.region import is_region
from .layout import fills
from .schedule import INPUT, OUTPUT, TEMPORARY, Buffer, Schedule, merge

MayOverwrite = Callable[[Node, int, int], bool]


def same_index(node: Node, result: int, operand: int) -> bool:
    """Whether the node reads operand and writes result at one index at a time: it may work in place.

    True of elementwise ops; of regions if all that depends on the operand is elementwise of its shape,
    the result included.
    """
    shape = node.inputs[operand].type.shape
    if shape != node.outputs[result].type.shape:
        return False
    if not is_region(node):
        return node.prim.kind is ELEMENTWISE
    body: Graph = node.params["body"]
    reached = {body.inputs[operand]}
    for n in body.nodes:
        if not reached.isdisjoint(v for v in n.inputs if isinstance(v, Var)):
            if n.prim.kind is not ELEMENTWISE or n.outputs[0].type.shape != shape:
                return False
            reached.update(n.outputs)
    return body.outputs[result] in reached


def inplace(plan: Schedule, may_overwrite: MayOverwrite = same_index) -> Schedule:
    """Given: a schedule. Result: steps write over operands that die there, where size and access allow.

    ``may_overwrite(node, result, operand)`` says whether the node's kernel allows it.
    """
    for i, step in enumerate(plan.steps):
        if step.view:
            continue
        taken: set[int] = set()
        for result, out in enumerate(step.node.outputs):
            if plan.buffer_of(out).role == INPUT:
                continue  # donated: it goes into the input's memory already
            for operand, source in enumerate(step.node.inputs):
                if not isinstance(source, Var) or not _dies(plan, i, source, out, taken):
                    continue
                if may_overwrite(step.node, result, operand):
                    taken.add(plan.places[source].buffer)
                    plan = merge(plan, i, result, source)
                    break
    return plan


def _dies(plan: Schedule, i: int, source: Var, out: Var, taken: set[int]) -> bool:
    """Whether `source` is the whole of a temporary of the size of `out` that only step `i` still reads."""
    buffer: Buffer = plan.buffer_of(source)
    if buffer.role != TEMPORARY or buffer.last != i or buffer.id in taken:
        return False
    if buffer.nbytes != out.type.nbytes or source.type.dtype.itemsize != out.type.dtype.itemsize:
        return False
    node = plan.steps[i].node
    readers = [v for v in node.inputs if isinstance(v, Var) and plan.places[v].buffer == buffer.id]
    return readers.count(source) == len(readers) and fills(source.type, plan.places[source].layout)


def donate(
    plan: Schedule, stores: Iterable[tuple[int, int]], may_overwrite: MayOverwrite = same_index
) -> tuple[Schedule, tuple[tuple[int, int], ...]]:
    """Given: ``stores``, pairs (input, output): when the call ends the output goes into the input's memory.

    Result: a schedule that writes such outputs straight into the input's buffer where nobody needs its
    old values any more, and the pairs so treated. Memory of different inputs must not overlap.
    """
    done: list[tuple[int, int]] = []
    made = {v: (i, k) for i, s in enumerate(plan.steps) for k, v in enumerate(s.node.outputs)}
    for source, target in stores:
        v, out = plan.graph.inputs[source], plan.graph.outputs[target]
        if isinstance(out, Var) and _may_donate(plan, v, out, may_overwrite):
            plan = merge(plan, *made[out], v)
            done.append((source, target))
    return plan, tuple(done)


def _may_donate(plan: Schedule, v: Var, out: Var, may_overwrite: MayOverwrite) -> bool:
    """Whether the step that makes `out` may write it into the buffer of input `v`."""
    old, new = plan.buffer_of(v), plan.buffer_of(out)
    if (
        old.role != INPUT
        or new.role not in (OUTPUT, TEMPORARY)
        or v.type != out.type
        or old.last >= len(plan.steps)
    ):
        return False
    if not fills(out.type, plan.places[out].layout):
        return False
    if sum(isinstance(o, Var) and plan.places[o].buffer == new.id for o in plan.graph.outputs) > 1:
        return False
    node = plan.steps[new.first].node
    if old.last < new.first:
        return True
    readers = [x for x in node.inputs if isinstance(x, Var) and plan.places[x].buffer == old.id]
    return (
        old.last == new.first
        and out in node.outputs
        and readers == [v]  # and none of its views
        and may_overwrite(node, node.outputs.index(out), node.inputs.index(v))
    )
