"""The pipeline: which passes run, in which order."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..core.node import Node
from ..core.numbers.guards import guarded
from ..core.process.workers import check_ending
from ..static.graph import Graph, renumber
from ..static.region import bodies, is_region
from .cse import cse
from .dce import dce
from .epilogue import fuse_epilogues
from .fold import fold
from .fuel import FUEL
from .fuse import fuse
from .horizontal import fuse_horizontally
from .inline import inline
from .order import order
from .own import own_results
from .parts import join_parts, split_wholes
from .recompute import recompute
from .rematerialise import rematerialise
from .simplify import simplify
from .trim import trim
from .turn import turn
from .twins import share_bodies
from .unroll import unroll
from .widen import widen

Pass = Callable[[Graph], Graph]


def nothing(_: object) -> bool:
    return False


def one(_: object) -> float:
    return 1.0


class Hooks(NamedTuple):
    """What passes ask the backend.

    * ``claims(node)``: whether it has a kernel for this composite
    * ``can_fuse(node)``: whether ops like this can be part of a kernel
    * ``accept(body)``: whether it can make one kernel of this body
    * ``finish(body)``: the same for a contraction and what is done with its result (an epilogue)
    * ``lawful(node)``: whether a contraction's bits depend neither on how its operands lie in memory nor on which
      comes first
    * ``weigh(node)``: how many instructions a fused op takes
    * ``singles``: lone fusable nodes become regions, too
    """

    claims: Callable[[Node], bool] = nothing
    can_fuse: Callable[[Node], bool] = nothing
    accept: Callable[[Graph], bool] = nothing
    finish: Callable[[Graph], bool] = nothing
    lawful: Callable[[Node], bool] = nothing
    weigh: Callable[[Node], float] = one
    singles: bool = False


class PassRecord(NamedTuple):
    """One pass that ran: nodes before and after, how long it took, and the graph it gave."""

    name: str
    nodes_before: int
    nodes_after: int
    seconds: float
    graph: Graph

    def __str__(self) -> str:
        return f"{self.name:20} {self.nodes_before:5} -> {self.nodes_after:5} nodes  {1e3 * self.seconds:7.2f} ms"


def unchanged(graph: Graph) -> Graph:
    return graph


def choosing(run: Callable[..., Graph], **options: object) -> Pass:
    """A pass whose result is right whatever the sizes: what it decides by symbolic ones needs no guards."""

    def apply(graph: Graph) -> Graph:
        with guarded(proving=True):
            return run(graph, **options)

    return apply


def pipeline(
    hooks: Hooks, fast_math: bool = False, budget: int | None = None, body: bool = False
) -> list[tuple[str, Pass]]:
    """All passes, in the order in which they run; `body`: on the body of a loop or branch."""
    passes: list[tuple[str, Pass]] = [
        # Fewer, simpler nodes.
        ("inline", partial(inline, claims=hooks.claims)),
        ("dce", dce),
        ("fold", fold),
        ("simplify", partial(simplify, fast_math=fast_math)),
        ("cse", cse),
        ("widen", widen),
        ("turn", partial(turn, lawful=hooks.lawful)),
        ("simplify again", partial(simplify, fast_math=fast_math)),
        ("join parts", join_parts),
        *([("split wholes", split_wholes)] if hooks.singles else []),
        ("dce again", dce),
        ("trim", trim),
        # Loops and branches: several steps as one, and all passes on each body.
        ("unroll", choosing(unroll, can_fuse=hooks.can_fuse) if budget is None else unchanged),
        ("bodies", partial(with_bodies, change=lambda b: optimise(b, hooks, fast_math, body=True)[0])),
        *([("own results", own_results)] if body and hooks.singles else []),
        # Groups of nodes that one kernel computes.
        ("fuse", choosing(
            fuse, can_fuse=hooks.can_fuse, accept=hooks.accept, singles=hooks.singles,
        )),
        ("recompute", choosing(recompute, accept=hooks.accept, weigh=hooks.weigh)),
        ("epilogues", choosing(fuse_epilogues, accept=hooks.finish)),
        ("fuse horizontally", choosing(fuse_horizontally, accept=hooks.accept)),
        # Memory.
        ("order", choosing(order)),
    ]  # fmt: skip
    if budget is not None:
        passes.append(("rematerialise", partial(rematerialise, budget=budget)))
    return [*passes, ("share bodies", share_bodies), ("renumber", renumber)]


def optimise(
    graph: Graph,
    hooks: Hooks | None = None,
    fast_math: bool = False,
    budget: int | None = None,
    body: bool = False,
) -> tuple[Graph, list[PassRecord]]:
    """Given: a captured graph, a backend's hooks, and how many bytes temporaries may take (None: any).

    Result: the graph after all passes, and a record of each. Bodies of loops and branches are
    optimised, too (they are a `body`). On one backend the results keep their bits, unless ``fast_math``.
    """
    chosen = hooks or Hooks()
    records: list[PassRecord] = []
    for name, apply in pipeline(chosen, fast_math, budget, body):
        check_ending()
        began = time.perf_counter()
        after = apply(graph) if FUEL.take(f"pass {name}") else graph
        records.append(
            PassRecord(name, len(graph.nodes), len(after.nodes), time.perf_counter() - began, after)
        )
        graph = after
    return graph, records


def with_bodies(graph: Graph, change: Pass) -> Graph:
    """The graph with `change` applied to the bodies of nodes that are not regions (loops, branches)."""
    return graph.with_nodes(_with_bodies(node, change) for node in graph.nodes)


def _with_bodies(node: Node, change: Pass) -> Node:
    inner = bodies(node)
    if is_region(node) or not inner:
        return node
    params = {**node.params, **{k: change(body) for k, body in inner.items()}}
    return Node(node.prim, node.inputs, params, node.outputs, node.where)
