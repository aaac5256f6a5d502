"""Outcome: what a call of a program leaves behind - written tensors, gradients, its place on the tape, and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends.executor import Executable
from ..core.constant import exact
from ..core.context import grad_mode, state
from ..core.node import TapeNode
from ..core.trees import TreeDef, unflatten
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..effects import Effect, Pending
from ..static.code.calls import TAKERS
from ..static.graph import Graph
from ..static.trace import Trace
from .backward import Backward, Keeping
from .pay import Meter
from .promoted import Promoted
from .rebound import Move
from .replay import GONE, Released, Taped
from .results import Result, store_back, tensor_of, view
from .stages import Path, number

MISMATCH: Any = object()
PATIENCE = 4  # gradients at some sizes until they are compiled for these


class Outcome:
    """The end of each call of a program: all is computed, and nothing was changed yet."""

    name: str
    trace: Trace
    captured: Graph
    results: tuple[Result, ...]
    tree: TreeDef
    promoted: Promoted | None
    path: Path | None
    mismatch: str
    _calls: int
    _checked: Sequence[tuple[int, Any]]
    _tracked: bool
    _owners: Sequence[Any]
    _single: bool
    _arrays: Sequence[int]  # the results that are the arrays of tensors
    _borrowed: frozenset[int]
    _compile: Callable[..., Executable]
    gradients: Taped | None = None  # how calls come on the tape
    waits = False  # whether calls wait for what is compiled
    budget: int | None
    template: Any
    meter: Meter | None
    changed: list[Callable[[], None]]
    _out_types: tuple[TensorType, ...]
    _stored: frozenset[int]
    _required: Sequence[int]  # inputs that require gradients from then on
    _size: int
    effects: tuple[Effect, ...]
    moves: Sequence[Move] = ()  # what a call leaves at places

    def _differs(self, why: str) -> Any:
        """Notes why a call takes another path."""
        self.mismatch = why
        return MISMATCH

    def _commit(self, outs: list[Any], tensors: list[Any], leaves: list[Any]) -> Any:
        """All that a call leaves behind, once its outputs are computed: writes, gradients and results."""
        for index, expected in self._checked if self.path is None else ():
            if exact(number(outs[index], self.captured.outputs[index])) != expected:
                return self._differs("a value taken out of a tensor differs")
        for i in self._required:
            tensors[i].requires_grad_()
        node = self._tape(tensors, outs) if self._tracked and state.grad else None
        for store in self.trace.stores:
            store_back(tensors[store.input], outs[store.output])
        for owner, effect in zip(self._owners, self.trace.grads, strict=True):
            tensor = leaves[owner] if isinstance(owner, int) else owner
            if effect.result is None:
                i = effect.output
                tensor._grad = None if i is None else self._tensor(outs, i)
            if effect.released:
                _release(tensor._grad, "compiled")
        self._calls += 1
        made = self._wrap(outs, tensors, leaves, node)
        for owner, effect in zip(self._owners, self.trace.grads, strict=True):
            if effect.result is not None:
                (leaves[owner] if isinstance(owner, int) else owner)._grad = made[effect.result]
        for move in self.moves:
            if not move.at:
                move.put(made[move.first : move.first + move.tree.num_leaves])
        out = made[0] if self._single else unflatten(self.tree, made)
        return Pending(out, self.effects, made[self._size :], self.moves) if self.effects else out

    def _tape(self, tensors: list[Any], outs: list[Any]) -> TapeNode | None:
        if self.gradients is None:
            parts = self.name, self.captured, self.trace, self.results, self._stored, self._also
            self.gradients = Taped(*parts, self._backward)
        return self.gradients.node(tensors, outs)

    def _keeping(self) -> Keeping | None:
        """What runs instead, where gradients may be asked for."""
        return self.gradients.keeping if self.gradients is not None and state.grad else None

    def _also(self, graph: Graph, whole: bool) -> Any:
        """Another program, for gradients: one that stands for this (`whole`), or not."""
        if whole and self.path is not None:
            return self.path.keeping(graph, len(self._out_types), self._borrowed, self._compile)
        return self._compile(graph, self._borrowed if whole else frozenset(), ())

    def _backward(self, make: Callable[[], Keeping]) -> Backward:
        """Gradients of the calls. Programs for some sizes have to be asked for more of them, as others may come."""
        patience = 0 if self.template is None else PATIENCE
        return Backward(make, self._grown, self._unfolded, patience, self.waits and not patience)

    def _unfolded(self) -> None:
        """All ops of a call ran once more: whether such calls pay is asked soon."""
        if self.meter is not None:
            self.meter.left += 1

    def _grown(self) -> None:
        """Calls run in another way from now on: whether they pay is asked anew."""
        if self.meter is not None:
            self.meter.start()
        for tell in self.changed:
            tell()

    def _wrap(
        self, outs: list[Any], tensors: list[Any], leaves: list[Any], node: TapeNode | None
    ) -> list[Any]:
        """The results as Python sees them, made of outputs, inputs and arguments; views of results come last."""
        made: list[Any] = []
        late: list[int] = []
        for i, r in enumerate(self.results):
            if r.kind == "value":
                made.append(r.key)
            elif r.kind == "computed":
                assert self.promoted is not None
                made.append(self.promoted.numbers(leaves)[r.key])
            elif r.kind in ("item", *TAKERS):
                value = number(outs[r.key], self.captured.outputs[r.key])
                made.append(value if r.kind == "item" else TAKERS[r.kind](value))
            elif r.kind == "leaf":
                made.append(leaves[r.key])
            elif r.held is not None:
                made.append(r.held)
            elif r.kind == "input":
                made.append(tensor_of(tensors[r.key]))
            elif r.kind == "view":
                with grad_mode(False):
                    out = view(tensor_of(tensors[r.key]), r.chain)
                made.append(out if r.output is None else self._on_tape(r, out, node))
            elif r.kind == "same" or r.base is not None:
                late.append(i)
                made.append(None)
            else:
                made.append(self._on_tape(r, self._tensor(outs, r.key), node))
        for i in late:
            r = self.results[i]
            if r.kind == "same":
                made[i] = made[r.key]
            else:
                assert r.base is not None
                with grad_mode(False):
                    made[i] = view(made[r.base], r.chain)
                self._on_tape(r, made[i], node)
        if node is not None and self.gradients is not None:
            self.gradients.seal(node, made)
        for i in self._arrays:
            made[i] = made[i]._data
        return made

    def _tensor(self, outs: list[Any], i: int) -> Tensor:
        type = self._out_types[i]
        return Tensor(outs[i], type.dtype, type.device)

    @staticmethod
    def _on_tape(r: Result, out: Tensor, node: TapeNode | None) -> Tensor:
        if r.requires_grad and r.released:
            _release(out, r.op)
        elif r.requires_grad and node is not None:
            out._node, out._index = node, r.key if r.output is None else r.output
        return out


def _release(out: Tensor, op: str) -> None:
    """Gives a tensor, which such an op made, a history that was swept already."""
    out._node = TapeNode(Released(op), ((GONE, 0),), {}, (out.tensor_type,))
    out._node.released = True
