"""Written bodies: a cache of traced bodies, and of what was worked out from a graph."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..core.context import state
from ..core.dtypes import get_default_dtype
from ..core.errors import user_place
from ..eager.tensor import Tensor
from ..static.graph import Graph
from .body import Body, Structure

LATEST = 64  # things that `Recent` keeps


class Recent:
    """The latest things that were made, by key."""

    def __init__(self) -> None:
        self._made: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """What was put under a key, or None."""
        found = self._made.get(key)
        if found is not None:
            with suppress(KeyError):  # another thread has put more
                self._made.move_to_end(key)
        return found

    def put(self, key: Hashable, value: Any) -> None:
        """Keeps a value, and forgets the oldest."""
        self._made[key] = value
        while len(self._made) > LATEST:
            with suppress(KeyError):
                self._made.popitem(last=False)


class Written(NamedTuple):
    """The body of a pure step: its graph, which of the tensors it was said to close over it reads, and what y is."""

    graph: Graph
    reads: tuple[int, ...]
    structure: Structure


def written(
    body: Body, graph: Graph, constants: Sequence[Tensor], closes: Sequence[Tensor], y: Structure
) -> Written | None:
    """A traced body to be used again; None where it does more than compute, or reads other tensors."""
    places = {id(t): i for i, t in enumerate(closes)}
    if body.refusals or body.states or any(id(t) not in places for t in constants):
        return None
    return Written(graph, tuple(places[id(t)] for t in constants), y)


def circumstances(operands: Sequence[Tensor]) -> tuple[Hashable, ...]:
    """All that a traced body may differ by, where its function is the same: operands, modes, the user's line."""
    types = tuple((t.tensor_type, t._edge() is not None) for t in operands)
    return types, state.grad, state.device, get_default_dtype(), user_place()


def of_graph(recent: Recent, name: Hashable, graph: Graph, make: Callable[[], Any]) -> Any:
    """What `make` gives for this very graph; it is made once."""
    found = recent.get((name, id(graph)))
    if found is None or found[0] is not graph:
        found = graph, make()
        recent.put((name, id(graph)), found)
    return found[1]
