"""The reverse sweep: cotangents from results back to operands, in reverse order of recording.

The order of accumulation is the order of time alone, so a replayed graph sums the same cotangents
in the same order as the eager run that it was captured from.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

from .node import TapeNode

Edge = tuple[TapeNode, int]


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
    rule); `wanted` limits the sweep to nodes with these ids. An op with the trait ``takes_over`` (a
    compiled call) also gets the sums begun for its inputs, and gives the sums continued.
    Result: whatever `visit` collected.
    """
    cts: dict[int, list[Any]] = pending if pending is not None else {}
    nodes: dict[int, TapeNode] = {}
    heap: list[tuple[int, int]] = []

    def arrive(edge: Edge, ct: Any) -> None:
        node, index = edge
        key = id(node)
        if wanted is not None and key not in wanted:
            return
        if key not in nodes:
            nodes[key] = node
            heapq.heappush(heap, (-node.seq, key))
        slots = cts.setdefault(key, [None] * max(1, len(node.outputs)))
        slots[index] = ct if slots[index] is None else add(slots[index], ct)

    def begun(edge: Edge | None) -> Any:
        slots = None if edge is None else cts.get(id(edge[0]))
        return None if slots is None or edge is None else slots[edge[1]]

    for edge, ct in roots:
        arrive(edge, ct)
    while heap:
        _, key = heapq.heappop(heap)
        node, slots = nodes[key], cts.pop(key)
        if visit is not None:
            visit(node, slots)
        if node.prim is None:
            continue
        needed = tuple(
            e is not None and (wanted is None or id(e[0]) in wanted) for e in node.inputs
        )
        if not any(needed):
            continue
        if getattr(node.prim, "takes_over", False):
            prior = [
                begun(e) if want else None for e, want in zip(node.inputs, needed, strict=True)
            ]
            for edge, total in zip(node.inputs, rule(node, slots, needed, prior), strict=True):
                if edge is not None and total is not None:
                    if id(edge[0]) in cts:
                        cts[id(edge[0])][edge[1]] = None
                    arrive(edge, total)
            continue
        for edge, ct in zip(node.inputs, rule(node, slots, needed), strict=True):
            if edge is not None and ct is not None:
                arrive(edge, ct)


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
