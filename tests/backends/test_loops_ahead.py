"""What a loop's steps make of operands that stay the same is made once, before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api as native
from dualgraph.backends.native import loops

pytestmark = pytest.mark.skipif(not native.available(), reason="no native code here")


@pytest.fixture
def made_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """For each loop written: kernels that its body wants ahead, and those that a loop around it does instead."""
    found: list[tuple[int, int]] = []
    write = loops._Loop._write_ahead

    def counted(self: Any) -> None:
        outer = self.frame.ahead
        before = 0 if outer is None else len(outer.kernels)
        write(self)
        found.append(
            (len(self.ahead.kernels), (0 if outer is None else len(outer.kernels)) - before)
        )

    monkeypatch.setattr(loops._Loop, "_write_ahead", counted)
    yield found


def agree(fn: Callable[..., Any], *args: Any) -> None:
    """Captured and eager runs give the same bits; twice, as the second run finds the memory used."""
    want = [np.asarray(t.numpy()).tobytes() for t in fn(*args)]
    compiled = dg.compile(fn, wait=True)
    for _ in range(3):
        assert [np.asarray(t.numpy()).tobytes() for t in compiled(*args)] == want


def cell(w: Any, turned: bool = False) -> Callable[[Any, Any], Any]:
    return lambda h, x: ((new := dg.tanh(h @ (w.T if turned else w) + x)), new.sum())


@pytest.mark.parametrize("rows", [1, 3, 8, 9, 40])
@pytest.mark.parametrize("turned", [False, True])
def test_a_weight_is_packed_once(
    made_ahead: list[tuple[int, int]], rows: int, turned: bool
) -> None:
    w, xs = dg.randn(192, 192) * 0.1, dg.randn(5, rows, 192)
    agree(lambda w, xs: dg.scan(cell(w, turned), xs[0], xs), w, xs)
    if rows > 8 or (turned and rows > 1):
        assert {ahead for ahead, _ in made_ahead} == {1}


def test_the_left_operand_is_packed_once(made_ahead: list[tuple[int, int]]) -> None:
    w, h = dg.randn(200, 200) * 0.1, dg.randn(200, 24)
    agree(lambda w, h: dg.scan(lambda h, _: (dg.tanh(w @ h), None), h, length=4)[:1], w, h)
    assert {ahead for ahead, _ in made_ahead} == {1}


def test_a_loop_in_a_loop_leaves_it_to_the_outer_one(made_ahead: list[tuple[int, int]]) -> None:
    w, xs = dg.randn(128, 128) * 0.1, dg.randn(3, 4, 16, 128)

    def run(w: Any, xs: Any) -> Any:
        return dg.scan(lambda h, rows: dg.scan(cell(w), h, rows), xs[0, 0], xs)

    agree(run, w, xs)
    assert (1, 1) in made_ahead  # the inner loop hands it on


def test_what_only_the_inner_loop_keeps_is_made_anew_for_each(
    made_ahead: list[tuple[int, int]],
) -> None:
    w, xs = dg.randn(128, 128) * 0.1, dg.randn(4, 16, 128)

    def run(w: Any, xs: Any) -> Any:
        def outer(w: Any, _: Any) -> Any:
            h, sums = dg.scan(cell(w), xs[0], xs)
            return w * 0.5 + 0.01, (h, sums)

        return _leaves(dg.scan(outer, w, length=3))

    agree(run, w, xs)
    assert (1, 0) in made_ahead


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def test_in_while_loops_and_branches(made_ahead: list[tuple[int, int]]) -> None:
    w, h = dg.randn(128, 128) * 0.1, dg.randn(16, 128)

    def run(w: Any, h: Any) -> Any:
        def step(s: Any) -> Any:
            i, h = s
            h = dg.cond(i % 2 == 0, lambda h: dg.tanh(h @ w), lambda h: dg.sin(h @ w.T), h)
            return i + 1, h

        return _leaves(dg.while_loop(lambda s: s[0] < 5, step, (dg.asarray(0), h)))

    agree(run, w, h)
    assert (2, 0) in made_ahead


def test_of_calls_with_other_weights() -> None:
    xs = dg.randn(5, 16, 128)
    run = dg.compile(lambda w, xs: dg.scan(cell(w), xs[0], xs), wait=True)
    for seed in range(4):
        dg.manual_seed(seed)
        w = dg.randn(128, 128) * 0.1
        want = dg.scan(cell(w), xs[0], xs)
        got = run(w, xs)
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(got, want, strict=True))


def test_gradients_over_threads(made_ahead: list[tuple[int, int]]) -> None:
    dg.manual_seed(0)
    model, x = dg.nn.GRU(96, 96), dg.randn(6, 12, 96)

    def step(x: Any) -> Any:
        model.zero_grad()
        out, h = model(x)
        (out * out).mean().backward()
        return [out.detach(), h.detach(), *[p.grad for p in model.parameters()]]

    threads = dg.get_num_threads()
    try:
        for n in (1, 2, 3):
            dg.set_num_threads(n)
            agree(step, x)
    finally:
        dg.set_num_threads(threads)
    assert (1, 0) in made_ahead
