"""Own results: each result of a body is made by a node of its own, so that a kernel may write it where it is wanted."""

from __future__ import annotations

from typing import Any

from ..core.node import Node, Var
from ..ops import boxes
from ..static.graph import Graph, Operand


def own_results(graph: Graph) -> Graph:
    """Given: the body of a loop or branch, in which all else is simplified.

    Result: results that are inputs, or results before, are copies of them, which can be part of a kernel.
    """
    given: set[Operand] = set(graph.inputs)
    nodes = list(graph.nodes)
    outputs: list[Operand] = []
    fresh = graph.unused_id()

    def apply(prim: Any, operands: tuple[Var, ...], params: dict[str, Any]) -> Var:
        out = Var(fresh + len(outputs), operands[0].type)
        nodes.append(Node(prim, operands, params, (out,)))
        return out

    for v in graph.outputs:
        outputs.append(boxes.of_its_own(v, apply) if isinstance(v, Var) and v in given else v)
        given.add(v)
    return graph.with_nodes(nodes, tuple(outputs))
