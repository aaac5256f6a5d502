"""Constants in graphs: nodes that give an array held by the program."""

from __future__ import annotations

from ..core.constant import ConstArray
from ..core.errors import NOWHERE, Location
from ..core.node import Node, Var
from ..ops.creation import constant


def constant_node(data: ConstArray, out: Var, where: Location = NOWHERE) -> Node:
    """The node that gives `data` as `out`."""
    return Node(constant, (), {"data": data, "device": str(out.type.device)}, (out,), where)


def is_constant(node: Node) -> bool:
    """Whether the node's value is an array held by the program."""
    return node.prim is constant
