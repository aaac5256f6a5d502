"""Segments: runs of steps of a program that native code does in one call, and what the call is given."""

from __future__ import annotations

import ctypes
from typing import Any

from ...core.node import Var
from ...core.numbers.worked import plainly, working
from ...passes.schedule import OUTPUT, Step
from ...static.constants import is_constant
from ...static.control import is_control
from .addresses import DIRECT
from .frames import Frame, Planned
from .loops import WRITERS
from .team import runtime
from .team.program import Program, Writer
from .team.spots import NotNative, Ref
from .team.team import given
from .threads import pool

Env = list[Any]

# instructions (one lane a vector) that threads share, from which they are called
TEAM_WORK = 1_000_000
BRIEF_WORK = 100_000  # instructions up to which the interpreter lock is kept


class Operands:
    """The arrays that come with each call of a program: its inputs, and the results that leave it."""

    def __init__(self, program: Planned) -> None:
        plan, graph = program.plan, program.graph
        self.places: list[int] = []  # where they are in the environment
        self.buffers: list[int] = []
        for v in graph.inputs:
            self._add(plan.places[v].buffer, v)
        for step in plan.steps:
            for v in () if step.view or is_constant(step.node) else step.node.outputs:
                if plan.buffer_of(v).role == OUTPUT:
                    self._add(plan.places[v].buffer, v)
        self._block = ctypes.c_void_p * len(self.places)

    def _add(self, buffer: int, v: Var) -> None:
        if buffer not in self.buffers:
            self.buffers.append(buffer)
            self.places.append(v.id)

    def of(self, env: Env) -> Any:
        """What native code is given: the operands' objects, or addresses."""
        return self._block(*[given(env[p]) for p in self.places])


class Segment:
    """Steps being written as one native program."""

    def __init__(
        self,
        program: Planned,
        arena: int,
        operands: Operands,
        alone: bool = False,
        ground: Any = None,
    ) -> None:
        """`alone`: each step by itself. `ground`: memory that other programs have, too (see `Ground`)."""
        self.w = w = Writer()
        w.ground = ground
        count = len(operands.places)
        first = w.word(count=count)
        refs = {b: Ref(first + i) for i, b in enumerate(operands.buffers)}
        self.frame = Frame(w, program, arena, refs)
        if not alone:
            self.frame.chain()
        w.emit(runtime.OBJECTS if DIRECT else runtime.ADDRESSES, count, first)
        self._settle = w.assign([])

    def add(self, i: int, step: Step) -> None:
        """Writes a step; it must be one that `native_steps` lists."""
        self.frame.write(i, step, WRITERS)

    def action(self) -> NativeAction:
        """The segment made ready to run."""
        self.w.replace(self._settle, self.w.settled())
        return NativeAction(self.w)


class NativeAction:
    """A native program as an action: it finds its operands in the last place of the environment."""

    def __init__(self, w: Writer) -> None:
        self.work = tuple(w.work)
        changing = working(self.work) is not None
        threads = pool.size if changing or self.work[1] >= TEAM_WORK else 1
        self.program: Program = w.build(threads)
        self.suit(*plainly(self.work))

    def suit(self, alone: int, shared: int) -> None:
        """Chooses how to run it, by the work that is not split between threads and that which is."""
        self.program.threads = self.program.most_threads if shared >= TEAM_WORK else 1
        self.brief = self.program.threads == 1 and alone + shared < BRIEF_WORK
        self.run = self.program.run_brief if self.brief else self.program.run

    def __call__(self, env: Env) -> None:
        self.run(env[-1])


def native_steps(program: Planned) -> frozenset[int]:
    """The steps that can be written as native kernels (found by writing them)."""
    operands = Operands(program)
    found = set()
    for i, step in enumerate(program.plan.steps):
        if step.view or is_constant(step.node):
            continue
        try:
            _try(Segment(program, 0, operands, alone=True), i, step)
        except NotNative:
            continue
        found.add(i)
    return frozenset(found)


def _try(segment: Segment, i: int, step: Step) -> None:
    """Raises NotNative where a step cannot be written. Code is on its way then; only that of loops is waited for."""
    if is_control(step.node):
        segment.add(i, step)
    else:
        segment.frame.room(i, step)


def all_native(program: Any) -> bool:
    """Whether every step of an executable that moves anything can be."""
    steps = enumerate(program.plan.steps)
    return program.native >= {i for i, s in steps if not s.view and not is_constant(s.node)}
