"""Rematerialisation: compute a value again later rather than keep it, to stay under a byte budget."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.kinds import CREATION, ELEMENTWISE, MOVEMENT, REDUCTION
from ..core.node import Node, Var
from ..static.graph import Graph, Operand, renumber, rewrite, substitute
from ..static.region import fused_region
from .dce import dce
from .effects import must_stay
from .inplace import inplace
from .memory import lower_bound
from .schedule import TEMPORARY, Buffer, Schedule, schedule

CHEAP = (ELEMENTWISE, REDUCTION, MOVEMENT, CREATION)


def rematerialise(graph: Graph, budget: int) -> Graph:
    """Given: a graph in the order to run, and how many bytes its temporaries may take at once.

    Result: cheap values that wait through the peak are made again where they are next read, from operands
    that are still there, until the budget holds or nothing is left to try. Bits stay: the same kernel
    runs on the same operands.
    """
    best, least = graph, -1
    for _ in range(2 * len(graph.nodes)):
        plan = schedule(graph)
        size = lower_bound(inplace(plan).temporaries)
        if least < 0 or size < least:
            best, least = graph, size
        found = max(candidates(plan, peak_step(plan)), default=None, key=lambda c: c[0])
        if size <= budget or found is None:
            break
        graph = computed_again(plan, found[1], found[2])
    return best


def peak_step(plan: Schedule) -> int:
    """The step at which most bytes are live."""
    live = [0] * (len(plan.steps) + 2)
    for b in plan.temporaries:
        live[b.first] += b.nbytes
        live[b.last + 1] -= b.nbytes
    total, most, at = 0, -1, 0
    for i, change in enumerate(live):
        total += change
        if total > most:
            most, at = total, i
    return at


def candidates(plan: Schedule, peak: int) -> Iterator[tuple[tuple[float, int], Buffer, int]]:
    """Buffers that wait through the peak and can be made again: (worth, buffer, step of the next reader)."""
    reads: dict[int, list[int]] = {}
    for i, step in enumerate(plan.steps):
        if not step.view:
            for v in step.node.inputs:
                if isinstance(v, Var):
                    reads.setdefault(plan.places[v].buffer, []).append(i)
    for b in plan.temporaries:
        if not b.first < peak < b.last or b.nbytes == 0:
            continue
        times = reads.get(b.id, [])
        node, after = plan.steps[b.first].node, min((i for i in times if i > peak), default=-1)
        if after < 0 or peak in times or not is_cheap(node):
            continue
        sources = {plan.places[v].buffer for v in node.inputs if isinstance(v, Var)}
        if all(_is_there(plan.buffers[s], after) for s in sources):
            cost = b.nbytes + sum(plan.buffers[s].nbytes for s in sources)
            yield (b.nbytes / cost, b.nbytes), b, after


def is_cheap(node: Node) -> bool:
    """Whether running the node again costs about as much as reading its operands."""
    return (node.prim.kind in CHEAP or node.prim is fused_region) and not must_stay(node)


def _is_there(buffer: Buffer, step: int) -> bool:
    return buffer.role != TEMPORARY or buffer.last >= step


def computed_again(plan: Schedule, buffer: Buffer, at: int) -> Graph:
    """The graph with the value of `buffer` made anew before step `at`, for all that reads it from there on."""
    graph = plan.graph
    maker = graph.nodes[buffer.first]
    (old,) = (v for v in maker.outputs if plan.places[v].buffer == buffer.id)
    number = 1 + max(v.id for v in graph.all_vars())
    new: dict[Var, Operand] = {old: Var(number, old.type)}
    nodes = [*graph.nodes[:at], only(maker, old, new)]
    for node in graph.nodes[buffer.first + 1 : at]:  # views of it that are read later
        if node.prim.aliases and plan.places[node.outputs[0]].buffer == buffer.id:
            number += 1
            new[node.outputs[0]] = Var(number, node.outputs[0].type)
            view = rewrite(node, new)
            nodes.append(
                Node(view.prim, view.inputs, view.params, (new[node.outputs[0]],), view.where)
            )
    nodes += [rewrite(node, new) for node in graph.nodes[at:]]
    return dce(graph.with_nodes(nodes, tuple(substitute(v, new) for v in graph.outputs)))


def only(node: Node, out: Var, names: dict[Var, Operand]) -> Node:
    """`node` for one of its results, under its new name; what only others need is left out of a region."""
    result = (names[out],)
    if node.prim is not fused_region:
        return Node(node.prim, node.inputs, node.params, result, node.where)
    body: Graph = node.params["body"]
    wanted = dce(body.with_nodes(body.nodes, (body.outputs[node.outputs.index(out)],)))
    read = {v for n in wanted.nodes for v in n.inputs} | set(wanted.outputs)
    kept = [i for i, v in enumerate(body.inputs) if v in read]
    smaller = Graph(tuple(body.inputs[i] for i in kept), wanted.nodes, wanted.outputs)
    inputs = tuple(node.inputs[i] for i in kept)
    return Node(node.prim, inputs, {"body": renumber(smaller)}, result, node.where)
