"""Profiler: how often each op ran and how long it took, and how long compiled programs did.

>>> with dg.profiler.profile() as prof:
...     for _ in range(3):
...         y = dg.ones(4, 4) @ dg.ones(4, 4)
>>> next(row.count for row in prof.key_averages() if row.key == "matmul")
3
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from .core.backend import execute_eagerly
from .core.context import state
from .core.errors import ArgumentError, CaptureError
from .debugging.nans import Watcher
from .jit.program import Program

__all__ = ["Row", "Rows", "profile", "record_function"]

SORTS = ("cpu_time_total", "count", "cpu_time", "cpu_memory", "key")


@dataclass(frozen=True, slots=True)
class Row:
    """What ran under one name: an op, a compiled program, or a `record_function`. Times are microseconds."""

    key: str
    count: int
    cpu_time_total: float
    cpu_memory: int  # bytes of all results

    @property
    def cpu_time(self) -> float:
        """Microseconds of one run, on average."""
        return self.cpu_time_total / self.count


class Rows(list[Row]):
    """A row for each name; prints as a table."""

    def total_average(self) -> Row:
        """All rows as one."""
        parts = [(r.count, r.cpu_time_total, r.cpu_memory) for r in self] or [(0, 0.0, 0)]
        return Row("total", *map(sum, zip(*parts, strict=True)))  # type: ignore[arg-type]

    def table(self, sort_by: str = "cpu_time_total", row_limit: int = 100, **_: Any) -> str:
        """The rows as text, the largest by `sort_by` first."""
        if sort_by not in SORTS:
            raise ArgumentError(f"table: sort_by={sort_by!r} is none of {', '.join(SORTS)}")
        rows = sorted(self, key=lambda r: getattr(r, sort_by), reverse=sort_by != "key")
        width = max([len(r.key) for r in rows[:row_limit]] + [4])
        lines = [
            f"{'name':<{width}}  {'calls':>8}  {'total us':>12}  {'us a call':>12}  {'bytes':>14}"
        ]
        lines += [
            f"{r.key:<{width}}  {r.count:>8}  {r.cpu_time_total:>12.1f}  {r.cpu_time:>12.2f}  {r.cpu_memory:>14}"
            for r in rows[:row_limit]
        ]
        return "\n".join(lines)

    __str__ = table


class _Clock(Watcher):
    """Takes the time of each op of this thread."""

    def __init__(self, events: list[tuple[str, int, int, int]]) -> None:
        super().__init__(inf=False)
        self.events = events
        self.execute = self._timed  # type: ignore[method-assign, assignment]

    def _timed(self, backend: Any, prim: Any, *rest: Any) -> tuple[Any, ...]:
        begun = perf_counter_ns()
        outs = execute_eagerly(backend, prim, *rest)
        self.events.append((prim.name, begun, perf_counter_ns(), sum(o.nbytes for o in outs)))
        return outs

    def look(self, *_: Any) -> None:
        """Values are not looked at."""


class profile:
    """Context manager: takes the time of what this thread runs.

    Eager ops run one by one meanwhile, without what makes small ones fast and large composites one kernel; the time of
    an op is its kernel's. A compiled call is one row, ``program <function>``. Arguments of PyTorch's that say what
    else to take down (``activities``, ``record_shapes``, ``with_stack``, ...) change nothing.

        >>> from dualgraph.profiler import profile
        >>> with profile() as run:
        ...     _ = dg.ones(3) + 1
        >>> run.key_averages()[0].key
        'full'
    """

    def __init__(self, activities: Any = None, **_: Any) -> None:
        self._events: list[tuple[str, int, int, int]] = []  # name, begin and end in ns, bytes

    def __enter__(self) -> profile:
        if state.tracer is not None:
            raise CaptureError("profile is entered outside of compiled functions and debug_nans")
        self._before: Callable[..., Any] = Program.start
        state.tracer = _Clock(self._events)
        Program.start = _timed_start(self._before)  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc: object) -> None:
        state.tracer = None
        Program.start = self._before  # type: ignore[method-assign]

    def step(self) -> None:
        """The end of a step: PyTorch's schedules ask for it; here nothing depends on it."""

    def key_averages(self, **_: Any) -> Rows:
        """A row for each name."""
        found: dict[str, list[float]] = {}
        for name, begun, ended, size in self._events:
            row = found.setdefault(name, [0, 0.0, 0])
            row[0] += 1
            row[1] += (ended - begun) / 1000
            row[2] += size
        return Rows(Row(k, int(n), t, int(b)) for k, (n, t, b) in found.items())

    def export_chrome_trace(self, path: str | Path) -> None:
        """Writes what ran when, as JSON that ``chrome://tracing`` and Perfetto show."""
        events = [
            {"name": name, "ph": "X", "pid": 0, "tid": 0, "ts": begun / 1000, "dur": (ended - begun) / 1000,
             "args": {"bytes": size}}
            for name, begun, ended, size in self._events
        ]  # fmt: skip
        Path(path).write_text(json.dumps({"traceEvents": events}), encoding="utf-8")


def _timed_start(start: Callable[..., Any]) -> Callable[..., Any]:
    def timed(program: Program, leaves: list[Any]) -> Any:
        clock = state.tracer
        if not isinstance(clock, _Clock):
            return start(program, leaves)
        state.tracer = None
        begun = perf_counter_ns()
        try:
            return start(program, leaves)
        finally:
            state.tracer = clock
            clock.events.append((f"program {program.name}", begun, perf_counter_ns(), 0))

    return timed


@contextmanager
def record_function(name: str) -> Iterator[None]:
    """A row of its own for what runs inside, besides those of its ops. Outside of `profile` it does nothing."""
    clock, begun = state.tracer, perf_counter_ns()
    try:
        yield
    finally:
        if isinstance(clock, _Clock):
            clock.events.append((name, begun, perf_counter_ns(), 0))
