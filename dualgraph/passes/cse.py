"""Common subexpressions: compute each thing once."""

from __future__ import annotations

from typing import Any

from ..core.node import Node, Var
from ..static.graph import Graph, Operand, rewrite, substitute
from .fuel import FUEL
from .sharing import Sharing


def cse(graph: Graph) -> Graph:
    """Given: a graph. Result: nodes with the op, operands and parameters of an earlier node are gone.

    Operands of commutative ops count in either order. Random ops read the state that the one before
    wrote, so no two of them are alike. Two results that the program hands out stay separate memory.
    """
    seen: dict[Any, Node] = {}
    sharing = Sharing(graph)
    mapping: dict[Var, Operand] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = rewrite(node, mapping)
        first = None if node.prim.details.get("effect") else seen.setdefault(_key(node), node)
        if first is None or first is node or not _may_merge(sharing, node, first):
            nodes.append(node)
        else:
            mapping.update(zip(node.outputs, first.outputs, strict=True))
    return graph.with_nodes(nodes, tuple(substitute(v, mapping) for v in graph.outputs))


def _key(node: Node) -> Any:
    name, inputs, params = node.key()
    return name, frozenset(inputs) if node.prim.commutes(node.inputs) else inputs, params


def _may_merge(sharing: Sharing, node: Node, first: Node) -> bool:
    if not FUEL.take(f"merge of {node.prim.name} at {node.where} with that at {first.where}"):
        return False
    return all(sharing.may_replace(a, b) for a, b in zip(node.outputs, first.outputs, strict=True))
