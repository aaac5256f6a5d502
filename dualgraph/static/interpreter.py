"""The reference interpreter: a graph's meaning, op by op through the kernels that eager mode runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.backend import ArrayBackend, backend_for, execute
from ..core.devices import CPU
from ..core.dtypes import bfloat16, to_bfloat16
from ..core.errors import ArgumentError
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node
from ..core.trees import flatten
from ..core.types import TensorType
from ..core.wrap import Wrap
from .graph import Graph, Methods, evaluate
from .region import is_region


def interpret(graph: Graph, arrays: Iterable[Any], backend: ArrayBackend) -> list[Any]:
    """The outputs of `graph` for these inputs, as arrays of `backend`."""
    outputs = evaluate(graph, arrays, lambda node, operands: run_node(node, operands, backend))
    return [literal_array(v, backend) if isinstance(v, Literal) else v for v in outputs]


def run_node(node: Node, operands: Sequence[Any], backend: ArrayBackend) -> Sequence[Any]:
    """One node on arrays (literals as they stand in the graph); a region runs through its body."""
    device = node.outputs[0].type.device if node.outputs else None
    if device is not None and (device is CPU) is not (backend.xp is np):
        backend = backend_for(device)  # a program on a GPU keeps its random state on the CPU
    number = as_scalar if node.prim.kind is ELEMENTWISE else partial(literal_array, backend=backend)
    values = tuple(number(v) if isinstance(v, Literal) else v for v in operands)
    if is_region(node):
        return interpret(node.params["body"], values, backend)
    types = tuple(v.type for v in node.inputs)
    results = execute(
        backend, node.prim, values, types, node.params, tuple(v.type for v in node.outputs)
    )
    return [backend.asarray(r) if isinstance(r, np.generic) else r for r in results]


def as_scalar(literal: Literal) -> Any:
    """A literal in the form that kernels take it: a NumPy scalar of the dtype that is computed in."""
    return dt.as_scalar(literal.value, literal.dtype)


def literal_array(literal: Literal, backend: ArrayBackend) -> Any:
    """A literal as a 0-d array."""
    value = np.asarray(as_scalar(literal))
    return backend.asarray(to_bfloat16(value) if literal.dtype is bfloat16 else value)


def run(graph: Graph, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Graph.run`: arrays, tensors or numbers in (trees of them, flattened), a tuple of tensors out."""
    leaves = flatten(args)[0]
    if len(leaves) != len(graph.inputs):
        raise ArgumentError(f"the graph takes {len(graph.inputs)} inputs, {len(leaves)} were given")
    backend = backend_for(next((t.device for t in (*graph.in_types, *graph.out_types)), CPU))
    arrays = [
        _array(a, t, i, backend_for(t.device))
        for i, (a, t) in enumerate(zip(leaves, graph.in_types, strict=True))
    ]
    results = interpret(graph, arrays, backend)
    return tuple(Wrap.tensor(r, v.type) for r, v in zip(results, graph.outputs, strict=True))


def _array(value: Any, type: TensorType, index: int, backend: ArrayBackend) -> Any:
    """An input as an array of the backend. ArgumentError if it is not of the input's type."""
    data = getattr(value, "_data", value)
    number = isinstance(data, (bool, int, float, complex))
    if not hasattr(data, "dtype") or not hasattr(data, "shape"):
        data = np.asarray(data, dtype=type.dtype.numpy if number else None)
    array = backend.asarray(data)
    if array.shape != type.shape or array.dtype != type.dtype.numpy:
        raise ArgumentError(
            f"input {index} is {type}, not {array.dtype}[{','.join(map(str, array.shape))}]"
        )
    return array


Methods.run = staticmethod(run)
