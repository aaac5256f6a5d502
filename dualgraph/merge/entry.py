"""Entries of merged calls on the tape: one node for all ops of a composite, and its gradient."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..control.derive import run_on_tensors
from ..control.partition import gradient
from ..core.context import grad_mode, state, unbatched, untraced
from ..core.devices import CPU
from ..core.errors import user_place
from ..core.node import TapeNode, TapeOp, sequence
from ..eager.autograd import saved_operand
from ..eager.tensor import Edge, Tensor
from ..eager.unfolding import placed_before
from ..static.retold import Ops, hears, retell
from .halves import Halves
from .running import FAILURES, run

Gradient = Callable[..., Any]


class Told:
    """What a capture knows of a call: its values, by the vars that they have in the ops of the composite."""

    __slots__ = ("_tracer", "range", "values")

    def __init__(self, first: int, values: dict[Any, Any]) -> None:
        self._tracer = weakref.ref(state.tracer)
        self.range = first, len(state.tracer.nodes)
        self.values = values

    def here(self) -> bool:
        """Whether that capture is the one that runs."""
        return state.tracer is not None and self._tracer() is state.tracer

    def hears(self) -> bool:
        """Whether it can be told of a sweep, too."""
        return self.here() and hears() and not state.grad and state.batching is None


class MergedOp(TapeOp):
    """A composite of known types as the op of tape entries.

    Their operands are those of the composite, then without a gradient the kept values and the results that
    the gradient reads.
    """

    multiple = True
    reads_out = False
    takes_over = True  # sums are continued use by use, as those of single ops are
    in_place = True
    asks_needed = True
    as_its_ops = True

    def __init__(
        self, name: str, parts: Halves, gradient: Gradient,
        sweep: Callable[..., Ops | None] = lambda *_: None,
    ) -> None:  # fmt: skip
        self.name = name
        self.sweep = sweep  # what a capture holds of a gradient: which operands want it, sums begun
        # the compiled one for which operands want it, sums begun, narrow cotangents
        self.gradient = gradient
        self.parts = parts
        self.types = (parts.whole.result.type,)
        self.count = len(parts.wanted)
        self.more = (None,) * (len(parts.needs.kept) + len(parts.needs.results))
        self.read = tuple(i in parts.needs.operands for i in range(self.count))
        self.blank = [
            np.broadcast_to(np.zeros((), v.type.dtype.numpy), v.type.shape)
            for v in parts.whole.graph.inputs
        ]

    def maker(self, index: int) -> str:
        """The name of the last op of the composite."""
        graph = self.parts.whole.graph
        makers = (n for n in graph.nodes if graph.outputs[index] in n.outputs)
        return next((n.prim.name for n in makers), self.name)

    def saves(self, i: int) -> bool:
        """Whether the rule reads the values of operand `i`."""
        return i >= self.count or self.read[i]

    def record(
        self, tensors: Sequence[Tensor], edges: Sequence[Edge | None], result: Tensor, kept: Sequence[Any],
    ) -> TapeNode:  # fmt: skip
        """Puts a call on the tape; gives its entry."""
        node = TapeNode(self, (*edges, *self.more), {}, self.types, user_place())
        saved: list[Any] = []
        for t, edge, read, blank in zip(tensors, edges, self.read, self.blank, strict=True):
            if read:
                saved.append((t, t._version))
                continue
            other = Tensor(blank, t.dtype, CPU)
            if edge is not None:
                other._node, other._index = edge
            saved.append(other)
        saved += [
            (Tensor(a, v.type.dtype, CPU), 0)
            for a, v in zip(kept, self.parts.needs.kept, strict=True)
        ]
        if self.parts.needs.results:
            saved.append((result._another(), result._version))
        node.saved = (tuple(saved), None)
        result._node = node
        return node

    def told(self, node: TapeNode, first: int, values: dict[Any, Any]) -> None:
        """Notes that the running capture was told of the call that `node` stands for, from its node `first` on."""
        node.params = {"told": Told(first, values)}
        whole = self.parts.whole
        assert whole.ops is not None
        names = (*whole.graph.inputs, *self.parts.needs.kept, *whole.graph.outputs)
        for i, (v, k) in enumerate(zip(names, node.saved[0], strict=False)):
            var = values.get(whole.in_ops[v])
            if var is not None and not (i < self.count and self.read[i]):
                state.tracer._set(k[0] if type(k) is tuple else k, var)

    def must_unfold(self, node: TapeNode) -> bool:
        """Whether gradients are to be differentiated, captured or batched, and no capture is told of them."""
        told = node.params.get("told")
        if told is not None and told.hears():
            return False
        return state.grad or state.tracer is not None or state.batching is not None

    def vjp_rule(
        self, cts: tuple[Any, ...], _outs: Any, *operands: Any, prior: list[Any], needed: tuple[bool, ...],
        told: Told | None = None,
    ) -> Any:  # fmt: skip
        """Totals of the operands, by the compiled gradient; `prior` are the sums begun for them.

        NotImplemented where there is none yet, or gradients are to be differentiated, captured or batched: the
        entry is unfolded then.
        """
        (ct,) = cts
        if state.grad or state.batching is not None or ct.device is not CPU:
            return NotImplemented
        narrow = _is_narrow(ct._data)
        begun = tuple([p is not None for p in prior[: self.count]])
        found = self.gradient(needed[: self.count], begun, narrow)
        ops = None
        if state.tracer is not None and told is not None and told.hears():
            ops = self.sweep(needed[: self.count], begun)
        if found is None or (state.tracer is not None and ops is None):
            return NotImplemented
        given = self._given(operands)
        array = ct._data
        arrays = [given[i]._data for i in found.reads]
        arrays.append(np.asarray(array[(0,) * array.ndim]) if narrow else array)
        arrays += [p._data for p in prior if p is not None]
        try:
            made = iter(run(found.program, arrays))
        except FAILURES:
            return NotImplemented
        totals = [
            Tensor(next(made), t.dtype, CPU) if here else None
            for here, t in zip(found.there, operands, strict=False)
        ]
        if ops is not None and told is not None:
            _tell(ops, [ct, *(p for p in prior if p is not None)], told, totals)
        return [*totals, *self.more]

    def _given(self, operands: Sequence[Any]) -> list[Any]:
        """What the gradient reads, of the operands of the entry."""
        return [operands[i] for i in self.parts.needs.operands] + list(operands[self.count :])

    def totals(
        self, ct: Tensor, operands: Sequence[Any], needed: tuple[bool, ...], prior: Sequence[Any]
    ) -> list[Any]:
        """What `vjp_rule` gives, computed by ops that a capture sees."""
        parts, begun = self.parts, [p is not None for p in prior[: self.count]]
        wanted = needed[: self.count]
        graph, there = gradient(parts.whole.pure, parts.given, wanted, (False,), begun)
        sums = [p for p in prior if p is not None]
        made = iter(run_on_tensors(graph, [*self._given(operands), ct, *sums]))
        return [*(next(made) if here else None for here in there), *self.more]

    def unfold(self, node: TapeNode) -> list[TapeNode]:
        """Makes `node` the entry of the composite's last op, before which those of the others now come; gives these.

        Values that rules read are known; stand-ins take the place of the others.
        """
        parts = self.parts
        operands = [_checked(node, i, k) for i, k in enumerate(node.saved[0])]
        graph = parts.whole.pure
        read = parts.given[len(parts.needs.operands) :]
        values = zip(read, operands[self.count :], strict=True)
        began = next(sequence)
        told = node.params.get("told")
        here = told is not None and told.here()
        unheard = state.tracer.once_more(*told.range) if here else untraced()
        with grad_mode(True), unheard, unbatched():
            (out,) = run_on_tensors(graph, operands[: self.count], known=dict(values))
        last = out._node
        assert last is not None
        out._node = node  # rules that read the result may have kept this very tensor
        inner = placed_before(node, (e for e in last.inputs if e is not None), began)
        node.prim, node.inputs, node.params, node.saved = (
            last.prim,
            last.inputs,
            last.params,
            last.saved,
        )
        return inner


def _tell(ops: Ops, given: Sequence[Any], told: Told, totals: list[Any]) -> None:
    """Tells the capture that runs of a sweep, which gave `totals` for a cotangent and sums begun.

    A total that is one of these is that very tensor, as it would be without us.
    """
    values = retell(ops, given, told.values)
    same = dict(zip(ops.inputs, given, strict=True))
    outs = iter(ops.outputs)
    for i, total in enumerate(totals):
        if total is not None:
            out = next(outs)
            if out in same:
                totals[i] = same[out]
            else:
                state.tracer._set(total, values[out])


def _checked(node: TapeNode, place: int, kept: Any) -> Any:
    """An operand; a tensor that was written since then raises the error that says so where its values are read."""
    return saved_operand(node, place, kept) if type(kept) is tuple else kept


def _is_narrow(array: Any) -> bool:
    """Whether an array of several places shows one element at all of them."""
    return array.size > 1 and not any(array.strides)
