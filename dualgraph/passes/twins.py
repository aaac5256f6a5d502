"""Twins: fused groups that do the same have one body, so that its kernel is judged, written and loaded once.

Layers that are repeated give such groups. Nothing that a program computes or that its text says changes.
"""

from __future__ import annotations

from typing import Any

from ..core.node import Node
from ..static.graph import Graph
from ..static.region import bodies, fused_region


def share_bodies(graph: Graph) -> Graph:
    """Given: a graph with fused groups. Result: equal bodies, source lines included, are one object."""
    known: dict[Any, Graph] = {}

    def shared(node: Node) -> Node:
        if node.prim is not fused_region:
            return node
        body: Graph = node.params["body"]
        if any(map(bodies, body.nodes)):
            return node
        key = body.inputs, tuple(map(_said, body.nodes)), body.outputs
        twin = known.setdefault(key, body)
        if twin is body:
            return node
        params = {**node.params, "body": twin}
        return Node(node.prim, node.inputs, params, node.outputs, node.where)

    return graph.with_nodes(map(shared, graph.nodes))


def _said(node: Node) -> tuple[Any, ...]:
    """All that there is to say of a node."""
    return (*node.key(), node.outputs, node.where)
