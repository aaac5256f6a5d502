"""Eager loops: the body of a loop or condition that took long is compiled, beside the calls that go on without.

Until then, and wherever native code is not to be had, the op runs its bodies step by step. Both ways give
the same bits, so nobody can tell which one a call took.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, Loops, execute
from ..core.constant import exact
from ..core.devices import CPU
from ..core.node import Node
from ..core.numbers.symbolic import is_symbolic
from ..core.prim import Prim
from ..core.process import forks
from ..core.process.workers import Job, Workers
from ..core.types import TensorType
from ..static.graph import Graph, GraphBuilder
from . import kept
from .executor import Executable
from .hooks import hooks_for
from .native import api as native
from .native.threads import pool

WORTH = 0.02  # seconds that a loop took in all, from which it is compiled,
RUNS = 2  # if it ran so often
KEPT = 128  # loops remembered
_FAULTS = (ValueError, IndexError, TypeError, ZeroDivisionError, ArithmeticError)


class _Loop:
    """What is known of one loop on operands of some types."""

    __slots__ = ("job", "runs", "seconds")

    def __init__(self) -> None:
        self.runs, self.seconds = 0, 0.0
        self.job: Job[Executable] | None = None

    @property
    def program(self) -> Executable | None:
        """The compiled loop, if it is there."""
        return None if self.job is None else self.job.given()


_loops: OrderedDict[Any, _Loop] = OrderedDict()
_lock = forks.lock()
_background = Workers("dualgraph-loops", 1)


def run(
    backend: ArrayBackend, prim: Prim, arrays: tuple[Any, ...], types: tuple[TensorType, ...],
    params: dict[str, Any], out_types: tuple[TensorType, ...],
) -> tuple[Any, ...] | None:  # fmt: skip
    """The op's results; None where it is not on NumPy arrays, or the compiled loop fails (the op names the fault)."""
    if backend.xp is not np or not native.available() or any(map(_symbolic, (*types, *out_types))):
        return None
    loop = _known((prim, types, exact(params), pool.size))
    if loop is None:
        return None
    program = loop.program
    if program is not None:
        try:
            return tuple(program.run(list(arrays), list))
        except _FAULTS:
            return None
    began = time.perf_counter()
    outs = execute(backend, prim, arrays, types, params, out_types)
    loop.seconds += time.perf_counter() - began
    loop.runs += 1
    if loop.job is None and loop.runs >= RUNS and loop.seconds >= WORTH:
        if not any(of_all_sizes(p) for p in params.values() if isinstance(p, Graph)):
            loop.job = _background.submit(
                lambda: compiled(backend, _of_one(prim, types, params, out_types))
            )
    return outs


def of_all_sizes(body: Graph) -> bool:
    """Whether a body has symbolic sizes, as those on the tape of a compiled call may: a program of its own would
    not be told which they are."""
    if any(is_symbolic(t.shape) for t in body.all_types()):
        return True
    inner = (p for n in body.nodes for p in n.params.values())
    return any(of_all_sizes(p) if isinstance(p, Graph) else is_symbolic(p) for p in inner)


def _symbolic(t: TensorType) -> bool:
    return any(type(d) is not int for d in t.shape)


def _known(key: Any) -> _Loop | None:
    """What is known under a key; None if it cannot be one."""
    with _lock:
        try:
            loop = _loops.get(key)
        except TypeError:  # a parameter that cannot be hashed
            return None
        if loop is None:
            loop = _loops[key] = _Loop()
            if len(_loops) > KEPT:
                _loops.popitem(last=False)
        else:
            _loops.move_to_end(key)
        return loop


def _of_one(
    prim: Prim,
    types: tuple[TensorType, ...],
    params: dict[str, Any],
    out_types: tuple[TensorType, ...],
) -> Graph:
    """A graph of one node."""
    builder = GraphBuilder()
    inputs = tuple(builder.input(t) for t in types)
    outputs = tuple(builder.var(t) for t in out_types)
    builder.nodes.append(Node(prim, inputs, params, outputs))
    return builder.build(outputs)


def compiled(
    backend: ArrayBackend, graph: Graph, stores: tuple[tuple[int, int], ...] = ()
) -> Executable:
    """The program of a graph. It may put outputs into the memory of inputs: `stores` has pairs (input, output)."""
    graph, _ = kept.optimised(graph, hooks_for(CPU), False, None)
    program = Executable(graph, backend, frozenset(o for _, o in stores), stores)
    program.warm()
    return program


def register() -> None:
    """Makes eager loops ask from now on."""
    Loops.run = staticmethod(run)
