"""Forms: a composite for operands of given types, compiled beside the calls, and its entry on the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backends.executor import Executable
from ..backends.quicken import hasten
from ..core.composite import Traced
from ..core.context import state
from ..core.devices import CPU
from ..core.dtypes import DType
from ..core.errors import AutogradError, CaptureError, DualgraphError, user_place
from ..core.node import TapeNode
from ..core.process.spared import spared
from ..core.process.workers import Workers
from ..core.types import TensorType
from ..eager.tensor import Edge, Tensor
from ..static.retold import Ops, off_tape, retell
from .entry import MergedOp
from .halves import Halves, Whole, halves, trace
from .running import FAILURES, Gradient, compiled, run
from .swept import sweep

PATIENCE = 2  # calls that run op by op before a form is compiled
# elements that ops would read once more, from which a call of a form takes less time
WORTH = 1 << 16
LARGEST = 1 << 28  # bytes of stand-ins that may be written
Flags = tuple[bool, ...]  # one an operand
_background = Workers("dualgraph-merge", 1)


def wait() -> None:
    """Blocks until what was asked for is compiled."""
    _background.submit(lambda: None).result()


class Form:
    """A composite for operands of given types. ``ready``: it may be called; ``refused``: it never will be."""

    __slots__ = (
        "_backward",
        "_call",
        "_calls",
        "_dtype",
        "_forward",
        "_sweeps",
        "name",
        "op",
        "parts",
        "ready",
        "refused",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = self.refused = False
        self._calls = 0
        self._forward: Executable | None = None
        self._dtype: DType | None = None
        self._backward: dict[Any, Gradient | None] = {}
        self._call: Callable[..., Any] | None = None
        self._sweeps: dict[Any, Ops | None] = {}
        self.parts: Halves | None = None
        self.op: MergedOp | None = None

    def seen(
        self, fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool]
    ) -> None:
        """One more call; after some the form is made ready, beside the caller."""
        self._calls += 1
        if self._calls == PATIENCE:
            _background.submit(lambda: self._build(fn, types, wanted))

    def _build(
        self, fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool]
    ) -> None:
        """Makes the form ready if that pays; else it is refused."""
        with spared(DualgraphError):  # its ops go on to run one by one
            whole = _traced(fn, types, wanted)
            passes = sum(not n.prim.aliases for n in whole.graph.nodes) + len(whole.writes) - 1
            made = whole.result.type.size if whole.gives else 0
            saved = passes * max(types[0].size, made)
            if saved >= WORTH:
                self._compile(fn, whole, wanted)
        self.refused = not self.ready

    def _compile(self, fn: Callable[..., Any], whole: Whole, wanted: Sequence[bool]) -> None:
        """Compiles the forward half, and the gradient that is asked for most."""
        self.parts = parts = halves(whole, wanted)
        none = (False,) * len(wanted)
        if any(wanted):
            self._call = fn
            self.op = MergedOp(self.name, parts, self.gradient, self.sweep)
            self._backward[tuple(wanted), none, False] = self._gradient(tuple(wanted), none, False)
        first = int(whole.gives)
        stores = tuple((i, first + k) for k, i in enumerate(whole.writes))
        self._forward = compiled(parts.forward, stores)
        self._dtype = whole.result.type.dtype if whole.gives else None
        self.ready = True
        hasten()

    def traced(
        self, fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool]
    ) -> Traced:
        """The form as a graph and an op, for what runs it otherwise."""
        whole = _traced(fn, types, wanted)
        if whole.writes and whole.gives:
            raise CaptureError("a composite does more than compute")
        if not any(wanted):
            return Traced(whole.graph, writes=whole.writes)
        self.parts = parts = halves(whole, wanted)
        self.op = op = MergedOp(self.name, parts, self.gradient)
        return Traced(parts.forward, op, op.read, bool(parts.needs.results), tuple(op.blank))

    def gradient(self, *key: Any) -> Gradient | None:
        """The compiled gradient (see there), or None as long as there is none; then it is asked for."""
        if key in self._backward:
            return self._backward[key]
        self._backward[key] = None

        def build() -> None:
            with spared(DualgraphError):  # stays None: the ops are run one by one
                assert self.parts is not None
                self._backward[key] = self._gradient(*key)

        _background.submit(build)
        return None

    def _gradient(self, needed: Flags, begun: Flags, narrow: bool) -> Gradient:
        """Compiles the gradient for some operands, and finds out what a capture would hold of it."""
        parts = self.parts
        assert parts is not None
        whole = parts.whole
        if (needed, begun) not in self._sweeps and self._call is not None:
            types = [v.type for v in whole.graph.inputs]
            with spared(DualgraphError):  # captures see its ops one by one
                told = sweep(self._call, types, parts.wanted, whole, needed, begun)
                self._sweeps[needed, begun] = told
        return Gradient(whole.pure, parts.given, needed, begun, (narrow,))

    def sweep(self, needed: Flags, begun: Flags) -> Ops | None:
        """What a capture holds of a gradient; None where it cannot be told."""
        return self._sweeps.get((needed, begun))

    def tells(self) -> bool:
        """Whether a capture can be told what calls do, and what gradients of them do."""
        if self.parts is None or self.parts.whole.ops is None or not self.ready:
            return False
        wanted = self.parts.wanted
        return self.op is None or self.sweep(wanted, (False,) * len(wanted)) is not None

    def call(self, tensors: Sequence[Tensor], edges: Sequence[Edge | None]) -> Any:
        """The result for operands of the form's types; NotImplemented where its ops should say what is wrong."""
        parts = self.parts
        assert parts is not None and self._forward is not None
        whole = parts.whole
        if whole.writes and not _apart(tensors, whole.writes):
            return NotImplemented
        first = int(whole.gives)

        def finish(outs: list[Any]) -> list[Any]:
            for i, new in zip(whole.writes, outs[first:], strict=False):
                _store(tensors[i], new)
            return outs

        try:
            outs = run(self._forward, [t._data for t in tensors], finish)
        except FAILURES:
            return NotImplemented
        result = None if self._dtype is None else Tensor(outs[0], self._dtype, CPU)
        node = None
        if self.op is not None and result is not None:
            node = self.op.record(tensors, edges, result, outs[first + len(whole.writes) :])
        if state.tracer is not None:
            self._tell(tensors, result, node)
        return result

    def _tell(
        self, tensors: Sequence[Tensor], result: Tensor | None, node: TapeNode | None
    ) -> None:
        """Tells the capture that runs of a call."""
        assert self.parts is not None and self.parts.whole.ops is not None
        whole, tracer = self.parts.whole, state.tracer
        ops = off_tape(self.parts.whole.ops, tensors, whole.writes)
        first = len(tracer.nodes)
        values = retell(ops, tensors)
        if result is not None:
            tracer._set(result, values[ops.outputs[0]])
        for i, v in zip(whole.writes, ops.outputs[int(whole.gives) :], strict=True):
            tracer.writes += 1
            tracer.var_of(tensors[i])
            tracer._set(tensors[i], values[v])
        if node is not None and self.op is not None:
            self.op.told(node, first, values)


def _traced(fn: Callable[..., Any], types: Sequence[TensorType], wanted: Sequence[bool]) -> Whole:
    """A composite as a graph, on stand-ins that have memory only where they are small or it writes them."""
    try:
        return trace(fn, types, wanted)
    except AutogradError:  # it writes large operands
        return trace(fn, types, wanted, room=LARGEST)


def _store(t: Tensor, new: Any) -> None:
    """Puts new values into the memory of `t`, unless the program has done so, and notes the write."""
    if new is not t._data:
        np.copyto(t._data, new)
    cell = t._version_cell()
    cell[0] += 1
    cell[1] = user_place()
    t._stamp = cell[0]


def _apart(tensors: Sequence[Tensor], writes: Sequence[int]) -> bool:
    """Whether the operands that are written are plain tensors whose memory nobody else has."""
    for i in writes:
        t = tensors[i]
        flags = t._data.flags
        wants = state.grad and (t._requires_grad or t._node is not None)
        if t._parent is not None or wants or not (flags.writeable and flags.c_contiguous):
            return False
        if any(np.may_share_memory(t._data, x._data) for x in tensors if x is not t):
            return False
    return True
