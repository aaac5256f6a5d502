"""Fuel: how many passes and rewrites may still be applied, to find the one that is wrong by halving."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.node import Node


class Fuel:
    """Counts what passes do. With a limit of n the first n applications happen, and no more.

    One unit is the application of a pass to a graph (or to the body of a loop), or of one rewrite, fold or
    fusion within a pass. ``DUALGRAPH_FUEL=n`` sets the limit for a process.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.used = 0
        self.last = ""  # what the last unit was spent on

    def take(self, what: str) -> bool:
        """Whether `what` may be applied; if so, a unit is gone."""
        if self.limit is None:
            return True
        if self.used >= self.limit:
            return False
        self.used += 1
        self.last = what
        return True

    def merge(self, one: Node, two: Node) -> bool:
        """Whether two nodes may go into one kernel."""
        if self.limit is None:
            return True
        a, b = f"{one.prim.name} at {one.where}", f"{two.prim.name} at {two.where}"
        return self.take(f"fusion of {a} with {b}")

    @contextmanager
    def limited(self, limit: int | None) -> Iterator[Fuel]:
        """Another limit, counted from 0, inside of the block."""
        before = self.limit, self.used, self.last
        self.limit, self.used, self.last = limit, 0, ""
        try:
            yield self
        finally:
            self.limit, self.used, self.last = before


def _limit() -> int | None:
    text = os.environ.get("DUALGRAPH_FUEL", "")
    return int(text) if text.isdigit() else None


FUEL = Fuel(_limit())
