"""Profiler: how often each op ran and how long it took, and how long compiled programs did.

>>> with dg.profiler.profile() as prof:
...     for _ in range(3):
...         y = dg.ones(4, 4) @ dg.ones(4, 4)
>>> next(row.count for row in prof.key_averages() if row.key == "matmul")
3
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import perf_counter_ns, time_ns
from typing import Any, NamedTuple

from .core.backend import execute_eagerly
from .core.context import state
from .core.errors import ArgumentError, CaptureError
from .debugging.nans import Watcher
from .jit.program import Program

__all__ = [
    "Event", "ProfilerAction", "ProfilerActivity", "Row", "Rows", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip

SORTS = {name: name for name in ("cpu_time_total", "count", "cpu_time", "cpu_memory", "key")}
SORTS |= {"cpu_memory_usage": "cpu_memory", "cpu_time_avg": "cpu_time"}
SORTS |= {f"self_{name}": SORTS[name] for name in ("cpu_time_total", "cpu_memory_usage")}
SORTS |= {
    f"{own}{of}_time_total": "cpu_time_total" for own in ("", "self_") for of in ("cuda", "device")
}


class ProfilerActivity(Enum):
    """What a profile may be asked to take down; here it is what the calling thread runs, whatever is asked for."""

    CPU = 1
    CUDA = 2
    XPU = 3


class ProfilerAction(Enum):
    """What a profile does in a step; see `schedule`."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def supported_activities() -> set[ProfilerActivity]:
    """What a profile takes down: the times of the thread that calls.

    >>> dg.profiler.supported_activities()
    {<ProfilerActivity.CPU: 1>}
    """
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """Which steps a profile takes down: of each cycle the last `active`, after `skip_first`; `repeat` cycles (0: all).

    >>> which = dg.profiler.schedule(wait=1, warmup=1, active=2)
    >>> [which(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ArgumentError("schedule: steps are counted from 0 on, and at least one is active")
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        number, place = divmod(step - skip_first, cycle)
        if step < skip_first or (repeat and number >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return RECORDING[place == cycle - 1]

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """What a profile calls with itself when a trace is there, for ``on_trace_ready=``: writes it into a folder.

    >>> from tempfile import mkdtemp
    >>> with dg.profiler.profile(on_trace_ready=dg.profiler.tensorboard_trace_handler(mkdtemp())):
    ...     _ = dg.ones(3) + 1
    """

    def write(run: profile) -> None:
        Path(dir_name).mkdir(parents=True, exist_ok=True)
        name = f"{worker_name or os.getpid()}.{time_ns()}.pt.trace.json"
        run.export_chrome_trace(Path(dir_name) / (name + ".gz" * use_gzip))

    return write


class Event(NamedTuple):
    """One run of an op, a program or a `record_function`: begin and end in ns, bytes of results, operands' shapes."""

    name: str
    begin: int
    end: int
    cpu_memory: int
    input_shapes: tuple[Any, ...] = ()

    @property
    def cpu_time(self) -> float:
        """Microseconds."""
        return (self.end - self.begin) / 1000


@dataclass(frozen=True, slots=True)
class Row:
    """What ran under one name: an op, a compiled program, or a `record_function`. Times are microseconds.

    >>> with dg.profiler.profile() as taken:
    ...     for _ in range(3):
    ...         _ = dg.ones(2).exp()
    >>> next(row.count for row in taken.key_averages() if row.key == "exp")
    3
    """

    key: str
    count: int
    cpu_time_total: float
    cpu_memory: int  # bytes of all results
    input_shapes: tuple[Any, ...] = ()

    @property
    def cpu_time(self) -> float:
        """Microseconds of one run, on average."""
        return self.cpu_time_total / self.count

    @property
    def self_cpu_time_total(self) -> float:
        """PyTorch's name for the time of an op without those inside of it: here none is."""
        return self.cpu_time_total

    @property
    def cpu_memory_usage(self) -> int:
        """PyTorch's name for the bytes of all results."""
        return self.cpu_memory


class Rows(list[Row]):
    """A row for each name; prints as a table.

    >>> with dg.profiler.profile() as taken:
    ...     _ = dg.ones(2).sum()
    >>> rows = taken.key_averages()
    >>> type(rows).__name__, rows.total_average().key
    ('Rows', 'total')
    """

    def total_average(self) -> Row:
        """All rows as one."""
        count, time, size = (
            sum(getattr(r, n) for r in self) for n in ("count", "cpu_time_total", "cpu_memory")
        )
        return Row("total", count, float(time), size)

    def table(self, sort_by: str | None = "cpu_time_total", row_limit: int = 100, **_: Any) -> str:
        """The rows as text, the largest by `sort_by` first (None: in the order in which they came).

        `sort_by` is "cpu_time_total", "cpu_time", "count", "cpu_memory", "key", or PyTorch's name of one of them.
        """
        rows: list[Row] = list(self)
        if sort_by is not None:
            if sort_by not in SORTS:
                raise ArgumentError(f"table: sort_by={sort_by!r} is none of {', '.join(SORTS)}")
            rows.sort(key=lambda r: getattr(r, SORTS[sort_by]), reverse=sort_by != "key")
        rows = rows[: row_limit if row_limit >= 0 else None]
        width = max([len(r.key) for r in rows] + [4])
        shapes = any(r.input_shapes for r in rows)
        lines = [
            f"{'name':<{width}}  {'calls':>8}  {'total us':>12}  {'us a call':>12}  {'bytes':>14}"
            + "  shapes" * shapes
        ]
        lines += [
            f"{r.key:<{width}}  {r.count:>8}  {r.cpu_time_total:>12.1f}  {r.cpu_time:>12.2f}  {r.cpu_memory:>14}"
            + f"  {', '.join(map(str, r.input_shapes))}" * shapes
            for r in rows
        ]
        return "\n".join(lines)

    __str__ = table


