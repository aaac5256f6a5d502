"""Footguns: what calls leave in Python state. All must equal eager mode, to the bit."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import x


class Slots:
    """An object without a dict."""

    __slots__ = ("empty", "n")

    def __init__(self) -> None:
        self.n: Any = 1


@both_modes(0)
def test_numbers_in_slots_after_an_error(wrap: Wrap) -> Iterator[Any]:
    holder, queue, found = Slots(), collections.deque([1.0]), set()

    def f(a):
        y = a / (holder.n + 1) + queue[0]
        found.add(holder.n)
        return y - dg.ones(3)

    f = wrap(f)
    for i, size in enumerate((1, 3, 8, 1, 3, 8, 1, 3)):
        holder.n, queue[0] = i % 3, float(i)
        yield attempt(lambda: f(dg.arange(float(size))))  # noqa: B023
        yield type(holder.n), type(queue[0]), [type(v) for v in found], holder.n, queue[0]
