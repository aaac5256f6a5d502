"""The reverse sweep: cotangents from results back to operands, in reverse order of recording.

The order of accumulation is the order of time alone, so a replayed graph sums the same cotangents
in the same order as the eager run that it was captured from.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

from .node import THROUGH, TapeNode, resolved

Edge = tuple[TapeNode, int]


class Whole:
    """Hooks by which a whole sweep may run as one compiled program: `sweeps` installs `serve`, native code `match`.

    ``serve(root, arrive, retain)`` says whether it has run the sweep from `root`, an edge and its cotangent:
    ``arrive(leaf, [gradient])`` was then called for all leaves, and the tape is released unless it is to be retained.
    """

    serve: Callable[[Any, Any, bool], bool] | None = None
    match: Callable[[Any, Any], Any] | None = None


def reverse(
    roots: Iterable[tuple[Edge, Any]],
    rule: Callable[..., Iterable[Any]],
    add: Callable[[Any, Any], Any],
    wanted: set[int] | None = None,
    visit: Callable[[TapeNode, list[Any]], None] | None = None,
    pending: dict[int, list[Any]] | None = None,
) -> None:
    """Sweeps from `roots` (edge, cotangent).

    Given: `rule(node, cts, needed)` yields one cotangent (or None) an input of the node;
    `visit(node, cts)` sees each node with its final cotangents before the rule runs (leaves have no
    rule); `wanted` limits the sweep to nodes with these ids; `pending` has sums that were begun, by node. An op
    with the trait ``takes_over`` (a compiled call) also gets the sums begun for its inputs, and gives them continued.
    Result: whatever `visit` collected.
    """
    sums: dict[int, list[Any]] = pending if pending is not None else {}
    waiting: set[int] = set()
    heap: list[tuple[int, int, TapeNode]] = []  # latest first

    def arrive(edge: Edge, ct: Any) -> None:
        node, index = edge if edge[0].prim is not THROUGH else resolved(edge)
        key = id(node)
        if wanted is not None and key not in wanted:
            return
        if key not in waiting:
            waiting.add(key)
            heapq.heappush(heap, (-node.seq, key, node))
        slots = sums.get(key)
        if slots is None:
            slots = sums[key] = [None] * (len(node.outputs) or 1)
        before = slots[index]
        slots[index] = ct if before is None else add(before, ct)

    for edge, ct in roots:
        arrive(edge, ct)
    while heap:
        _, key, node = heapq.heappop(heap)
        cts = sums.pop(key)
        if visit is not None:
            visit(node, cts)
        if node.prim is None or (node.hooks and not any(ct is not None for ct in cts)):
            continue
        needed = _needed(node, wanted)
        if True not in needed:
            continue
        if node.prim.takes_over:
            totals = _continued(node, cts, needed, rule, sums)
            if totals is not None:
                for edge, total in totals:
                    arrive(edge, total)
                continue
            unfold(node, wanted)
            needed = _needed(node, wanted)
        for edge, ct in zip(node.inputs, rule(node, cts, needed), strict=True):
            if edge is not None and ct is not None:
                arrive(edge, ct)


def _needed(node: TapeNode, wanted: set[int] | None) -> tuple[bool, ...]:
    """Which inputs of a node want a cotangent."""
    if wanted is None:
        return tuple([e is not None for e in node.inputs])
    return tuple([e is not None and id(e[0]) in wanted for e in node.inputs])


def _continued(
    node: TapeNode,
    cts: list[Any],
    needed: tuple[bool, ...],
    rule: Callable[..., Any],
    sums: dict[int, list[Any]],
) -> list[tuple[Edge, Any]] | None:
    """What a node that ``takes_over`` makes of the sums begun for its inputs: the edges and their new totals, which
    replace the sums; None where the node is to be unfolded."""
    if _meet(node.inputs, needed):
        return None
    edges = [None if e is None else resolved(e) for e in node.inputs]
    begun = [
        sums[id(e[0])][e[1]] if want and e is not None and id(e[0]) in sums else None
        for e, want in zip(edges, needed, strict=True)
    ]
    totals = rule(node, cts, needed, begun)
    if totals is NotImplemented:
        return None
    pairs = zip(edges, totals, strict=True)
    found = [(resolved(e), total) for e, total in pairs if e is not None and total is not None]
    for (maker, index), _ in found:
        if id(maker) in sums:
            sums[id(maker)][index] = None
    return found


def _meet(edges: Iterable[Edge | None], needed: Iterable[bool]) -> bool:
    """Whether two inputs are one result, whose sum is to be continued use by use."""
    ends = [resolved(e) for e, want in zip(edges, needed, strict=True) if want and e is not None]
    return len({(id(n), i) for n, i in ends}) < len(ends)


def unfold(node: TapeNode, wanted: set[int] | None = None) -> None:
    """Puts the entries of single ops in the place of `node`; those on the way to what is `wanted` are, too."""
    for entry in node.prim.unfold(node):
        if wanted is not None and any(e is not None and id(e[0]) in wanted for e in entry.inputs):
            wanted.add(id(entry))


def unfold_all(roots: Iterable[TapeNode]) -> None:
    """Unfolds all entries behind `roots` that a sweep which begins now needs op by op: it sums in the order of the
    single ops only if it meets no others."""
    stack, seen = list(roots), set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if (
            node.prim is not None
            and node.prim.takes_over
            and not node.released
            and node.prim.must_unfold(node)
        ):
            unfold(node)
        stack.extend([e[0] for e in node.inputs if e is not None])


def ancestors_reaching(roots: Iterable[TapeNode], targets: set[int]) -> set[int]:
    """Ids of the nodes on some path from `roots` back to a target (targets included)."""
    reaches: dict[int, bool] = {}
    stack: list[tuple[TapeNode, bool]] = [(r, False) for r in roots]
    while stack:
        node, done = stack.pop()
        key = id(node)
        parents = [e[0] for e in node.inputs if e is not None]
        if done:
            reaches[key] = key in targets or any(reaches.get(id(p), False) for p in parents)
        elif key not in reaches:
            reaches[key] = key in targets
            stack.append((node, True))
            stack.extend((p, False) for p in parents if id(p) not in reaches)
    return {key for key, reached in reaches.items() if reached}
