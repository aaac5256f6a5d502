"""NaN origin: the op, the operands and the user's line that made the first NaN, in both modes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, backend_for, execute
from ..core.constant import exact
from ..core.context import state
from ..core.dtypes import bfloat16, from_bfloat16
from ..core.errors import CaptureError, Location, NanError, describe
from ..core.kinds import CREATION
from ..core.node import Literal, Node, Var
from ..core.types import TensorType
from ..eager.batch import batch_of
from ..eager.tensor import Tensor
from ..jit.program import Program
from ..jit.slots import as_array, fetch
from ..jit.stages import number
from ..static.capture import Tracer
from ..static.control import is_control, turns
from ..static.graph import evaluate
from ..static.interpreter import literal_array, run_node
from ..static.region import is_region
from .values import summary


class debug_nans:
    """Raises NanError at the op that makes the first NaN (with ``inf=True``, or infinity) out of numbers.

    A switch (``dg.debug_nans()``, ``dg.debug_nans(False)``) and a context manager, for the calling thread. In
    eager mode, and while a function is captured, each op is looked at. Of a compiled program the recorded ops run
    first, one by one on the call's inputs, those that it fuses or leaves out, too; then it runs as it is. NaN that
    come in through arguments, and constants, are no fault. Off, it costs nothing.

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
    sizes_read = None  # it follows no sizes
    at: Location | None = None
    began = 0  # all of the tape is made here

    def __init__(self, inf: bool) -> None:
        self.inf = inf
        self.swept = False
        self.marks: list[Any] = []  # that nobody reads

    @property
    def refusals(self) -> list[str]:
        """Nothing is refused where nothing is captured."""
        return []

    def record(
        self, prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
    ) -> None:
        """One op has run."""
        self.look(prim, args, params, outs, self.at or where)

    def look(
        self, prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
    ) -> None:
        """Raises NanError if the op made something that is no number of operands that are."""
        node = Node(prim, (), params)
        if is_control(node):
            arrays = [a._data if isinstance(a, Tensor) else a.value for a in args]
            _in_bodies(node, arrays, backend_for(outs[0].device), self.inf)
        found = [(o.tensor_type, backend_for(o.device).to_numpy(o._data)) for o in outs]
        bad = [(t, a) for t, a in found if any(flaws(a, t, self.inf))]
        if not bad or prim.kind is CREATION:
            return
        operands: list[tuple[Any, TensorType | None]] = []
        for a in args:
            if isinstance(a, Tensor):
                array = backend_for(a.device).to_numpy(a._data)
                if any(flaws(array, a.tensor_type, self.inf)):
                    return
                operands.append((array, a.tensor_type))
            elif a.value != a.value:
                return
            else:
                operands.append((a.value, None))
        raise error(prim.name, operands, *bad[0][::-1], where, self.inf)

    def number(self, holder: Any, key: Any, dtype: Any, make: Any) -> Any:
        """A number of this call."""
        return make()

    def concretize(self, t: Any, value: Any) -> Any:
        """A number that Python takes out of a tensor."""
        return value

    def is_root(self, t: Any) -> bool:
        return False

    def scope(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()

    def __getattr__(self, name: str) -> Any:
        """All else that a capture is told does not matter here, and what it says of itself is as it begins."""
        found = getattr(Tracer, name)
        return _ignore if callable(found) else found


def _ignore(*args: Any, **kwargs: Any) -> None:
    return None


def _while_captured(
    prim: Any, args: Sequence[Any], params: Any, outs: Sequence[Any], where: Location
) -> None:
    """An op of a capture has run, inside of a compiled function that is called while a watcher is on."""
    outer = state.tracer
    if getattr(outer, "discarded", False):
        return  # what is not chosen is run to be written down, whatever it makes
    while outer is not None and not outer.watches:
        outer = getattr(outer, "_outer", None)
    if outer is None or any(batch_of(o) is not None for o in outs):
        return  # of batches what the loop does with them is looked at
    if all(type(o) is Tensor for o in outs):
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
    state.tracer = None
    try:
        # An op that fails here fails in the call itself, too, which then tells.
        with suppress(ValueError, IndexError, TypeError, ZeroDivisionError):
            find_origin(program, leaves, watcher.inf)
        return _START(program, leaves)
    finally:
        state.tracer = watcher


def find_origin(program: Program, leaves: list[Any], inf: bool) -> None:
    """Runs what a call will do op by op, and raises NanError at the first op that makes no number out of numbers.

    At each number that Python took out of a tensor it goes on with the program that the call goes on with.
    """
    trace = program.trace
    backend = backend_for(trace.device)
    recorded = trace.graph.nodes if trace.recording is None else trace.recording.nodes
    held = [fetch(s, leaves) for s in trace.slots]
    if any(h is None for h in held):
        return
    arrays = [as_array(s, h) for s, h in zip(trace.slots, held, strict=True)] + list(program.extra)
    env: dict[Var, Any] = dict(zip(trace.graph.inputs, arrays, strict=True))
    done = 0
    with np.errstate(all="ignore"):
        for k, taken in enumerate((*trace.concrete, None)):
            end = len(recorded) if taken is None or trace.recording is None else taken.at
            for node in recorded[done:end]:
                given = [env[v] if isinstance(v, Var) else v for v in node.inputs]
                env.update(zip(node.outputs, _run(node, given, backend, inf), strict=True))
            done = end
            if taken is not None and taken.draw is not None:
                return None  # it is found out in the call
            if taken is None or isinstance(taken.operand, Literal):
                continue
            outcome = exact(number(env[taken.operand], taken.operand))
            if outcome != exact(taken.value):
                path = program.path
                others = () if path is None else path.stages[k].followers.get(outcome, ())
                for other in others:
                    if other.broken(leaves) is None:
                        return find_origin(other, leaves, inf)
                return None  # the call goes on eagerly from here


def _run(node: Node, operands: Sequence[Any], backend: ArrayBackend, inf: bool) -> Any:
    arrays = [literal_array(v, backend) if isinstance(v, Literal) else v for v in operands]
    if is_region(node):
        outs = evaluate(node.params["body"], arrays, lambda n, given: _run(n, given, backend, inf))
        return [literal_array(v, backend) if isinstance(v, Literal) else v for v in outs]
    if is_control(node):
        _in_bodies(node, arrays, backend, inf)
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
        given = [
            (v.value, None) if isinstance(v, Literal) else (backend.to_numpy(a), v.type)
            for v, a in zip(node.inputs, arrays, strict=True)
        ]
        raise error(node.prim.name, given, *bad[0], node.where, inf)
    return results


def _in_bodies(node: Node, arrays: list[Any], backend: ArrayBackend, inf: bool) -> None:
    """Runs the steps of a loop, or the branch of a condition, until an op inside makes no number."""

    def run(key: str, given: list[Any]) -> list[Any]:
        outs = evaluate(node.params[key], given, lambda n, args: _run(n, args, backend, inf))
        return [literal_array(v, backend) if isinstance(v, Literal) else v for v in outs]

    for _ in turns(node, arrays, run):
        pass
