"""Replay: gradients of a compiled call, by running its captured graph again on the tape.

The sweep over the replayed tape takes up the cotangents that later ops have already given to the call's
inputs, so sums are taken in the order of the eager run and the bits agree.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from .control.derive import run_on_tensors
from .core.context import grad_mode, state
from .core.node import TapeNode, TapeOp
from .core.sweep import ancestors_reaching, reverse
from .eager.autograd import apply_rule
from .eager.tensor import Tensor
from .ops.arithmetic import add
from .ops.movement import alias
from .passes.dce import dce
from .static.graph import Graph


class CompiledOp(TapeOp):
    """A compiled call as the op of a tape node."""

    multiple = True
    reads_out = False
    takes_over = True

    def __init__(self, name: str, graph: Graph, results: int) -> None:
        self.name = name
        self.seconds = 0.0  # that replays took, without the sweeps
        self.graph = dce(Graph(graph.inputs, graph.nodes, graph.outputs[:results]))
        read = {*self.graph.outputs, *(v for node in self.graph.nodes for v in node.inputs)}
        self._reads = tuple(v in read for v in graph.inputs)

    def reads(self, i: int) -> bool:
        """Whether the replay needs the value of input `i`."""
        return self._reads[i]

    def saves(self, i: int) -> bool:
        return True

    def vjp_rule(
        self, cts: tuple[Any, ...], outs: Any, *operands: Tensor, prior: list[Any]
    ) -> list[Any]:
        """Cotangents of the inputs; `prior` are the sums begun for them."""
        keep = state.grad
        with grad_mode(True):
            leaves = [self._leaf(x, keep) for x in operands]
            began = perf_counter()
            results = run_on_tensors(self.graph, leaves)
            self.seconds += perf_counter() - began
        edges = [leaf._edge() if isinstance(leaf, Tensor) else None for leaf in leaves]
        roots = [
            (r._edge(), ct)
            for r, ct in zip(results, cts, strict=True)
            if ct is not None and isinstance(r, Tensor) and r._edge() is not None
        ]
        pending = {
            id(e[0]): [p]
            for e, p in zip(edges, prior, strict=True)
            if e is not None and p is not None
        }
        totals: dict[int, Any] = {}
        targets = {id(e[0]) for e in edges if e is not None}

        def collect(node: TapeNode, slots: list[Any]) -> None:
            if id(node) in targets:
                totals[id(node)] = slots[0]

        wanted = ancestors_reaching([e[0] for e, _ in roots], targets)
        reverse(roots, apply_rule, add, wanted, collect, pending)
        return [
            None if e is None else totals.get(id(e[0]), p)
            for e, p in zip(edges, prior, strict=True)
        ]

    @staticmethod
    def _leaf(x: Tensor, keep: bool) -> Tensor:
        """An input of the replay: tied to the outer tape when that must be differentiated again."""
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        if keep:
            return alias(x)  # type: ignore[no-any-return]
        out = Tensor(x._data, x.dtype, x.device)
        out._requires_grad = True
        if state.tracer is not None:
            state.tracer.assign(out, x)
        return out


class Released(TapeOp):
    """The op of results whose backward already ran inside the compiled function."""

    name = "compiled"
    multiple = False


RELEASED = Released()
GONE = TapeNode(None, (), {}, (), saved=lambda: None)
