"""Rematerialisation: compute a value again later rather than keep it, to stay under a byte budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..core.kinds import CREATION, ELEMENTWISE, MOVEMENT, REDUCTION
from ..core.node import Node, Var
from ..static.graph import Graph, Operand, rewrite, substitute
from ..static.region import fused_region
from .dce import dce
from .effects import must_stay
from .inplace import inplace
from .memory import lower_bound
from .recompute import drop
from .schedule import TEMPORARY, Buffer, Schedule, schedule

CHEAP = (ELEMENTWISE, REDUCTION, MOVEMENT, CREATION)
LONGEST = 16  # ops that are run again for one value
PATIENCE = 24  # values made again in a row that may bring nothing


def rematerialise(graph: Graph, budget: int) -> Graph:
    """Given: a graph in the order to run, and how many bytes its temporaries may take at once.

    Result: values that wait through the peak are made again where they are next read, by a few ops from what is still
    there, until the budget holds or nothing is left to try: cheap ones first, then those of any ops. Bits stay: the
    same kernels run on the same operands.
    """
    best, least, since, may_run = graph, -1, 0, is_cheap
    while since < PATIENCE:
        plan = schedule(graph)
        size, since = live_bytes(plan), since + 1
        if least < 0 or size < least:
            best, least, since = graph, size, 0
        if size <= budget:
            break
        options = list(candidates(plan, peak_step(plan), may_run))
        if options:
            graph = computed_again(plan, max(options, key=lambda c: c.worth))
        elif may_run is is_cheap:
            may_run = may_run_again
        else:
            break
    return best


def live_bytes(plan: Schedule) -> int:
    """The most bytes of temporaries that are live at once."""
    return lower_bound(inplace(plan).temporaries)


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


class Candidate(NamedTuple):
    """A buffer's value that may be made anew before a step, by `ops`: pairs of a node and the result that is used."""

    worth: tuple[float, int]
    buffer: Buffer
    at: int
    ops: tuple[tuple[Node, Var], ...]


def candidates(plan: Schedule, peak: int, may_run: Callable[[Node], bool]) -> Iterator[Candidate]:
    """Buffers that wait through the peak and can be made again by ops that `may_run`: also what a region, which makes
    several values at once, makes at the peak for later."""
    reads: dict[int, list[int]] = {}
    for i, step in enumerate(plan.steps):
        if not step.view:
            for v in step.node.inputs:
                if isinstance(v, Var):
                    reads.setdefault(plan.places[v].buffer, []).append(i)
    made = plan.graph.producers()
    for b in plan.temporaries:
        times = reads.get(b.id, [])
        after = min((i for i in times if i > peak), default=-1)
        made_early = b.first == peak and len(plan.graph.nodes[peak].outputs) > 1
        if (
            not (b.first < peak or made_early)
            or b.last <= peak
            or b.nbytes == 0
            or after < 0
            or peak in times
        ):
            continue
        ops = _again(plan, made, b, after, may_run)
        if ops is not None:
            read = {plan.places[v].buffer for n, _ in ops for v in n.inputs if isinstance(v, Var)}
            cost = sum(v.type.nbytes for _, v in ops) + sum(plan.buffers[s].nbytes for s in read)
            yield Candidate((b.nbytes / cost, b.nbytes), b, after, ops)


def _again(
    plan: Schedule, made: dict[Var, Node], buffer: Buffer, at: int, may_run: Callable[[Node], bool]
) -> tuple[tuple[Node, Var], ...] | None:
    """The ops that make a buffer's value anew of what is there at a step, in order; None if that takes too many."""
    ops: dict[Var, Node] = {}

    def have(v: Any) -> bool:
        if not isinstance(v, Var) or v in ops:
            return True
        held = plan.buffers[plan.places[v].buffer]
        if held.id != buffer.id and (held.role != TEMPORARY or held.last >= at):
            return True
        node = made.get(v)
        if node is None or len(ops) >= LONGEST or not may_run(node):
            return False
        if not all(map(have, node.inputs)):
            return False
        ops[v] = node
        return True

    (value,) = (
        v for v in plan.graph.nodes[buffer.first].outputs if plan.places[v].buffer == buffer.id
    )
    return tuple((n, v) for v, n in ops.items()) if have(value) else None


def is_cheap(node: Node) -> bool:
    """Whether running the node again costs about as much as reading its operands."""
    return (node.prim.kind in CHEAP or node.prim is fused_region) and not must_stay(node)


def may_run_again(node: Node) -> bool:
    """Whether a node may be run twice, whatever that costs."""
    return not must_stay(node) and not node.prim.kind.has_bodies


def computed_again(plan: Schedule, chosen: Candidate) -> Graph:
    """The graph with a value made anew before a step, for all that reads it from there on."""
    _, buffer, at, ops = chosen
    graph = plan.graph
    free = itertools.count(graph.unused_id())
    new: dict[Var, Operand] = {}
    nodes = list(graph.nodes[:at])
    for maker, value in ops:
        outs = (value,) if maker.prim is fused_region else maker.outputs
        names = {v: Var(next(free), v.type) for v in outs}
        nodes.append(only(rewrite(maker, new), value, names))
        new[value] = names[value]
    for node in graph.nodes[buffer.first + 1 : at]:  # views of it that are read later
        if not node.prim.aliases:
            continue
        view = node.outputs[0]
        if plan.places[view].buffer == buffer.id and view not in new:
            again = rewrite(node, new)
            new[view] = Var(next(free), view.type)
            nodes.append(Node(again.prim, again.inputs, again.params, (new[view],), again.where))
    nodes += [rewrite(node, new) for node in graph.nodes[at:]]
    changed = graph.with_nodes(nodes, tuple(substitute(v, new) for v in graph.outputs))
    return without_unread(dce(changed))


def only(node: Node, out: Var, names: dict[Var, Var]) -> Node:
    """`node` for one of its results, under new names; what only others need is left out of a region."""
    if node.prim is fused_region:
        node = drop(node, set(node.outputs) - {out})
    result = tuple(names[v] for v in node.outputs)
    return Node(node.prim, node.inputs, node.params, result, node.where)


def without_unread(graph: Graph) -> Graph:
    """The graph without results of regions that nobody reads."""
    read = {
        v
        for v in (*graph.outputs, *(v for n in graph.nodes for v in n.inputs))
        if isinstance(v, Var)
    }
    return graph.with_nodes(
        drop(n, set(n.outputs) - read)
        if n.prim is fused_region and not read.issuperset(n.outputs)
        else n
        for n in graph.nodes
    )
