"""Which nodes fusion may group where no backend is asked: what their structure allows."""

from __future__ import annotations

from dualgraph.core.kinds import MOVEMENT, REDUCTION
from dualgraph.core.node import Node


def may_be_fused(node: Node) -> bool:
    """Whether the structure of a node allows it in a group at all."""
    kind = node.prim.kind
    if len(node.outputs) != 1 or node.prim.can_fail:
        return False
    return (
        kind.name == "elementwise"
        or kind is MOVEMENT
        or (kind is REDUCTION and "monoid" in node.prim.details)
    )
