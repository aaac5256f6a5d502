"""Places in Python state that hold one tensor: a program for all tensors, as long as the same ones are the same."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from tests.side_by_side import Wrap, both_modes
from tests.static.modes import normal


class Box:
    """Anything with attributes."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


@both_modes(at_least=20)
def test_two_attributes_that_get_one_tensor(wrap: Wrap) -> Any:
    m = Box(h=dg.zeros(3), last=None)

    @wrap
    def step(x: Any) -> Any:
        m.h = m.h * 0.5 + x
        m.last = m.h
        return m.h.sum()

    for i in range(24):
        yield step(normal(3, seed=i)), m.h, m.h is m.last


@both_modes(at_least=18)
def test_a_tuple_a_list_an_entry_and_an_attribute(wrap: Wrap) -> Any:
    m = Box(pair=(dg.zeros(3), dg.ones(3)), last=dg.zeros(3), few=[None, None])
    best: dict[str, Any] = {"h": None}

    @wrap
    def step(x: Any) -> Any:
        h, c = m.pair
        c = c * 0.5 + x + m.last
        m.last = m.few[0] = best["h"] = c.tanh()
        m.pair = (m.last, c)
        return h - c

    for i in range(24):
        yield step(normal(3, seed=i)), m.pair, m.last is m.pair[0] is m.few[0] is best["h"]


@both_modes(at_least=14)
def test_one_that_is_written_is_seen_at_the_other(wrap: Wrap) -> Any:
    m = Box(a=dg.zeros(3), b=dg.ones(3))

    @wrap
    def step(x: Any) -> Any:
        m.a.mul_(0.5)
        total = m.a + m.b * x
        m.a = m.b = total
        return total * 2

    for i in range(36):
        if i % 6 == 4:
            m.b = m.b.clone()
        yield step(normal(3, seed=i)), m.a, m.b, m.a is m.b


@pytest.mark.parametrize("together", [True, False])
def test_programs_for_one_tensor_and_for_two_are_told_apart(together: bool) -> None:
    m = Box(a=dg.zeros(3), b=dg.zeros(3))

    def fn(x: Any) -> Any:
        m.a, m.b = m.a + x, m.b + x * 2
        return m.a * m.b

    def shared(x: Any) -> Any:
        m.a = m.b = m.a + m.b * x
        return m.a

    f = dg.compile(shared if together else fn, wait=True)
    for i in range(6):
        f(normal(3, seed=i))
    if api.available():
        assert f._hot, f.explain()
    one, two = dg.ones(3), dg.ones(3) * 2
    for a, b in [(one, two), (one, one), (two, one), (two, two)] * 2:
        m.a, m.b = a, b
        expected = (shared if together else fn)(dg.ones(3)).tolist(), m.a.tolist(), m.b.tolist()
        m.a, m.b = a, b
        assert (f(dg.ones(3)).tolist(), m.a.tolist(), m.b.tolist()) == expected


@pytest.mark.skipif(not api.available(), reason="there is no native code here")
def test_calls_that_share_are_told_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    m = Box(h=dg.zeros(3), last=dg.zeros(3))

    def step(x: Any) -> Any:
        m.h = m.last = m.h * 0.5 + m.last + x
        return m.h * 2

    f = dg.compile(step, wait=True)
    for _ in range(8):
        f(dg.ones(3))
    kept, before = m.h, m.h.tolist()
    monkeypatch.setattr(sys.modules["dualgraph.jit.compile"], "call_key", None)
    assert f(dg.ones(3)).tolist() == [3 * v + 2 for v in before]
    assert m.h is m.last and m.h is not kept and kept.tolist() == before


@both_modes(at_least=8)
def test_an_element_of_a_list_that_is_itself_exchanged(wrap: Wrap) -> Any:
    m = Box(parts=[dg.zeros(3)])

    @wrap
    def step(x: Any, how: str) -> Any:
        if how == "element":
            m.parts[0] = m.parts[0] * 0.5 + x
        if how == "list":
            m.parts = [m.parts[0] + x]
        return m.parts[0] * 2 + x

    for i in range(48):
        how = ("read", "element", "read", "list", "read", "read")[i * 5 % 6 if i % 7 else 3]
        yield step(normal(3, seed=i), how), m.parts[0]
