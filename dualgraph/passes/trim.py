"""Trimming: loops and branches give only results that somebody reads."""

from __future__ import annotations

from ..core.node import Node, Var
from ..static.graph import Graph


def trim(graph: Graph) -> Graph:
    """Given: a graph.

    Result: nodes whose op has the trait ``trim`` leave out results that nobody reads, such as the carries
    that a loop saves for a gradient that is never asked for.
    """
    read = {v for v in graph.outputs if isinstance(v, Var)}
    for node in graph.nodes:
        read.update(v for v in node.inputs if isinstance(v, Var))
    return graph.with_nodes(_trimmed(node, read) for node in graph.nodes)


def _trimmed(node: Node, read: set[Var]) -> Node:
    rule = node.prim.details.get("trim")
    if rule is None or read.issuperset(node.outputs):
        return node
    kept, params = rule([v in read for v in node.outputs], **node.params)
    outputs = tuple(v for v, keep in zip(node.outputs, kept, strict=True) if keep)
    return Node(node.prim, node.inputs, params, outputs, node.where)
