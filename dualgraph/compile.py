"""compile: run a function eagerly once, capture it as it runs, and use the compiled program from then on."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .core import dtypes as dt
from .core.backend import backend_for
from .core.constant import exact
from .core.context import state
from .core.devices import CPU
from .core.errors import ArgumentError, CaptureError, describe, user_location
from .core.node import NOWHERE
from .core.trees import TreeDef, flatten
from .eager.tensor import Tensor
from .program import MISMATCH, Program, Result, device_of
from .static.capture import Slot, Trace, Tracer, finish
from .static.checks import ATOMS, Assumption
from .static.footprint import Footprint
from .static.graph import Graph

MAX_PROGRAMS = 64  # specialisations of one function
MAX_PATHS = 8  # paths through the code for one kind of arguments
MAX_TRIES = 2  # programs tried on one call before it goes on eagerly

PLAIN = {Tensor, bool, int, float, str, type(None), np.ndarray}  # argument types that are leaves

_worker: ThreadPoolExecutor | None = None
_worker_lock = threading.Lock()


def _background(job: Callable[[], None]) -> Future[None]:
    global _worker
    with _worker_lock:
        if _worker is None:
            _worker = ThreadPoolExecutor(1, thread_name_prefix="dualgraph-compile")
        return _worker.submit(job)


@dataclass(slots=True)
class Entry:
    """All that is known for one kind of arguments."""

    programs: list[Program] = field(default_factory=list)
    eager_because: list[str] = field(default_factory=list)
    unstable: int = 0  # captures that found the function changing its own state
    kept: Any = None  # objects whose identity is part of the key


class Compiled:
    """A function that runs as compiled programs where it can, and eagerly where it must.

    Attributes: ``programs`` (one `Program` a specialisation); ``explain()``; ``wait()``.
    """

    def __init__(
        self, fn: Any, backend: str | None, wait: bool, fast_math: bool, memory: str | int | None
    ) -> None:
        functools.update_wrapper(self, fn, updated=())
        self._captured_function = fn
        self._backend = backend
        self._wait = wait
        self._fast_math = fast_math
        self._memory = memory
        self._entries: dict[Any, Entry] = {}
        self._jobs: list[Future[None]] = []
        self._log: list[str] = []
        self._lock = threading.RLock()
        self._eager_calls = 0

    # --- use ---

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if state.tracer is not None or state.batching is not None:
            return self._captured_function(*args, **kwargs)
        if kwargs or not PLAIN.issuperset(map(type, args)):
            leaves, tree = flatten((args, kwargs))
        else:
            leaves, tree = args, len(args)
        key = self._key(leaves, tree)
        entry = self._entries.get(key)
        if entry is None:
            with self._lock:
                entry = self._entries.setdefault(key, Entry(kept=leaves_to_keep(leaves)))
        tried = 0
        broken = "this kind of arguments was not seen before" if not entry.programs else ""
        for program in entry.programs:
            broken = program.broken(leaves) or ""
            if broken:
                continue
            if not program.ready or tried == MAX_TRIES:
                self._eager_calls += 1
                return self._captured_function(*args, **kwargs)
            tried += 1
            result = program.call(leaves)
            if result is not MISMATCH:
                if tried > 1:
                    entry.programs.remove(program)
                    entry.programs.insert(0, program)
                return result
            broken = "a value taken out of a tensor differs"
        if entry.eager_because or not self._may_grow(entry):
            self._eager_calls += 1
            return self._captured_function(*args, **kwargs)
        return self._capture(entry, args, kwargs, leaves, broken)

    def _may_grow(self, entry: Entry) -> bool:
        if len(entry.programs) >= MAX_PATHS:
            entry.eager_because.append(f"{MAX_PATHS} paths or states were compiled and none fits")
        elif sum(len(e.programs) for e in self._entries.values()) >= MAX_PROGRAMS:
            entry.eager_because.append(f"{MAX_PROGRAMS} programs were compiled for this function")
        return not entry.eager_because

    def _key(self, leaves: Sequence[Any], tree: TreeDef | int) -> Any:
        seen: dict[int, int] = {}
        parts = [leaf_key(leaf, seen, i) for i, leaf in enumerate(leaves)]
        return tree, state.grad, dt.get_default_dtype(), state.device, *parts

    # --- capture ---

    def _capture(self, entry: Entry, args: Any, kwargs: Any, leaves: list[Any], why: str) -> Any:
        where = user_location()
        result, program, refusals = trace(
            self._captured_function, args, kwargs, leaves, self._fast_math, self._backend
        )
        with self._lock:
            if program is None:
                self._refused(entry, refusals, where)
                return result
            entry.programs.insert(0, program)
            self._log.append(f"captured at {where}: {why}")
            if self._wait:
                program.build()
            else:
                self._jobs.append(_background(program.build))
        return result

    def _refused(self, entry: Entry, refusals: list[str], where: Any) -> None:
        changing = [r for r in refusals if r.startswith("the function changes")]
        if changing and len(changing) == len(refusals):
            entry.unstable += 1
            if entry.unstable < 2:  # what is made on first use settles after one call
                self._log.append(f"not captured at {where}: {changing[0]}; tried again on the next call")
                return
        entry.eager_because.extend(r for r in refusals if r not in entry.eager_because)
        self._log.append(f"runs eagerly since {where}: {'; '.join(refusals)}")

    # --- what users ask ---

    @property
    def programs(self) -> list[Program]:
        """One program a specialisation, in the order of capture."""
        return [p for e in list(self._entries.values()) for p in e.programs]

    def wait(self) -> Compiled:
        """Blocks until every captured program is in use."""
        while self._jobs:
            self._jobs.pop().result()
        return self

    def explain(self) -> str:
        """Why it compiled what it compiled, what the programs assume, and what runs eagerly."""
        name = getattr(self._captured_function, "__qualname__", type(self._captured_function).__name__)
        lines = [f"{name}: {len(self.programs)} program(s), {self._eager_calls} call(s) run eagerly"]
        lines += [f"  {line}" for line in self._log]
        for i, program in enumerate(self.programs):
            status = "in use" if program.ready else f"failed: {program.failure!r}" if program.failure else "compiling"
            lines.append(f"program {i}: {status}, {program.calls} call(s), {len(program.captured.nodes)} ops captured")
            lines += [f"    assumes {a}" for a in program.assumptions]
        for entry in self._entries.values():
            lines += [f"  eagerly because {why}" for why in entry.eager_because]
        return "\n".join(lines)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_captured"):
            raise AttributeError(name)
        return getattr(self._captured_function, name)

    def __repr__(self) -> str:
        return f"<compiled {self._captured_function!r}>"


def leaf_key(leaf: Any, seen: dict[int, int], i: int) -> Any:
    """What a capture is specialised on for one argument leaf."""
    if isinstance(leaf, Tensor):
        data = leaf._data
        layout = None if data.flags.c_contiguous else data.strides
        return (leaf.dtype, data.shape, leaf.device, leaf.requires_grad, layout, seen.setdefault(id(leaf), i), type(leaf))
    if isinstance(leaf, np.ndarray):
        return ("array", leaf.dtype, leaf.shape, leaf.strides, seen.setdefault(id(leaf), i))
    if isinstance(leaf, ATOMS):
        return exact(leaf)
    return (type(leaf), id(leaf))


def leaves_to_keep(leaves: list[Any]) -> list[Any]:
    """Objects known by identity, which must live as long as the key does."""
    return [v for v in leaves if not isinstance(v, (Tensor, np.ndarray, *ATOMS))]


def trace(
    fn: Any, args: Any, kwargs: Any, leaves: list[Any], fast_math: bool = False, use: str | None = None,
    whole: bool = False,
) -> tuple[Any, Program | None, list[str]]:  # fmt: skip
    """Runs `fn` eagerly under a tracer: its result, and the program, or the reasons why there is none.

    With `whole` the graph gives all results, also those that a call would not take from it (inputs and
    views of them).
    """
    objects = [(v, f"argument {i}") for i, v in enumerate(leaves) if not isinstance(v, (Tensor, *ATOMS))]
    footprint = Footprint([(fn, getattr(fn, "__name__", "fn")), *objects])
    tracer = Tracer()
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor):
            tracer.add_root(leaf, Slot("leaf", (i, leaf), leaf.type, leaf._requires_grad))
        elif isinstance(leaf, np.ndarray):
            tracer.know_array(leaf, Slot("leaf", (i, leaf), _array_type(leaf)))
    for array, _ in footprint.arrays.values():
        tracer._known_arrays.setdefault(id(array), Slot("array", array, _array_type(array)))
    copies = [(a, a.copy()) for a, _ in footprint.arrays.values() if a.nbytes <= 1 << 20]
    with tracer:
        result = fn(*args, **kwargs)
        out_leaves, out_tree = flatten(result)
        refusals = [*footprint.refusals, *tracer.refusals]
        if not refusals:
            refusals = _unsound(tracer, footprint, copies, out_leaves)
        if refusals:
            return result, None, refusals
        if whole:
            finished, results = finish(tracer, [v for v in out_leaves if isinstance(v, Tensor)]), ()
        else:
            finished, results = _describe_results(tracer, out_leaves, whole)
    if tracer.fresh_arrays:
        footprint.guard_arrays()
    described = tuple(
        Assumption("argument", f"argument leaf {i}", str(v.type) if isinstance(v, Tensor) else v, NOWHERE)
        for i, v in enumerate(leaves)
    )
    name = getattr(fn, "__name__", type(fn).__name__)
    return result, Program(name, finished, results, out_tree, footprint, described, fast_math, device_of(finished), use), []


def _array_type(array: Any) -> Any:
    from_numpy = dt.from_numpy(array.dtype)
    return Tensor(array, from_numpy).type


def _unsound(tracer: Tracer, footprint: Footprint, copies: list[Any], out_leaves: list[Any]) -> list[str]:
    """Why this capture cannot be repeated: state that changed, tensors of unknown origin, overlaps."""
    reasons = []
    changed = footprint.failing()
    if changed is not None:
        reasons.append(f"the function changes {changed.name}, which it also reads")
    if any(not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in copies):
        stored = {id(r.tensor) for r in tracer.roots if r.slot.kind == "array"}
        if not stored:
            reasons.append("the function changes a NumPy array in place")
    for t in out_leaves:  # so that tensors that are only returned count as read
        if isinstance(t, Tensor):
            tracer.var_of(t)
    for root in tracer.roots:
        t = root.slot.key
        if root.slot.kind == "tensor" and id(t) not in footprint.tensors and not getattr(t, "_engine_state", False):
            reasons.append(f"a tensor {t.type} comes from a place that cannot be checked")
    for track in tracer.grads.values():
        known = id(track.tensor) in footprint.tensors or any(r.tensor is track.tensor for r in tracer.roots)
        if not known and track.at_entry is not None:
            reasons.append("the gradient of a tensor of unknown origin is read")
    reasons.extend(_overlapping(tracer))
    devices = {t.device for t in (r.slot.type for r in tracer.roots)}
    if len(devices) > 1:
        reasons.append(f"it works on several devices: {', '.join(sorted(map(str, devices)))}")
    return reasons


def _overlapping(tracer: Tracer) -> list[str]:
    written = [r for r in tracer.roots if tracer._current[id(r.tensor)][1] is not r.var]
    for w in written:
        if w.tensor._node is not None and w.tensor._node.prim is not None and state.grad:
            return ["an input that was written in place has a history on the tape"]
        for r in tracer.roots:
            if r.tensor is not w.tensor and np.may_share_memory(
                *(backend_for(t.device).to_numpy(t._data) if t.device is CPU else np.empty(0) for t in (r.tensor, w.tensor))
            ):
                return ["inputs that share memory are written in place"]
    return []


def _describe_results(tracer: Tracer, leaves: list[Any], whole: bool) -> tuple[Trace, tuple[Result, ...]]:
    roots = {id(r.tensor): i for i, r in enumerate(tracer.roots)}
    tensors: list[Any] = []
    results: list[Result] = []
    first: dict[int, int] = {}
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            results.append(Result("value", leaf))
        elif whole:
            results.append(Result("output", len(tensors)))
            tensors.append(leaf)
        elif id(leaf) in first:
            results.append(Result("same", first[id(leaf)]))
        elif id(leaf) in roots:
            results.append(Result("input", roots[id(leaf)]))
        else:
            chain, base = _chain(leaf, roots)
            if base is not None:
                results.append(Result("view", roots[id(base)], chain))
            else:
                node = leaf._node
                released = node is not None and node.prim is not None and node.released
                results.append(Result("output", len(tensors), (), leaf.requires_grad, released))
                tensors.append(leaf)
        if isinstance(leaf, Tensor):
            first.setdefault(id(leaf), i)
    return finish(tracer, tensors), tuple(results)


def _chain(leaf: Tensor, roots: dict[int, int]) -> tuple[tuple[Any, ...], Tensor | None]:
    """The view ops from an input to `leaf`, and that input; None if `leaf` is no view of one."""
    chain: list[Any] = []
    t = leaf
    while t._parent is not None:
        parent, prim, params = t._parent
        chain.append((prim, params))
        t = parent
        if id(t) in roots:
            return tuple(reversed(chain)), t
    return (), None


# --- the public functions ----------------------------------------------------------------------


def compile(
    fn: Any = None, *, backend: str | None = None, wait: bool = False, fast_math: bool = False,
    memory: str | int | None = None,
) -> Any:  # fmt: skip
    """A function (or module, or training step) that runs as compiled programs, with the bits of eager mode.

    The first call runs eagerly and is captured; compilation goes on beside it and is swapped in when
    ready (`wait=True`: before the first call returns). Other shapes, dtypes, Python values or state
    make further programs. What cannot be captured soundly runs eagerly; ``explain()`` says why.

    `backend`: "native" (default where llvmlite is installed) or "numpy". `fast_math` allows rewrites that
    change bits.

    >>> import dualgraph as dg
    >>> @dg.compile(wait=True)
    ... def f(x):
    ...     return (x * 2 + 1).sum()
    >>> f(dg.ones(3)).item(), f(dg.ones(3)).item()
    (9.0, 9.0)
    """
    if fn is None:
        return functools.partial(compile, backend=backend, wait=wait, fast_math=fast_math, memory=memory)
    if backend not in (None, "native", "numpy"):
        raise ArgumentError(describe("compile", repr(backend), "backend is 'native' or 'numpy'"))
    if not callable(fn):
        raise ArgumentError(describe("compile", type(fn).__name__, "only functions and modules can be compiled"))
    return Compiled(fn, backend, wait, fast_math, memory)


def capture(fn: Any, *args: Any, **kwargs: Any) -> Graph:
    """One capture of ``fn(*args)``: its graph, inputs and outputs flattened in order.

    Tensors read from outside follow the arguments as further inputs; written tensors and gradients follow
    the results as further outputs. Raises CaptureError where the function cannot be captured soundly.

    >>> import dualgraph as dg
    >>> print(dg.capture(lambda x: x + 1, dg.ones(2)).out_types[0])
    f32[2]
    """
    inner = getattr(fn, "_captured_function", fn)
    leaves = flatten((args, kwargs))[0]
    _, program, refusals = trace(inner, args, kwargs, leaves, whole=True)
    if program is None:
        raise CaptureError(describe("capture", getattr(inner, "__name__", "fn"), "; ".join(refusals)))
    return program.captured


