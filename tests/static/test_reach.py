"""Code that does not run in captures: what it mentions stands in no program's way, until it runs."""

from __future__ import annotations

import sys
from typing import Any, TypeVar, cast

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.static.code.reach import Reach, basic_blocks

T = TypeVar("T")
seen: list[str] = []
verbose = False
table = {"x": 2.0}
other: Any = None


def of_a_library(fn: Any) -> Any:
    """The function as one of an installed package's, of whose statements none are set apart."""
    fn.__code__ = fn.__code__.replace(co_filename=f"/site-packages/{__name__}.py")
    return fn


@of_a_library
def told(x: Any) -> float:
    seen.append(type(x).__name__)
    return float(id(x) > 0 and len(sys.modules) > 0)


class Layer:
    scale = 3.0

    @of_a_library
    def report(self, x: Any) -> Any:
        return x * told(x)

    @of_a_library
    def __call__(self, x: Any) -> Any:
        if verbose:
            x = self.report(x)
        return cast(T, x * self.scale)


@of_a_library
def scaled(x: Any) -> Any:
    return x * (other.scale if verbose else table["x"])


@of_a_library
def in_a_branch(x: Any, key: str) -> Any:
    if verbose:
        return x * table["y"] * told(x)
    return x * table["x"]


@of_a_library
def in_a_handler(x: Any, key: str) -> Any:
    try:
        return x * table[key]
    except KeyError:
        return x - told(x)


@of_a_library
def in_a_loop(x: Any, key: str) -> Any:
    for name in sorted(table):
        if name != "x" or (verbose and told(x)):
            x = x * table[name] * told(name)
    return x


@of_a_library
def on_a_value(x: Any, key: str) -> Any:
    y = Layer()(x)
    if y.sum() > 20:
        y = y / 2 * told(y)
    return y


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "verbose", False)
    monkeypatch.setitem(globals(), "table", {"x": 2.0})
    monkeypatch.setitem(globals(), "seen", [])


@pytest.mark.parametrize("fn", [in_a_branch, in_a_handler, in_a_loop, on_a_value])
def test_what_does_not_run_stands_in_no_way_until_it_runs(
    fn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = dg.compile(fn, wait=True)

    def both(x: Any, key: str = "x") -> None:
        before = list(seen)
        expected = fn(x, key).numpy().tobytes()
        said, seen[:] = list(seen), before
        assert compiled(x, key).numpy().tobytes() == expected
        assert seen == said

    ones = dg.ones(3)
    both(ones)
    assert "tried again" in compiled.would_compile(ones, "x").reason
    for i in range(5):
        both(ones * (i % 2))
    assert sum(p.calls for p in compiled.programs) > 1, compiled.explain()
    both(ones * 9)
    both(ones, "z")
    table["y"] = 0.5
    both(ones)
    monkeypatch.setitem(globals(), "verbose", True)
    for i in range(3):
        both(ones * i)
    monkeypatch.setitem(globals(), "verbose", False)
    del table["y"]
    for i in range(3):
        both(ones * i)
    table["x"] = -1.5
    both(ones)


def test_blocks_that_ran_are_learned() -> None:
    code = in_a_handler.__code__
    blocks = basic_blocks(code)
    assert [b.start for b in blocks] == [0, *(b.stop for b in blocks[:-1])]
    reach = Reach()
    assert reach.left_out(code) == ()
    assert reach.learn({code: [0, blocks[1].start]}) == ([], True)
    assert reach.left_out(code) == blocks[2:]
    assert reach.learn({code: [0]}) == ([], False)
    assert reach.learn({code: [blocks[2].start]}) == ([code], True)
    assert reach.left_out(code) == blocks[3:]


def test_type_hints_are_what_they_are() -> None:
    pair = dg.compile(lambda x: cast("list[T]", [cast(T, x)] * 2)[1] + len(np.shape(T)), wait=True)
    assert [pair(dg.ones(2)).tolist() for _ in range(3)] == [[1.0, 1.0]] * 3
    assert len(pair.programs) == 1


def test_code_that_ran_unwatched_beside_watched_code_is_seen_when_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(x: Any) -> Any:
        seen.append(str(x.sum().item()))
        return scaled(x)

    compiled = dg.compile(step, wait=True)
    for _ in range(4):
        compiled(dg.ones(3))
    assert len(compiled.programs) == 1
    with open(
        __file__
    ) as file:  # what a branch mentions that is not taken cannot be checked any more
        monkeypatch.setitem(globals(), "other", file)
        assert [len(compiled.programs) for _ in range(3) if compiled(dg.ones(3)).tolist()] == [
            1,
            2,
            2,
        ]
        table["x"] = 5.0
        assert compiled(dg.ones(3)).tolist() == [5.0, 5.0, 5.0]