class _Clock(Watcher):
    """Takes the time of each op of this thread."""

    def __init__(self, shapes: bool) -> None:
        super().__init__(inf=False)
        self.events: list[Event] = []
        self.on = True
        self.shapes = shapes
        self.execute = self._timed  # type: ignore[method-assign, assignment]

    def _timed(self, backend: Any, prim: Any, *rest: Any) -> tuple[Any, ...]:
        begun = perf_counter_ns()
        outs = execute_eagerly(backend, prim, *rest)
        ended, size = perf_counter_ns(), sum(o.nbytes for o in outs)
        shapes = tuple(t.shape for t in rest[1]) if self.shapes else ()
        self.note(Event(prim.name, begun, ended, size, shapes))
        return outs

    def note(self, event: Event) -> None:
        """Something ran."""
        if self.on:
            self.events.append(event)

    def look(self, *_: Any) -> None:
        """Values are not looked at."""


class profile:
    """Context manager: takes the time of what this thread runs.

    Eager ops run one by one meanwhile, without what makes small ones fast and large composites one kernel; the time of
    an op is its kernel's. A compiled call is one row, ``program <function>``.

    `schedule` says by the number of a step, which `step()` ends, whether that is taken down (all are without one; see
    `schedule`), and `on_trace_ready` is called with the profile at the end of each cycle, or of the block.
    `record_shapes` keeps shapes of operands. Other arguments of PyTorch's (``activities``, ``with_stack``, ...) change
    nothing; ``enabled=False`` does nothing at all.

        >>> from dualgraph.profiler import profile
        >>> with profile() as run:
        ...     _ = dg.ones(3) + 1
        >>> run.key_averages()[0].key
        'full'
    """

    def __init__(
        self, activities: Any = None, *, schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None, record_shapes: bool = False, enabled: bool = True,
        **_: Any,
    ) -> None:  # fmt: skip
        self.enabled = enabled and activities is not False  # the older `profile(False)`
        self.step_num = 0
        self._schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self._on_trace_ready = on_trace_ready
        self._clock = _Clock(record_shapes)
        self._action = ProfilerAction.NONE

    def __enter__(self) -> profile:
        if not self.enabled:
            return self
        if state.tracer is not None:
            raise CaptureError("profile is entered outside of compiled functions and debug_nans")
        self._go_on()
        self._before: Callable[..., Any] = Program.start
        state.tracer = self._clock
        Program.start = _timed_start(self._before)  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.enabled:
            return
        state.tracer = None
        Program.start = self._before  # type: ignore[method-assign]
        if self._action in RECORDING:
            self._ready()

    def start(self) -> None:
        """What entering the block does."""
        self.__enter__()

    def stop(self) -> None:
        """What leaving the block does."""
        self.__exit__()

    def step(self) -> None:
        """The end of a step: the next one goes by the schedule."""
        if self._action is ProfilerAction.RECORD_AND_SAVE:
            self._ready()
        self.step_num += 1
        self._go_on()

    def _go_on(self) -> None:
        before, self._action = self._action, self._schedule(self.step_num)
        self._clock.on = self._action in RECORDING
        if self._clock.on and before is not ProfilerAction.RECORD:  # another trace begins
            self._clock.events.clear()

    def _ready(self) -> None:
        if self._on_trace_ready is not None:
            tracer, state.tracer = state.tracer, None  # what it does is no part of the trace
            try:
                self._on_trace_ready(self)
            finally:
                state.tracer = tracer

    def events(self) -> list[Event]:
        """What ran, in order of its end."""
        return list(self._clock.events)

    def key_averages(self, group_by_input_shape: bool = False, **_: Any) -> Rows:
        """A row for each name, or for each name and shapes of operands (see `record_shapes`)."""
        found: dict[Any, list[Event]] = {}
        for event in self._clock.events:
            shapes = event.input_shapes if group_by_input_shape else ()
            found.setdefault((event.name, shapes), []).append(event)
        return Rows(
            Row(
                name,
                len(runs),
                sum(e.cpu_time for e in runs),
                sum(e.cpu_memory for e in runs),
                shapes,
            )
            for (name, shapes), runs in found.items()
        )

    def total_average(self) -> Row:
        """All that ran as one row."""
        return self.key_averages().total_average()

    def table(self, **how: Any) -> str:
        """The rows as text; see `Rows.table`."""
        return self.key_averages().table(**how)

    __str__ = table

    def export_chrome_trace(self, path: str | Path) -> None:
        """Writes what ran when, as JSON that ``chrome://tracing`` and Perfetto show; packed if the name ends in .gz."""
        events = [
            {"name": e.name, "ph": "X", "pid": 0, "tid": 0, "ts": e.begin / 1000, "dur": e.cpu_time,
             "args": {"bytes": e.cpu_memory}}
            for e in self._clock.events
        ]  # fmt: skip
        text = json.dumps({"traceEvents": events}).encode()
        Path(path).write_bytes(gzip.compress(text) if str(path).endswith(".gz") else text)


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
            clock.note(Event(f"program {program.name}", begun, perf_counter_ns(), 0))

    return timed


@contextmanager
def record_function(name: str) -> Iterator[None]:
    """A row of its own for what runs inside, besides those of its ops. Outside of `profile` it does nothing.

    >>> with dg.profiler.profile() as prof:
    ...     with dg.profiler.record_function("my part"):
    ...         y = dg.ones(3) + 1
    >>> "my part" in prof.key_averages().table()
    True
    """
    clock, begun = state.tracer, perf_counter_ns()
    try:
        yield
    finally:
        if isinstance(clock, _Clock):
            clock.note(Event(name, begun, perf_counter_ns(), 0))
