"""Resizing: one native program for all sizes of a graph.

A program is written once, for sizes that are worked numbers (`core/numbers/worked.py`): what lies in its tables is put
there anew when a call comes with other sizes, which takes a fraction of writing it. Sizes for which other decisions
would be made have programs of their own, as have calls beside a running one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..core.backend import ArrayBackend
from ..core.node import Node
from ..core.numbers.worked import Unfollowed, Worked, Working
from ..core.process import forks
from ..core.process.silence import quietly
from ..passes.memory import MemoryPlan
from ..passes.schedule import Schedule
from ..static.graph import Graph
from .executor import Direct, Executable
from .ground import Ground
from .native.addresses import address_of
from .native.quick.run_words import TAKEN
from .native.team.spots import NotNative
from .refilled import at_numbers, numbers_of

PATIENCE = 0.01  # seconds that a call waits for another one's, or a rehearsal's, planning


class Resizing:
    """The native program of a graph, at the sizes of its last call.

    ``at(sizes)`` is the graph at worked ones, and the function that gives the kernels of its regions. `like` is the
    program at the sizes `values`. Raises Unfollowed where some part of it cannot be told in formulas.
    """

    def __init__(
        self,
        at: Callable[[Sequence[Worked]], tuple[Graph, Callable[[Node], Any]]],
        values: Sequence[int],
        like: Executable,
        backend: ArrayBackend,
        borrowed: frozenset[int],
        ground: Ground,
    ) -> None:
        if not like.native or not all(t.size for t in like.graph.all_types()):
            raise Unfollowed("no native program")
        work = Working()
        graph, kernel_of = at([work.size(n) for n in values])
        made = Executable(graph, backend, borrowed, (), kernel_of, like, ground, work)
        self._ground, self._instance = ground, made.instance()
        self._backend, actions = backend, self._instance.actions
        self._native: list[Any] = [a for a in actions if hasattr(a, "suit")]  # native parts
        self._fresh, self._shared = self._instance.fresh, self._instance.shared
        shapes = tuple(tuple(shape) for _, shape, _ in self._fresh)
        views = tuple(() if view is None else tuple(view[1]) for _, _, view in self._shared)
        lying = tuple(self._instance.lying)
        own = tuple((*a.program.needs, *a.work) for a in self._native)
        refilled = tuple(numbers_of(node) for _, node, _ in self._instance.refilled)
        wanted = own, refilled, shapes, views, lying
        self._again = work.function(wanted, self._suit)
        self.donated = like.donated
        self.values: tuple[int, ...] | None = None
        self._busy = np.zeros(1, dtype=np.int64)  # what a native call has in it
        self._told: list[int] = []  # values of which native calls know where they lie
        self._taker = 0  # the thread that took it last for such a call
        self._lock = forks.lock()
        # whether who holds it puts numbers in their places, which is soon done
        self._planning = False

    def _suit(self, own: Any, refilled: Any, shapes: Any, views: Any, lying: Any) -> None:
        """What the tables of its native parts do not hold."""
        for action, (scratch, room, alone, shared) in zip(self._native, own, strict=True):
            action.program.make_room(scratch, room)
            action.suit(alone, shared)
        for (i, node, make), numbers in zip(self._instance.refilled, refilled, strict=True):
            self._instance.actions[i] = make(at_numbers(node, numbers), self._backend)
        self._instance.meet(lying, self._instance.met)
        self._instance.fresh = [
            (i, shape, dtype) for (i, _, dtype), shape in zip(self._fresh, shapes, strict=True)
        ]
        self._instance.shared = [
            (i, source, view and (view[0], shape))
            for (i, source, view), shape in zip(self._shared, views, strict=True)
        ]

    def direct(
        self, checked: bool = False, several: bool = False, anywhere: bool = False
    ) -> Direct | None:
        """`Executable.direct`, of calls that `turned` was asked of."""
        with self._lock:
            found = self._instance.direct(checked, several, anywhere)
            if found is not None:
                arrays = [type(k) is np.ndarray for k in found.outputs]
                self._told = [
                    p for (p, _), k in zip(self._instance.outputs, arrays, strict=True) if k
                ]
                self._busy, self._how = found.busy, self._run_how()
            return found

    def _run_how(self) -> tuple[Any, ...]:
        """How many threads run its native part, whether that is soon done, and where results lie that are copied."""
        action, env = self._native[0], self._instance.env
        return action.program.threads, action.brief, [address_of(env[p]) for p in self._told]

    def turned(self, values: tuple[int, ...]) -> bool:
        """Takes the program for a native call at these sizes, which gives it back when it has run."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._free():
                return False
            self._busy[0], self._taker = TAKEN, threading.get_ident()
            good = False
            try:
                good = self._ready(values) and self._run_how() == self._how
            finally:
                if not good:
                    self._busy[0] = 0
            return good
        finally:
            self._lock.release()

    def _free(self) -> bool:
        """Whether no native call has it; one of this thread that never came to run has not."""
        mine = self._taker == threading.get_ident()
        return bool(self._busy[0] == 0 or (self._busy[0] == TAKEN and mine))

    def fits(self, values: tuple[int, ...]) -> bool:
        """Whether it can run at these sizes, for which it is made ready if no call is running."""
        if not self._lock.acquire(blocking=False):
            return True
        try:
            return not self._free() or self._ready(values)
        finally:
            self._lock.release()

    def _ready(self, values: tuple[int, ...]) -> bool:
        """Puts the numbers of these sizes in their places; False where that is not possible."""
        if self.values != values:
            self.values = None  # for the case that putting the numbers in their places is cut short
            self._planning = True
            try:
                if not self._again(*values):
                    return False
            except (ArithmeticError, ValueError, NotNative):  # what is found anew is not there
                return False
            finally:
                self._planning = False
            self.values = values
        return True

    def run(self, values: tuple[int, ...], inputs: list[Any], commit: Any) -> tuple[Any] | None:
        """`Executable.run` at some sizes, in a tuple; None, having done nothing, where another call is running."""
        if not self._lock.acquire(timeout=PATIENCE if self._planning else 0):
            return None
        taken = False
        try:
            taken = self._free() and self._ground.take()
            if not taken or not self._ready(values):
                return None
            run = self._instance.run
            return (commit(quietly(run, inputs) if self._instance.loud else run(inputs)),)
        finally:
            if taken:
                self._ground.give()
            self._lock.release()


class AtSizes:
    """An `Executable` at some sizes: the program of all sizes where that is free, else one of its own."""

    def __init__(
        self, shared: Resizing, values: tuple[int, ...], make: Callable[[], Executable]
    ) -> None:
        self._shared, self._values, self._make = shared, values, make
        self.donated = shared.donated

    @cached_property
    def own(self) -> Executable:
        """A program for these sizes alone."""
        return self._make()

    def run(self, inputs: list[Any], commit: Callable[[list[Any]], Any]) -> Any:
        """`Executable.run`."""
        found = self._shared.run(self._values, inputs, commit)
        return self.own.run(inputs, commit) if found is None else found[0]

    def direct(
        self, checked: bool = False, several: bool = False, anywhere: bool = False
    ) -> Direct | None:
        """`Executable.direct`."""
        return self.own.direct(checked, several, anywhere)

    @property
    def graph(self) -> Graph:
        return self.own.graph

    @property
    def memory(self) -> MemoryPlan:
        return self.own.memory

    @property
    def plan(self) -> Schedule:
        return self.own.plan
