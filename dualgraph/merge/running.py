"""Running: graphs compiled for eager calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends import eager_loops
from ..backends.executor import Executable, as_they_are
from ..control.partition import NONE, Live, Seed, gradient
from ..core.backend import backend_for
from ..core.devices import CPU
from ..core.errors import DualgraphError
from ..static.graph import Graph
from ..static.trace import Slot

# What ops raise for values that do not suit them; run one by one they say which, and where.
FAILURES = (DualgraphError, ValueError, IndexError, TypeError, ZeroDivisionError)


def compiled(graph: Graph, stores: tuple[tuple[int, int], ...] = ()) -> Executable:
    """A graph made ready to run. It may put outputs into the memory of inputs: `stores` has pairs (input, output)."""
    return eager_loops.compiled(backend_for(CPU), graph, stores)


def run(
    executable: Executable, arrays: Sequence[Any],
    finish: Callable[[list[Any]], list[Any]] = as_they_are,
) -> list[Any]:  # fmt: skip
    """Fresh results for these operands; those that go into the memory of inputs are there until `finish` is done.

    Raises one of `FAILURES` where an op cannot take them, or another thread has exchanged one meanwhile.
    """
    for v, array in zip(executable.graph.inputs, arrays, strict=True):
        if not v.type.of_array(array):
            raise ValueError("an operand was given other memory")
    return executable.run(list(arrays), finish)  # type: ignore[no-any-return]


class Gradient:
    """A compiled gradient of a graph: for which operands want one, which have sums begun, and which cotangents come.

    ``reads`` are the values it reads of those that are `given` to it (in the order of `Needs.given`), ``there`` which
    operands get a total; ``numbers`` are further inputs, worked out from operands that are `live` numbers.
    """

    __slots__ = ("numbers", "program", "reads", "there")

    def __init__(
        self, graph: Graph, given: Sequence[Any], wanted: Sequence[bool], begun: Sequence[bool],
        seeds: Sequence[Seed], compile: Callable[[Graph], Executable] = compiled, live: Live = NONE,
    ) -> None:  # fmt: skip
        self.numbers: list[Slot] = []
        back, self.there = gradient(graph, given, wanted, seeds, begun, live, self.numbers)
        count = len(given)
        read = {v for n in back.nodes for v in n.inputs} | set(back.outputs)
        self.reads = tuple(i for i, v in enumerate(back.inputs[:count]) if v in read)
        inputs = (*(back.inputs[i] for i in self.reads), *back.inputs[count:])
        self.program = compile(Graph(inputs, back.nodes, back.outputs))
