"""compare: both modes side by side, value by value, from the same state."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .backends.native import api as native
from .backends.quicken import hasten
from .core.backend import backend_for
from .core.dtypes import DType
from .core.trees import flatten
from .core.ulp import same_bits, ulp_of
from .eager.random import default_generator
from .eager.tensor import Tensor
from .jit.compile import serving
from .jit.program import MISMATCH
from .jit.tracing import trace
from .passes.memory import MemoryPlan
from .passes.sizes import human
from .static.checks import ATOMS
from .static.footprint import Footprint

UNITS = ((1e-6, "us"), (1e-3, "ms"), (1.0, "s"))


class Snapshot:
    """Values and gradients of all tensors that a function can reach, to go back to."""

    def __init__(self, fn: Any, args: Any) -> None:
        leaves = flatten(args)[0]
        objects = [(v, "argument") for v in leaves if not isinstance(v, (Tensor, *ATOMS))]
        footprint = Footprint([(fn, "fn"), *objects])
        reached = [v for v in footprint._seen.values() if isinstance(v, Tensor)]
        tensors = {
            id(t): t for t in (*leaves, *reached, default_generator.state) if isinstance(t, Tensor)
        }
        self.arrays = [(a, a.copy()) for a, _ in footprint.arrays.values()]
        self.tensors = [(t, self._copy(t), t._grad, self._copy(t._grad)) for t in tensors.values()]

    @staticmethod
    def _copy(t: Tensor | None) -> Any:
        return None if t is None else backend_for(t.device).xp.array(t._data)

    def values(self) -> list[Any]:
        """Values and gradients now, as NumPy arrays with dtypes."""
        out: list[Any] = []
        for t, *_ in self.tensors:
            out += [host_values(t), None if t._grad is None else host_values(t._grad)]
        return out

    def restore(self) -> None:
        """Puts everything back."""
        for a, before in self.arrays:
            np.copyto(a, before, where=True) if a.flags.writeable else None
        for t, data, grad, grad_data in self.tensors:
            xp = backend_for(t.device).xp
            if not same_bits(host_values(t)[0], backend_for(t.device).to_numpy(data)):
                xp.copyto(t._data, data)
                t._version_cell()[0] += 1
                t._stamp = t._version
            if grad is not None:
                xp.copyto(grad._data, grad_data)
            t._grad = grad


def host_leaves(result: Any) -> list[Any]:
    """The leaves of a tree: tensors as `host_values`, others as None."""
    return [host_values(v) if isinstance(v, Tensor) else None for v in flatten(result)[0]]


def host_values(t: Tensor) -> tuple[Any, DType]:
    """A copy of a tensor's values as a NumPy array, and what they mean."""
    return np.array(backend_for(t.device).to_numpy(t._data)), t.dtype


class Comparison(NamedTuple):
    """Both modes on the same arguments and state. Seconds are medians of one call, of each mode as it runs once its
    native path is there."""

    name: str
    captured: bool
    bitwise_equal: bool
    max_ulp: float
    eager_seconds: float
    compiled_seconds: float
    memory: MemoryPlan | None
    reasons: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times faster the compiled call is."""
        return self.eager_seconds / self.compiled_seconds if self.compiled_seconds else float("nan")

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("bitwise equal", "yes" if self.bitwise_equal else f"no, up to {self.max_ulp:g} ulp"),
            ("eager", f"{_duration(self.eager_seconds)} a call"),
            ("compiled", f"{_duration(self.compiled_seconds)} a call"),
            ("speed-up", f"{self.speedup:.2f}"),
        ]
        if self.memory is not None:
            m = self.memory
            unplanned, bound = human(m.unplanned_bytes), human(m.lower_bound_bytes)
            rows.append(("arena", f"{human(m.arena_bytes)} (unplanned {unplanned}, bound {bound})"))
        if not self.captured:
            rows.append(("runs eagerly because", "; ".join(self.reasons)))
        return rows

    def __str__(self) -> str:
        width = max(len(k) for k, _ in self._rows())
        return "\n".join([self.name, *(f"  {k:{width}}  {v}" for k, v in self._rows())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{_html(k)}</th><td>{_html(v)}</td></tr>" for k, v in self._rows())
        return f"<table><caption>{_html(self.name)}</caption>{body}</table>"


def _duration(seconds: float) -> str:
    """Seconds in the unit in which they are easily read."""
    scale, unit = next(u for u in UNITS if seconds < u[0] * 999.5 or u is UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def _html(text: str) -> str:
    return text.translate({ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"})


def compare(fn: Any, *args: Any, seconds: float = 0.3, **kwargs: Any) -> Comparison:
    """Runs `fn` in both modes from the same state and compares results, written tensors and gradients.

    Afterwards all tensors the function reaches are as before. `seconds` bounds the timing of each mode.

    >>> import dualgraph as dg
    >>> dg.compare(lambda x: (x * x).sum(), dg.ones(4), seconds=0.01).bitwise_equal
    True
    """
    inner = getattr(fn, "_captured_function", fn)
    fast_math = getattr(fn, "_fast_math", False)
    leaves = flatten((args, kwargs))[0]
    snapshot = Snapshot(inner, (args, kwargs))
    result, program, reasons = trace(
        inner, args, kwargs, leaves, fast_math, getattr(fn, "_backend", None)
    )
    expected = [*host_leaves(result), *snapshot.values()]
    snapshot.restore()
    name = getattr(inner, "__name__", type(inner).__name__)
    if program is None:
        spent = _time(lambda: inner(*args, **kwargs), seconds, snapshot)
        return Comparison(name, False, True, 0.0, spent, spent, None, tuple(reasons))
    program.build()
    if program.failure is not None:
        raise program.failure
    again = program.call(leaves)
    reasons = ["the compiled run took another path"] if again is MISMATCH else []
    found = expected if again is MISMATCH else [*host_leaves(again), *snapshot.values()]
    snapshot.restore()
    ulp = max((_distance(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)
    if native.available():
        hasten()
    eager = _time(lambda: inner(*args, **kwargs), seconds, snapshot)
    serve = serving(program, inner, getattr(fn, "_backend", None), args, kwargs)
    compiled = _time(lambda: serve(*args, **kwargs), seconds, snapshot)
    return Comparison(
        name, again is not MISMATCH, ulp == 0, ulp, eager, compiled, program.memory, tuple(reasons)
    )


def _distance(a: Any, b: Any) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    (x, dtype), (y, _) = a, b
    return ulp_of(x, y, dtype)


def _time(call: Callable[[], Any], seconds: float, snapshot: Snapshot) -> float:
    """Median seconds of a call, over as many as fit."""
    spent: list[float] = []
    while not spent or (sum(spent) < seconds and len(spent) < 1000):
        began = time.perf_counter()
        call()
        spent.append(time.perf_counter() - began)
    snapshot.restore()
    return float(np.median(spent))
