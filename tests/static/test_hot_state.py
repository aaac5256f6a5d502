"""State that is told natively on calls that Python sees: those of cut programs, say, or of ever other sizes."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg
from dualgraph import nn
from dualgraph.backends.native import api
from dualgraph.jit import hot
from dualgraph.jit.compile import Compiled
from dualgraph.static.checks import OFTEN, Checklist

pytestmark = pytest.mark.skipif(not api.available(), reason="there is no native code here")


class Parent:
    scale = 2.0


class Box(Parent):
    def __init__(self) -> None:
        self.number, self.items, self.words = 1.5, [1, 2.5], {"a": 1, "b": 2.0}
        self.empty: set[str] = set()
        self.some = {"x"}
        self.few: deque[float] = deque([1.0])
        self.order = OrderedDict(a=1.0)


def asked(fn: Any, *args: Any) -> Checklist:
    """The checks of the one program of `fn`, gone through so often that native code tells them."""
    hot.install(Compiled, Compiled._run_hot)
    compiled = dg.compile(fn, wait=True)
    compiled(*args)
    compiled(*args)
    (program,) = compiled.programs
    for _ in range(OFTEN + 1):
        assert program.footprint.failing() is None
    assert program.footprint._quick is not None
    return program.footprint._quick


CHANGES: dict[str, tuple[str, Callable[[Box], Any]]] = {
    "an attribute": ("b.number", lambda b: setattr(b, "number", 3.5)),
    "an element": ("b.items[1]", lambda b: b.items.__setitem__(1, 7.5)),
    "a length": ("b.items", lambda b: b.items.append(1)),
    "an entry": ("b.words['b']", lambda b: b.words.update(b=3.0)),
    "a key": ("b.words", lambda b: b.words.update(c=3.0)),
    "an element of an empty set": ("b.empty", lambda b: b.empty.add("x")),
    "an element of a set": ("b.some", lambda b: b.some.add("y")),
    "an element of a deque": ("b.few", lambda b: b.few.append(1.0)),
    "the order of keys": ("b.order", lambda b: b.order.update(b=1.0) or b.order.move_to_end("a")),
    "an attribute of a class": ("scale", lambda b: setattr(Parent, "scale", 4.0)),
    "an attribute that hides one of a class": ("scale", lambda b: setattr(b, "scale", 4.0)),
    "a class": ("b", lambda b: setattr(b, "__class__", type("Other", (Parent,), {}))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_state_is_seen(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Box()
    monkeypatch.setattr(Parent, "scale", 2.0)

    def f(x: Any) -> Any:
        if "q" in b.empty or "q" in b.some or "q" in b.order:
            return x
        return x * b.number * b.items[1] * b.words["b"] * b.scale * b.few[0] + len(b.words)

    checks = asked(f, dg.ones(2))
    assert checks._hold is not None and checks._hold()
    name, make = CHANGES[change]
    make(b)
    assert not checks._hold()
    found = checks.failing()
    assert found is not None and name in found.name


def test_an_equal_number_in_another_object_is_no_change() -> None:
    b = Box()
    checks = asked(lambda x: x * b.number, dg.ones(2))
    b.number = float("1.5")
    assert checks.failing() is None
    b.number = -1.5
    assert checks.failing() is not None


def test_calls_of_cut_programs_see_changes_of_modules() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

    def step(x: Any) -> Any:
        y = net(x)
        return y if y.sum() > 0 else -y

    f = dg.compile(step, wait=True)
    x = dg.randn(2, 3)
    with dg.no_grad():
        for i in range(3 * OFTEN):
            if i == 2 * OFTEN:
                net[2] = nn.Linear(3, 3)
            if i == 2 * OFTEN + 5:
                net[1].register_forward_hook(lambda m, args, out: out * 2)
            assert f(x if i % 2 else -x).tolist() == step(x if i % 2 else -x).tolist()


def test_checks_that_did_not_hold_meanwhile_are_told_in_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = {"a": 1}
    checks = Checklist(asked(lambda x: x + held["a"], dg.ones(2)).checks)

    def made_late(checks: Any) -> Any:
        held["b"] = 2  # as another thread may do
        return lambda: True

    monkeypatch.setattr(Checklist, "natively", made_late)
    for _ in range(OFTEN):
        checks.failing()
    assert checks._hold is None and checks.failing() is not None
