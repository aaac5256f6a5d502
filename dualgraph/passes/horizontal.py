"""Horizontal fusion: many small independent updates, such as an optimiser's, become one kernel."""

from __future__ import annotations

from collections.abc import Callable

from ..core.node import Node, Var
from ..static.graph import Graph, GraphBuilder, Operand
from ..static.region import fused_region
from .fuel import FUEL
from .reach import Reach, bits, predecessors
from .regions import folds_nothing, in_order

TINY, SMALL = 1 << 10, 1 << 16  # elements a group loops over; tiny ones cost their start alone
MAX_NODES = 400  # in one region


def fuse_horizontally(graph: Graph, accept: Callable[[Graph], bool]) -> Graph:
    """Given: a fused graph, and ``accept(body)``, whether the backend makes a kernel of a body.

    Result: small fused regions without reductions that do not depend on each other are one region
    with the outputs of all; tiny ones join with tiny ones only.
    """
    reach = Reach(predecessors(graph.nodes))
    regions: dict[int, Node] = {}
    gone: set[int] = set()
    for members in [list(bits(reach.members[g])) for g in merged(graph, reach)]:
        if len(members) > 1:
            region = side_by_side([graph.nodes[i] for i in members])
            if accept(region.params["body"]):
                regions[members[-1]] = region
                gone.update(members[:-1])
    kept = [(i, regions.get(i, n)) for i, n in enumerate(graph.nodes) if i not in gone]
    return graph.with_nodes(in_order(kept))


def merged(graph: Graph, reach: Reach) -> list[int]:
    """Merges small regions in `reach`, each with the first group that it fits; gives the groups."""
    sizes: dict[int, int] = {}  # nodes in the bodies of a group
    for i, node in enumerate(graph.nodes):
        if not is_small(node):
            continue
        size = len(node.params["body"].nodes)
        for g, before in sizes.items():
            alike = is_tiny(graph.nodes[g]) == is_tiny(node)
            room = alike and before + size <= MAX_NODES
            if room and reach.independent(g, i) and FUEL.merge(graph.nodes[g], node):
                reach.merge(g, i)
                sizes[g] = before + size
                break
        else:
            sizes[i] = size
    return list(sizes)


def is_small(node: Node) -> bool:
    """A fused region of elementwise ops and index maps over few elements."""
    return folds_nothing(node) and largest(node) <= SMALL


def is_tiny(node: Node) -> bool:
    return largest(node) <= TINY


def largest(node: Node) -> int:
    """Elements of the largest result."""
    return max((v.type.size for v in node.outputs), default=0)


def side_by_side(nodes: list[Node]) -> Node:
    """One region that computes what several do."""
    builder = GraphBuilder()
    env: dict[Var, Operand] = {}
    for node in nodes:
        for v in node.inputs:
            if isinstance(v, Var) and v not in env:
                env[v] = builder.input(v.type)
    results: list[Operand] = []
    for node in nodes:
        given = [env[v] if isinstance(v, Var) else v for v in node.inputs]
        results += builder.splice(node.params["body"], given)
    outputs = tuple(v for node in nodes for v in node.outputs)
    return Node(
        fused_region, tuple(env), {"body": builder.build(results)}, outputs, nodes[-1].where
    )
