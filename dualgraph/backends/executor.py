"""The planned executor: a schedule's steps run in order over one arena, with native kernels for regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend, backend_for
from ..core.node import Literal, Node, Var
from ..passes.inplace import donate, inplace, same_index
from ..passes.memory import MemoryPlan, plan_memory
from ..passes.schedule import INPUT, OUTPUT, TEMPORARY, Schedule, Step, schedule
from ..static.constants import is_constant
from ..static.control import is_control
from ..static.graph import Graph
from ..static.interpreter import literal_array
from ..static.region import bodies, is_region
from .actions import Action, Env, computed, donated, native_call, shared, written
from .bodies import compiled_bodies, control_action
from .native import api as native
from .native import claims
from .silence import quietly


class Executable:
    """A graph made ready to run on one backend.

    `borrowed` are positions of outputs that the caller only reads before the next run: they stay in the
    arena. All other outputs are fresh arrays of their own. `stores` are pairs (input, output): the caller
    puts the output into the input's memory. Those in `donated` are written there straight away, once
    nothing can fail any more; these inputs have to be row-major.
    """

    def __init__(
        self,
        graph: Graph,
        backend: ArrayBackend,
        borrowed: frozenset[int] = frozenset(),
        stores: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.graph = graph
        self.backend = backend
        self.borrowed = borrowed
        plan = schedule(graph, borrowed)
        self.donated: tuple[tuple[int, int], ...] = ()
        if backend.xp is np:
            plan, self.donated = donate(plan, _safe_stores(graph, stores), _may_overwrite)
        self.plan: Schedule = inplace(plan, _may_overwrite)
        self.memory: MemoryPlan = plan_memory(self.plan)
        if native.available():
            native.begin(s.node.params["body"] for s in self.plan.steps if is_region(s.node))
        self.kernels = {i: _native_kernel(s.node) for i, s in enumerate(self.plan.steps)}
        self.bodies = {
            i: compiled_bodies(s.node, lambda body, read: Executable(body, backend, read))
            for i, s in enumerate(self.plan.steps) if is_control(s.node)
        }  # fmt: skip
        self._size = 1 + max((v.id for v in graph.all_vars()), default=-1)
        self._free: list[
            _Instance
        ] = []  # popped and pushed whole, which the interpreter makes atomic

    def run(self, inputs: list[Any], commit: Callable[[list[Any]], Any]) -> Any:
        """Runs the program on arrays and hands its outputs to `commit`, whose result is given back."""
        try:
            instance = self._free.pop()
        except IndexError:
            instance = _Instance(self)
        try:
            return commit(quietly(instance.run, inputs) if instance.loud else instance.run(inputs))
        finally:
            self._free.append(instance)


def _safe_stores(graph: Graph, stores: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The stores whose value is computed after the last op that can fail: a failed call must change nothing."""
    last = max((i for i, n in enumerate(graph.nodes) if _can_fail(n)), default=-1)
    made = {v: i for i, n in enumerate(graph.nodes) for v in n.outputs}
    return [(i, o) for i, o in stores if made.get(graph.outputs[o], -1) > last]  # type: ignore[arg-type]


def _may_overwrite(node: Node, result: int, operand: int) -> bool:
    """Whether the node's kernel allows a result in the memory of an operand."""
    if is_region(node) and native.available():
        return native.may_overwrite(node, result, operand)
    return same_index(node, result, operand) or claims.may_overwrite(node, operand)


def _can_fail(node: Node) -> bool:
    return bool(
        node.prim.can_fail or any(_can_fail(n) for b in bodies(node).values() for n in b.nodes)
    )


def _native_kernel(node: Node) -> Any:
    if not is_region(node) or not native.available():
        return None
    try:
        return native.compile_group(node.params["body"])
    except native.Unsupported:
        return None


