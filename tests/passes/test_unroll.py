"""Loops over large arrays do several steps in one, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.passes.unroll import unroll
from dualgraph.static.graph import verify_types

module = import_module("dualgraph.passes.unroll")


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 8)


def decay(length: int) -> Callable[..., Any]:
    def run(u: Any, w: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            a, b = c
            return (a * 0.9 + w, dg.tanh(b - a)), None

        return dg.scan(step, (u, u * 2), None, length=length)[0]

    return run


def two(u: Any, w: Any) -> Any:
    return decay(17)(u, w)[0] + decay(33)(w, u)[1]


def arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    return tuple(dg.from_numpy(rng.standard_normal((5, 6))) for _ in range(2))  # type: ignore[return-value]


def lengths(graph: Any) -> list[int]:
    return [n.params["length"] for n in graph.nodes if "in_groups" in n.prim.details]


@pytest.mark.parametrize(
    ("length", "groups"), [(3, [3]), (15, [15]), (16, [2]), (17, [2, 1]), (70, [4, 6]), (64, [4])]
)
def test_steps_are_grouped_and_the_rest_follows(length: int, groups: list[int]) -> None:
    given = arguments()
    graph = dg.capture(decay(length), *given)
    after = unroll(graph, lambda _: True)
    verify_types(after)
    assert lengths(graph) == [length] and lengths(after) == groups
    arrays = [x.numpy() for x in given]
    for got, want in zip(after.run(*arrays), graph.run(*arrays), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()
    assert unroll(unroll(after, lambda _: False), lambda _: False) == after


@pytest.mark.parametrize("fn", [decay(18), decay(64), two])
def test_compiled_loops_have_the_bits_of_eager_mode(fn: Callable[..., Any]) -> None:
    given = arguments()
    compiled = dg.compile(fn, wait=True)
    compiled(*given)
    (program,) = compiled.programs
    assert len(lengths(program.graph)) >= len(lengths(program.captured))
    got, want = program.call(list(given)), fn(*given)
    for x, y in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True):
        assert x.numpy().tobytes() == y.numpy().tobytes()


def test_gradients_of_unrolled_loops() -> None:
    given = arguments()
    step = dg.grad(lambda u, w: (decay(20)(u, w)[1] ** 2).sum())
    compiled = dg.compile(step, wait=True, memory="1GB")
    want = step(*given).numpy()
    assert all(compiled(*given).numpy().tobytes() == want.tobytes() for _ in range(3))


def test_loops_that_take_or_give_slices_stay() -> None:
    u, w = arguments()
    graph = dg.capture(
        lambda u, w: dg.scan(lambda c, x: (c + x, c * 2), u[0], dg.concat([w] * 6)), u, w
    )
    assert unroll(graph, lambda _: True) == graph
