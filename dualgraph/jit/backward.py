"""Backward: the gradient of a compiled call as a compiled program of its own.

The first gradient that is asked of a program's calls has them kept what it reads from then on: a further program
gives these values beside the results, and another makes the gradient of them. Both are compiled beside the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..control.partition import needs
from ..core.dtypes import as_scalar
from ..core.errors import DualgraphError
from ..core.numbers.formulas import Formulas
from ..core.process.spared import spared
from ..core.process.workers import Job, Workers
from ..eager.tensor import Tensor
from ..merge.running import FAILURES, Gradient, run
from ..passes.inline import inline
from ..static.graph import Graph
from .promoted import Leaf
from .slots import as_array

Compile = Callable[[Graph, bool], Any]  # of a graph; whether it stands for the program itself
_background = Workers("dualgraph-backward", 1)


class Keeping:
    """A program that keeps what its gradient reads, and the gradients that were asked for.

    ``forward`` gives the outputs of the captured graph, then the kept values; ``results`` says which results a
    gradient reads, too.
    """

    def __init__(
        self,
        captured: Graph,
        count: int,
        wanted: Sequence[bool],
        tracked: Sequence[bool],
        fresh: Sequence[bool],
        compile: Compile,
        numbers: Mapping[int, Any],
    ) -> None:
        """`count` results, through some of which gradients flow (`tracked`); some are new tensors (`fresh`).

        Inputs in `numbers` are Python numbers, which were these in the capture.
        """
        self.numbers = dict(numbers)
        graph = inline(captured, lambda _: False)
        outputs = graph.outputs[:count]
        self.graph = Graph(graph.inputs, graph.nodes, outputs)
        self._seeds = tuple(False if t else None for t in tracked)
        saved = {i for i, own in enumerate(fresh) if own and outputs.count(outputs[i]) == 1}
        formulas, live = self._live()
        with formulas:
            self.needs = needs(self.graph, wanted, self._seeds, saved, live=live)
        del live
        self.results = self.needs.results
        self.more = len(self.needs.kept) + len(self.results)
        self._compile = compile
        whole = Graph(graph.inputs, graph.nodes, (*graph.outputs, *self.needs.kept))
        self.forward = compile(whole, True)
        self._gradients: dict[Any, Job[tuple[Gradient, Formulas] | None]] = {}

    def _live(self) -> tuple[Formulas, dict[int, Any]]:
        """Live numbers for the inputs that are numbers, and what follows them."""
        leaves = [Leaf(i, str(self.graph.inputs[i])) for i in self.numbers]
        formulas = Formulas(leaves, self.numbers)  # type: ignore[arg-type]
        return formulas, dict(zip(self.numbers, formulas.inputs, strict=True))

    def gradient(self, key: Any, wait: bool) -> tuple[Gradient, Formulas] | None:
        """The gradient for (wanted operands, sums begun, cotangents that come); None as long as it is compiled."""
        job = self._gradients.get(key)
        if job is None:
            job = self._gradients[key] = _background.submit(lambda: self._gradient(*key))
        if wait:
            job.result()
        return job.given()

    def finish(self) -> None:
        """Blocks until the gradients are there."""
        for job in tuple(self._gradients.values()):
            job.result()

    def _gradient(self, wanted: Any, begun: Any, given: Any) -> tuple[Gradient, Formulas] | None:
        """The compiled gradient for such calls, with the formulas of its numbers; None where there can be none."""
        seeds = tuple(False if g else None for g in given)
        values = self.needs.given(self.graph)
        formulas, live = self._live()
        with spared(DualgraphError), formulas:
            found = Gradient(
                self.graph, values, wanted, begun, seeds, lambda graph: self._compile(graph, False), live
            )  # fmt: skip
            return found, formulas
        return None

    def pull(
        self, found: Gradient, formulas: Formulas, cts: Sequence[Any], operands: Sequence[Any],
        prior: Sequence[Any],
    ) -> list[Any] | None:  # fmt: skip
        """The totals of the operands; None where an op cannot take the values, or a rule would do otherwise with the
        numbers among them."""
        numbers = formulas.of_call(operands) if self.numbers else ()
        if type(numbers) is not tuple:
            return None
        count = len(self.graph.inputs)
        given = [*(self._tensor(i, operands[i]) for i in self.needs.operands), *operands[count:]]
        tensors = [*(given[i] for i in found.reads), *cts, *prior[:count]]
        arrays = [t._data for t in tensors if t is not None]
        try:
            arrays += [as_array(s, numbers[s.key.place]) for s in found.numbers]
            made = iter(run(found.program, arrays))
        except FAILURES:
            return None
        totals = [
            Tensor(next(made), t.dtype, t.device) if here else None
            for here, t in zip(found.there, self.graph.in_types, strict=True)
        ]
        return [*totals, *[None] * self.more]

    def _tensor(self, i: int, operand: Any) -> Any:
        """An operand as a tensor."""
        if i not in self.numbers:
            return operand
        dtype = self.graph.inputs[i].type.dtype
        return Tensor(np.asarray(as_scalar(operand, dtype)), dtype)


class Backward:
    """What a program knows of its gradients: how to get a `Keeping`, and what they cost without one."""

    def __init__(
        self, make: Callable[[], Keeping], changed: Callable[[], None], unfolded: Callable[[], None],
        patience: int, wait: bool,
    ) -> None:  # fmt: skip
        """`patience`: gradients that are replayed before anything is compiled; `wait`: the next one waits for that.
        `unfolded` is told of each call whose ops were run once more as its gradient is to be differentiated."""
        self._make = make
        self._changed = changed
        self.unfolded = unfolded
        self._job: Job[Keeping | None] | None = None
        self._left = patience
        self.wait = wait
        self.spent = 0.0  # seconds that gradients took to run ops once more

    @property
    def keeping(self) -> Keeping | None:
        """The program that keeps, once it is there."""
        return None if self._job is None else self._job.given()

    def ask(self) -> None:
        """Counts a gradient, and has the program made that keeps, unless it is begun."""
        self._left -= 1
        if self._left >= 0:
            return
        if self._job is None:
            self._job = _background.submit(self._made)
        if self.wait:
            self._job.result()

    def finish(self) -> None:
        """Blocks until what was asked for is there."""
        keeping = None if self._job is None else self._job.result()
        if keeping is not None:
            keeping.finish()

    def _made(self) -> Keeping | None:
        """The program that keeps; calls run through it from now on."""
        with spared(DualgraphError):  # gradients go on to run ops once more
            keeping = self._make()
            self.spent = 0.0
            self._changed()
            return keeping
        return None