class _Instance:
    """One arena and the actions over it; used by one call at a time."""

    def __init__(self, program: Executable) -> None:
        self.program = program
        backend, plan = program.backend, program.plan
        self.on_cpu = backend.xp is np
        self.arena = (
            np.empty(program.memory.arena_bytes + 64, dtype=np.uint8) if self.on_cpu else None
        )
        base = 0 if self.arena is None else -self.arena.ctypes.data % 64
        self.env: Env = [None] * program._size
        self.fresh: list[tuple[int, Any, Any]] = []  # outputs to allocate on each call
        self.actions: list[Action] = []
        self.loud = False  # whether NumPy functions that may warn are among the actions
        for i, step in enumerate(plan.steps):
            self._prepare(i, step, base)
        self.places = [v.id for v in program.graph.inputs]
        self.outputs = self._output_getters()

    def _prepare(self, i: int, step: Step, base: int) -> None:
        node, plan, backend = step.node, self.program.plan, self.program.backend
        if is_constant(node):
            self.env[node.outputs[0].id] = backend_for(node.outputs[0].type.device).asarray(
                node.params["data"].array
            )
            return
        roles = [plan.buffer_of(v).role for v in node.outputs]
        if step.view and roles[0] == TEMPORARY and self.arena is not None:
            self._in_arena(node.outputs[0], base)
            return
        if step.view or not self.on_cpu:
            self.actions.append(computed(node, backend))
            return
        for v, role in zip(node.outputs, roles, strict=True):
            if role == TEMPORARY:
                self._in_arena(v, base)
            elif role == OUTPUT and not any(v is node.outputs[r] for r, _ in step.overwrites):
                self.fresh.append((v.id, v.type.shape, v.type.dtype.numpy))
            elif role == INPUT:
                self.actions.append(donated(v, self._input_in(v)))
        for result, operand in step.overwrites:
            if roles[result] == OUTPUT:
                self.actions.append(shared(node, result, operand))
        kernel = self.program.kernels[i]
        if kernel is not None and all(isinstance(v, Var) for v in node.inputs):
            self.actions.append(native_call(node, kernel, self.env))
        elif i in self.program.bodies:
            self.actions.append(control_action(node, self.program.bodies[i], backend))
        else:
            self.loud = True
            self.actions.append(written(node, backend))

    def _input_in(self, v: Var) -> Var:
        """The input whose memory `v` is written to."""
        places = self.program.plan.places
        return next(u for u in self.program.graph.inputs if places[u].buffer == places[v].buffer)

    def _in_arena(self, v: Var, base: int) -> None:
        place = self.program.plan.places[v]
        at = base + self.program.memory.offsets[place.buffer] + place.layout.offset
        self.env[v.id] = np.ndarray(
            v.type.shape, v.type.dtype.numpy, self.arena, at, place.layout.strides
        )

    def run(self, inputs: list[Any]) -> list[Any]:
        env = self.env.copy()
        for place, array in zip(self.places, inputs, strict=True):
            env[place] = array
        for index, shape, dtype in self.fresh:
            env[index] = np.empty(shape, dtype)
        for action in self.actions:
            action(env)
        return [env[place] if copy is None else copy(env) for place, copy in self.outputs]

    def _output_getters(self) -> list[tuple[int, Any]]:
        """For each output its place, or a function that makes the copy the caller gets."""
        program = self.program
        given: set[int] = set()
        out: list[tuple[int, Any]] = []
        for i, v in enumerate(program.graph.outputs):
            if isinstance(v, Literal):
                out.append((-1, lambda env, v=v: literal_array(v, program.backend)))
                continue
            buffer, copy = program.plan.buffer_of(v), None
            if i not in program.borrowed:
                if buffer.role != OUTPUT or buffer.id in given:
                    copy = _copy_of(v)
                given.add(buffer.id)
            out.append((v.id, copy))
        return out


def _copy_of(v: Var) -> Callable[[Env], Any]:
    """Makes the array that the caller gets where the value itself stays with the program."""
    xp = backend_for(v.type.device).xp
    return lambda env: xp.array(env[v.id], order="C")
