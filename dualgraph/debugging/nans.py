"""NaN origin: the op, the operands and the user's line that made the first NaN, in both modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, backend_for, execute
from ..core.context import state
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.errors import CaptureError, Location, NanError, describe
from ..core.kinds import CREATION
from ..core.node import Literal, Node
from ..core.trees import flatten
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..program import MISMATCH, Program
from ..slots import as_array, fetch
from ..stages import Left
from ..static.capture import Tracer
from ..static.control import first_inputs, is_control, next_inputs
from ..static.graph import Graph, evaluate
from ..static.interpreter import literal_array, run_node
from ..static.region import is_region
from .values import summary


class debug_nans:
    """Raises NanError at the op that makes the first NaN (with ``inf=True``, or infinity) out of numbers.

    A switch (``dg.debug_nans()``, ``dg.debug_nans(False)``) and a context manager, for the calling thread. In
    eager mode, and while a function is captured, each op is looked at. A compiled program runs as it is; where
    its results, the tensors it writes or the gradients it leaves have a NaN, the call's graph runs again, op by
    op on the same inputs, to find the op. NaN that come in through arguments, and constants, are no fault. Off,
    it costs nothing.

    >>> import dualgraph as dg
    >>> with dg.debug_nans():
    ...     dg.log(dg.asarray([1.0, -1.0])) * 2
    Traceback (most recent call last):
        ...
    dualgraph.core.errors.NanError: log(f32[2]): made the first NaN: 1 of 2 elements
    ...
    """

    def __init__(self, enabled: bool = True, *, inf: bool = False) -> None:
        if state.tracer is not None and not state.tracer.watches:
            raise CaptureError("debug_nans is switched outside of the functions that are compiled")
        self._before = state.tracer
        _install(Watcher(inf) if enabled else None)

    def __enter__(self) -> debug_nans:
        return self

    def __exit__(self, *exc: object) -> None:
        _install(self._before)


_START = Program.start


def _install(watcher: Watcher | None) -> None:
    state.tracer = watcher
    Tracer.watch = None if watcher is None else _while_captured
    Program.start = _START if watcher is None else _checked_start  # type: ignore[method-assign]


class Watcher:
    """A tracer that looks at each op of an eager run, and writes nothing down."""

    watches = True
    quick = False
    resuming = False
    depth = 0
    execute = staticmethod(execute)

    def __init__(self, inf: bool) -> None:
        self.inf = inf
        self.swept = False

    @property
    def refusals(self) -> list[str]:
        """Nothing is refused where nothing is captured."""
        return []

    def record(
        self, prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
    ) -> None:
        """One op has run."""
        self.look(prim, args, params, outs, where)

    def look(
        self, prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
    ) -> None:
        """Raises NanError if the op made something that is no number of operands that are."""
        found = [(o.type, backend_for(o.device).to_numpy(o._data)) for o in outs]
        bad = [(t, a) for t, a in found if any(flaws(a, t, self.inf))]
        if not bad or prim.kind is CREATION:
            return
        operands: list[tuple[Any, TensorType | None]] = []
        for a in args:
            if isinstance(a, Tensor):
                array = backend_for(a.device).to_numpy(a._data)
                if any(flaws(array, a.type, self.inf)):
                    return
                operands.append((array, a.type))
            elif a.value != a.value:
                return
            else:
                operands.append((a.value, None))
        node = Node(prim, (), params)
        if is_control(node):
            arrays = [v for v, _ in operands]
            _in_bodies(node, arrays, backend_for(outs[0].device), self.inf)
        raise error(prim.name, operands, *bad[0][::-1], where, self.inf)

    def number(self, holder: Any, key: Any, dtype: Any, make: Any) -> Any:
        """A number of this call."""
        return make()

    def is_root(self, t: Any) -> bool:
        return False

    def scope(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """All else that a capture is told does not matter here."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _ignore


def _ignore(*args: Any, **kwargs: Any) -> None:
    return None


def _while_captured(
    prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
) -> None:
    """An op of a capture has run, inside of a compiled function that is called while a watcher is on."""
    outer = state.tracer
    while outer is not None and not outer.watches:
        outer = getattr(outer, "_outer", None)
    if outer is not None and all(isinstance(o, Tensor) and type(o) is Tensor for o in outs):
        outer.look(prim, args, params, outs, where)


def flaws(array: Any, type: TensorType, inf: bool) -> tuple[int, int]:
    """How many elements are NaN, and (if asked for) infinite."""
    if not type.dtype.is_inexact:
        return 0, 0
    values = from_bfloat16(array) if type.dtype is bfloat16 else np.asarray(array)
    nans = int(np.count_nonzero(np.isnan(values)))
    return nans, int(np.count_nonzero(np.isinf(values))) if inf else 0


