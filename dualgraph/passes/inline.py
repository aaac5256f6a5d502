"""Inlining: replace composites that no backend claims by their bodies."""

from __future__ import annotations

from collections.abc import Callable

from ..core.node import Node, Var
from ..static.graph import Graph, GraphBuilder, Operand, substitute
from ..static.region import is_region


def inline(graph: Graph, claims: Callable[[Node], bool]) -> Graph:
    """Given: ``claims(node)``, whether the backend has a kernel for a region.

    Result: every region it does not claim is replaced by the nodes of its body, at any depth. Nodes
    of the body keep their source lines, or get that of the region.
    """
    if not any(is_region(n) for n in graph.nodes):
        return graph
    spliced = _splice(graph.nodes, claims)
    if spliced is not None:
        numbers = [v.id for v in (*graph.inputs, *(v for n in spliced for v in n.outputs))]
        if len(set(numbers)) == len(numbers):
            return graph.with_nodes(spliced)
    builder = GraphBuilder()
    mapping: dict[Var, Operand] = {v: builder.input(v.type) for v in graph.inputs}
    _append(builder, graph, mapping, claims, None)
    return builder.build(substitute(v, mapping) for v in graph.outputs)


def _splice(nodes: tuple[Node, ...], claims: Callable[[Node], bool]) -> list[Node] | None:
    """The nodes with bodies put in place, where bodies use the vars of the graph around them (as captures make
    them); vars keep their numbers. None where a body has numbers of its own.
    """
    out: list[Node] = []
    for node in nodes:
        if not is_region(node) or claims(node):
            out.append(node)
            continue
        body: Graph = node.params["body"]
        inner = (
            _splice(body.nodes, claims)
            if (body.inputs, body.outputs) == (node.inputs, node.outputs)
            else None
        )
        if inner is None:
            return None
        out.extend(inner)
    return out


def _append(
    builder: GraphBuilder,
    graph: Graph,
    mapping: dict[Var, Operand],
    claims: Callable[[Node], bool],
    caller: Node | None,
) -> None:
    """Adds the nodes of a graph to `builder`, those of bodies in the place of regions; `caller`: the region around."""
    for node in graph.nodes:
        inputs = tuple(substitute(v, mapping) for v in node.inputs)
        where = caller.where if caller is not None and not node.where.line else node.where
        if is_region(node) and not claims(node):
            body: Graph = node.params["body"]
            inner = dict(zip(body.inputs, inputs, strict=True))
            _append(builder, body, inner, claims, node)
            results = tuple(substitute(v, inner) for v in body.outputs)
        else:
            results = tuple(builder.var(v.type) for v in node.outputs)
            builder.nodes.append(Node(node.prim, inputs, node.params, results, where))
        mapping.update(zip(node.outputs, results, strict=True))
