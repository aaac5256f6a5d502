"""Bounds: a graph from a file is checked - types, nesting, the memory it would take - before anything runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator

from ..core.devices import CPU
from ..core.errors import GraphError
from ..core.kinds import ELEMENTWISE
from ..core.node import Node, Var
from ..passes.order import peak_bytes
from ..passes.sizes import human
from ..static.graph import Graph, verify_types
from ..static.region import bodies

MAX_NESTING = 20  # bodies in bodies
MAX_AXES = 32


def machine_bytes() -> int:
    """The memory of this machine (1 TiB where it does not say)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # pragma: no cover - not on Windows
        return 1 << 40


def check_graph(graph: Graph, limit: int) -> None:
    """Raises GraphError unless every node of the graph, and of the bodies in it, has the types that its op
    gives, nothing lies off the CPU, and what is live at once takes at most `limit` bytes.

    Types are derived from the operands' types alone: no array is made.
    """
    for g in nested(graph):
        verify_types(g)
        for node in g.nodes:
            check_operands(node)
        for v in g.all_vars():
            if v.type.device is not CPU:
                raise GraphError(f"{v} is on {v.type.device}; a file holds programs for the CPU")
            if v.type.ndim > MAX_AXES:
                raise GraphError(f"{v} has {v.type.ndim} axes, more than {MAX_AXES}")
    needed = _bytes(graph) + sum(v.type.nbytes for v in graph.inputs)
    for g in nested(graph):  # also of views, which a kernel may copy
        needed = max(needed, *(v.type.nbytes for v in g.all_vars()), 0)
    if needed > limit:
        raise GraphError(f"it needs {human(needed)}, more than the {human(limit)} allowed")


def check_operands(node: Node) -> None:
    """Raises GraphError unless an elementwise op has its parameters, and operands of the dtypes that its
    kernels expect: casts are explicit. (The rules of other ops see to that.)"""
    if node.prim.kind is not ELEMENTWISE:
        return
    known = list(inspect.signature(node.prim.kernel).parameters)[1 + len(node.inputs) :]
    if sorted(node.params) != sorted(known):
        raise GraphError(f"{node.prim.name} has parameters {known}, not {list(node.params)}")
    if "dtype" in node.params:
        return
    found = tuple(v.type.dtype for v in node.inputs)
    wanted, _ = ELEMENTWISE.resolve(node.prim, found)
    if found != wanted:
        raise GraphError(f"{node.prim.name} takes {wanted}, not {found}")


def nested(graph: Graph, depth: int = 0) -> Iterator[Graph]:
    """The graph and all bodies inside; GraphError where they nest too deep."""
    if depth > MAX_NESTING:
        raise GraphError(f"bodies are nested more than {MAX_NESTING} deep")
    yield graph
    for node in graph.nodes:
        for body in bodies(node).values():
            yield from nested(body, depth + 1)


def _bytes(graph: Graph) -> int:
    """Bytes that are live at once, those of the largest body beside them; and results, which stay."""
    inner = max((_bytes(b) for n in graph.nodes for b in bodies(n).values()), default=0)
    results = sum(v.type.nbytes for v in set(graph.outputs) if isinstance(v, Var))
    return peak_bytes(graph) + inner + results
