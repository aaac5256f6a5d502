"""Dead-code elimination: drop nodes no output depends on."""

from __future__ import annotations

from ..core.node import Node, Var
from ..static.graph import Graph
from .effects import must_stay


def dce(graph: Graph) -> Graph:
    """Given: a graph. Result: the graph without nodes whose results nobody reads.

    Nodes that act or can raise stay: a captured program fails where the eager one does.
    """
    live = {v for v in graph.outputs if isinstance(v, Var)}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.outputs) or must_stay(node):
            kept.append(node)
            live.update(v for v in node.inputs if isinstance(v, Var))
    return graph.with_nodes(reversed(kept))
