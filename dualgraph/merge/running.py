"""Running: graphs compiled for eager calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends.executor import Executable
from ..backends.hooks import hooks_for
from ..core.backend import backend_for
from ..core.devices import CPU
from ..core.errors import DualgraphError
from ..passes.pipeline import optimise
from ..static.graph import Graph, renumber

# What ops raise for values that do not suit them; run one by one they say which, and where.
FAILURES = (DualgraphError, ValueError, IndexError, TypeError, ZeroDivisionError)


def compiled(graph: Graph, stores: tuple[tuple[int, int], ...] = ()) -> Executable:
    """A graph made ready to run. It may put outputs into the memory of inputs: `stores` has pairs (input, output)."""
    graph, _ = optimise(graph, hooks_for(CPU))
    executable = Executable(renumber(graph), backend_for(CPU), stores=stores)
    executable.warm()
    return executable


def run(executable: Executable, arrays: Sequence[Any]) -> list[Any]:
    """Fresh results for these operands. Raises one of `FAILURES` where an op cannot take them."""
    return executable.run(list(arrays), _as_they_are)  # type: ignore[no-any-return]


def _as_they_are(outs: list[Any]) -> list[Any]:
    return outs
