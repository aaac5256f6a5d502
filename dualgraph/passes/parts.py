"""Parts: a sum of slices padded with zeros becomes a concatenation; an op on a tensor that is only read in slices is
done slice by slice.

Both come from code that splits a tensor, as the gates of a recurrent cell are, and from its gradient.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from ..core.node import Node, Var
from ..core.prim import Prim
from ..ops import boxes
from ..static.graph import Graph
from .fuel import FUEL

MOST = 256  # parts


def join_parts(graph: Graph) -> Graph:
    """Given: a graph.

    Result: a sum of values that are 0 but for parts of their own, side by side along one axis, is a
    concatenation. What the sum was made of is left as dead code.
    """
    reads = _reads(graph)
    found: dict[Var, tuple[int, list[boxes.Part]]] = {}
    inner: set[Var] = set()  # sums that are part of a larger one
    for node in graph.nodes:
        placed = boxes.placed(node)
        if placed is not None:
            found[node.outputs[0]] = placed[0], [placed[1]]
        elif boxes.is_sum(node):
            both = [found.get(v) if reads[v] == 1 else None for v in node.inputs]
            merged = _merged(*both)
            if merged is not None:
                found[node.outputs[0]] = merged
                inner.update(node.inputs)
    whole = {v for v, (_, parts) in found.items() if len(parts) > 1 and v not in inner}
    if not whole:
        return graph
    fresh = _Fresh(graph)
    for node in graph.nodes:
        (out, *_) = node.outputs or (None,)
        if out in whole and _mostly(out, *found[out]) and FUEL.take(f"join parts at {node.where}"):
            axis, parts = found[out]
            fresh.where = node
            boxes.joined(parts, axis, out.type, fresh.apply)
            fresh.rename(out)
        else:
            fresh.nodes.append(node)
    return graph.with_nodes(fresh.nodes)


def _reads(graph: Graph) -> Counter[Any]:
    read = Counter(v for n in graph.nodes for v in n.inputs if isinstance(v, Var))
    read.update(v for v in graph.outputs if isinstance(v, Var))
    return read


def _merged(one: Any, two: Any) -> tuple[int, list[boxes.Part]] | None:
    if one is None or two is None or one[0] != two[0]:
        return None
    parts = sorted([*one[1], *two[1]], key=lambda part: (part.start, part.stop))
    apart = all(a.stop <= b.start for a, b in pairwise(parts))
    return (one[0], parts) if apart and len(parts) <= MOST else None


def _mostly(out: Var, axis: int, parts: list[boxes.Part]) -> bool:
    """Whether the parts are at least half of the whole."""
    return 2 * sum(p.stop - p.start for p in parts) >= out.type.shape[axis]


def split_wholes(graph: Graph) -> Graph:
    """Given: a graph.

    Result: an elementwise op of which only disjoint slices are read, by elementwise ops, is done slice by slice:
    these ops can then be one kernel.
    """
    while True:
        after = _split_once(graph)
        if after is graph:
            return graph
        graph = after


def _split_once(graph: Graph) -> Graph:
    """`split_wholes` of what can be split now; the graph itself if nothing can."""
    readers: dict[Var, list[Node]] = {}
    for node in graph.nodes:
        for v in node.inputs:
            if isinstance(v, Var):
                readers.setdefault(v, []).append(node)
    leaving = set(graph.outputs)
    split: dict[Var, Node] = {}
    for node in graph.nodes:
        if boxes.is_elementwise(node) and node.outputs[0] not in leaving:
            slices = readers.get(node.outputs[0], [])
            if _only_parts(slices, readers, leaving) and FUEL.take(f"split at {node.where}"):
                split[node.outputs[0]] = node
    if not split:
        return graph
    fresh = _Fresh(graph)
    for node in graph.nodes:
        if node.outputs and node.outputs[0] in split:
            continue
        whole = split.get(node.inputs[0]) if node.inputs else None
        if whole is None:
            fresh.nodes.append(node)
            continue
        fresh.where = whole
        shape = whole.outputs[0].type.shape
        operands = tuple(boxes.of_part(v, shape, node, fresh.apply) for v in whole.inputs)
        fresh.apply(whole.prim, operands, whole.params)
        fresh.rename(node.outputs[0])
    return graph.with_nodes(fresh.nodes)


def _only_parts(slices: list[Node], readers: dict[Var, list[Node]], leaving: set[Any]) -> bool:
    """Whether all readers of a whole are disjoint slices that only elementwise ops read."""
    taken = [boxes.taken(n) for n in slices]
    if not 1 < len(taken) <= MOST or any(t is None for t in taken):
        return False
    for node in slices:
        (out,) = node.outputs
        read = readers.get(out, [])
        if out in leaving or not read or not all(map(boxes.is_elementwise, read)):
            return False
    known = [t for t in taken if t is not None]
    return all(boxes.apart(a, b) for i, a in enumerate(known) for b in known[:i])


class _Fresh:
    """Nodes of the graph to be, with new ones at the place of an old one."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.next = graph.unused_id()
        self.where: Node

    def apply(self, prim: Prim, operands: tuple[Any, ...], params: dict[str, Any]) -> Var:
        """Adds a node; gives its result."""
        (type_,) = prim.infer(tuple(v.type for v in operands), params)
        out = Var(self.next, type_)
        self.next += 1
        self.nodes.append(Node(prim, operands, params, (out,), self.where.where))
        return out

    def rename(self, out: Var) -> None:
        """Lets the last node give `out`."""
        last = self.nodes.pop()
        self.nodes.append(Node(last.prim, last.inputs, last.params, (out,), last.where))
