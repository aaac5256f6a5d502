"""Replay: compiled calls on the tape, and their gradients by running the captured graph again there.

That is done where no compiled gradient is to be had (see `backward`). The sweep over the replayed tape takes up the
cotangents that later ops have already given to the call's inputs, so sums are taken in the order of the eager run
and the bits agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any

from ..control.derive import run_on_tensors
from ..core.context import grad_mode, state, unbatched, untraced
from ..core.errors import user_place
from ..core.node import TapeNode, TapeOp, sequence
from ..core.sweep import ancestors_reaching, reverse
from ..eager.autograd import apply_rule, saved_operand
from ..eager.tensor import Tensor
from ..eager.unfolding import as_it_was, pass_on
from ..ops.arithmetic import add
from ..passes.dce import dce
from ..static.graph import Graph
from ..static.trace import Slot, Trace
from .backward import Backward, Compile, Keeping
from .results import Result


class CompiledOp(TapeOp):
    """A compiled call as the op of a tape node."""

    multiple = True
    reads_out = False
    takes_over = True
    asks_needed = True

    def __init__(
        self, name: str, makers: Mapping[int, str], graph: Graph, results: int, backward: Backward
    ) -> None:
        """`makers`: the ops that made results, by name."""
        self.name = name
        self._makers = makers
        self.backward = backward
        self.graph = dce(Graph(graph.inputs, graph.nodes, graph.outputs[:results]))
        read = {*self.graph.outputs, *(v for node in self.graph.nodes for v in node.inputs)}
        self._reads = tuple(v in read for v in graph.inputs)

    def maker(self, index: int) -> str:
        """The op inside that made a result."""
        return self._makers.get(index, self.name)

    def reads(self, i: int) -> bool:
        """Whether the replay needs the value of input `i`."""
        return self._reads[i]

    def saves(self, i: int) -> bool:
        return True

    def must_unfold(self, _node: TapeNode | None = None) -> bool:
        """Whether gradients are to be differentiated, captured or batched."""
        return state.grad or state.tracer is not None or state.batching is not None

    def vjp_rule(
        self, cts: tuple[Any, ...], outs: Any, *operands: Any, prior: list[Any], needed: tuple[bool, ...]
    ) -> Any:  # fmt: skip
        """Cotangents of the inputs; `prior` are the sums begun for them.

        NotImplemented where gradients are to be differentiated, captured or batched: the entry is unfolded then.
        """
        if self.must_unfold():
            return NotImplemented
        count = len(self._reads)
        totals = self._pulled(cts, operands, prior, needed)
        if totals is not None:
            return totals
        return [
            *self._replayed(cts, operands[:count], prior[:count]),
            *[None] * (len(needed) - count),
        ]

    def unfold(self, node: TapeNode) -> list[TapeNode]:
        """Puts the entries of the ops of the call before `node`, which passes on to them; gives these."""
        began, count = next(sequence), len(self._reads)
        kept = [
            saved_operand(node, i, k) if type(k) is tuple else k
            for i, k in enumerate(node.saved[0][:count])
        ]
        operands = [as_it_was(k, edge) for k, edge in zip(kept, node.inputs, strict=False)]
        began_at = perf_counter()
        with grad_mode(True), untraced(), unbatched():
            results = run_on_tensors(self.graph, operands)
        if state.tracer is None:
            self.backward.spent += perf_counter() - began_at
            self.backward.unfolded()
        return pass_on(node, results, began)

    def _pulled(self, cts: Any, operands: Any, prior: list[Any], needed: Any) -> list[Any] | None:
        """The cotangents by the compiled gradient, if there is one."""
        backward = self.backward
        backward.ask()
        keeping, count = backward.keeping, len(self._reads)
        if keeping is None:
            return None
        key = needed[:count], *(tuple(t is not None for t in ts) for ts in (prior[:count], cts))
        found = keeping.gradient(key, backward.wait)
        if found is None or len(operands) != count + keeping.more:
            return None
        return keeping.pull(*found, cts, operands, prior)

    def _replayed(self, cts: Any, operands: Any, prior: list[Any]) -> list[Any]:
        """The gradients, by running the captured ops again on the tape and going back over them."""
        began = perf_counter()
        with grad_mode(True):
            leaves = [self._leaf(x) for x in operands]
            results = run_on_tensors(self.graph, leaves)
        self.backward.spent += perf_counter() - began
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
    def _leaf(x: Tensor) -> Tensor:
        """An input of the replay."""
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        out = Tensor(x._data, x.dtype, x.device)
        out._requires_grad = True
        return out


class Released(TapeOp):
    """An op whose backward already ran inside the compiled function."""

    multiple = False

    def __init__(self, name: str) -> None:
        self.name = name


GONE = TapeNode(None, (), {}, (), saved=lambda: None)


class Taped:
    """How calls of a program come on the tape: one entry a call, with what its gradient may read."""

    def __init__(
        self, name: str, graph: Graph, trace: Trace, results: Sequence[Result], stored: Collection[int],
        compile: Compile, backward: Callable[[Callable[[], Keeping]], Backward],
    ) -> None:  # fmt: skip
        """`graph`: what was captured. `compile` makes programs of graphs."""
        self._graph = graph
        self._trace = trace
        self._results = results
        self._stored = stored  # inputs that a call writes
        self._flowing: set[int] = set()  # inputs, leaves or not, that gradients of calls flow to
        self._compile = compile
        self.backward = backward(self._keeping)
        makers = {r.key if r.output is None else r.output: r.op for r in results if r.flows}
        self._op = CompiledOp(name, makers, graph, trace.results, self.backward)
        self._types = graph.out_types

    @property
    def keeping(self) -> Keeping | None:
        """What runs instead of the program, once a gradient was asked for."""
        return self.backward.keeping

    @property
    def spent(self) -> float:
        """Seconds that gradients took to run ops once more."""
        return self.backward.spent

    def finish(self) -> None:
        """Blocks until the gradients that were asked for are compiled."""
        self.backward.finish()

    def _keeping(self) -> Keeping:
        """The program that also gives what gradients read, and these gradients."""
        count = self._trace.results
        flows = {r.key if r.output is None else r.output for r in self._results if r.flows}
        plain = {r.key for r in self._results if r.kind == "output" and r.base is None}
        return Keeping(
            self._graph,
            count,
            [i in self._flowing for i in range(len(self._trace.slots))],
            [i in flows for i in range(count)],
            [i in plain for i in range(count)],
            self._compile,
            {i: _captured(s) for i, s in enumerate(self._trace.slots) if s.kind == "computed"},
        )

    def node(self, tensors: Sequence[Any], outs: Sequence[Any]) -> TapeNode | None:
        """The entry of a call; None if no gradient flows into it."""
        edges = tuple(
            t._edge() if isinstance(t, Tensor) and self._op.reads(i) else None
            for i, t in enumerate(tensors)
        )
        if all(e is None for e in edges):
            return None
        self._flowing.update(i for i, e in enumerate(edges) if e is not None)
        saved = [self._kept(i, t) for i, t in enumerate(tensors)]
        kept = outs[len(self._types) :]
        keeping = self.keeping
        if keeping is not None and len(kept) == len(keeping.needs.kept):
            vars = keeping.needs.kept
            saved += [
                Tensor(a, v.type.dtype, v.type.device) for a, v in zip(kept, vars, strict=True)
            ]
            edges += (None,) * keeping.more
        node = TapeNode(self._op, edges, {}, self._types[: self._trace.results], user_place())
        node.saved = (tuple(saved), None)
        return node

    def _kept(self, i: int, t: Any) -> Any:
        """Input `i` as the tape keeps it: with its version, or as a copy if this call writes it."""
        if self._trace.slots[i].kind == "computed":
            return t  # the rules of ops see the number
        if not isinstance(t, Tensor):
            return Tensor(t.copy())
        if not self._op.reads(i):
            return t
        return Tensor(t._data.copy(), t.dtype, t.device) if i in self._stored else (t, t._version)

    def seal(self, node: TapeNode, made: Sequence[Any]) -> None:
        """Adds the results that the gradient reads to the entry, each with its version."""
        kept = node.saved[0]
        if len(kept) == len(node.inputs):
            return
        assert self.keeping is not None
        places = {r.key: i for i, r in enumerate(self._results) if r.kind == "output"}
        more = []
        for output in self.keeping.results:
            result = made[places[output]]
            same = result._another()  # the result itself holds the tape entry
            more.append((same, same._version))
        node.saved = ((*kept, *more), None)


def _captured(slot: Slot) -> Any:
    """What a number was in the capture."""
    formulas = slot.key.formulas
    return formulas.at(formulas.values)[slot.key.place]
