"""Observed values: an op that shows its operand to whoever watches, wherever it stands - in bodies of loops, too."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..core.kinds import OPAQUE
from ..core.node import Node, Var
from ..core.prim import Prim
from ..core.types import TensorType
from ..static.graph import Graph
from ..static.region import bodies
from .places import Named, Path


class _Seen(threading.local):
    """What has been shown to this thread since it began to watch, by place."""

    values: dict[int, list[Any]] | None = None


_seen = _Seen()


@contextmanager
def watching() -> Iterator[dict[int, list[Any]]]:
    """Collects copies of the arrays that ops show in this thread: for each place one a turn, in order."""
    before, _seen.values = _seen.values, {}
    try:
        yield _seen.values
    finally:
        _seen.values = before


def _show(xp: Any, x: Any, place: int) -> Any:
    """The operand, which is shown as the value of place number `place`."""
    if _seen.values is not None:
        _seen.values.setdefault(place, []).append(xp.array(x))
    return x


observe = Prim("observe", OPAQUE, _show, effect=True)


@observe.type
def _observe_type(x: TensorType, place: int) -> TensorType:
    return x


def observed(graph: Graph, places: Iterable[tuple[int, Named]], path: Path = ()) -> Graph:
    """The graph with ops that show these values; `path` is where it stands itself."""
    here = [(number, named.var) for number, named in places if named.path == path]
    free = graph.unused_id()
    shows = {
        v: Node(observe, (v,), {"place": number}, (Var(free + i, v.type),))
        for i, (number, v) in enumerate(here)
    }
    nodes = [shows[v] for v in graph.inputs if v in shows]
    for i, node in enumerate(graph.nodes):
        inner = {k: observed(g, places, (*path, (i, k))) for k, g in bodies(node).items()}
        nodes.append(
            Node(node.prim, node.inputs, {**node.params, **inner}, node.outputs, node.where)
        )
        nodes += [shows[v] for v in node.outputs if v in shows]
    return graph.with_nodes(nodes)
