"""What a pass must not lose or confuse: effects, failures, and which values share memory."""

from __future__ import annotations

from ..core.node import Node, Var
from ..static.graph import Graph, Operand
from ..static.region import bodies, is_region


def must_stay(node: Node) -> bool:
    """Whether running the node matters even if nobody reads its results: it acts, or it can raise."""
    if node.prim.can_fail or node.prim.details.get("effect"):
        return True
    return any(must_stay(n) for body in bodies(node).values() for n in body.nodes)


def alias_bases(graph: Graph) -> dict[Var, Var]:
    """For each var that may share the memory of an operand: that operand."""
    bases: dict[Var, Var] = {}
    for node in graph.nodes:
        for out, base in zip(node.outputs, _bases(node), strict=True):
            if isinstance(base, Var):
                bases[out] = base
    return bases


def alias_root(v: Var, bases: dict[Var, Var]) -> Var:
    """The oldest var whose memory `v` may share."""
    while v in bases:
        v = bases[v]
    return v


def _bases(node: Node) -> list[Operand | None]:
    """For each result the operand whose memory it may share."""
    if node.prim.aliases:
        return [node.inputs[0]] * len(node.outputs)
    if not is_region(node):
        return [None] * len(node.outputs)
    body: Graph = node.params["body"]
    inner, given = alias_bases(body), dict(zip(body.inputs, node.inputs, strict=True))
    return [given.get(alias_root(v, inner)) if isinstance(v, Var) else None for v in body.outputs]


class Sharing:
    """Keeps apart, while vars are replaced, what the program hands out as separate memory.

    A result that eager mode puts in memory of its own may not become an input or another result,
    for its new owner may write to it.
    """

    def __init__(self, graph: Graph) -> None:
        self.bases = alias_bases(graph)
        self.inputs = set(graph.inputs)
        self.escaping = {alias_root(v, self.bases) for v in graph.outputs if isinstance(v, Var)}

    def may_replace(self, old: Var, new: Operand) -> bool:
        """Whether `new` (or a view of it) may stand for `old`; a True is taken as done."""
        root = alias_root(old, self.bases)
        if not isinstance(new, Var):
            return root not in self.escaping
        target = alias_root(new, self.bases)
        if root == target:
            return True
        if root in self.escaping:
            if target in self.inputs or target in self.escaping:
                return False
            self.escaping.add(target)
        self.bases[old] = new
        return True
