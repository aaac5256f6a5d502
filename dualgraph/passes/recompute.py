"""Recomputation: a kernel computes elementwise values anew where reading them from memory costs more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from ..core.kinds import ELEMENTWISE
from ..core.node import Node, Var
from ..static.graph import Graph, GraphBuilder, Operand, renumber, substitute
from ..static.region import fused_region
from .dce import dce

LARGE = 1 << 16  # bytes; smaller values stay in the cache between kernels
PER_BYTE = 8.0  # instructions on vectors that cost as much as a byte of traffic, each per element
MAX_NODES = 200  # in one region


class Cone(NamedTuple):
    """How results of a region follow, op by op, from `leaves`: inputs and other results of the region."""

    nodes: tuple[Node, ...]
    leaves: tuple[Var, ...]  # in the region's body
    values: tuple[Var, ...]


def recompute(
    graph: Graph,
    accept: Callable[[Graph], bool],
    weigh: Callable[[Node], float],
    least: int = LARGE,
) -> Graph:
    """Given: a fused graph, ``accept(body)``, and ``weigh(node)``, how many instructions an op takes.

    Result: values of at least `least` bytes that only fused regions read are not stored: the regions
    that read them compute them, too, where that takes less than the memory traffic it saves. Values of one region
    with the same readers may pay together where none does alone. Bits stay.
    """
    for maker in [n for n in graph.nodes if n.prim is fused_region]:
        large = [v for v in reversed(maker.outputs) if v.type.nbytes >= least]
        for v in large:
            graph = without(graph, (v,), accept, weigh)
        for values in together(graph, large):
            graph = without(graph, values, accept, weigh)
    return graph


def together(graph: Graph, values: list[Var]) -> list[tuple[Var, ...]]:
    """Those of the values that are stored still, by their readers; several each."""
    groups: dict[tuple[int, ...], list[Var]] = {}
    for v in values:
        readers = tuple(i for i, n in enumerate(graph.nodes) if v in n.inputs)
        groups.setdefault(readers, []).append(v)
    return [tuple(group) for readers, group in groups.items() if readers and len(group) > 1]


def without(
    graph: Graph,
    values: tuple[Var, ...],
    accept: Callable[[Graph], bool],
    weigh: Callable[[Node], float],
) -> Graph:
    """The graph in which `values`, of one region and with the same readers, are not stored, if that pays, else the
    graph as it is."""
    maker = next(n for n in graph.nodes if values[0] in n.outputs)
    readers = [n for n in graph.nodes if values[0] in n.inputs]
    if not readers or not set(values).isdisjoint(graph.outputs):
        return graph
    if any(n.prim is not fused_region for n in readers):
        return graph
    cone = cone_of(maker, values, readers)
    if cone is None or not pays(maker, cone, values, readers, weigh):
        return graph
    changed = {id(n): absorb(n, maker, values, cone) for n in readers}
    changed[id(maker)] = drop(maker, values)
    if not all(
        _small_enough(n) and accept(n.params["body"]) for n in changed.values() if n.outputs
    ):
        return graph
    nodes = (changed.get(id(n), n) for n in graph.nodes)
    return graph.with_nodes(n for n in nodes if n.outputs)


def cone_of(maker: Node, values: tuple[Var, ...], readers: list[Node]) -> Cone | None:
    """What computes `values` in their region, back to inputs and to results that all readers have at hand."""
    body: Graph = maker.params["body"]
    inner = dict(zip(maker.outputs, body.outputs, strict=True))
    at_hand = {
        w for v, w in inner.items() if v not in values and all(v in r.inputs for r in readers)
    }
    targets = tuple(w for v in values if isinstance(w := inner[v], Var))
    assert len(targets) == len(values)
    wanted, leaves, nodes = set(targets), set[Var](), list[Node]()
    for node in reversed(body.nodes):
        (out,) = node.outputs
        if out not in wanted:
            continue
        if out in at_hand:
            leaves.add(out)
        elif node.prim.kind is ELEMENTWISE or node.prim.aliases:
            nodes.append(node)
            wanted.update(w for w in node.inputs if isinstance(w, Var))
        else:
            return None
    leaves.update(w for w in body.inputs if w in wanted)
    return Cone(tuple(nodes[::-1]), tuple(sorted(leaves, key=lambda w: w.id)), targets)


def pays(
    maker: Node,
    cone: Cone,
    values: tuple[Var, ...],
    readers: list[Node],
    weigh: Callable[[Node], float],
) -> bool:
    """Whether the traffic saved is worth the instructions spent again."""
    names = outer_names(maker)
    stored = sum(v.type.nbytes for v in values)
    saved = stored * (1 + len(readers))
    for reader in readers:
        saved -= sum(names[w].type.nbytes for w in cone.leaves if names[w] not in reader.inputs)
    spent = sum(weigh(n) * n.outputs[0].type.size for n in cone.nodes) * len(readers)
    return saved * PER_BYTE > spent and saved >= stored


def outer_names(region: Node) -> dict[Var, Var]:
    """The outer var of each input and result of a region's body."""
    body: Graph = region.params["body"]
    inner = (*body.inputs, *body.outputs)
    outer = (*region.inputs, *region.outputs)
    return {a: b for a, b in zip(inner, outer, strict=True) if isinstance(a, Var)}


def absorb(reader: Node, maker: Node, values: tuple[Var, ...], cone: Cone) -> Node:
    """`reader` computing `values` itself."""
    names = outer_names(maker)
    sources = dict.fromkeys(
        (*(w for w in reader.inputs if w not in values), *(names[w] for w in cone.leaves))
    )
    builder = GraphBuilder()
    env: dict[Var, Operand] = {w: builder.input(w.type) for w in sources}
    local: dict[Var, Operand] = {w: env[names[w]] for w in cone.leaves}
    for node in cone.nodes:
        inputs = tuple(substitute(w, local) for w in node.inputs)
        (local[node.outputs[0]],) = builder.add(node.prim, inputs, node.params, node.where)
    env.update((v, local[w]) for v, w in zip(values, cone.values, strict=True))
    body = builder.build(builder.splice(reader.params["body"], [env[w] for w in reader.inputs]))
    return Node(fused_region, tuple(sources), {"body": body}, reader.outputs, reader.where)


def drop(maker: Node, values: Collection[Var]) -> Node:
    """`maker` without the results `values`, and without what only they needed."""
    body: Graph = maker.params["body"]
    kept = [i for i, w in enumerate(maker.outputs) if w not in values]
    lean = dce(body.with_nodes(body.nodes, tuple(body.outputs[i] for i in kept)))
    read = {w for n in lean.nodes for w in n.inputs} | set(lean.outputs)
    used = [i for i, w in enumerate(body.inputs) if w in read]
    smaller = Graph(tuple(body.inputs[i] for i in used), lean.nodes, lean.outputs)
    params = {"body": renumber(smaller)}
    inputs = tuple(maker.inputs[i] for i in used)
    return Node(fused_region, inputs, params, tuple(maker.outputs[i] for i in kept), maker.where)


def _small_enough(node: Node) -> bool:
    return len(node.params["body"].nodes) <= MAX_NODES
