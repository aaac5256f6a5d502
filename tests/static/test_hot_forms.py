"""Hot calls of other forms: keywords and containers among the arguments, containers as results."""

from __future__ import annotations

import collections
import enum
import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api

pytestmark = pytest.mark.skipif(not api.available(), reason="there is no native code here")

Pair = collections.namedtuple("Pair", "a b")


class Mode(enum.Enum):
    ADD = 1
    TAKE = 2


def x(seed: int = 0, size: int = 4) -> Any:
    return dg.tensor(np.random.default_rng(seed).standard_normal(size).astype(np.float32))


def told(monkeypatch: pytest.MonkeyPatch, fn: Any, *calls: Callable[[Any], Any]) -> Any:
    """`fn` compiled, and told natively of calls like the first one: Python's way fails while that one is made."""
    compiled = dg.compile(fn, wait=True)
    for _ in range(5):
        calls[0](compiled)
    assert compiled._hot, compiled.explain()
    with monkeypatch.context() as m:
        m.setattr(sys.modules["dualgraph.jit.compile"], "call_key", None)
        found = calls[0](compiled)
    assert shown(found) == shown(calls[0](fn))
    for _ in range(3):
        for call in calls:
            assert shown(call(compiled)) == shown(call(fn))
    return compiled


def shown(value: Any) -> str:
    """A result with the values of its tensors, types and order of keys included."""
    if isinstance(value, dg.Tensor):
        return f"{value.dtype}{value.tolist()}"
    if isinstance(value, dict):
        return f"{type(value)}{[(k, type(k), shown(v)) for k, v in value.items()]}"
    if isinstance(value, (tuple, list)):
        return f"{type(value)}{[shown(v) for v in value]}"
    return f"{type(value)}{value!r}"


def test_keywords(monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(x: Any, y: Any = None, *, k: float = 2.0) -> Any:
        return x * k if y is None else x * k - y

    told(
        monkeypatch, fn, lambda f: f(x(), y=x(1)), lambda f: f(x()), lambda f: f(y=x(2), x=x(1)),
        lambda f: f(x=x(2), y=x(1)), lambda f: f(x(), x(1)), lambda f: f(x(), k=3.0),
        lambda f: f(x(), y=x(1), k=0.5), lambda f: f(x(), **{"".join(["y"]): x(3)}),
        lambda f: f(x(0, 5), y=x(1, 5)), lambda f: f(x(), y=x(1).astype(dg.float64)),
    )  # fmt: skip


def test_errors_of_keywords_are_those_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    f = told(monkeypatch, lambda x, *, y: x - y, lambda f: f(x(), y=x(1)))
    with pytest.raises(TypeError, match="y"):
        f(x())
    with pytest.raises(TypeError, match="z"):
        f(x(), y=x(1), z=x(2))
    with pytest.raises(TypeError):
        f(x(), x(1))


def test_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(tree: Any, mode: Any = Mode.ADD) -> Any:
        if type(tree) is dict:
            a, b = list(tree.values())[:2]
        else:
            a, b = tree[0], tree[-1]
        a = a[0] if isinstance(a, (list, tuple)) else a
        number = len(tree) + (7 if isinstance(tree, Pair) else 0) + (3 if type(tree) is list else 0)
        return a * number - b if mode is Mode.ADD else b - a * number

    for first in (
        lambda f: f((x(), x(1))),
        lambda f: f([x(), x(1)]),
        lambda f: f({"a": x(), "b": x(1)}),
        lambda f: f(Pair(x(), x(1))),
        lambda f: f(([x(), None, "s", 2, True], x(1))),
        lambda f: f([x(), x(1)], mode=Mode.TAKE),
    ):
        told(
            monkeypatch, fn, first, lambda f: f((x(2), x(1))), lambda f: f([x(2), x(1), x()]),
            lambda f: f({"b": x(), "a": x(1)}), lambda f: f({"a": x(), "b": x(1), "c": x(2)}),
            lambda f: f([x(1), x(1)]), lambda f: f(([x()], x(1))), lambda f: f(Pair(x(2), x())),
            lambda f: f([x(0, 3), x(1, 3)]), lambda f: f({1: x(), 2: x(2)}),
            lambda f: f(([x(3), None, "s", 2, 1], x(1))), lambda f: f([x(), x(1)], Mode.TAKE),
        )  # fmt: skip


def test_one_tensor_at_two_places_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(held: Any) -> Any:
        return held[0] * 2 if held[0] is held[1] else held[0] - held[1]

    one = x()
    told(
        monkeypatch, fn, lambda f: f([one, x(1)]), lambda f: f([one, one]), lambda f: f([x(), one])
    )
    told(
        monkeypatch, fn, lambda f: f([one, one]), lambda f: f([one, x(1)]), lambda f: f([x(), x()])
    )


def test_results(monkeypatch: pytest.MonkeyPatch) -> None:
    outside, marker = x(7), Mode.ADD

    def fn(x: Any, y: Any) -> Any:
        twice = x * 2
        return {
            "a": [twice, y], "b": (twice, None, 3, marker), 5: Pair(y - x, outside),
            "c": collections.OrderedDict(d=x + y), "e": [], "f": {},
        }  # fmt: skip

    f = told(monkeypatch, fn, lambda f: f(x(), x(1)), lambda f: f(x(2), x(3)))
    first, second = f(x(), x(1)), f(x(), x(1))
    assert first["a"][0] is first["b"][0] and first["a"] is not second["a"]
    assert first["b"][3] is marker and first[5].b is outside and second["a"][0] is not first["a"][0]
    y = x(1)
    assert f(x(), y)["a"][1] is y


def test_results_that_are_one_tensor_in_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, lambda x: [x + 1], lambda f: f(x()), lambda f: f(x(1)))
    told(monkeypatch, lambda x: (x + 1, x), lambda f: f(x()), lambda f: f(x(1)))
    told(monkeypatch, lambda t: {"out": t["in"] * 2}, lambda f: f({"in": x()}))


