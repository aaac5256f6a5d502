"""Budgets: a graph made ready to run in so many bytes, with values computed again as far as that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..passes.pipeline import Hooks, PassRecord
from ..passes.rematerialise import live_bytes
from ..passes.schedule import schedule
from ..static.graph import Graph
from . import kept
from .executor import Executable

PARTS = 1.0, 0.9, 0.75, 0.5, 0.25  # of the budget: passes know what is live, not the layout


class Ready(NamedTuple):
    """An executable, the passes that made its graph, and the bytes that they were to stay below (None: any)."""

    executable: Executable
    records: list[PassRecord]
    aim: int | None

    @property
    def nbytes(self) -> int:
        return self.executable.memory.total_bytes


def ready(
    captured: Graph, hooks: Hooks, fast_math: bool, keep: bool, make: Callable[[Graph], Executable],
    budget: int | None = None,
) -> Ready:  # fmt: skip
    """The program that `make` makes of a captured graph; within `budget` if it can be, else the least that was found.

    The program that computes nothing twice comes first. `keep`: what the passes made may be kept for other processes.
    """

    def within(aim: int | None) -> Ready:
        graph, records = kept.optimised(captured, hooks, fast_math, aim, keep)
        return Ready(make(graph), records, aim)

    free = least = within(None)
    if budget is None:
        return least
    # Where nothing fits, the least that any aim leads to is found, to be named.
    for whole in (budget, free.nbytes):
        room = whole - free.executable.memory.bodies_bytes
        for aim in (int(part * room) for part in PARTS):
            if least.nbytes <= budget or aim <= 0:
                break
            tried = within(aim)
            least = min(least, tried, key=lambda r: r.nbytes)
            if live_bytes(schedule(tried.executable.graph)) > aim:
                break  # there is nothing more to compute again
    return least
