"""What the executors and the eager backend use of native code."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from ...core.node import Node
from ...static.graph import Graph
from .expressions import check_node
from .loop_ir import Unsupported
from .lower import Strides, lower

if TYPE_CHECKING:
    from .kernel import NativeKernel


@cache
def available() -> bool:
    """Whether native code can be made: llvmlite is there and ``DUALGRAPH_NATIVE`` is not 0."""
    return os.environ.get("DUALGRAPH_NATIVE", "1") != "0" and importlib.util.find_spec("llvmlite") is not None


def supports(node: Node) -> bool:
    """Whether a node like this can be part of a fused kernel (its neighbours may still rule it out)."""
    try:
        check_node(node)
    except Unsupported:
        return False
    return True


def can_lower(body: Graph) -> bool:
    """Whether the body of a fused group can be one kernel."""
    if not available():
        return False
    try:
        lower(body)
    except Unsupported:
        return False
    return True


def compile_group(body: Graph, in_strides: Strides | None = None) -> NativeKernel:
    """Compiles a fused body for its shapes.

    `in_strides`: for each input its strides in elements, or None for C-contiguous.
    Raises Unsupported where the body must run op by op.
    """
    from .kernel import NativeKernel

    return NativeKernel(lower(body, in_strides))
