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


@both_modes(0)
def test_numbers_as_keys(wrap: Wrap) -> Iterator[Any]:
    made = {}
    ordered = collections.OrderedDict(first=0)

    def f(a, n):
        if n not in made:
            made[n] = a * n
        ordered[n] = n
        ordered.move_to_end(n, last=False)
        return made[n] + 1

    f = wrap(f)
    for n in (0, 0, 1, 1, 2, 2, 0, 3):
        yield f(x(), n), made, [type(k) for k in (*made, *ordered)], list(ordered.items())


@both_modes(0)
def test_attributes_put_on_tensors(wrap: Wrap) -> Iterator[Any]:
    class Keeps:
        last: Any = None

    keeps = Keeps()

    def mark(a):
        a.tag = "seen"
        return a * 2

    def give(a):
        y = a * 2
        y.tag = "made"
        return y

    def keep(a):
        keeps.last = a * 2
        keeps.last.tag = "kept"
        return a + 1

    fs = [wrap(f) for f in (mark, give, keep)]
    for _ in range(4):
        a = x()
        results = [f(a) for f in fs]
        yield results, [vars(t) for t in (a, *results, keeps.last)]


@both_modes(0)
def test_modes_that_a_call_leaves(wrap: Wrap) -> Iterator[Any]:
    def grad(a, on):
        dg.set_grad_enabled(on)
        return a * 2

    def dtype(a, kind):
        b = a * dg.ones(3)
        dg.set_default_dtype(kind)
        return b

    f, g = wrap(grad), wrap(dtype)
    try:
        for i in range(9):
            kind = dg.float32 if i % 3 else dg.float64
            yield f(x(), i % 3 == 0), g(x(), kind)
            yield dg.is_grad_enabled(), str(dg.get_default_dtype())
    finally:
        dg.set_grad_enabled(True)
        dg.set_default_dtype(dg.float32)


@both_modes(0)
def test_settings_that_a_call_makes_or_reads(wrap: Wrap) -> Iterator[Any]:
    def f(a, n):
        dg.set_printoptions(precision=n)
        dg.set_num_threads(n)
        return a * 2

    f, g = wrap(f), wrap(lambda a: a * dg.get_num_threads())
    before = dg.get_num_threads()
    try:
        for i in range(7):
            yield f(x(), 1 + i % 2), repr(x()), dg.get_num_threads()
            dg.set_num_threads(1 + i // 3)
            yield g(x())
    finally:
        dg.set_num_threads(before)
        dg.set_printoptions(profile="default")


@both_modes(0)
def test_an_argument_gets_memory_of_another_type(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        a.data = a.double()
        return a * 2

    f = wrap(f)
    for _ in range(4):
        a = x()
        yield f(a), a


def test_symbolic_sizes_are_no_attributes_of_the_user() -> None:
    f = dg.compile(lambda a: a * a.shape[0], wait=True)
    for size in (2, 3, 4, 5):
        f(dg.ones(size))
    assert sum(p.calls for p in f.programs) >= 2, f.explain()
