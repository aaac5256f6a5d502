"""Loops and conditions at sizes that change: two captures serve all of them, with the bits of eager mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim
from dualgraph.jit.compile import Compiled
from tests.static.test_dynamic import check, same, tensor

W = tensor(np.random.default_rng(2), 5, 5)
lstm = nn.LSTM(5, 6, batch_first=True)
both_ways = nn.GRU(5, 4, 2, bidirectional=True)


def rows(rng: Any, n: int) -> Any:
    return (tensor(rng, n, 5),)


def sequences(rng: Any, n: int) -> Any:
    return (tensor(rng, 3, n, 5),)


def batches(rng: Any, n: int) -> Any:
    return (tensor(rng, n, 4, 5),)


def both(rng: Any, n: int) -> Any:
    return (tensor(rng, n, n + 2, 5),)


def gradients(loss: Any, module: Any) -> Any:
    return tuple(dg.autograd.grad(loss, list(module.parameters())))


def decay(x: Any) -> Any:
    return dg.scan(lambda c, r: ((c @ W * 0.3 + r).tanh(), c.sum()), dg.zeros(5), x)


def backwards(x: Any) -> Any:
    return dg.scan(lambda c, r: (c + r / x.shape[0], c * r), x[:1].sum(0), x, reverse=True)


def of_length(x: Any) -> Any:
    return dg.scan(lambda c, _: (c * 0.9 + x.sum(0), None), x.sum(0), None, length=x.shape[0])[0]


def nested(x: Any) -> Any:
    def inner(c: Any, r: Any) -> Any:
        return dg.scan(lambda d, q: (d + q * c.sum(), None), dg.zeros(()), r)[0]

    return dg.scan(lambda c, r: (c + inner(c, r), c), dg.zeros(()), x)


def mapped(x: Any) -> Any:
    return dg.map(lambda r: r * x.shape[0] + x.sum(0) / len(x), x)


def chosen(x: Any) -> Any:
    shift = dg.arange(x.shape[0])[:, None]
    return dg.cond(x.sum() > 0, lambda x: x / x.shape[0], lambda x: x + shift, x)


def grown(x: Any) -> Any:
    start = (dg.tensor(0), dg.zeros(5))
    return dg.while_loop(lambda s: s[0] < x.shape[0], lambda s: (s[0] + 1, s[1] + x[s[0]]), start)


def drawn(x: Any) -> Any:
    dg.manual_seed(0)
    return dg.scan(lambda c, r: (F.dropout(c * 0.9 + r, 0.3), c), dg.zeros(5), x)


def summed_slope(x: Any) -> Any:
    def loss(w: Any) -> Any:
        steps = dg.scan(lambda c, r: ((c @ w * 0.3 + r).tanh(), c.sum()), dg.zeros(5), x)
        return steps[0].sum() + steps[1].sum() / x.shape[0]

    return dg.grad(loss)(W)


def curved(x: Any) -> Any:
    def loss(w: Any) -> Any:
        return dg.scan(lambda c, r: ((c @ w * 0.3 + r).tanh(), None), dg.zeros(5), x)[0].sum()

    return dg.grad(lambda w: (dg.grad(loss)(w) ** 2).sum())(W)


def bounded(x: Any) -> Any:
    def loss(x: Any) -> Any:
        step = lambda c: c * 1.5 + x / x.shape[0]  # noqa: E731
        return dg.while_loop(lambda c: (c * c).sum() < 1000, step, x, max_steps=6).sum()

    return dg.grad(loss)(x)


def recurrent(x: Any) -> Any:
    return lstm(x)[0], lstm(x)[1][1]


def trained(x: Any) -> Any:
    return gradients((lstm(x)[0][:, -1] ** 2).mean(), lstm)


def trained_both_ways(x: Any) -> Any:
    return gradients((both_ways(x)[0] ** 2).sum() / x.numel(), both_ways)


# Each with the programs it may take: where few rows are another matter, one or two more than two.
CASES = [
    (decay, rows, 2), (backwards, rows, 4), (of_length, rows, 3), (nested, rows, 2), (mapped, rows, 3),
    (chosen, rows, 3), (grown, rows, 2), (drawn, rows, 2), (summed_slope, rows, 2), (curved, rows, 2),
    (bounded, rows, 3), (recurrent, sequences, 2), (recurrent, batches, 3), (recurrent, both, 4),
]  # fmt: skip
LEARNING = [(trained, sequences), (trained, batches), (trained, both), (trained_both_ways, both)]


@pytest.mark.parametrize(("fn", "make", "most"), CASES, ids=lambda v: getattr(v, "__name__", ""))
def test_loops_and_branches_are_for_all_sizes(fn: Any, make: Any, most: int) -> None:
    check(fn, make, programs=most)


@pytest.mark.parametrize(("fn", "make"), LEARNING, ids=lambda v: getattr(v, "__name__", ""))
def test_gradients_of_recurrent_layers_are_for_all_sizes(fn: Any, make: Any) -> None:
    check(fn, make, sizes=(4, 6, 1, 17), programs=4)


def test_a_loop_of_no_steps() -> None:
    compiled = check(decay, rows, sizes=(4, 6, 0, 9, 0), programs=3)
    assert not any(p.failure for p in compiled.programs)


def test_sequences_of_new_lengths_are_not_captured(monkeypatch: Any) -> None:
    compiled = check(recurrent, sequences, sizes=(4, 6))
    monkeypatch.setattr(Compiled, "_capture", lambda *a, **k: pytest.fail("captured"))
    for n in (1, 3, 50, 2, 9):
        x = tensor(np.random.default_rng(n), 3, n, 5)
        same(compiled(x), recurrent(x))


def test_training_on_sequences_of_all_lengths_and_batches_of_all_sizes() -> None:
    def trainer() -> Any:
        dg.manual_seed(3)
        net = nn.ModuleList([nn.LSTM(5, 6, batch_first=True), nn.Linear(6, 2)])
        optimiser = optim.Adam(net.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            optimiser.zero_grad()
            loss = F.cross_entropy(net[1](net[0](x)[0][:, -1]), y)
            loss.backward()
            optimiser.step()
            return loss

        return net, step

    (net, eager), (other, step) = trainer(), trainer()
    compiled = dg.compile(step, wait=True)
    for n, k in [(4, 7), (4, 9), (3, 9), (5, 5), (2, 12), (4, 7), (6, 3), (7, 11)]:
        rng = np.random.default_rng(n * k)
        x, y = tensor(rng, n, k, 5), dg.tensor(rng.integers(0, 2, n))
        same(compiled(x, y), eager(x, y))
        for p, q in zip(net.parameters(), other.parameters(), strict=True):
            same(p, q)
    assert len(compiled.programs) <= 4, compiled.explain()


def test_the_text_of_a_symbolic_loop_parses_back() -> None:
    compiled = check(chosen, rows, sizes=(4, 6))
    graph = compiled.programs[1].graph
    assert dg.parse(str(graph)) == graph
