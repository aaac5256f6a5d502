"""checkpoint: gradients with less memory - what a function computed is dropped, and computed again.

The function runs once with the tape, which shows what its results depend on: arguments, and whatever
it closes over. Then that piece of tape is dropped, and one entry that can record it anew takes its place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from ..core.context import grad_mode, state, unbatched, untraced
from ..core.errors import AutogradError, describe, user_place
from ..core.hooks import hooked
from ..core.node import TapeNode, TapeOp, resolved, sequence
from ..core.prim import Prim
from ..core.sweep import reverse
from ..core.trees import flatten, unflatten
from ..eager import autograd
from ..eager.batch import tracked_within
from ..eager.random import get_rng_state, set_rng_state
from ..eager.tensor import Edge, Tensor
from ..eager.unfolding import pass_on
from ..ops.movement import alias
from .decisions import Decisions


def checkpoint(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with the same results and gradients, whose intermediate values are not kept for the gradient.

    The reverse sweep runs `fn` once more when it comes to it, with the same random numbers, so `fn`
    must be a function of its arguments and of tensors that have not changed. Gradients reach
    tensors that `fn` closes over (a module's parameters) as well.

    >>> import dualgraph as dg
    >>> f = dg.checkpoint(lambda x: (x * x).sin())
    >>> dg.grad(f)(0.0).item()
    0.0
    """

    @functools.wraps(fn, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not state.grad:
            return fn(*args, **kwargs)
        segment = _Segment(fn, args, kwargs)
        leaves, tree = flatten(segment.first())
        outs = [x for x in leaves if isinstance(x, Tensor) and x.requires_grad]
        if not outs or any(map(tracked_within, outs)):  # the tape under a vmap keeps its values
            return unflatten(tree, leaves)
        replaced = iter(segment.entry(outs))
        return unflatten(tree, [next(replaced) if any(x is o for o in outs) else x for x in leaves])

    return checkpointed


class _Segment(TapeOp):
    """The op of the tape entry that stands for one call of a checkpointed function."""

    name = "checkpoint"
    multiple = True
    reads_out = False
    # Sums that later ops began are continued, so the bits are those of the plain function.
    takes_over = True

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs
        self.given = [(t, t._version) for t in flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        # the gradient of a body is made of its ops: they read no state that is only kept here
        in_body = state.tracer is not None and state.tracer.of_body
        with untraced() if in_body else nullcontext():
            self.random = get_rng_state()
        self.frontier: list[Edge] = []

    def saves(self, i: int) -> bool:
        return False

    def first(self) -> Any:
        """The first run: what it decided, and where a capture wrote it down, is noted."""
        tracer = state.tracer
        self.alone = state.batching is None
        start = len(getattr(tracer, "nodes", ()))
        with Decisions() as self.decisions:
            out = self.run()
        self.recorded = tracer, start, len(getattr(tracer, "nodes", ()))
        return out

    def run(self) -> Any:
        self.began = TapeNode(None, (), {}, ()).seq
        return self.fn(*self.args, **self.kwargs)

    def entry(self, outs: Sequence[Tensor]) -> list[Tensor]:
        """`outs` again, on a tape entry of their own in place of the recorded ones."""
        self.frontier, self.as_its_ops = frontier(outs, self.began)
        node = TapeNode(
            self, tuple(self.frontier), {}, tuple(o.tensor_type for o in outs), user_place()
        )
        node.saved = (tuple(source.outputs[index] for source, index in self.frontier), None)
        return [self._attached(o, node, i) for i, o in enumerate(outs)]

    def _attached(self, t: Tensor, node: TapeNode, index: int) -> Tensor:
        """`t` as result `index` of the entry that stands for the call."""
        with grad_mode(False):
            out: Tensor = alias(t)
        if state.tracer is not None:
            state.tracer.on_tape(out)
        if not any(t._root() is x for x, _ in self.given):
            out._parent = None  # else the piece of tape would be kept through it
        else:
            out._stamp = out._version
        out._node, out._index = node, index
        return out

    def must_unfold(self, _node: TapeNode | None = None) -> bool:
        """Whether gradients are to be differentiated: nothing would be dropped then."""
        return state.grad

    def vjp_rule(self, cts: tuple[Any, ...], _outs: Any, *_operands: Any, prior: list[Any]) -> Any:
        """Records the piece of tape anew and sweeps through it."""
        if self.must_unfold():
            return NotImplemented
        return self._sweep(self._outs_again(len(cts)), cts, prior)

    def unfold(self, node: TapeNode) -> list[TapeNode]:
        """Records the piece of tape anew, right before `node`, which passes on to it; gives its entries."""
        began = next(sequence)
        tracer, start, end = self.recorded
        same = tracer is not None and tracer is state.tracer and not tracer.watches
        with tracer.once_more(start, end) if same else nullcontext():
            outs = self._outs_again(len(node.outputs))
        return pass_on(node, outs, began)

    def _outs_again(self, count: int) -> list[Tensor]:
        """The `count` differentiable results of another run."""
        for t, version in self.given:
            if t._version != version:
                raise AutogradError(
                    describe(
                        "checkpoint",
                        str(t.tensor_type),
                        "an argument was changed in place, so the function cannot run again"
                        + autograd.written_at(t._cell),
                        "write out of place, or on a .clone()",
                    )
                )
        outs = [x for x in flatten(self._again())[0] if isinstance(x, Tensor) and x.requires_grad]
        if len(outs) != count:
            raise AutogradError(
                describe(
                    "checkpoint",
                    "",
                    f"the function gave {count} differentiable results, and {len(outs)} when run again",
                )
            )
        return outs

    def _again(self) -> Any:
        later = get_rng_state()
        set_rng_state(self.random)
        try:
            alone = unbatched() if self.alone else nullcontext()
            with grad_mode(True), Decisions(self.decisions.made), alone:
                return self.run()
        finally:
            set_rng_state(later)

    def _sweep(self, outs: Sequence[Tensor], cts: Sequence[Any], prior: list[Any]) -> list[Any]:
        """Cotangents of the frontier by a sweep over the piece of tape, on top of those in `prior`."""
        stop = {id(node) for node, _ in self.frontier}
        totals: dict[int, list[Any]] = {}
        pending: dict[int, list[Any]] = {}
        for (node, index), begun in zip(self.frontier, prior, strict=True):
            pending.setdefault(id(node), [None] * len(node.outputs))[index] = begun

        def rule(
            node: TapeNode, slots: list[Any], needed: tuple[bool, ...], prior: Any = None
        ) -> Sequence[Any]:
            ends = id(node) in stop
            return (
                [None] * len(node.inputs)
                if ends
                else autograd.apply_rule(node, slots, needed, prior)
            )

        def see(node: TapeNode, slots: list[Any]) -> None:
            if id(node) in stop:
                totals[id(node)] = slots

        edges = [(o._edge(), ct) for o, ct in zip(outs, cts, strict=True) if ct is not None]
        reverse(
            [(e, ct) for e, ct in edges if e is not None], rule, autograd.add, None, see, pending
        )
        return [
            totals[id(node)][index] if id(node) in totals else begun
            for (node, index), begun in zip(self.frontier, prior, strict=True)
        ]


def frontier(outs: Sequence[Tensor], began: int) -> tuple[list[Edge], bool]:
    """The edges on which a piece of tape, recorded since `began`, depends on what was there before.

    And whether its gradients are those of ops: no functions of the user's own, no hooks.
    """
    stack: list[Edge] = [e for e in (o._edge() for o in outs) if e is not None]
    seen: set[tuple[int, int]] = set()
    found: list[Edge] = []
    plain = True
    while stack:
        node, index = edge = resolved(stack.pop())
        if (id(node), index) in seen:
            continue
        seen.add((id(node), index))
        if node.prim is None or node.seq < began:
            found.append(edge)
        else:
            ops = isinstance(node.prim, Prim) or node.prim.as_its_ops
            plain = plain and ops and not hooked(node)
            stack.extend(e for e in node.inputs if e is not None)
    return found, plain
