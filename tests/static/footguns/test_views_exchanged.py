"""Footguns: what was a view of an argument, or of a place's tensor, when the call was captured is none later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x


class State:
    a: Any
    b: Any


@both_modes(2)
def test_a_view_that_is_held_was_one_of_the_argument(wrap: Wrap) -> Iterator[Any]:
    given, held = x(), [x()]
    f = wrap(lambda a: (held[0], held[0] + a))
    for i in range(10):
        if i == 3:
            held[0] = given.view(2, 3)
        yield f(given if i == 3 else x() * i)


@both_modes(2)
def test_a_view_that_is_held_was_one_of_a_tensor_that_is_replaced(wrap: Wrap) -> Iterator[Any]:
    state, held = State(), [x()]
    state.a = x()

    def f(a: Any) -> Any:
        state.a = state.a * 0.5 + a
        return held[0], held[0] * 2

    f = wrap(f)
    for i in range(12):
        if i in (4, 8):
            held[0] = state.a.view(2, 3)
        yield f(x() * i), state.a


@both_modes(2)
def test_a_place_held_a_view_of_another_tensor(wrap: Wrap) -> Iterator[Any]:
    state = State()
    state.a, state.b = x(), x()
    f = wrap(lambda a: (state.a, state.b, state.a * a))
    for i in range(12):
        if i in (3, 5, 6, 8):
            state.b = state.a.flip(1) if i in (3, 6) else x() * i
        yield f(x() + i)


@both_modes(2)
def test_the_base_of_a_view_gets_other_memory(wrap: Wrap) -> Iterator[Any]:
    base = dg.arange(6.0).reshape(2, 3)
    row = base[1]

    def f(a):
        base.add_(1)
        return a - row

    f = wrap(f)
    for values in (None, None, dg.ones(3, 3), None, dg.ones(2, 3), None, None):
        if values is not None:
            base.data = values
        yield f(dg.ones(3)), base, row
