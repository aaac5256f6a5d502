"""Footguns: hooks on entries of the tape, around and inside of compiled calls. All must equal eager mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import leaf, x


@both_modes(2)
def test_hooks_on_the_entry_of_a_compiled_call(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, w: (a * w).exp() * 3)
    for i in range(4):
        a, w, seen = leaf(), leaf([1.0, 2.0, 0.5]), []
        y = f(a * 0.5, w)
        y.grad_fn.register_prehook(lambda cts, seen=seen: seen.append(cts))
        y.grad_fn.register_prehook(lambda cts: (cts[0] * 10,))
        handle = y.grad_fn.register_hook(
            lambda g, cts, seen=seen: (seen.append((g, cts)), (g[0] * 2, *g[1:]))[1]
        )
        if i == 2:
            handle.remove()
        (y * w).sum().backward()
        yield y, a.grad, w.grad, seen, y.grad_fn.name()


@both_modes(0)
def test_hooks_on_entries_set_and_swept_inside(wrap: Wrap) -> Iterator[Any]:
    seen: list[Any] = []

    @wrap
    def step(a: Any, w: Any) -> Any:
        y = a * w
        y.grad_fn.register_prehook(lambda cts: (cts[0].tanh(),))
        y.grad_fn.register_hook(lambda g, _cts: (g[0], g[1] * 2))
        y.grad_fn.next_functions[1][0].register_hook(
            lambda _, cts: seen.append(cts[0].sum().item())
        )
        y.square().sum().backward()
        return y

    w = leaf([1.0, 2.0, 0.5])
    for i in range(4):
        yield step(x() * (i + 1), w), w.grad, list(seen)


@both_modes(0)
def test_a_hook_on_the_entry_of_a_leaf_set_after_capture(wrap: Wrap) -> Iterator[Any]:
    w, seen = leaf([1.0, 2.0, 3.0]), []

    @wrap
    def step(a: Any) -> Any:
        (a * w).sum().backward()

    for _ in range(3):
        step(x())
    entry = w.expand_as(w).grad_fn.next_functions[0][0]
    with entry.register_hook(lambda _, cts: seen.append((cts[0].clone(), w.grad.clone()))):
        for _ in range(2):
            step(x())
            yield w.grad, list(seen)
    step(x())
    yield entry.variable is w, w.grad, list(seen)


@both_modes(0)
def test_what_hooks_on_entries_must_not_give(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2)
    for wrong in (5, (), (dg.ones(2), None)):
        y = f(leaf())
        y.grad_fn.register_hook(lambda *_, wrong=wrong: wrong)
        yield attempt(lambda y=y: y.sum().backward())
        y = f(leaf())
        y.grad_fn.register_prehook(lambda *_, wrong=wrong: wrong)
        yield attempt(lambda y=y: y.sum().backward())
