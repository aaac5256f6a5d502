"""Resuming: a function run again up to the place where a compiled call left it, without computing anything again
(deoptimisation).

Python frames cannot be entered in the middle. So the function runs from its start, under a tracer that
compares each op with the recorded one and hands out the value that the compiled call has for it. A
value that the call does not have is computed when something reads it, as it would have been then:
it is settled before any of its operands is written. An op that differs from the recorded one ends the
resuming; everything after it is run as always. So what is handed out is never a guess.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ..core.backend import backend_for, execute
from ..core.constant import exact
from ..core.context import state
from ..core.node import Var
from ..core.numbers.draws import Draw
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..static.capture import Tracer
from ..static.trace import Slot, Trace
from .slots import one_place


class Deferred:
    """One op that has not run: its operands, and the tensors that stand for its results."""

    __slots__ = ("args", "learned", "params", "prim", "results", "standing", "types", "vars")

    def __init__(
        self, prim: Any, args: tuple[Any, ...], params: dict[str, Any], vars: tuple[Var, ...],
        learned: list[Var],
    ) -> None:  # fmt: skip
        self.prim = prim
        self.args: tuple[Any, ...] | None = args
        self.params = params
        self.vars = vars
        self.learned = learned
        self.types = tuple(v.type for v in vars)
        self.standing: list[weakref.ref[Lazy]] = []
        self.results: tuple[Any, ...] = ()

    def waiting(self) -> list[Deferred]:
        """The ops that have to run before this one."""
        return [a._deferred for a in self.args or () if type(a) is Lazy]

    def settle(self) -> None:
        """Runs the op, and before it whatever it needs; its stand-ins become tensors."""
        work = [self]
        while work:
            first = work[-1].waiting()
            if first:
                work += first
            else:
                work.pop()._run()

    def _run(self) -> None:
        """Computes the results, unless that was done, and gives them to the tensors that stand for them."""
        if self.args is None:
            return
        types = tuple(a.tensor_type for a in self.args)
        arrays = tuple(a._data if isinstance(a, Tensor) else a.array for a in self.args)
        device = self.types[0].device
        results = execute(backend_for(device), self.prim, arrays, types, self.params, self.types)
        self.results = tuple(np.asarray(r) if isinstance(r, np.generic) else r for r in results)
        self.args = None
        for ref in self.standing:
            t = ref()
            if t is not None:
                t._become(self.results[t._place])


class Lazy(Tensor):
    """A tensor whose op runs when its values are first read; then it is a plain tensor."""

    __slots__ = ()
    _deferred: Deferred
    _place: int

    def __init__(self, deferred: Deferred, place: int) -> None:
        type = deferred.types[place]
        self._deferred, self._place = deferred, place
        self.dtype = type.dtype
        self.device = type.device
        self._requires_grad = False
        self._node = self._grad = self._cell = self._parent = None
        self._index = self._stamp = 0

    @property
    def tensor_type(self) -> TensorType:
        return self._deferred.types[self._place]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor_type.shape

    @property
    def ndim(self) -> int:
        return len(self.tensor_type.shape)

    @property
    def _data(self) -> Any:  # type: ignore[override]
        deferred, place = self._deferred, self._place
        deferred.learned.append(deferred.vars[place])
        deferred.settle()
        return deferred.results[place]

    @_data.setter
    def _data(self, value: Any) -> None:
        self._become(value)

    def _become(self, value: Any) -> None:
        self.__class__ = Tensor  # type: ignore[assignment]
        del self._deferred, self._place
        self._data = value


class Resumer(Tracer):
    """Follows a function through the first `stop` numbers that a recorded run took out of tensors.

    Given: the trace of that run, and `env`, the values by var that a compiled call has computed for the
    inputs of this call. With `grow` it goes on as a tracer when it has arrived there; else the rest runs
    untraced. `learned` are the vars that something needed and `env` lacked.
    """

    resuming = True
    quick = False

    def __init__(self, trace: Trace, env: dict[int, Any], stop: int, grow: bool) -> None:
        super().__init__()
        assert trace.recording is not None
        self._trace = trace
        self._recorded, _, self._views = trace.recording
        self._env = env
        self._stop = stop
        self._grow = grow
        self._seen = 0  # nodes compared
        self._pending: list[tuple[weakref.ref[Tensor], Var]] = []
        self._tape: list[weakref.ref[Any]] = []  # entries that keep their results as tensors
        self.learned: list[Var] = []

    # --- what the recorded run did ---

    def _differs(self, prim: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> bool:
        """Compares the next node with the recorded one; whether they differ."""
        i = len(self.nodes)
        recorded = self._recorded
        if i < self._seen:
            return False
        self._seen = i + 1
        if i < len(recorded):
            node = recorded[i]
            if node.prim is prim and node.inputs == inputs and _same(node.params, params):
                return False
        return True

    def resume(
        self, prim: Any, args: list[Any], params: dict[str, Any], types: tuple[TensorType, ...]
    ) -> tuple[Tensor, ...] | None:
        """The results of an op that the recorded run did, too; None where it has to be run."""
        inputs = tuple(map(self.operand, args))
        if self.resuming and self._differs(prim, inputs, params):
            self._leave()
        if not self.resuming:
            return None
        i = len(self.nodes)
        node = self._recorded[i]
        view = i in self._views
        if tuple(v.type for v in node.outputs) != types:
            self._leave()
            return None
        if view:
            if type(args[0]) is not Lazy:
                return None  # costs nothing
        elif all(v.id in self._env for v in node.outputs):
            return tuple(Tensor(self._env[v.id], v.type.dtype, v.type.device) for v in node.outputs)
        deferred = Deferred(prim, tuple(args), params, node.outputs, self.learned)
        outs = tuple(Lazy(deferred, k) for k in range(len(types)))
        deferred.standing = [weakref.ref(out) for out in outs]
        self._pending += zip(deferred.standing, node.outputs, strict=True)
        if view:
            outs[0]._become_view_of(args[0], prim, params)
        return outs

    def record(
        self, prim: Any, args: list[Any], params: dict[str, Any], outs: tuple[Any, ...], where: Any
    ) -> None:
        super().record(prim, args, params, outs, where)
        node = outs[0]._node
        if not self._grow and node is not None and node.prim is prim and node.saved[1] is not None:
            self._tape.append(weakref.ref(node))

    def _emit(
        self, prim: Any, inputs: tuple[Any, ...], params: dict[str, Any], types: Any, where: Any
    ) -> tuple[Var, ...]:
        if self.resuming and self._differs(prim, inputs, params):
            self._leave()
        return super()._emit(prim, inputs, params, types, where)

    def add_root(self, t: Any, slot: Slot) -> Var:
        i = len(self.roots)
        var = super().add_root(t, slot)
        if self.resuming:
            slots, inputs = self._trace.slots, self._trace.graph.inputs
            if i >= len(slots) or inputs[i] != var or not one_place(slots[i], slot):
                self._leave()
        return var

    def concretize(self, t: Any, value: Any) -> Any:
        """A number is taken out of a tensor: as in the capture, or else the run leaves its path here."""
        before = len(self.concrete)
        out = super().concretize(t, value)
        if not self.resuming:
            return out
        if len(self.concrete) > before:
            self._taken()
        else:  # it goes only into the result
            mine, theirs = self.numbers, self._trace.numbers
            i = len(mine) - 1
            if i >= len(theirs) or theirs[i].operand != mine[i].operand:
                self._leave()
        return out

    def drawn(self, draw: Draw, value: Any) -> Any:
        """A random number: one that the compiled call has drawn, or a new one."""
        before = len(self.concrete)
        out = super().drawn(draw, value)
        if self.resuming and len(self.concrete) > before:
            self._taken()
        return out

    def array_of(self, t: Any, listed: bool = False) -> Any:
        """The array of a tensor, and the numbers in it that make a list, are taken out likewise."""
        before = len(self.concrete)
        out = super().array_of(t, listed)
        if out is not None:
            self._settle_readers(None)
        if self.resuming and len(self.concrete) > before:
            self._taken()
        return out

    def _taken(self) -> None:
        """The latest number is that of the capture, or the run leaves its path; so it does behind the last one."""
        i, theirs = len(self.concrete) - 1, self._trace.concrete
        if i >= len(theirs) or not theirs[i].alike(self.concrete[i]) or i + 1 == self._stop:
            self._leave()

    # --- when values are settled ---

    def _leave(self) -> None:
        """From here on ops are run."""
        self.resuming = False
        if not self._grow:
            self.settle()
            state.tracer = None

    def settle(self) -> None:
        """Computes every value that something still holds and the compiled call did not have."""
        self._current.clear()
        while self._pending:
            ref, var = self._pending.pop()
            t = ref()
            if t is not None:
                self.learned.append(var)
                if type(t) is Lazy:
                    t._deferred.settle()
        for ref in self._tape:
            node = ref()
            if node is not None and node.saved is not None:
                kept, results = node.saved
                node.saved = kept, tuple((r[-1]._data, *r[1:-1], None) for r in results)
        self._tape.clear()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.resuming = False
        self.settle()

    def before_write(self, op: str, t: Any) -> None:
        super().before_write(op, t)
        self._settle_readers(t)

    def assign(self, t: Any, new: Any, taped: bool = True) -> None:
        self._settle_readers(t)
        super().assign(t, new, taped)

    def escape(self, t: Any, what: str, array: Any = None) -> None:
        super().escape(t, what, array)
        self._settle_readers(None)

    def _settle_readers(self, t: Any) -> None:
        """Runs the ops that read the memory of `t`, which is about to change (None: any memory)."""
        self._pending = [p for p in self._pending if p[0]() is not None]
        for ref, var in self._pending:
            lazy = ref()
            if type(lazy) is Lazy and lazy._parent is None:
                if t is None or any(_reads(a, t) for a in lazy._deferred.args or ()):
                    self.learned.append(var)
                    lazy._deferred.settle()


def _reads(operand: Any, t: Any) -> bool:
    """Whether an operand may share memory with a tensor."""
    if not isinstance(operand, Tensor):
        return False
    if operand is t or operand._root() is t._root():
        return True
    if isinstance(operand, Lazy) or isinstance(t, Lazy):
        return False
    xp = backend_for(t.device).xp
    return operand.device is t.device and bool(xp.may_share_memory(operand._data, t._data))


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if not a and not b:
        return True
    return a.keys() == b.keys() and all(exact(a[k]) == exact(b[k]) for k in a)
