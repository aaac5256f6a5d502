"""Literals: a capture with live numbers as one without would be, at given numbers - what both may be compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.backend import backend_for
from ..core.constant import ConstArray
from ..core.devices import CPU
from ..core.node import Literal, Node, Var
from ..ops.creation import constant, full
from ..static.constants import constant_node
from ..static.graph import Graph, Operand, rewrite, substitute
from ..static.interpreter import interpret
from ..static.region import bodies, is_region
from ..static.trace import Store, Trace
from .results import Result


def plain_trace(
    trace: Trace, results: tuple[Result, ...], numbers: Sequence[Any]
) -> tuple[Trace, tuple[Result, ...]]:
    """A capture with these numbers as constants: what a plain capture would have written down."""
    gone = {
        v: Literal(numbers[s.key.place], s.type.dtype)
        for v, s in zip(trace.graph.inputs, trace.slots, strict=True)
        if s.kind == "computed"
    }
    kept = [i for i, s in enumerate(trace.slots) if s.kind != "computed"]
    at = {old: new for new, old in enumerate(kept)}
    recording = trace.recording
    if recording is not None:
        recording = recording._replace(nodes=tuple(rewrite(n, gone) for n in recording.nodes))
    there = trace._replace(
        graph=with_literals(trace.graph, gone),
        slots=tuple(trace.slots[i] for i in kept),
        stores=tuple(Store(at[s.input], s.output) for s in trace.stores),
        concrete=tuple(c._replace(operand=substitute(c.operand, gone)) for c in trace.concrete),
        numbers=tuple(c._replace(operand=substitute(c.operand, gone)) for c in trace.numbers),
        recording=recording,
    )
    return there, tuple(_plain_result(r, numbers, at) for r in results)


def _plain_result(r: Result, numbers: Sequence[Any], at: Mapping[int, int]) -> Result:
    if r.kind == "computed":
        return r._replace(kind="value", key=numbers[r.key])
    return r._replace(key=at[r.key]) if r.kind in ("input", "view") else r


def with_literals(graph: Graph, gone: Mapping[Var, Literal]) -> Graph:
    """The graph without the inputs in `gone`, which are these numbers; inside of composites and loops, too."""
    mapping: dict[Var, Operand] = dict(gone)

    def change(node: Node) -> Node:
        inner, places = bodies(node), [i for i, v in enumerate(node.inputs) if v in mapping]
        if not inner or not places:
            return rewrite(node, mapping)
        stands_for = node.params.get("name") if is_region(node) else None
        if stands_for == full.name:
            return _full(node, mapping[node.inputs[0]])  # type: ignore[index, arg-type]
        made = dict(node.params)
        for name, body in inner.items():
            # Bodies take the last inputs: a condition's predicate is no operand of its branches.
            first = len(node.inputs) - len(body.inputs)
            given = {body.inputs[i - first]: mapping[node.inputs[i]] for i in places}  # type: ignore[index]
            made[name] = with_literals(body, given)  # type: ignore[arg-type]
        left = tuple(v for i, v in enumerate(node.inputs) if i not in places)
        if stands_for == constant.name and not left:
            (array,) = interpret(made["body"], (), backend_for(CPU))
            data = ConstArray(array, node.outputs[0].type.dtype)
            return constant_node(data, node.outputs[0], node.where)
        return Node(node.prim, left, made, node.outputs, node.where)

    return Graph(
        tuple(v for v in graph.inputs if v not in mapping),
        tuple(map(change, graph.nodes)),
        tuple(substitute(v, mapping) for v in graph.outputs),
    )


def _full(node: Node, number: Literal) -> Node:
    """The op that a capture without live numbers has for one that fills a shape with this number."""
    type = node.outputs[0].type
    params = {"shape": type.shape, "value": number.value, "dtype": type.dtype.name, "device": "cpu"}
    return Node(full, (), params, node.outputs, node.where)
