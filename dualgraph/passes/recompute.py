"""Recomputation: a kernel computes elementwise values anew where reading them from memory costs more."""

from __future__ import annotations

from collections.abc import Callable
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
    """How one result of a region follows, op by op, from `leaves`: inputs and other results of the region."""

    nodes: tuple[Node, ...]
    leaves: tuple[Var, ...]  # in the region's body
    value: Var


def recompute(
    graph: Graph,
    accept: Callable[[Graph], bool],
    weigh: Callable[[Node], float],
    least: int = LARGE,
) -> Graph:
    """Given: a fused graph, ``accept(body)``, and ``weigh(node)``, how many instructions an op takes.

    Result: values of at least `least` bytes that only fused regions read are not stored: the regions
    that read them compute them, too, where that takes less than the memory traffic it saves. Bits stay.
    """
    for maker in [n for n in graph.nodes if n.prim is fused_region]:
        for v in reversed(maker.outputs):
            if v.type.nbytes >= least:
                graph = without(graph, v, accept, weigh)
    return graph


def without(
    graph: Graph, v: Var, accept: Callable[[Graph], bool], weigh: Callable[[Node], float]
) -> Graph:
    """The graph in which `v` is not stored, if that pays, else the graph as it is."""
    maker = next(n for n in graph.nodes if v in n.outputs)
    readers = [n for n in graph.nodes if v in n.inputs]
    if not readers or v in graph.outputs or any(n.prim is not fused_region for n in readers):
        return graph
    cone = cone_of(maker, v, readers)
    if cone is None or not pays(maker, cone, v, readers, weigh):
        return graph
    changed = {id(n): absorb(n, maker, v, cone) for n in readers}
    changed[id(maker)] = drop(maker, v)
    if not all(
        _small_enough(n) and accept(n.params["body"]) for n in changed.values() if n.outputs
    ):
        return graph
    nodes = (changed.get(id(n), n) for n in graph.nodes)
    return graph.with_nodes(n for n in nodes if n.outputs)


def cone_of(maker: Node, v: Var, readers: list[Node]) -> Cone | None:
    """What computes `v` in its region, back to inputs and to results that all readers have at hand."""
    body: Graph = maker.params["body"]
    at_hand = {
        inner
        for inner, outer in zip(body.outputs, maker.outputs, strict=True)
        if outer != v and all(outer in r.inputs for r in readers)
    }
    target = body.outputs[maker.outputs.index(v)]
    assert isinstance(target, Var)
    wanted, leaves, nodes = {target}, set[Var](), list[Node]()
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
    return Cone(tuple(nodes[::-1]), tuple(sorted(leaves, key=lambda w: w.id)), target)


def pays(
    maker: Node, cone: Cone, v: Var, readers: list[Node], weigh: Callable[[Node], float]
) -> bool:
    """Whether the traffic saved is worth the instructions spent again."""
    names = outer_names(maker)
    saved = v.type.nbytes * (1 + len(readers))
    for reader in readers:
        saved -= sum(names[w].type.nbytes for w in cone.leaves if names[w] not in reader.inputs)
    spent = sum(weigh(n) * n.outputs[0].type.size for n in cone.nodes) * len(readers)
    return saved * PER_BYTE > spent and saved >= v.type.nbytes


def outer_names(region: Node) -> dict[Var, Var]:
    """The outer var of each input and result of a region's body."""
    body: Graph = region.params["body"]
    inner = (*body.inputs, *body.outputs)
    outer = (*region.inputs, *region.outputs)
    return {a: b for a, b in zip(inner, outer, strict=True) if isinstance(a, Var)}


def absorb(reader: Node, maker: Node, v: Var, cone: Cone) -> Node:
    """`reader` computing `v` itself."""
    names = outer_names(maker)
    sources = dict.fromkeys(
        (*(w for w in reader.inputs if w != v), *(names[w] for w in cone.leaves))
    )
    builder = GraphBuilder()
    env: dict[Var, Operand] = {w: builder.input(w.type) for w in sources}
    local: dict[Var, Operand] = {w: env[names[w]] for w in cone.leaves}
    for node in cone.nodes:
        inputs = tuple(substitute(w, local) for w in node.inputs)
        (local[node.outputs[0]],) = builder.add(node.prim, inputs, node.params, node.where)
    env[v] = local[cone.value]
    body = builder.build(builder.splice(reader.params["body"], [env[w] for w in reader.inputs]))
    return Node(fused_region, tuple(sources), {"body": body}, reader.outputs, reader.where)


def drop(maker: Node, v: Var) -> Node:
    """`maker` without the result `v`, and without what only that needed."""
    body: Graph = maker.params["body"]
    kept = [i for i, w in enumerate(maker.outputs) if w != v]
    lean = dce(body.with_nodes(body.nodes, tuple(body.outputs[i] for i in kept)))
    read = {w for n in lean.nodes for w in n.inputs} | set(lean.outputs)
    used = [i for i, w in enumerate(body.inputs) if w in read]
    smaller = Graph(tuple(body.inputs[i] for i in used), lean.nodes, lean.outputs)
    params = {"body": renumber(smaller)}
    inputs = tuple(maker.inputs[i] for i in used)
    return Node(fused_region, inputs, params, tuple(maker.outputs[i] for i in kept), maker.where)


def _small_enough(node: Node) -> bool:
    return len(node.params["body"].nodes) <= MAX_NODES
