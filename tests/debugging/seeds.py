"""Seeds: mutations of graphs, plans and kernels, each a fault that a pass could have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dualgraph.core.constant import ConstArray
from dualgraph.core.node import Literal, Node, Var
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.static.graph import Graph
from dualgraph.static.region import bodies

# Rows 0, 2, 1, 3 of a (4, 4) array.
TURNED = (
    ("reshape", {"shape": (2, 2, 4)}),
    ("permute", {"axes": (1, 0, 2)}),
    ("reshape", {"shape": (4, 4)}),
)

Change = Callable[[Node], Node | None]


def node(n: Node, **changes: Any) -> Node:
    parts = {
        "prim": n.prim,
        "inputs": n.inputs,
        "params": n.params,
        "outputs": n.outputs,
        "where": n.where,
    }
    return Node(**{**parts, **changes})


def first(graph: Graph, change: Change) -> Graph:
    """The graph with the first node that `change` has something for replaced, also inside of bodies."""
    nodes = list(graph.nodes)
    for i, n in enumerate(nodes):
        new = change(n)
        if new is not None:
            nodes[i] = new
            return graph.with_nodes(nodes)
        for key, body in bodies(n).items():
            try:
                inner = first(body, change)
            except LookupError:
                continue
            nodes[i] = node(n, params={**n.params, key: inner})
            return graph.with_nodes(nodes)
    raise LookupError("nothing to change")


def of(name: str, change: Callable[[Node], Node | None]) -> Callable[[Graph], Graph]:
    return lambda graph: first(graph, lambda n: change(n) if n.prim.name == name else None)


def swapped(name: str) -> Callable[[Graph], Graph]:
    return of(
        name, lambda n: node(n, inputs=n.inputs[::-1]) if n.inputs[0] != n.inputs[-1] else None
    )


def other_op(name: str, by: str) -> Callable[[Graph], Graph]:
    return of(name, lambda n: node(n, prim=lookup(by)))


def params(name: str, **new: Any) -> Callable[[Graph], Graph]:
    def change(n: Node) -> Node | None:
        return (
            None
            if all(n.params.get(k) == v for k, v in new.items())
            else node(n, params={**n.params, **new})
        )

    return of(name, change)


def literal(factor: float) -> Callable[[Graph], Graph]:
    def change(n: Node) -> Node | None:
        for i, v in enumerate(n.inputs):
            if isinstance(v, Literal) and isinstance(v.value, float) and v.value:
                moved = Literal(float(np.float32(v.value * factor)), v.dtype)
                return node(n, inputs=(*n.inputs[:i], moved, *n.inputs[i + 1 :]))
        return None

    return lambda graph: first(graph, change)


def dropped(name: str) -> Callable[[Graph], Graph]:
    """Readers of the first op of that name read its operand."""

    def mutate(graph: Graph) -> Graph:
        gone = next(n for n in graph.nodes if n.prim.name == name)
        source, out = gone.inputs[0], gone.outputs[0]
        assert source.type == out.type
        swap = lambda v: source if v == out else v  # noqa: E731
        nodes = [node(n, inputs=tuple(map(swap, n.inputs))) for n in graph.nodes if n is not gone]
        return graph.with_nodes(nodes, tuple(map(swap, graph.outputs)))

    return mutate


def removed(name: str) -> Callable[[Graph], Graph]:
    """The last op of that name is gone, and so is all that reads it."""

    def mutate(graph: Graph) -> Graph:
        at = max(i for i, n in enumerate(graph.nodes) if n.prim.name == name)
        return graph.with_nodes(graph.nodes[:at] + graph.nodes[at + 1 :])

    return mutate


def wrapped(name: str, *ops: tuple[str, dict[str, Any]]) -> Callable[[Graph], Graph]:
    """The first operand of an op goes through other ops before."""

    def mutate(graph: Graph) -> Graph:
        at, target = next((i, n) for i, n in enumerate(graph.nodes) if n.prim.name == name)
        number = 1 + max(v.id for v in graph.all_vars())
        extra, source = [], target.inputs[0]
        for op, how in ops:
            (type,) = lookup(op).infer((source.type,), how)
            out = Var(number + len(extra), type)
            extra.append(Node(lookup(op), (source,), how, (out,), target.where))
            source = out
        nodes = [
            *graph.nodes[:at],
            *extra,
            node(target, inputs=(source, *target.inputs[1:])),
            *graph.nodes[at + 1 :],
        ]
        return graph.with_nodes(nodes)

    return mutate


def outputs_swapped(graph: Graph) -> Graph:
    outs = list(graph.outputs)
    i, j = next(
        (i, j)
        for i, v in enumerate(outs)
        for j, w in enumerate(outs)
        if i < j and v.type == w.type and v != w
    )
    outs[i], outs[j] = outs[j], outs[i]
    return graph.with_nodes(graph.nodes, tuple(outs))


def output_lost(graph: Graph) -> Graph:
    return graph.with_nodes(graph.nodes, graph.outputs[:-1])


def too_early(graph: Graph) -> Graph:
    """A node before the one it reads."""
    makers = {v: i for i, n in enumerate(graph.nodes) for v in n.outputs}
    at = next(i for i, n in enumerate(graph.nodes) if any(v in makers for v in n.inputs))
    nodes = list(graph.nodes)
    nodes.insert(0, nodes.pop(at))
    return graph.with_nodes(nodes)


def other_type(graph: Graph) -> Graph:
    def change(n: Node) -> Node | None:
        (out, *rest) = n.outputs
        if rest or not out.type.shape:
            return None
        shape = (out.type.shape[0] + 1, *out.type.shape[1:])
        return node(n, outputs=(Var(out.id, TensorType(out.type.dtype, shape)),))

    return first(graph, change)


def constant_moved(graph: Graph) -> Graph:
    def change(n: Node) -> Node | None:
        data = n.params.get("data")
        if data is None or not data.array.size:
            return None
        array = data.array.copy()
        array.reshape(-1)[0] += 1
        return node(n, params={**n.params, "data": ConstArray(array, data.dtype)})

    return first(graph, change)


def merged(name: str) -> Callable[[Graph], Graph]:
    """Readers of the second op of that name read the first, whatever their parameters."""

    def mutate(graph: Graph) -> Graph:
        one, two = [
            n for n in graph.nodes if n.prim.name == name and n.outputs[0].type.shape == (4, 4)
        ][:2]
        swap = lambda v: one.outputs[0] if v == two.outputs[0] else v  # noqa: E731
        nodes = [node(n, inputs=tuple(map(swap, n.inputs))) for n in graph.nodes if n is not two]
        return graph.with_nodes(nodes, tuple(map(swap, graph.outputs)))

    return mutate


def branches_exchanged(graph: Graph) -> Graph:
    def change(n: Node) -> Node | None:
        if n.prim.name != "cond":
            return None
        return node(n, params={"true": n.params["false"], "false": n.params["true"]})

    return first(graph, change)


def in_region(change: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """The change inside of the first fused group that has something for it."""

    def mutate(graph: Graph) -> Graph:
        for i, n in enumerate(graph.nodes):
            if n.prim.name == "fused":
                try:
                    body = change(n.params["body"])
                except (LookupError, StopIteration, ValueError):
                    continue
                nodes = list(graph.nodes)
                nodes[i] = node(n, params={"body": body})
                return graph.with_nodes(nodes)
        raise LookupError("no group has it")

    return mutate
