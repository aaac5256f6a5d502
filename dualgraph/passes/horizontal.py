"""Horizontal fusion: many small independent updates, such as an optimiser's, become one kernel."""

from __future__ import annotations

from collections.abc import Callable

from ..core.kinds import ELEMENTWISE, MOVEMENT
from ..core.node import Node, Var
from ..static.graph import Graph, GraphBuilder, Operand, evaluate
from ..static.region import fused_region
from .reach import Reach, bits
from .regions import in_order

SMALL = 1 << 18  # bytes a group writes; larger ones fill the machine on their own
MAX_NODES = 400  # in one region


def fuse_horizontally(graph: Graph, accept: Callable[[Graph], bool]) -> Graph:
    """Given: a fused graph, and ``accept(body)``, whether the backend makes a kernel of a body.

    Result: small fused regions without reductions that do not depend on each other are one region
    with the outputs of all. Regions of equal bodies come first: they share code.
    """
    producer = {v: i for i, n in enumerate(graph.nodes) for v in n.outputs}
    reads = [
        {producer[v] for v in n.inputs if isinstance(v, Var) and v in producer} for n in graph.nodes
    ]
    reach = Reach(reads)
    groups: list[int] = []
    for i, node in enumerate(graph.nodes):
        if not is_small(node):
            continue
        for g in groups:
            if _size(graph, reach.members[g]) + _body_size(node) <= MAX_NODES and reach.independent(
                g, i
            ):
                reach.merge(g, i)
                break
        else:
            groups.append(i)
    merged: dict[int, Node] = {}
    for g in groups:
        members = list(bits(reach.members[g]))
        if len(members) > 1:
            region = side_by_side([graph.nodes[i] for i in members])
            if accept(region.params["body"]):
                merged.update(dict.fromkeys(members[:-1]) | {members[-1]: region})  # type: ignore[arg-type]
    kept = [(i, merged.get(i, n)) for i, n in enumerate(graph.nodes)]
    return graph.with_nodes(in_order([(i, n) for i, n in kept if n is not None]))


def is_small(node: Node) -> bool:
    """A fused region of elementwise ops and index maps whose results are small."""
    return (
        node.prim is fused_region
        and sum(v.type.nbytes for v in node.outputs) <= SMALL
        and all(
            n.prim.kind is ELEMENTWISE or n.prim.kind is MOVEMENT for n in node.params["body"].nodes
        )
    )


def _body_size(node: Node) -> int:
    return len(node.params["body"].nodes)


def _size(graph: Graph, members: int) -> int:
    return sum(_body_size(graph.nodes[i]) for i in bits(members))


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
        results += evaluate(
            node.params["body"],
            given,
            lambda n, operands: builder.add(n.prim, tuple(operands), n.params, n.where),
        )
    outputs = tuple(v for node in nodes for v in node.outputs)
    return Node(
        fused_region, tuple(env), {"body": builder.build(results)}, outputs, nodes[-1].where
    )
