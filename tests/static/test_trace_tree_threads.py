"""Trace trees and threads: eight threads call one function from its first call on, each on paths of its own."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import frozen
from tests.static.modes import normal

THREADS = 8
CALLS = 24


@pytest.fixture(autouse=True)
def threads_change_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], None]) -> None:
    """Runs ``work(i)`` in each thread, begun together; raises what one of them raised."""
    start = threading.Barrier(THREADS)
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            start.wait()
            work(i)
        except BaseException as error:  # shown by the caller
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def three_branches(x: Any) -> Any:
    y = (x * 2).exp()
    y = y.sin() if x[0] > 0 else y.cos()
    if x[1] > 0:
        y = y + x
    return y.sum() if x[2] > 0 else y * y


def halved(x: Any) -> Any:
    n = 0
    while x.abs().sum() > 1:
        x, n = x / 2, n + 1
    return x, n


def rounded(x: Any) -> Any:
    k = int(x.sum().item()) % 4
    return x * k, round(x.mean().item(), 1) > 0, k


def asserted(x: Any) -> Any:
    total = x.sum()
    assert total < 1e6
    for i in range(3):
        if x[i] > 0:
            total = total + x[i] * i
    return total.item()


def with_gradients(x: Any) -> Any:
    def loss(v: Any) -> Any:
        w = (v * v).sum()
        return w.sqrt() if w > 3 else w * 2

    return dg.value_and_grad(loss)(x)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("fn", [three_branches, halved, rounded, asserted, with_gradients])
def test_every_thread_gets_what_eager_mode_gives(fn: Any, wait: bool) -> None:
    data = [[normal(4, seed=100 * i + j) for j in range(CALLS)] for i in range(THREADS)]
    expected = [[frozen(fn(x)) for x in row] for row in data]
    f = dg.compile(fn, wait=wait)

    def work(i: int) -> None:
        for x, want in zip(data[i], expected[i], strict=True):
            assert frozen(f(x)) == want

    at_once(work)
    f.wait()
    at_once(work)
    # The first calls may have ended with programs dropped, to be captured in another way; that waits for some calls
    # where those of eight threads took long, so that no program seemed to pay.
    for x, want in zip(100 * data[0], 100 * expected[0], strict=True):
        if f.programs:
            break
        assert frozen(f(x)) == want
    assert f.programs, f.explain()


def test_threads_train_models_of_their_own_through_one_function() -> None:
    def world(seed: int) -> Any:
        dg.manual_seed(seed)
        model = dg.nn.Sequential(dg.nn.Linear(3, 4), dg.nn.Tanh(), dg.nn.Linear(4, 1))
        return model, dg.optim.SGD(model.parameters(), lr=0.1)

    def step(model: Any, optimiser: Any, x: Any, y: Any) -> float:
        optimiser.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        if loss > 0.7:
            loss = loss.sqrt()
        loss.backward()
        optimiser.step()
        return float(loss)

    data = [(normal(5, 3, seed=j), normal(5, 1, seed=50 + j)) for j in range(8)]
    plain = [world(i) for i in range(THREADS)]
    expected = [[step(*w, *d) for d in data] for w in plain]
    worlds = [world(i) for i in range(THREADS)]
    f = dg.compile(step)
    found: list[list[float]] = [[] for _ in range(THREADS)]

    def work(i: int) -> None:
        for x, y in data:
            found[i].append(f(*worlds[i], x, y))

    at_once(work)
    assert found == expected
    for (model, _), (other, _) in zip(worlds, plain, strict=True):
        assert frozen(model.state_dict()) == frozen(other.state_dict())


scale = {"by": 1.5}


def with_numbers(x: Any, a: float, k: int) -> Any:
    y = x * math.sqrt(abs(a) + 1) * scale["by"]
    y = y * 2 if y.sum() > 0 else y - float(k)
    while y.abs().sum() > 20:
        y = y * 0.5
    return y.sort(0)[0], y.shape[0], a * k


@pytest.mark.parametrize("wait", [False, True])
def test_numbers_and_sizes_of_one_thread_are_not_those_of_another(wait: bool) -> None:
    """A capture has stand-ins for numbers and for `math` at places that the code of all threads reads."""

    def given(i: int, j: int) -> Any:
        x = normal((1, 2, 3, 5, 6, 8, 12, 17)[(i * 3 + j * 5) % 8], 4, seed=100 * i + j)
        return x + (-1) ** (i + j), (0.1, 0.25, 0.7, 1.5, -0.3)[(i + j) % 5], (i * j) % 4

    expected = [[frozen(with_numbers(*given(i, j))) for j in range(12)] for i in range(THREADS)]
    f = dg.compile(with_numbers, wait=wait)

    def work(i: int) -> None:
        for j in range(12):
            assert frozen(f(*given(i, j))) == expected[i][j]
            if j % 4 == 0:
                f.explain(), f.would_compile(*given(i, j))

    at_once(work)
    f.wait()
    at_once(work)
    assert with_numbers.__globals__["math"] is math and type(scale["by"]) is float
