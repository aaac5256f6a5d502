"""Outcome: what a call of a program leaves behind - written tensors, gradients, its place on the tape, and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .core.backend import backend_for
from .core.constant import exact
from .core.context import grad_mode, state
from .core.errors import user_place
from .core.node import TapeNode
from .core.trees import TreeDef, unflatten
from .core.types import TensorType
from .eager.tensor import Tensor
from .effects import Effect, Pending
from .promoted import Promoted
from .replay import GONE, RELEASED, CompiledOp
from .results import Result, tensor_of, view
from .stages import Path, number
from .static.capture import Trace
from .static.flow import TAKERS
from .static.graph import Graph

MISMATCH: Any = object()


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
    _op: Any
    _out_types: tuple[TensorType, ...]
    _stored: frozenset[int]
    _size: int
    effects: tuple[Effect, ...]

    def _differs(self, why: str) -> Any:
        """Notes why a call takes another path."""
        self.mismatch = why
        return MISMATCH

    def _commit(self, outs: list[Any], tensors: list[Any], leaves: list[Any]) -> Any:
        for index, expected in self._checked if self.path is None else ():
            if exact(number(outs[index], self.captured.outputs[index])) != expected:
                return self._differs("a value taken out of a tensor differs")
        node = self._tape(tensors) if self._tracked and state.grad else None
        for store in self.trace.stores:
            self._store(tensors[store.input], outs[store.output])
        for owner, effect in zip(self._owners, self.trace.grads, strict=True):
            tensor = leaves[owner] if isinstance(owner, int) else owner
            i = effect.output
            tensor._grad = None if i is None else self._tensor(outs, i)
        self._calls += 1
        made = self._wrap(outs, tensors, leaves, node)
        out = made[0] if self._single else unflatten(self.tree, made)
        return Pending(out, self.effects, made[self._size :]) if self.effects else out

    @staticmethod
    def _store(target: Any, value: Any) -> None:
        if not isinstance(target, Tensor):
            if value is not target:
                np.copyto(target, value)
            return
        if value is not target._data:  # else the program has written it there
            backend_for(target.device).xp.copyto(target._data, value)
        target._version_cell()[0] += 1
        target._stamp = target._version

    def _tape(self, tensors: list[Any]) -> TapeNode | None:
        edges = tuple(t._edge() if isinstance(t, Tensor) else None for t in tensors)
        if all(e is None for e in edges):
            return None
        if self._op is None:
            self._op = CompiledOp(self.name, self.captured, self.trace.results)
        types = self._out_types[: self.trace.results]
        node = TapeNode(self._op, edges, {}, types, user_place())
        node.saved = (tuple(self._keep(i, t) for i, t in enumerate(tensors)), None)
        return node

    def _keep(self, i: int, t: Any) -> Any:
        """Input `i` as the tape keeps it: with its version, or as a copy if this call writes it."""
        if self.trace.slots[i].kind == "computed":
            return t  # the rules of ops see the number
        if not isinstance(t, Tensor):
            return Tensor(t.copy())
        if not self._op.reads(i):
            return t
        return Tensor(t._data.copy(), t.dtype, t.device) if i in self._stored else (t, t._version)

    def _wrap(
        self, outs: list[Any], tensors: list[Any], leaves: list[Any], node: TapeNode | None
    ) -> list[Any]:
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
        return made

    def _tensor(self, outs: list[Any], i: int) -> Tensor:
        type = self._out_types[i]
        return Tensor(outs[i], type.dtype, type.device)

    @staticmethod
    def _on_tape(r: Result, out: Tensor, node: TapeNode | None) -> Tensor:
        if r.requires_grad and r.released:
            out._node = TapeNode(RELEASED, ((GONE, 0),), {}, (out.type,))
            out._node.released = True
        elif r.requires_grad and node is not None:
            out._node, out._index = node, r.key if r.output is None else r.output
        return out
