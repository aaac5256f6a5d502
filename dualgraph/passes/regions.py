"""Regions: cutting groups of nodes out of a graph, each to stand in it as one node."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from ..core.kinds import ELEMENTWISE, MOVEMENT
from ..core.node import Node, Var
from ..static.graph import Graph, GraphBuilder, Operand
from ..static.region import fused_region
from .reach import predecessors


class Cut(NamedTuple):
    """A group as a body of its own: what it reads and gives, in the outer graph's vars."""

    inputs: tuple[Var, ...]
    outputs: tuple[Var, ...]
    body: Graph


class Extractor:
    """Knows, of one graph, who makes and reads each var; free nodes (views) are looked through."""

    def __init__(self, graph: Graph, free: Callable[[Node], bool]) -> None:
        self.graph = graph
        self.free = [free(n) for n in graph.nodes]
        self._producer = {v: i for i, n in enumerate(graph.nodes) for v in n.outputs}
        self._base: dict[Var, Var] = {}
        for node, is_free in zip(graph.nodes, self.free, strict=True):
            source = node.inputs[0] if is_free else None
            if isinstance(source, Var):
                self._base[node.outputs[0]] = self.base(source)
        self._readers: dict[Var, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            for v in node.inputs:
                if isinstance(v, Var) and not self.free[i]:
                    self._readers.setdefault(self.base(v), []).append(i)
        self._cuts: dict[tuple[int, ...], Cut] = {}
        self._leaving = {self.base(v) for v in graph.outputs if isinstance(v, Var)}

    def is_free(self, i: int) -> bool:
        return self.free[i]

    def base(self, v: Var) -> Var:
        """The var that `v` is a view of, through free nodes."""
        return self._base.get(v, v)

    def producer(self, v: Var) -> int | None:
        return self._producer.get(v)

    def reads(self, i: int) -> set[int]:
        """The nodes whose results node `i` reads, directly or through free nodes."""
        bases = {self.base(v) for v in self.graph.nodes[i].inputs if isinstance(v, Var)}
        return {self._producer[v] for v in bases if v in self._producer}

    def extract(self, members: list[int]) -> Cut:
        """The body of a group: its nodes in order, each view it reads through made anew inside.

        The same one when asked again: a backend may remember what it made of it.
        """
        cut = self._cuts.get(tuple(members))
        if cut is None:
            cut = self._cuts[tuple(members)] = self._cut(members)
        return cut

    def _cut(self, members: list[int]) -> Cut:
        """`extract`, when asked for the first time."""
        inside = set(members)
        builder = GraphBuilder()
        env: dict[Var, Operand] = {}
        inputs: list[Var] = []
        made = {v for i in members for v in self.graph.nodes[i].outputs}
        for i in members:  # inputs are numbered before nodes
            for v in self.graph.nodes[i].inputs:
                if isinstance(v, Var) and (b := self.base(v)) not in made and b not in env:
                    env[b] = builder.input(b.type)
                    inputs.append(b)

        def inner(v: Operand) -> Operand:
            if not isinstance(v, Var):
                return v
            if v not in env:
                emit(self.graph.nodes[self._producer[v]])
            return env[v]

        def emit(node: Node) -> None:
            operands = tuple(inner(v) for v in node.inputs)
            results = tuple(builder.var(v.type) for v in node.outputs)
            builder.nodes.append(Node(node.prim, operands, node.params, results, node.where))
            env.update(zip(node.outputs, results, strict=True))

        for i in members:
            emit(self.graph.nodes[i])
        outputs = tuple(
            v
            for i in members
            for v in self.graph.nodes[i].outputs
            if self._is_read_outside(v, inside)
        )
        return Cut(tuple(inputs), outputs, builder.build(env[v] for v in outputs))

    def _is_read_outside(self, v: Var, inside: set[int]) -> bool:
        return v in self._leaving or any(i not in inside for i in self._readers.get(v, ()))


def folds_nothing(node: Node) -> bool:
    """Whether a node is a fused region of elementwise ops and index maps."""
    return node.prim is fused_region and all(
        n.prim.kind in (ELEMENTWISE, MOVEMENT) for n in node.params["body"].nodes
    )


def replace_groups(graph: Graph, extractor: Extractor, groups: list[list[int]]) -> Graph:
    """The graph with each group as one `fused` node, in an order that keeps what can stay in place.

    Views that only groups read through are dropped.
    """
    grouped = {i: g for g, members in enumerate(groups) for i in members}
    nodes: list[tuple[int, Node]] = [(i, n) for i, n in enumerate(graph.nodes) if i not in grouped]
    for members in groups:
        cut = extractor.extract(members)
        where = graph.nodes[members[-1]].where
        nodes.append(
            (members[-1], Node(fused_region, cut.inputs, {"body": cut.body}, cut.outputs, where))
        )
    ordered = in_order(nodes)
    return graph.with_nodes(
        _without_dead(
            ordered, graph, {id(n) for i, n in nodes if i not in grouped and extractor.is_free(i)}
        )
    )


def _without_dead(nodes: list[Node], graph: Graph, droppable: set[int]) -> list[Node]:
    live = {v for v in graph.outputs if isinstance(v, Var)}
    kept: list[Node] = []
    for node in reversed(nodes):
        if id(node) not in droppable or not live.isdisjoint(node.outputs):
            kept.append(node)
            live.update(v for v in node.inputs if isinstance(v, Var))
    return kept[::-1]


def in_order(nodes: list[tuple[int, Node]]) -> list[Node]:
    """Nodes sorted so that vars are assigned before they are read; of those that can come, the lowest number first."""
    waiting = predecessors([n for _, n in nodes])
    followers: list[list[int]] = [[] for _ in nodes]
    for k, before in enumerate(waiting):
        for j in before:
            followers[j].append(k)
    ready = [(rank, k) for k, (rank, _) in enumerate(nodes) if not waiting[k]]
    heapq.heapify(ready)
    out: list[Node] = []
    while ready:
        _, k = heapq.heappop(ready)
        out.append(nodes[k][1])
        for j in followers[k]:
            waiting[j].discard(k)
            if not waiting[j]:
                heapq.heappush(ready, (nodes[j][0], j))
    return out
