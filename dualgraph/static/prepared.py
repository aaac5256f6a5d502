"""Prepared graphs: the interpreter for a body that runs many times, with what never changes worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, in_float32
from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node
from .graph import Graph, Operand
from .interpreter import as_scalar, literal_array, run_node
from .region import is_region

Run = Callable[..., Sequence[Any]]


def prepared(graph: Graph, backend: ArrayBackend) -> Callable[[Iterable[Any]], list[Any]]:
    """A function that does what ``interpret(graph, arrays, backend)`` does, through the same kernels."""
    places = {v: i for i, v in enumerate(graph.all_vars())}
    fixed: list[Any] = []

    def place(operand: Operand, node: Node | None) -> int:
        if not isinstance(operand, Literal):
            return places[operand]
        number = node is not None and node.prim.kind is ELEMENTWISE
        fixed.append(as_scalar(operand) if number else literal_array(operand, backend))
        return len(places) + len(fixed) - 1

    steps = [
        (_runner(n, backend), [place(v, n) for v in n.inputs], [places[v] for v in n.outputs])
        for n in graph.nodes
    ]
    results = [place(v, None) for v in graph.outputs]
    rest = [None] * (len(places) - len(graph.inputs))

    def run(arrays: Iterable[Any]) -> list[Any]:
        env = [*arrays, *rest, *fixed]
        for call, reads, writes in steps:
            for i, out in zip(writes, call(*[env[j] for j in reads]), strict=True):
                env[i] = out
        return [env[i] for i in results]

    return run


def _runner(node: Node, backend: ArrayBackend) -> Run:
    """How a node runs on arrays; literals come as the interpreter gives them to kernels."""
    types = [v.type for v in (*node.inputs, *node.outputs)]
    if is_region(node):
        body = prepared(node.params["body"], backend)
        return lambda *arrays: body(arrays)
    if backend.xp is not np or any(in_float32(node.prim, t.dtype) for t in types):
        return lambda *arrays: run_node(node, arrays, backend)
    if node.prim.kind is ELEMENTWISE and not node.params:
        run = backend.runner(node.prim, tuple(v.type.dtype for v in node.inputs), types[-1].dtype)
        if run is not None:
            return partial(_one, run)
    prim, params = node.prim, node.params
    if prim.multiple:
        return lambda *arrays: [_array(a) for a in backend.run(prim, arrays, params)]
    return lambda *arrays: (_array(backend.run(prim, arrays, params)),)


def _one(run: Callable[..., Any], *arrays: Any) -> tuple[Any]:
    out = _array(run(*arrays))
    return (np.ascontiguousarray(out) if out.ndim > 1 and not out.flags.c_contiguous else out,)


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else np.asarray(value)
