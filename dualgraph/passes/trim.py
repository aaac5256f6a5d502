"""Trimming: loops and branches give only results that somebody reads, and none twice."""

from __future__ import annotations

from ..core.node import Node, Var
from ..static.graph import Graph, Operand, rewrite, substitute
from .sharing import Sharing


def trim(graph: Graph) -> Graph:
    """Given: a graph.

    Result: of results that the trait ``alike`` of an op says are the same, one is read. Nodes whose op has the trait
    ``trim`` leave out results that nobody reads, such as the carries that a loop saves for a gradient that is
    never asked for.
    """
    graph = _without_twins(graph)
    read = {v for v in graph.outputs if isinstance(v, Var)}
    for node in graph.nodes:
        read.update(v for v in node.inputs if isinstance(v, Var))
    return graph.with_nodes(_trimmed(node, read) for node in graph.nodes)


def _without_twins(graph: Graph) -> Graph:
    """The graph in which one of several results that are the same is read."""
    mapping: dict[Var, Operand] = {}
    sharing, nodes = Sharing(graph), []
    for node in graph.nodes:
        nodes.append(rewrite(node, mapping))
        rule = node.prim.details.get("alike")
        for v, first in zip(node.outputs, rule(**node.params) if rule else (), strict=False):
            twin = node.outputs[first]
            if twin != v and sharing.may_replace(v, twin):
                mapping[v] = twin
    if not mapping:
        return graph
    return graph.with_nodes(nodes, tuple(substitute(v, mapping) for v in graph.outputs))


def _trimmed(node: Node, read: set[Var]) -> Node:
    rule = node.prim.details.get("trim")
    if rule is None or read.issuperset(node.outputs):
        return node
    kept, params = rule([v in read for v in node.outputs], **node.params)
    outputs = tuple(v for v, keep in zip(node.outputs, kept, strict=True) if keep)
    return Node(node.prim, node.inputs, params, outputs, node.where)
