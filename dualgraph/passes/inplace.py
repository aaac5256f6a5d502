"""In-place steps: write a result over an operand that nobody needs any more."""

from __future__ import annotations

from collections.abc import Callable

from ..core.kinds import ELEMENTWISE
from ..core.node import Node, Var
from ..static.region import bodies, is_region
from .layout import fills
from .schedule import TEMPORARY, Buffer, Schedule, merge

MayOverwrite = Callable[[Node, int, int], bool]


def same_index(node: Node, result: int, operand: int) -> bool:
    """Whether the node reads operand and writes result at one index at a time: it may work in place.

    True of elementwise ops, and of regions of nothing else over one shape.
    """
    source = node.inputs[operand]
    if source.type.shape != node.outputs[result].type.shape:
        return False
    if node.prim.kind is ELEMENTWISE:
        return True
    return is_region(node) and all(
        n.prim.kind is ELEMENTWISE and n.outputs[0].type.shape == source.type.shape
        for body in bodies(node).values()
        for n in body.nodes
    )


def inplace(plan: Schedule, may_overwrite: MayOverwrite = same_index) -> Schedule:
    """Given: a schedule. Result: steps write over operands that die there, where size and access allow.

    ``may_overwrite(node, result, operand)`` says whether the node's kernel allows it.
    """
    for i, step in enumerate(plan.steps):
        if step.view:
            continue
        taken: set[int] = set()
        for result, out in enumerate(step.node.outputs):
            for operand, source in enumerate(step.node.inputs):
                if not isinstance(source, Var) or not _dies(plan, i, source, out, taken):
                    continue
                if may_overwrite(step.node, result, operand):
                    taken.add(plan.places[source].buffer)
                    plan = merge(plan, i, result, operand)
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
