"""cond: one of two branches, chosen by a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.context import state
from ..core.dtypes import bool_
from ..core.errors import CaptureError, DTypeError, ShapeError, describe
from ..eager.batch import batch_of
from ..eager.tensor import Tensor
from ..ops.arithmetic import where
from ..ops.movement import reshape
from ..static.capture import OWN
from ..static.control import cond_op
from ..static.graph import Graph
from .batches import batched
from .body import (
    Body,
    Structure,
    difference,
    joined,
    note_refusals,
    owned,
    tensors_of,
    trace_body,
    trace_discarded,
    tracked,
)
from .derive import cached, derive, pull, run_on_tensors, settled
from .reach import reaches_gradients, untied

Branch = Callable[..., Any]


def cond(pred: Any, true_fn: Branch, false_fn: Branch, *operands: Any) -> Any:
    """``true_fn(*operands)`` where `pred` holds, else ``false_fn(*operands)``.

    `pred` is a Python bool or a bool tensor of no dimensions; operands and results are trees of tensors. A capture
    keeps both branches in one node; tensors that they close over are found and become operands. Where `vmap`
    batches `pred`, both branches run and `where` chooses. Raises DTypeError or ShapeError for a predicate that does
    not fit; what cannot be part of a graph (branches of other structures or types, writes to outer tensors,
    ``.item()``) makes a capture fail, and is an error where both branches run.

    >>> import dualgraph as dg
    >>> dg.cond(dg.asarray(True), lambda x: x + 1, lambda x: x - 1, dg.asarray(1.0)).item()
    2.0
    """
    if isinstance(pred, bool):
        return (true_fn if pred else false_fn)(*operands)
    pred = check_predicate("cond", pred)
    tensors, args = tensors_of("cond", operands)
    if state.tracer is None and state.batching is None and not state.grad:
        branch = true_fn if bool(pred) else false_fn
        results, structure = tensors_of("cond", branch(*args.build(tensors)))
        return structure.build(owned(results))
    return _Cond(pred, true_fn, false_fn, tensors, args).run()


def check_predicate(op: str, pred: Any) -> Tensor:
    """`pred` as a bool tensor of no dimensions."""
    (out,), _ = tensors_of(op, [pred])
    if out.dtype is not bool_:
        raise DTypeError(
            describe(
                op,
                str(out.tensor_type),
                f"the predicate is bool[], not {out.tensor_type}",
                "compare, as in x.sum() > 0",
            )
        )
    if out.shape:
        raise ShapeError(
            describe(
                op,
                str(out.tensor_type),
                f"the predicate is bool[], not {out.tensor_type}",
                "reduce with .any() or .all(), or use dg.where",
            )
        )
    return out


class _Cond:
    """One call: the branch that is taken runs for real; the other is looked at where a graph needs both."""

    def __init__(
        self,
        pred: Tensor,
        true_fn: Branch,
        false_fn: Branch,
        tensors: list[Tensor],
        args: Structure,
    ) -> None:
        self.pred, self.tensors, self.args = pred, tensors, args
        self.branches = [true_fn, false_fn]

    def run(self) -> Any:
        if batch_of(self.pred) is not None:
            return self._node(
                *(
                    trace_body("cond", fn, self.args, self.tensors, True, watched=False)
                    for fn in self.branches
                )
            )
        taken = 0 if self._holds() else 1
        body = trace_body("cond", self.branches[taken], self.args, self.tensors)
        plain = state.tracer is None and state.batching is None
        if plain and not tracked([*self.tensors, *body.outs]):
            if not reaches_gradients(self.branches[1 - taken]):
                return body.structure.build(owned(body.outs))
        if body.refusals:
            note_refusals("cond", body.refusals)
            return body.structure.build(owned(body.outs))
        name = "false_fn" if taken == 0 else "true_fn"
        other = trace_discarded("cond", name, self.branches[1 - taken], self.args, self.tensors)
        if isinstance(other, str):
            note_refusals("cond", [other])
            return body.structure.build(owned(body.outs))
        true, false = (body, other) if taken == 0 else (other, body)
        return self._node(true, false, body)

    def _holds(self) -> bool:
        tracer, state.tracer = state.tracer, None
        try:
            return bool(self.pred)
        finally:
            state.tracer = tracer

    def _node(self, true: Body, false: Body, taken: Body | None = None) -> Any:
        remedy = "both branches must give the same structure, shapes and dtypes"
        what = "false_fn gives other types than true_fn"
        unlike = difference("cond", what, false.result, true.result, remedy)
        if unlike is not None and taken is None:
            raise unlike
        refusals = (
            *true.refusals,
            *false.refusals,
            *([] if unlike is None else [str(unlike).partition("\n")[0]]),
        )
        if refusals and taken is None:
            if true.states or false.states or not all(OWN in why for why in refusals):
                raise CaptureError(
                    describe("cond", str(self.pred.tensor_type), "; ".join(refusals))
                )
            note_refusals("cond", refusals)
            pairs = zip(true.outs, false.outs, strict=True)
            return true.structure.build([where(self.pred, a, b) for a, b in pairs])
        if refusals and taken is not None:
            note_refusals("cond", refusals)
            return taken.structure.build(owned(taken.outs))
        both = joined([true, false], len(self.tensors))
        operands = untied([*self.tensors, *both.first(), *both.constants], both.graphs)
        outs = cond_op(self.pred, *operands, true=both.graphs[0], false=both.graphs[1])
        both.store("cond", outs[len(true.outs) :])
        return true.structure.build(outs)


# --- gradient ----------------------------------------------------------------------------------


@cond_op.vjp
def _cond_vjp(
    cts: tuple[Any, ...], _outs: Any, pred: Any, *operands: Any, needed: tuple[bool, ...], true: Graph, false: Graph
) -> list[Any]:  # fmt: skip
    """A condition of the same predicate whose branches are the gradients of the branches."""
    given = tuple(ct is not None for ct in cts)
    wanted = needed[1:]
    key = ("cond", given, wanted)
    back = [cached((*key, g), partial(_pulled, g, given, wanted)) for g in (true, false)]
    present = [ct for ct in cts if ct is not None]
    found = iter(cond_op(pred, *present, *operands, true=back[0], false=back[1]))
    return [None, *(next(found) if w else None for w in wanted)]


cond_op.asks_needed = True


def _pulled(graph: Graph, given: Sequence[bool], wanted: Sequence[bool]) -> Graph:
    """Cotangents of the wanted operands of a branch, from those given of its results, and its operands."""

    def run(*inputs: Tensor) -> list[Tensor]:
        present = iter(inputs[: sum(given)])
        operands = inputs[sum(given) :]
        cts = [next(present) if g else None for g in given]
        found, _ = pull(graph, operands, wanted, cts, [None] * len(operands))
        kept = [(ct, x.tensor_type) for ct, x, w in zip(found, operands, wanted, strict=True) if w]
        return settled([ct for ct, _ in kept], [t for _, t in kept])

    types = [t for t, g in zip(graph.out_types, given, strict=True) if g]
    return derive(run, [*types, *graph.in_types])


# --- vmap --------------------------------------------------------------------------------------


@cond_op.batch
def _cond_batch(
    lift: Any, args: list[Any], mapped: tuple[bool, ...], true: Graph, false: Graph
) -> Any:
    """A condition of batched branches; both branches, where the predicate differs between examples."""
    pred, operands = args[0], args[1:]
    everything = [True] * len(true.outputs)
    yes, no = (batched(g, mapped[1:], lift.size, everything)[0] for g in (true, false))
    if not mapped[0]:
        return cond_op(pred, *operands, true=yes, false=no)
    both = zip(run_on_tensors(yes, operands), run_on_tensors(no, operands), strict=True)
    return tuple(choose(pred, a, b) for a, b in both)


def choose(pred: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` for the examples where `pred` holds, else `b`."""
    return where(reshape(pred, shape=(*pred.shape, *(1,) * (a.ndim - 1))), a, b)  # type: ignore[no-any-return]
