"""Functions whose results Python keeps, called in compiled ones: what they keep is state, and may change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import dualgraph as dg

made: list[Any] = []


class Recipe:
    def __init__(self, n: int) -> None:
        self.n, self.axes = n, [0]


@functools.cache
def recipe(n: int, kind: str = "sum") -> Recipe:
    made.append((n, kind))
    return Recipe(n)


@functools.lru_cache(maxsize=2)
def table(n: int) -> dg.Tensor:
    return dg.arange(n, dtype=dg.float32) / n


@functools.cache
def weights(n: int) -> list[float]:
    return [float(i) for i in range(n)]


@functools.lru_cache
def noise(n: int) -> Any:
    return dg.rand(n)


class Net:
    @functools.cache  # noqa: B019
    def mask(self, n: int) -> Any:
        return dg.ones(n) * 2

    def __call__(self, x: Any, k: int = 2) -> Any:
        n = x.shape[-1]
        y = x * self.mask(n) * recipe(n, kind="mean").n + table(n) + noise(n)
        return y.sum(recipe(n, kind="mean").axes[0]) * weights(k)[1]


def changes() -> list[Callable[[], Any]]:
    """What may happen to such results between calls."""
    return [
        lambda: setattr(recipe(3, kind="mean"), "n", 7),
        lambda: recipe(3, kind="mean").axes.__setitem__(0, -1),
        lambda: weights(2).__setitem__(1, -4.0),
        lambda: table(3).add_(1),
        table.cache_clear,
        lambda: [table(i) for i in range(5, 9)],  # the one in use goes
        noise.cache_clear,
        recipe.cache_clear,
    ]


@pytest.fixture(autouse=True)
def _as_it_was() -> None:
    for function in (recipe, table, weights, noise, Net.mask):
        function.cache_clear()
    made.clear()


def test_what_is_kept_is_as_in_eager_mode_whatever_happens_to_it() -> None:
    net = Net()
    compiled = dg.compile(net.__call__, wait=True)

    def both(x: Any, k: int = 2) -> None:
        assert compiled(x, k).numpy().tobytes() == net(x, k).numpy().tobytes()

    for i in range(5):
        both(dg.ones(3) * i)
    assert sum(p.calls for p in compiled.programs) == 3, compiled.explain()
    assert made == [(3, "mean")]
    for change in changes():
        change()
        for i in range(3):
            both(dg.ones(3) * i)
    for n in (4, 3, 4, 5, 3):
        both(dg.ones(n), 2 + n % 2)
    assert sum(p.calls for p in compiled.programs) > 10, compiled.explain()


def test_what_one_cannot_keep_is_refused_by_name() -> None:
    @functools.cache
    def of_a_tensor(x: Any) -> Any:
        return x * 2

    def forgets(x: Any) -> Any:
        table.cache_clear()
        return x + table(3)

    x = dg.ones(3)
    for fn, why in ((lambda x: of_a_tensor(x) + 1, "is given a tensor"), (forgets, "forgets")):
        compiled = dg.compile(fn, wait=True)
        assert [compiled(x).tolist() for _ in range(3)] == [fn(x).tolist()] * 3
        assert not compiled.programs
        assert why in compiled.explain()
    assert type(table) is type(recipe)  # no stand-in stays behind


def test_results_that_are_never_kept_leave_the_function_to_eager_mode() -> None:
    @functools.lru_cache(maxsize=0)
    def fresh(n: int) -> list[int]:
        made.append(n)
        return [n]

    compiled = dg.compile(lambda x: x * fresh(3)[0], wait=True)
    for i in range(12):
        assert compiled(dg.ones(2)).tolist() == [3.0, 3.0]
        assert len(made) == i + 1 or compiled.programs
    assert not compiled.programs


def test_what_else_stands_in_the_way_goes_meanwhile() -> None:
    def logged(x: Any) -> Any:
        made.append(id(x) > 0)
        return x * recipe(3).n

    compiled = dg.compile(logged, wait=True)
    assert [compiled(dg.ones(2)).tolist() for _ in range(2)] == [[3.0, 3.0]] * 2
    assert len(compiled.programs) == 1, compiled.explain()
