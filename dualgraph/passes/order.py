"""Ordering: run nodes in an order that keeps few bytes live at once."""

from __future__ import annotations

from itertools import pairwise

from ..core.node import Node, Var
from ..static.graph import Graph
from .effects import must_stay
from .reach import predecessors
from .sharing import alias_bases, alias_root


def order(graph: Graph) -> Graph:
    """Given: a graph. Result: the same nodes in an order of low peak memory (the old one if none is better).

    Greedy: of the nodes that can run, the one that frees most bytes over those it takes goes first;
    ties go by the old order. Nodes that act or can raise keep their order among themselves.
    """
    chosen = graph.with_nodes(_greedy(graph))
    return chosen if peak_bytes(chosen) < peak_bytes(graph) else graph


class _Memory:
    """Bytes that live values hold; a view holds its base's."""

    def __init__(self, graph: Graph) -> None:
        bases = alias_bases(graph)
        self.root = {v: alias_root(v, bases) for v in graph.all_vars()}
        self.readers: dict[Var, int] = dict.fromkeys(self.root, 0)
        for node in graph.nodes:
            for v in self.read(node):
                self.readers[v] += 1
        for operand in graph.outputs:
            if isinstance(operand, Var):
                self.readers[self.root[operand]] += 1
        self.owned = {r for n in graph.nodes for v in n.outputs if (r := self.root[v]) == v}

    def read(self, node: Node) -> set[Var]:
        return {self.root[v] for v in node.inputs if isinstance(v, Var)}

    def taken(self, node: Node) -> int:
        return sum(v.type.nbytes for v in node.outputs if self.root[v] == v)

    def freed(self, node: Node) -> int:
        return sum(
            v.type.nbytes for v in self.read(node) if self.readers[v] == 1 and v in self.owned
        )

    def run(self, node: Node) -> None:
        for v in self.read(node):
            self.readers[v] -= 1


def peak_bytes(graph: Graph) -> int:
    """The most bytes that intermediate values hold at once when nodes run in order."""
    memory = _Memory(graph)
    live = peak = 0
    for node in graph.nodes:
        live += memory.taken(node)
        peak = max(peak, live)
        live -= memory.freed(node)
        live -= sum(
            v.type.nbytes for v in node.outputs if memory.root[v] == v and not memory.readers[v]
        )
        memory.run(node)
    return peak


def _greedy(graph: Graph) -> list[Node]:
    """The nodes in an order in which each next one frees most memory."""
    memory = _Memory(graph)
    waiting = predecessors(graph.nodes)
    fixed = [i for i, n in enumerate(graph.nodes) if must_stay(n)]
    for before, after in pairwise(fixed):
        waiting[after].add(before)
    followers: list[list[int]] = [[] for _ in graph.nodes]
    for i, before_i in enumerate(waiting):
        for j in before_i:
            followers[j].append(i)
    ready = {i for i, w in enumerate(waiting) if not w}
    out: list[Node] = []
    while ready:
        best = min(
            ready, key=lambda i: (memory.taken(graph.nodes[i]) - memory.freed(graph.nodes[i]), i)
        )
        ready.remove(best)
        memory.run(graph.nodes[best])
        out.append(graph.nodes[best])
        for i in followers[best]:
            waiting[i].discard(best)
            if not waiting[i]:
                ready.add(i)
    return out
