"""No stall: calls do not wait for the compiler, and the first one takes about as long as an eager one."""

from __future__ import annotations

import sys
import threading
from statistics import median
from time import perf_counter
from typing import Any

import dualgraph as dg
from dualgraph import nn


def training_step() -> Any:
    dg.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    optimizer = dg.optim.Adam(model.parameters())

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batch() -> tuple[Any, Any]:
    dg.manual_seed(1)
    return dg.randn(8, 1, 8, 8), dg.randint(0, 10, (8,))


def test_calls_go_on_eagerly_while_the_compiler_is_held_up() -> None:
    background = sys.modules["dualgraph.compile"]._background  # `dg.compile` is the function
    go_on = threading.Event()
    background.submit(go_on.wait)
    try:
        eager, step, data = training_step(), dg.compile(training_step()), batch()
        expected = [eager(*data).item() for _ in range(5)]
        found = [step(*data).item() for _ in range(4)]
        (program,) = step.programs
        assert not program.ready and program.calls == 0
    finally:
        go_on.set()
    step.wait()
    assert program.ready
    found.append(step(*data).item())
    assert found == expected and program.calls == 1


def test_the_first_call_takes_about_as_long_as_an_eager_one() -> None:
    data, eager, first = batch(), [], []
    training_step()(*data)  # kernels of eager mode are there
    for _ in range(3):
        step = training_step()
        begun = perf_counter()
        step(*data)
        eager.append(perf_counter() - begun)
        compiled = dg.compile(training_step())
        begun = perf_counter()
        compiled(*data)
        first.append(perf_counter() - begun)
        compiled.wait()
    assert median(first) < 10 * median(eager) + 0.1, (first, eager)
