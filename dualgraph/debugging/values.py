"""Values: what every node of a graph computes, regions opened, and what has effects beside its results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.backend import ArrayBackend, backend_for
from ..core.constant import exact
from ..core.devices import CPU
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.node import Literal, Node
from ..core.types import TensorType
from ..core.ulp import ulp_of
from ..passes.effects import must_stay
from ..static.graph import Graph, evaluate
from ..static.interpreter import literal_array, run_node
from ..static.region import bodies, is_region

Digest = tuple[str, bytes]


class Run(NamedTuple):
    """A graph run by the interpreter: the values of its vars, those inside of regions as digests, its outputs.

    ``effects``: what could fail or act, as op, parameters and operands.
    """

    values: dict[Any, Any]
    digests: set[Digest]
    effects: set[Any]
    outputs: list[Any]


def run_graph(graph: Graph, inputs: Sequence[Any]) -> Run:
    """Runs `graph` on arrays, op by op, and keeps what each op gave."""
    run = Run(dict(zip(graph.inputs, inputs, strict=True)), {digest(a) for a in inputs}, set(), [])
    backend = backend_for(next((t.device for t in graph.all_types()), CPU))

    def apply(node: Node, operands: list[Any]) -> list[Any]:
        results = _apply(node, operands, backend, run)
        run.values.update(zip(node.outputs, results, strict=True))
        return results

    with np.errstate(all="ignore"):
        outs = evaluate(graph, inputs, apply)
    run.outputs.extend(literal_array(v, backend) if isinstance(v, Literal) else v for v in outs)
    return run


def _apply(node: Node, operands: Sequence[Any], backend: ArrayBackend, run: Run) -> list[Any]:
    """One node; the nodes in a region one by one."""
    if is_region(node):
        arrays = [literal_array(v, backend) if isinstance(v, Literal) else v for v in operands]
        outs = evaluate(
            node.params["body"], arrays, lambda n, given: _apply(n, given, backend, run)
        )
        return [literal_array(v, backend) if isinstance(v, Literal) else v for v in outs]
    results = list(run_node(node, operands, backend))
    if must_stay(node) and not bodies(node):
        given = tuple(str(v) if isinstance(v, Literal) else digest(v) for v in operands)
        run.effects.add((node.prim.name, exact(tuple(node.params.items())), given))
    run.digests.update(map(digest, results))
    return results


def digest(array: Any) -> Digest:
    """Equal for arrays of one type with the same bits."""
    flat = np.array(getattr(array, "get", lambda: array)(), order="C")
    if flat.dtype.kind in "fc":  # any NaN is as good as another
        flat[np.isnan(flat)] = np.nan
    return f"{flat.dtype}{flat.shape}", hashlib.blake2b(flat.tobytes(), digest_size=16).digest()


def distance(a: Any, b: Any, type: Any) -> float:
    """Distance of two values of a type in ulp; 0 for the same bits."""
    host = [np.asarray(getattr(v, "get", lambda v=v: v)()) for v in (a, b)]
    return ulp_of(*host, type.dtype)


def innermost(node: Node, operands: Sequence[Any], known: set[Digest]) -> Node:
    """The first node inside `node` that makes a value not among those known of what it is made of.

    Where it is no region, or all is known inside, the node itself.
    """
    if not is_region(node):
        return node
    backend = backend_for(node.outputs[0].type.device)
    seen, found = set(known), []

    def apply(inner: Node, given: list[Any]) -> list[Any]:
        run = Run({}, set(), set(), [])
        results = _apply(inner, given, backend, run)
        if not found and any(digest(r) not in seen for r in results):
            found.append(innermost(inner, given, seen))
        seen.update(run.digests)
        return results

    arrays = [literal_array(v, backend) if isinstance(v, Literal) else v for v in operands]
    with np.errstate(all="ignore"):
        evaluate(node.params["body"], arrays, apply)
    return found[0] if found else node


def summary(array: Any, type: TensorType) -> str:
    """``f32[2,3]  min -1.2  mean 0.1  max 3.4``, with counts of NaN and infinity; small tensors as they are."""
    host = np.asarray(getattr(array, "get", lambda: array)())
    host = from_bfloat16(host) if type.dtype is bfloat16 else host
    if host.size == 0:
        return f"{type}  empty"
    if host.size <= 4:
        return f"{type}  {np.array2string(host, precision=6, separator=', ')}"
    if host.dtype.kind == "b":
        return f"{type}  {int(host.sum())} of {host.size} true"
    if host.dtype.kind == "c":
        host = np.abs(host)
    finite = host[np.isfinite(host)] if host.dtype.kind == "f" else host
    text = f"{type}"
    if finite.size:
        wide = finite.astype(np.float64)
        text += f"  min {wide.min():.6g}  mean {wide.mean():.6g}  max {wide.max():.6g}"
    if host.dtype.kind == "f" and finite.size < host.size:
        nans = int(np.isnan(host).sum())
        parts = [(nans, "NaN"), (host.size - finite.size - nans, "infinite")]
        text += "  " + ", ".join(f"{n} {what}" for n, what in parts if n)
    return text
