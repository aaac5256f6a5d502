"""Own results: each result of a body is made by a node of its own, so that a kernel may write it where it is wanted."""

from __future__ import annotations

from ..core.node import Node, Var
from ..ops.movement import copy
from ..static.graph import Graph, Operand


def own_results(graph: Graph) -> Graph:
    """Given: the body of a loop or branch, in which all else is simplified.

    Result: results that are inputs, or results before, are copies of them, which can be part of a kernel.
    """
    given: set[Operand] = set(graph.inputs)
    fresh = 1 + max((v.id for v in graph.all_vars()), default=-1)
    nodes = list(graph.nodes)
    outputs: list[Operand] = []
    for v in graph.outputs:
        if isinstance(v, Var) and v in given:
            out = Var(fresh + len(outputs), v.type)
            nodes.append(Node(copy, (v,), {}, (out,)))
            v = out
        given.add(v)
        outputs.append(v)
    return graph.with_nodes(nodes, tuple(outputs))
