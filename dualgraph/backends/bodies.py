"""Conditions and loops in the planned executor: compiled bodies, run for as many steps as it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend
from ..core.node import Node, Var
from ..static.control import cond_op, goes_on, scan_op, step_order
from ..static.graph import Graph
from ..static.interpreter import literal_array
from ..static.region import bodies

Env = list[Any]
Action = Callable[[Env], None]


def compiled_bodies(node: Node, make: Callable[[Graph, frozenset[int]], Any]) -> dict[str, Any]:
    """For each body of the node an executable, whose results are read before it runs again."""
    return {k: make(g, frozenset(range(len(g.outputs)))) for k, g in bodies(node).items()}


def control_action(node: Node, programs: dict[str, Any], backend: ArrayBackend) -> Action:
    """Runs the node on the arrays of an environment; its results go into the memory planned for them."""
    places = [v.id for v in node.outputs]
    literals = [None if isinstance(v, Var) else literal_array(v, backend) for v in node.inputs]
    reads = [v.id if isinstance(v, Var) else -1 for v in node.inputs]
    runs = {cond_op: _cond, scan_op: _scan}
    run = runs.get(node.prim, _while)(node, programs, backend)

    def act(env: Env) -> None:
        operands = [env[i] if i >= 0 else v for i, v in zip(reads, literals, strict=True)]
        run(operands, [env[i] for i in places])

    return act


Run = Callable[[list[Any], list[Any]], None]  # operands, memory for results


def _copy(targets: Sequence[Any], values: Sequence[Any]) -> None:
    for target, value in zip(targets, values, strict=True):
        np.copyto(target, value)


def _cond(node: Node, programs: dict[str, Any], backend: ArrayBackend) -> Run:
    """A choice between two bodies."""
    true, false = programs["true"], programs["false"]

    def run(operands: list[Any], results: list[Any]) -> None:
        branch = true if bool(operands[0]) else false
        branch.run(operands[1:], lambda outs: _copy(results, outs))

    return run


class _Carry:
    """The carry of a loop: two sets of memory in turn, so that a step never writes over what it reads."""

    def __init__(self, body: Graph, carries: int) -> None:
        types = body.out_types[:carries]
        self.sets = [[np.empty(t.shape, t.dtype.numpy) for t in types] for _ in range(2)]
        self.turn = 0

    def start(self, operands: list[Any]) -> list[Any]:
        """The values before the first step, each row by row."""
        self.turn = 0
        return [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in operands]

    def step(self, outs: list[Any]) -> list[Any]:
        """The carry after a step that gave `outs`."""
        self.turn = 1 - self.turn
        target = self.sets[self.turn]
        _copy(target, outs)
        return target


def _scan(node: Node, programs: dict[str, Any], backend: ArrayBackend) -> Run:
    """A loop over slices of its operands."""
    p, body = node.params, programs["body"]
    carries, slices = p["carries"], p["slices"]
    order = step_order(p["length"], p["reverse"])
    memory = _Carry(body.graph, carries)

    def run(operands: list[Any], results: list[Any]) -> None:
        carry = memory.start(operands[:carries])
        xs = [np.ascontiguousarray(a) for a in operands[carries : carries + slices]]
        constants = operands[carries + slices :]
        ys = results[carries:]

        def commit(outs: list[Any]) -> list[Any]:
            for y, out in zip(ys, outs[carries:], strict=True):
                y[i, ...] = out
            return memory.step(outs[:carries])

        for i in order:
            carry = body.run([*carry, *(x[i, ...] for x in xs), *constants], commit)
        _copy(results[:carries], carry)

    return run


def _while(node: Node, programs: dict[str, Any], backend: ArrayBackend) -> Run:
    """A loop that runs as long as its test says."""
    test, body = programs["test"], programs["body"]
    carries, max_steps = node.params["carries"], node.params["max_steps"]
    memory = _Carry(body.graph, carries)

    def decide(outs: list[Any]) -> bool:
        return goes_on(backend, outs)

    def run(operands: list[Any], results: list[Any]) -> None:
        carry, constants = memory.start(operands[:carries]), operands[carries:]
        saved = results[carries + 1 :]
        for rows in saved:
            rows[...] = 0
        step = 0
        while step != max_steps and test.run([*carry, *constants], decide):
            for rows, array in zip(saved, carry if saved else (), strict=True):
                rows[step, ...] = array
            carry = body.run([*carry, *constants], memory.step)
            step += 1
        _copy(results[:carries], carry)
        for count in results[carries : carries + 1]:
            count[...] = step

    return run
