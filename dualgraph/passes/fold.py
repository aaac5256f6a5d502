"""Constant folding: compute once, while compiling, what every call would compute alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, backend_for
from ..core.constant import ConstArray
from ..core.devices import CPU, Device
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node, Var
from ..core.numbers.symbolic import is_symbolic
from ..core.process.silence import quietly
from ..core.types import broadcast_shapes
from ..static.constants import constant_node
from ..static.graph import Graph, Operand
from ..static.interpreter import run_node
from .effects import must_stay
from .fuel import FUEL
from .sharing import layout_shows

MAX_ELEMENTS = 4096  # results are kept in the program only up to this size
ALWAYS = 16  # results larger than their operands are kept up to this size


def fold(graph: Graph) -> Graph:
    """Given: a graph.

    Result: nodes whose operands are all known become constants, computed by the kernels that a call
    would run; elementwise nodes take operands that hold one number everywhere as literals.
    """
    folder = Folder(layout_shows(graph))
    return graph.with_nodes(folder.visit(node) for node in graph.nodes)


class Folder:
    """What is known of vars: small arrays whole, arrays of any size that are one number as that number."""

    def __init__(self, layout_shows: set[Var]) -> None:
        self.layout_shows = layout_shows
        self.known: dict[Var, Any] = {}
        self.uniform: dict[Var, Literal] = {}

    def visit(self, node: Node) -> Node:
        """`node`, or what is left of it to compute."""
        if len(node.outputs) != 1 or must_stay(node):
            return node
        self.note_uniform(node)
        if node.prim.kind is ELEMENTWISE:
            node = self.with_literals(node)
        return self.evaluated(node)

    def evaluated(self, node: Node) -> Node:
        """`node` as a constant, where all that it reads is known and its result is small."""
        (out,) = node.outputs
        if is_symbolic(out.type.shape) or is_symbolic(node.params):
            return node
        backend = backend_for(out.type.device)
        operands = [self.known.get(v, v) for v in node.inputs]
        if out.type.size:  # what is made of nothing is known
            operands = [_nothing(v, backend) if isinstance(v, Var) else v for v in operands]
        if out.type.size > MAX_ELEMENTS or any(isinstance(v, Var) for v in operands):
            return node
        (value,) = run_node(node, operands, backend)
        self.known[out] = value
        number = _number(value, out, backend)
        if number is not None:
            self.uniform[out] = number
        if not node.inputs or (node.prim.aliases and out in self.layout_shows):
            return node  # a creation op is as good as a constant, and a constant is row-major
        if out.type.size > max(ALWAYS, *(v.type.size for v in node.inputs)):
            return node
        if not FUEL.take(f"fold of {node.prim.name} at {node.where}"):
            return node
        stored = ConstArray(backend.to_numpy(value), out.type.dtype)
        return constant_node(stored, out, node.where)

    def note_uniform(self, node: Node) -> None:
        """Notes if the result of `node` is one number everywhere."""
        (out,) = node.outputs
        value: Literal | None = None
        named = node.prim.details.get("uniform")  # the parameter that is the value everywhere
        if named is not None and is_symbolic(node.params[named]):
            return
        if named is not None and out.type.dtype is not bfloat16:
            value = _number(
                quietly(np.full, (), node.params[named], out.type.dtype.numpy),
                out,
                backend_for(CPU),
            )
        elif node.prim.aliases:  # a view of one number everywhere is just that
            value = self.literal(node.inputs[0])
        elif node.prim.kind is ELEMENTWISE:
            operands = [self.literal(v) for v in node.inputs]
            if all(v is not None for v in operands):
                scalars = tuple(v for v in operands if v is not None)
                alone = Node(
                    node.prim, scalars, node.params, (Var(-1, scalars[0].type),), node.where
                )
                backend = backend_for(out.type.device)
                value = _number(
                    run_node(_typed(alone, out.type.device), scalars, backend)[0], out, backend
                )
        if value is not None:
            self.uniform[out] = value

    def literal(self, operand: Operand) -> Literal | None:
        return operand if isinstance(operand, Literal) else self.uniform.get(operand)

    def with_literals(self, node: Node) -> Node:
        """`node` reading numbers in place of uniform arrays, where its result keeps its shape."""
        (out,) = node.outputs
        inputs = list(node.inputs)
        for i, v in enumerate(inputs):
            number = self.uniform.get(v) if isinstance(v, Var) else None
            rest = [w.type.shape for j, w in enumerate(inputs) if j != i]
            fits = number is not None and rest and broadcast_shapes((), *rest) == out.type.shape
            if fits and FUEL.take(f"number for {v} of {node.prim.name} at {node.where}"):
                inputs[i] = number
        if all(isinstance(v, Literal) for v in inputs):
            return node
        return Node(node.prim, tuple(inputs), node.params, node.outputs, node.where)


def _typed(node: Node, device: Device) -> Node:
    types = node.prim.infer(tuple(v.type for v in node.inputs), node.params)
    return Node(
        node.prim,
        node.inputs,
        node.params,
        tuple(Var(-1 - i, t._replace(device=device)) for i, t in enumerate(types)),
        node.where,
    )


def _nothing(v: Var, backend: ArrayBackend) -> Any:
    """The value of a var without elements; of others the var."""
    empty = not is_symbolic(v.type.shape) and v.type.size == 0
    return backend.xp.empty(v.type.shape, v.type.dtype.numpy) if empty else v


def _number(array: Any, out: Var, backend: ArrayBackend) -> Literal | None:
    """The number that `array` holds everywhere, if it does and a Python number can say it."""
    flat = np.ascontiguousarray(backend.to_numpy(array)).reshape(-1)
    if not flat.size or flat.tobytes() != flat[:1].tobytes() * flat.size:
        return None
    cell = from_bfloat16(flat[:1]) if out.type.dtype is bfloat16 else flat[:1]
    value = cell[0].item()
    if value != value:  # which NaN it is would be lost
        return None
    return Literal(value, out.type.dtype)
