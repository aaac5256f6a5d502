"""Widening: ops that compute narrow floats in float32 do so between casts that the graph shows.

It is what `core.backend.execute` does around each kernel; as nodes, the casts are fused with what is beside them,
and what computes has kernels for float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import in_float32, widened
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node, Var
from ..core.types import TensorType
from ..ops.arithmetic import conversion, converts
from ..static.graph import Graph, Operand


def widen(graph: Graph) -> Graph:
    """Given: a graph.

    Result: no op but casts from and to float32 computes on bfloat16, and no contraction on float16; loops and
    branches stay as they are.
    """
    if not any(t.dtype in (dt.bfloat16, dt.float16) for t in graph.all_types()):
        return graph
    widener = _Widener(graph)
    for node in graph.nodes:
        widener.visit(node)
    return graph.with_nodes(widener.nodes)


class _Widener:
    """Takes nodes one by one; keeps the float32 version of each narrow value, to convert it once."""

    def __init__(self, graph: Graph) -> None:
        self.next_id = graph.unused_id()
        self.nodes: list[Node] = []
        self.wide: dict[Var, Var] = {}

    def visit(self, node: Node) -> None:
        narrow = any(in_float32(node.prim, v.type.dtype) for v in (*node.inputs, *node.outputs))
        if not narrow or node.prim.kind.has_bodies or _plain(node):
            self.nodes.append(node)
            return
        inputs = tuple(self.operand(node, v) for v in node.inputs)
        params = widened(node.params)
        types = node.prim.infer(tuple(v.type for v in inputs), params)
        outputs = tuple(
            self.fresh(t.shape, t.device) if in_float32(node.prim, v.type.dtype) else v
            for v, t in zip(node.outputs, types, strict=True)
        )
        self.nodes.append(Node(node.prim, inputs, params, outputs, node.where))
        for wide, v in zip(outputs, node.outputs, strict=True):
            if wide is not v:
                self.nodes.append(conversion(wide, v, node.where))

    def operand(self, node: Node, v: Operand) -> Operand:
        """An operand of `node` as it reaches the kernel."""
        if not in_float32(node.prim, v.type.dtype):
            return v
        if isinstance(v, Literal):  # a number keeps its digits where kernels take numbers
            digits = v.value if node.prim.kind is ELEMENTWISE else _rounded(v)
            return Literal(digits, dt.float32)
        if v not in self.wide:
            self.wide[v] = self.fresh(v.type.shape, v.type.device)
            self.nodes.append(conversion(v, self.wide[v], node.where))
        return self.wide[v]

    def fresh(self, shape: Any, device: Any) -> Var:
        self.next_id += 1
        return Var(self.next_id - 1, TensorType(dt.float32, shape, device))


def _plain(node: Node) -> bool:
    """Whether it is one of the casts that remain."""
    return converts(node) and any(v.type.dtype is dt.float32 for v in (*node.inputs, *node.outputs))


def _rounded(literal: Literal) -> float:
    wide = np.asarray(dt.as_scalar(literal.value, dt.float32))
    return float(dt.to_float32(dt.rounded(wide, literal.dtype)))
