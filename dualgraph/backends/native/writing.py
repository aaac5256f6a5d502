"""Writing: a node of a schedule as kernels of a native program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.backend import in_float32
from ...core.node import Node
from . import attention, contract, movers
from .claims import claimed
from .movers.strided import move
from .team.room import Ahead, Room, writing
from .team.spots import NotNative, Spot


def new_room(ahead: Ahead | None = None) -> Room:
    """An empty room, which can copy."""
    return Room(move, ahead)


def write_node(
    node: Node,
    kernel: Any,
    operands: Sequence[Spot],
    results: Sequence[Spot],
    ahead: Ahead | None = None,
) -> Room:
    """The kernels of a node; `kernel` is the compiled one of a fused region, `ahead` that of a loop around it.

    Raises NotNative where Python has to run the node.
    """
    room = new_room(ahead)
    if not results or any(not s.size for s in (*operands, *results)):
        raise NotNative("nothing to do")
    if kernel is not None:
        kernel.write(room, operands, results)
        return room
    if any(in_float32(node.prim, v.type.dtype) for v in (*node.inputs, *node.outputs)):
        raise NotNative("numbers that NumPy widens")
    name = node.prim.name
    found = claimed(name, *[s.dtype for s in operands])
    if found is None:
        raise NotNative("an op without a native kernel")
    if name in contract.CLAIMED:
        contract.write(name, room, results[0], *operands, **node.params)
        return room
    if name in attention.CLAIMED:
        attention.write(name, room, tuple(results), *operands, **node.params)
        return room
    if name not in movers.CLAIMED:
        raise NotNative("a kernel that Python calls")
    out = tuple(results) if node.prim.multiple else results[0]
    with writing(room):
        if found(*operands, out=out, **node.params) is None:
            raise NotNative("a layout that the kernel declines")
    return room
