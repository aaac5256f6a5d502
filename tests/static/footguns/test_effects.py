"""Footguns: what the body changes besides tensors. All must equal eager mode, to the bit."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x

WEIGHT: Any = None


@both_modes(0)
def test_iterators_and_generators_in_a_closure(wrap: Wrap) -> Iterator[Any]:
    numbers = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    squares = (i * i for i in range(10))
    counter = itertools.count(1)
    f = wrap(lambda a: a * next(numbers))
    g = wrap(lambda a: a * next(squares))
    h = wrap(lambda a: a * next(counter))
    for _ in range(4):
        yield f(x()), g(x()), h(x())


@both_modes(0)
def test_python_random_numpy_random_and_time(wrap: Wrap) -> Iterator[Any]:
    random.seed(3)
    np.random.seed(3)
    generator = np.random.default_rng(3)
    f = wrap(lambda a: a * random.random())
    g = wrap(lambda a: a * float(np.random.rand()))
    h = wrap(lambda a: a * float(generator.standard_normal()))
    clock = wrap(lambda a: a * 0 + float(time.perf_counter()))
    before = clock(x())
    for _ in range(3):
        yield f(x()), g(x()), h(x())
        now = clock(x())
        yield bool((now > before).all()) or bool((now == before).all())
        before = now
    ticks = wrap(lambda: time.perf_counter_ns())
    yield ticks() != ticks()


@both_modes(0)
def test_a_counter_that_the_body_writes(wrap: Wrap) -> Iterator[Any]:
    class Model:
        def __init__(self) -> None:
            self.calls = 0
            self.seen: list[Any] = []

        def __call__(self, a: Any) -> Any:
            self.calls += 1
            return a * self.calls

    model = Model()
    f = wrap(model)
    for _ in range(4):
        yield f(x()), model.calls


@both_modes(0)
def test_an_attribute_that_is_only_written(wrap: Wrap) -> Iterator[Any]:
    class Model:
        last: Any = None

        def __call__(self, a: Any) -> Any:
            y = a * 2
            self.last = y + 1
            self.shape = a.shape
            return y

    model = Model()
    f = wrap(model)
    for i in range(4):
        yield f(x() + i), model.last, model.shape
        model.last = None


@both_modes(0)
def test_globals_and_nonlocals_that_the_body_writes(wrap: Wrap) -> Iterator[Any]:
    global WEIGHT
    count = 0

    @wrap
    def f(a: Any) -> Any:
        global WEIGHT
        nonlocal count
        WEIGHT = a * 3
        count += 1
        return a + 1

    for i in range(4):
        yield f(x() + i), WEIGHT, count


@both_modes(0)
def test_a_nonlocal_that_is_only_written(wrap: Wrap) -> Iterator[Any]:
    last = None

    @wrap
    def f(a: Any) -> Any:
        nonlocal last
        last = a * 3
        return a + 1

    for i in range(4):
        yield f(x() + i), last
        last = None


@both_modes(0)
def test_an_intermediate_is_appended_to_a_list(wrap: Wrap) -> Iterator[Any]:
    kept: list[Any] = []
    table: dict[str, Any] = {}
    names: set[Any] = set()

    @wrap
    def f(a: Any) -> Any:
        y = a * 2
        kept.append(y)
        table["y"] = y
        names.add(a.shape)
        return y.sum()

    for i in range(4):
        yield f(x() + i), len(kept), kept[-1], table["y"], len(names)
    kept.clear()
    yield f(x()), len(kept)


@both_modes(0)
def test_an_argument_that_is_a_list_is_changed(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, out: list[Any], table: dict[str, Any]) -> Any:
        out.append(a * 2)
        table["a"] = a + 1
        return a.sum()

    for i in range(4):
        out: list[Any] = []
        table: dict[str, Any] = {}
        yield f(x() + i, out, table), out, table


@both_modes(0)
def test_a_dataclass_argument_is_changed(wrap: Wrap) -> Iterator[Any]:
    @dataclasses.dataclass
    class State:
        h: Any
        n: int = 0

    @wrap
    def f(s: Any, a: Any) -> Any:
        s.h = s.h + a
        s.n += 1
        return s.h.sum()

    s = State(x())
    for _ in range(4):
        yield f(s, x()), s.h, s.n


def test_print_in_the_body_prints_on_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    @dg.compile(wait=True)
    def f(a: Any) -> Any:
        print("sum", a.sum().item())
        return a * 2

    for i in range(4):
        f(dg.ones(2) * i)
    assert capsys.readouterr().out.splitlines() == ["sum 0.0", "sum 2.0", "sum 4.0", "sum 6.0"]


def test_print_in_a_helper_prints_on_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    def shout(text: str) -> None:
        print(text)

    say = {"how": print}
    f = dg.compile(lambda a: (shout("here"), a * 2)[1], wait=True)
    g = dg.compile(lambda a: (say["how"]("there"), a * 2)[1], wait=True)
    h = dg.compile(lambda a: (list(map(print, ["map"])), a * 2)[1], wait=True)
    for _ in range(3):
        f(dg.ones(2)), g(dg.ones(2)), h(dg.ones(2))
    assert sorted(capsys.readouterr().out.split()) == ["here"] * 3 + ["map"] * 3 + ["there"] * 3