def error(
    op: str, operands: Sequence[tuple[Any, TensorType | None]], array: Any, type: TensorType,
    where: Location, inf: bool,
) -> NanError:  # fmt: skip
    """The error for an op that made something that is no number."""
    nans, infinite = flaws(array, type, inf)
    what = f"the first NaN: {nans}" if nans else f"the first infinity: {infinite}"
    types = ", ".join(repr(v) if t is None else str(t) for v, t in operands)
    size = max(type.size, 1)
    text = describe(op, types, f"made {what} of {size} elements", where=where)
    rows = [
        f"  operand {i}: {v!r}" if t is None else f"  operand {i}: {summary(v, t)}"
        for i, (v, t) in enumerate(operands)
    ]
    return NanError("\n".join([text, *rows, f"  result: {summary(array, type)}"]))


# --- compiled calls ------------------------------------------------------------------------------


def _checked_start(program: Program, leaves: list[Any]) -> Any:
    """`Program.start`, with a look at what the call gave."""
    watcher = state.tracer
    if watcher is None or not watcher.watches:
        return _START(program, leaves)
    held = [fetch(s, leaves) for s in program.trace.slots]
    datas = [
        h if h is None else as_array(s, h) for s, h in zip(program.trace.slots, held, strict=True)
    ]
    before = [
        backend_for(s.type.device).xp.array(d) if d is not None and i in program._stored else d
        for i, (d, s) in enumerate(zip(datas, program.trace.slots, strict=True))
    ]
    state.tracer = None
    try:
        result = _START(program, leaves)
    finally:
        state.tracer = watcher
    if result is MISMATCH or type(result) is Left:
        return result
    left = [*flatten(result)[0], *(held[i] for i in program._stored)]
    left += [leaves[o]._grad if isinstance(o, int) else o._grad for o in program._owners]
    for t in left:
        data = t._data if isinstance(t, Tensor) else None
        if data is not None and any(
            flaws(backend_for(t.device).to_numpy(data), t.type, watcher.inf)
        ):
            find_origin(program.captured, before, watcher.inf)
            break
    return result


def find_origin(graph: Graph, inputs: Sequence[Any], inf: bool) -> None:
    """Runs a graph op by op and raises NanError at the first op that makes no number out of numbers."""
    backend = backend_for(next(t.device for t in graph.all_types()))

    def apply(node: Node, operands: list[Any]) -> Any:
        return _run(node, operands, backend, inf)

    with np.errstate(all="ignore"):
        evaluate(graph, inputs, apply)


def _run(node: Node, operands: Sequence[Any], backend: ArrayBackend, inf: bool) -> Any:
    arrays = [literal_array(v, backend) if isinstance(v, Literal) else v for v in operands]
    if is_region(node):
        outs = evaluate(node.params["body"], arrays, lambda n, given: _run(n, given, backend, inf))
        return [literal_array(v, backend) if isinstance(v, Literal) else v for v in outs]
    results = run_node(node, operands, backend)
    clean = not any(
        any(flaws(backend.to_numpy(a), v.type, inf))
        for a, v in zip(arrays, node.inputs, strict=True)
    )
    bad = [
        (a, v.type) for a, v in zip(results, node.outputs, strict=True)
        if any(flaws(backend.to_numpy(a), v.type, inf))
    ]  # fmt: skip
    if bad and clean and node.prim.kind is not CREATION:
        if is_control(node):
            _in_bodies(node, arrays, backend, inf)
        given = [
            (v.value, None) if isinstance(v, Literal) else (backend.to_numpy(a), v.type)
            for v, a in zip(node.inputs, arrays, strict=True)
        ]
        raise error(node.prim.name, given, *bad[0], node.where, inf)
    return results


def _in_bodies(node: Node, arrays: list[Any], backend: ArrayBackend, inf: bool) -> None:
    """Runs the steps of a loop, or the branch of a condition, until an op inside makes no number."""
    given: dict[str, list[Any]] | None = first_inputs(node, arrays)
    step = 0
    while given:
        outs = {}
        for key, inputs in given.items():
            found = evaluate(
                node.params[key], inputs, lambda n, operands: _run(n, operands, backend, inf)
            )
            outs[key] = [literal_array(v, backend) if isinstance(v, Literal) else v for v in found]
        step += 1
        given = next_inputs(node, arrays, outs, step)
