"""Eager loops run as compiled programs after a while, with the bits of plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends import eager_loops
from dualgraph.backends.native import api as native
from dualgraph.core.errors import DualgraphError
from dualgraph.static.graph import Graph
from tests.fuzz.test_tree_nests import check_modes

needs_native = pytest.mark.skipif(not native.available(), reason="no native code here")


@pytest.fixture
def eagerly_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loops are compiled from their second run on."""
    monkeypatch.setattr(eager_loops, "WORTH", 0.0)
    eager_loops._loops.clear()
    yield
    eager_loops._loops.clear()


def settled() -> int:
    """Waits for what is being compiled; how many loops are."""
    jobs = [loop.job for loop in eager_loops._loops.values() if loop.job is not None]
    for job in jobs:
        job.result()
    return len(jobs)


def bits(tensors: Any) -> list[bytes]:
    return [np.asarray(t.numpy()).tobytes() for t in tensors]


def step_of(model: Any, x: Any) -> list[bytes]:
    model.zero_grad()
    out, last = model(x)
    (out * out).sum().backward()
    last = last if isinstance(last, tuple) else (last,)
    return bits([out.detach(), *(h.detach() for h in last), *(p.grad for p in model.parameters())])


@needs_native
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_recurrent_layers_keep_their_bits_once_compiled(eagerly_compiled: None, kind: str) -> None:
    dg.manual_seed(0)
    model = getattr(dg.nn, kind)(5, 7, num_layers=2, bidirectional=True)
    x = dg.randn(6, 3, 5)
    first = step_of(model, x)
    assert step_of(model, x) == first
    assert settled() == 4  # both directions of both layers, and back
    assert step_of(model, x) == first
    with dg.no_grad():
        assert bits(model(x)[:1]) == first[:1]


@needs_native
def test_a_loop_is_compiled_once_for_equal_bodies(eagerly_compiled: None) -> None:
    w = dg.randn(4, 4).requires_grad_()

    def run() -> Any:
        return dg.scan(lambda c, x: (dg.tanh(c @ w + x), c.sum()), dg.zeros(2, 4), dg.ones(9, 2, 4))

    results = [bits(t.detach() for t in run()) for _ in range(2)]
    assert settled() == 1
    results += [bits(t.detach() for t in run()) for _ in range(2)]
    assert len(eager_loops._loops) == 1
    assert all(r == results[0] for r in results)


@needs_native
def test_a_loop_with_many_turns_and_conditions(eagerly_compiled: None) -> None:
    a = dg.asarray([2.0, 3.0]).requires_grad_()

    def newton(a: Any) -> Any:
        def step(s: Any) -> Any:
            return dg.cond((s > 0).all(), lambda t: 0.5 * (t + a / t), lambda t: -t, s)

        return dg.while_loop(lambda s: abs(s * s - a).max() > 1e-5, step, a * 1.0, max_steps=30)

    def run() -> list[bytes]:
        out = newton(a)
        (g,) = dg.autograd.grad(out.sum(), a)
        return bits([out.detach(), g])

    first = run()
    for _ in range(3):
        assert run() == first
        settled()
    assert any(loop.program for loop in eager_loops._loops.values())


@needs_native
def test_a_fault_in_a_compiled_loop_is_named_as_before(eagerly_compiled: None) -> None:
    table = dg.randn(5, 3).requires_grad_()

    def run(rows: Any) -> Any:
        return dg.scan(lambda c, i: (c + dg.take(table, i, axis=0).sum(0), None), dg.zeros(3), rows)

    good = dg.asarray([[0, 1], [4, 2]])
    before = [bits([run(good)[0].detach()]) for _ in range(2)]
    assert settled() == 1
    with pytest.raises(DualgraphError, match=r"take|index"):
        run(dg.asarray([[0, 1], [9, 2]]))
    assert bits([run(good)[0].detach()]) == before[0]


@needs_native
def test_loops_that_never_come_again_are_not_kept(eagerly_compiled: None) -> None:
    x = dg.ones(3).requires_grad_()
    for n in range(eager_loops.KEPT + 5):
        dg.scan(lambda c, _: (c * 2.0, None), x, length=n + 1)
    assert len(eager_loops._loops) <= eager_loops.KEPT
    assert settled() == 0


def test_layers_are_written_down_without_gradients_too() -> None:
    dg.manual_seed(1)
    model, x = dg.nn.LSTM(3, 4), dg.randn(6, 2, 3)
    out, (h, c) = model(x)
    with dg.no_grad():
        again, (h2, c2) = model(x)
    assert bits([out.detach(), h.detach(), c.detach()]) == bits([again, h2, c2])
    h2.add_(1)  # results are memory of their own
    assert bits([model(x)[0].detach()]) == bits([again])


def test_a_thousand_steps_are_stacked() -> None:
    xs = dg.ones(1200, 2)
    for _ in range(3):  # calls like an earlier one are told by what they were known by
        assert dg.scan(lambda c, x: (c + x, c), dg.zeros(2), xs)[1].shape == (1200, 2)
        assert dg.stack([xs[0]] * 1200).shape == (1200, 2)


@needs_native
def test_bodies_of_symbolic_sizes_get_no_program_of_their_own(
    eagerly_compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops on the tape of a compiled call may hold for all sizes, which such a program would not be told."""
    seen, compiled = [], eager_loops.compiled

    def spy(backend: Any, graph: Graph) -> Any:
        seen.extend(str(p) for n in graph.nodes for p in n.params.values() if isinstance(p, Graph))
        return compiled(backend, graph)

    monkeypatch.setattr(eager_loops, "compiled", spy)
    for mode in ("compiled beside", "compiled on numpy", "compiled on numpy"):
        check_modes(9008, 1, mode)
        settled()
    assert seen
    assert not any("sizes s0" in text for text in seen)
