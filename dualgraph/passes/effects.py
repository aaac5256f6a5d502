"""Effects: which nodes must run even if nobody reads their results."""

from __future__ import annotations

from ..core.node import Node
from ..static.region import bodies


def must_stay(node: Node) -> bool:
    """Whether running the node matters in itself: it acts, or it can raise."""
    if node.prim.can_fail or node.prim.details.get("effect"):
        return True
    return any(must_stay(n) for body in bodies(node).values() for n in body.nodes)