def test_what_a_function_does_to_its_own_arguments_is_done_to_these() -> None:
    scale = 2.0

    def fn(held: Any) -> Any:
        if scale > 2:
            held.append(held[0])
        return held[0] * scale

    f = dg.compile(fn, wait=True)
    for _ in range(6):
        f([x()])
    assert f._hot
    scale = 3.0
    given = [x()]
    assert f(given).tolist() == (x() * 3).tolist() and len(given) == 2


def test_calls_that_leave_their_program_are_made_with_the_same_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fn(tree: Any, *, k: Any) -> Any:
        return tree["a"] * k if tree["a"].sum() > 0 else tree["a"] - k

    plus, minus = dg.ones(4), -dg.ones(4)
    f = dg.compile(fn, wait=True)
    for _ in range(8):
        for a in (plus, minus):
            for k in (1.0, 2.0, 3.0):
                assert f({"a": a}, k=k).tolist() == fn({"a": a}, k=k).tolist()


def test_nothing_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, tree = x(), x(1), {"a": [x(2)]}
    f = told(
        monkeypatch,
        lambda x, tree, *, y: {"sum": x + y + tree["a"][0], "x": x},
        lambda f: f(a, tree, y=b),
    )
    held = (a, b, tree, tree["a"], tree["a"][0], "a", None)
    gc.collect()
    before = [sys.getrefcount(v) for v in held]
    for _ in range(1000):
        f(a, tree, y=b)
        f(a, {"a": (b,)}, y=a)
    gc.collect()
    after = [sys.getrefcount(v) for v in held]
    assert all(v < u + 500 for u, v in zip(before, after, strict=True)), (before, after)


def test_containers_from_many_threads() -> None:
    f = dg.compile(lambda tree, *, k: {"out": tree["a"] * tree["b"][0] - k}, wait=True)
    given = [({"a": x(i), "b": (x(i + 1),)}, x(i + 2)) for i in range(8)]
    expected = [(t["a"] * t["b"][0] - k).tolist() for t, k in given]
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(200):
            for (tree, k), right in zip(given, expected, strict=True):
                if f(tree, k=k)["out"].tolist() != right:
                    wrong.append(tree)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not wrong
