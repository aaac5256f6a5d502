"""Turning: a product whose last two axes are exchanged afterwards is computed with them exchanged.

The gradient of the weight of ``x @ w.T`` is such a product; turned, it lies as the weight does, and the
optimiser's update reads it in order.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.kinds import CONTRACTION
from ..core.node import Node, Var
from ..core.prim import Prim
from ..ops.movement import swaps_last
from ..static.graph import Graph, Operand
from .sharing import layout_shows


def turn(graph: Graph, lawful: Callable[[Node], bool]) -> Graph:
    """Given: a graph, and ``lawful(node)``, whether the bits of a contraction depend neither on how its operands lie
    nor on which of them comes first.

    Result: ``permute(matmul(x, y))`` is ``matmul(permute(y), permute(x))`` where nothing else reads the product, and
    what reads the permuted one goes through it in order. It is for an op with the trait ``turned``.
    """
    users, shows = graph.users(), layout_shows(graph)
    leaving = {v for v in graph.outputs if isinstance(v, Var)}
    producers = {v: n for n in graph.nodes for v in n.outputs}
    turned: dict[Var, Node] = {}  # the permuted result, and the product
    for node in graph.nodes:
        source = producers.get(node.inputs[0]) if _swaps(node) else None
        if source is None or "turned" not in source.prim.details:
            continue
        (product,), (out,) = source.outputs, node.outputs
        alone = len(users[product]) == 1 and product not in leaving and out not in shows
        if alone and _read_in_order(out, users) and lawful(source):
            turned[out] = source
    if not turned:
        return graph
    return _Turning(graph, turned).result()


def _swaps(node: Node) -> bool:
    return swaps_last(node) and isinstance(node.inputs[0], Var)


def _read_in_order(v: Var, users: dict[Var, list[Node]]) -> bool:
    return any(u.prim.kind is not CONTRACTION and not u.prim.aliases for u in users[v])


class _Turning:
    """The graph with products made anew where their permuted results stood."""

    def __init__(self, graph: Graph, turned: dict[Var, Node]) -> None:
        self.graph, self.turned = graph, turned
        self.next_id = graph.unused_id()
        self.nodes: list[Node] = []

    def result(self) -> Graph:
        gone = {v for source in self.turned.values() for v in source.outputs}
        for node in self.graph.nodes:
            source = self.turned.get(node.outputs[0]) if len(node.outputs) == 1 else None
            if source is not None:
                self.again(source, node.outputs[0])
            elif gone.isdisjoint(node.outputs):
                self.nodes.append(node)
        return self.graph.with_nodes(self.nodes)

    def again(self, source: Node, out: Var) -> None:
        """The product whose last two axes are exchanged, as `out`."""

        def add(prim: Prim, inputs: tuple[Operand, ...], params: dict[str, object]) -> Var:
            types = prim.infer(tuple(v.type for v in inputs), params)
            v = Var(self.next_id, types[0])
            self.next_id += 1
            self.nodes.append(Node(prim, inputs, params, (v,), source.where))
            return v

        operands = source.prim.details["turned"](*source.inputs, add)
        self.nodes.append(Node(source.prim, operands, source.params, (out,), source.where))
