"""Unrolling: a loop over large arrays does several steps in one, so that they can go through memory together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ..core.node import Node, Var
from ..static.graph import Graph

Groups = tuple[dict[str, Any], ...]
LARGE = 1 << 22  # bytes of the carry from which memory is what a step waits for
STEPS = ((64, 16), (16, 8))  # how many turns a loop has at least, and how many steps are made one
MOST = 64  # nodes of a step


def unroll(graph: Graph, can_fuse: Callable[[Node], bool]) -> Graph:
    """Given: a graph, and which nodes can be part of a kernel.

    Result: nodes whose op has the trait ``in_groups`` do several steps in one, where a step is short, all of it goes
    into kernels, and what it hands on is larger than caches are. What steps compute stays.
    """
    if not any("in_groups" in n.prim.details for n in graph.nodes):
        return graph
    free = itertools.count(graph.unused_id())
    found: list[Node] = []
    for node in graph.nodes:
        groups = _groups(node, can_fuse)
        found += [node] if groups is None else _chained(node, groups, free)
    return graph.with_nodes(found)


def _groups(node: Node, can_fuse: Callable[[Node], bool]) -> Groups | None:
    """The parameters of the loops that take the place of `node`, one after the other; None: it stays."""
    rule = node.prim.details.get("in_groups")
    if rule is None or sum(v.type.nbytes for v in node.outputs) < LARGE:
        return None
    body, turns = node.params["body"], node.params["length"]
    times = next((t for least, t in STEPS if turns >= least), 0)
    if (
        not times
        or type(turns) is not int
        or len(body.nodes) > MOST
        or not all(map(can_fuse, body.nodes))
    ):
        return None
    groups: Groups | None = rule(times, **node.params)
    return groups


def _chained(node: Node, groups: Groups, free: Iterator[int]) -> Iterator[Node]:
    """The groups as nodes: each starts from what the one before gives."""
    inputs = node.inputs
    for i, params in enumerate(groups):
        outputs = node.outputs
        if i < len(groups) - 1:
            outputs = tuple(Var(next(free), v.type) for v in outputs)
        yield Node(node.prim, inputs, params, outputs, node.where)
        inputs = (*outputs, *inputs[len(outputs) :])
