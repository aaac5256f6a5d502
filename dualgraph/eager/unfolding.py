"""Unfolding: one entry of the tape that stands for many ops gives way to the entries of these ops.

A sweep that is itself recorded needs them one by one: what it records then sums in the order of eager mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from ..core.errors import AutogradError, describe
from ..core.node import STEP, THROUGH, TapeNode
from .autograd import Spoiled
from .tensor import Edge, Tensor


def pass_on(node: TapeNode, results: Sequence[Any], began: int) -> list[TapeNode]:
    """Makes `node` pass what reaches it on to the history of `results`, of which the part that was recorded since
    `began` now comes right before it; gives that part."""
    edges = tuple(r._edge() if isinstance(r, Tensor) else None for r in results)
    inner = placed_before(node, (e for e in edges if e is not None), began)
    for index, hooks in list((node.hooks or {}).items()):
        edge = edges[index]
        if edge is not None and edge[0] in inner:
            edge[0].hooks = {**(edge[0].hooks or {}), edge[1]: hooks}
            del node.hooks[index]
    node.prim, node.inputs, node.params = THROUGH, edges, {}
    node.saved = (node.outputs, None)
    return inner


def placed_before(node: TapeNode, edges: Iterable[Edge], began: int) -> list[TapeNode]:
    """The entries recorded since `began` that `edges` lead to, in order; their time is now right before `node`."""
    found: dict[int, TapeNode] = {}
    stack = [e[0] for e in edges]
    while stack:
        entry = stack.pop()
        if entry.seq > began and entry.prim is not None and id(entry) not in found:
            found[id(entry)] = entry
            stack.extend(e[0] for e in entry.inputs if e is not None)
    inner = sorted(found.values(), key=attrgetter("seq"))
    for time, entry in zip(times_before(node.seq, len(inner)), inner, strict=True):
        entry.seq = time
        entry._at = node._at
    return inner


def times_before(time: int, count: int) -> list[int]:
    """Times between `time` and the one before it, each with room before it in its turn.

    The lowest bit of a time that is set is at most the distance from the one before it. Entries can be put between
    others so some ten times over.
    """
    room = min(time & -time, STEP)
    step = room >> (2 * count + 1).bit_length()
    if not step:
        raise AutogradError(
            describe("backward", "", "compiled or checkpointed calls are nested too deep")
        )
    return [time - 2 * step * (count - k) - step for k in range(count)]


def as_it_was(t: Any, edge: Edge | None) -> Any:
    """A saved operand as another tensor of the same memory, with the place on the tape that it had."""
    if not isinstance(t, Tensor) or isinstance(t, Spoiled):
        return t
    out = t._another()
    if edge is not None:
        out._node, out._index = edge
    return out
