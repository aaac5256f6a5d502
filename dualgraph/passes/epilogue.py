"""Epilogues: what is done with a contraction's result becomes part of the contraction."""

from __future__ import annotations

from collections.abc import Callable

from ..core.kinds import CONTRACTION
from ..core.node import Literal, Node, Var
from ..static.graph import Graph, GraphBuilder, Operand
from ..static.region import fused_region
from .fuel import FUEL
from .reach import Reach, predecessors
from .regions import folds_nothing, in_order


def fuse_epilogues(graph: Graph, accept: Callable[[Graph], bool]) -> Graph:
    """Given: a fused graph, and ``accept(body)``, whether the backend makes one kernel of a body.

    Result: accepted contractions are one region with a region of elementwise ops that reads their result, if no
    path leads from the one to the other through a third. A region takes in one contraction: the last of those
    that it reads.
    """
    before = predecessors(graph.nodes)
    reach = Reach(before)
    users = graph.users()
    leaving = {v for v in graph.outputs if isinstance(v, Var)}
    joined: dict[int, Node] = {}
    gone: set[int] = set()
    for j, node in enumerate(graph.nodes):
        if not folds_nothing(node):
            continue
        for i in sorted(before[j], reverse=True):
            first = graph.nodes[i]
            if first.prim.kind is not CONTRACTION or i in gone or len(first.outputs) != 1:
                continue
            if not reach.can_merge(reach.group[i], reach.group[j]):
                continue
            (result,) = first.outputs
            read = result in leaving or any(user is not node for user in users[result])
            region = _together(first, node, read)
            if accept(region.params["body"]) and FUEL.merge(first, node):
                reach.merge(reach.group[i], reach.group[j])
                joined[j] = region
                gone.add(i)
                break
    kept = [(i, joined.get(i, n)) for i, n in enumerate(graph.nodes) if i not in gone]
    return graph.with_nodes(in_order(kept))


def _together(first: Node, then: Node, read: bool) -> Node:
    """One region of a contraction and the region that reads its result, which is a result, too, if others `read` it."""
    (result,) = first.outputs
    builder = GraphBuilder()
    env: dict[Var, Operand] = {}
    for v in (*first.inputs, *then.inputs):
        if isinstance(v, Var) and v != result and v not in env:
            env[v] = builder.input(v.type)
    outer = tuple(env)

    def inner(v: Operand) -> Operand:
        return v if isinstance(v, Literal) else env[v]

    env[result] = own = builder.var(result.type)
    operands = tuple(map(inner, first.inputs))
    builder.nodes.append(Node(first.prim, operands, first.params, (own,), first.where))
    results = builder.splice(then.params["body"], [inner(v) for v in then.inputs])
    results += [own] if read else []
    outputs = (*then.outputs, *([result] if read else []))
    return Node(fused_region, outer, {"body": builder.build(results)}, outputs, then.where)
