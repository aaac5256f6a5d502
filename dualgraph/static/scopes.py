"""Scopes: the ops of each composite call, gathered into one region node."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.node import Node, Var
from .graph import Graph, Operand
from .region import composite_region

Scope = tuple[int, int, str]  # first node, end, name


def group_scopes(
    nodes: Sequence[Node], scopes: Sequence[Scope], outputs: Sequence[Operand]
) -> list[Node]:
    """Given: nodes in order, and properly nested ranges of them that are composites.

    Result: the nodes, each outermost range as one region whose body is grouped likewise.
    """
    last_read = {v.id: i for i, n in enumerate(nodes) for v in n.inputs if isinstance(v, Var)}
    last_read.update({v.id: len(nodes) for v in outputs if isinstance(v, Var)})
    ordered = sorted((s for s in scopes if s[1] > s[0]), key=lambda s: (s[0], -s[1]))
    return _group(nodes, 0, len(nodes), ordered, last_read)


def _group(
    nodes: Sequence[Node], start: int, end: int, scopes: Sequence[Scope], last_read: dict[int, int]
) -> list[Node]:
    """The nodes from `start` to `end`, those of each scope among them as one region."""
    out: list[Node] = []
    at = start
    for i, (first, stop, name) in enumerate(scopes):
        if first < at or stop > end:
            continue
        out.extend(nodes[at:first])
        inner = [s for s in scopes[i + 1 :] if s[0] >= first and s[1] <= stop]
        body = _group(nodes, first, stop, inner, last_read)
        out.append(_region(name, body, stop, last_read))
        at = stop
    out.extend(nodes[at:end])
    return out


def _region(name: str, body: list[Node], stop: int, last_read: dict[int, int]) -> Node:
    made = {v for n in body for v in n.outputs}
    reads = dict.fromkeys(v for n in body for v in n.inputs if isinstance(v, Var) and v not in made)
    leaving = tuple(v for n in body for v in n.outputs if last_read.get(v.id, -1) >= stop)
    graph = Graph(tuple(reads), tuple(body), leaving)
    return Node(
        composite_region, tuple(reads), {"name": name, "body": graph}, leaving, body[0].where
    )
