"""Resizing: a new size fills the tables of one native program, with the bits of eager mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph import nn, optim
from dualgraph.backends.native import api as native
from dualgraph.backends.resizing import AtSizes
from dualgraph.jit.dynamic import Template

pytestmark = pytest.mark.skipif(not native.available(), reason="there is no native code")
SIZES = (20, 3, 17, 2, 64, 33, 5, 100, 20)


def tensor(rng, *shape):
    return dg.tensor(rng.standard_normal(shape).astype(np.float32))


def template_of(compiled):
    *_, template = (p for p in compiled.programs if isinstance(p, Template))
    return template


def check(eager, fn, make, first=(8, 12), sizes=SIZES, shared=True):
    """Runs `fn` compiled beside `eager`; new sizes must go through the one program."""
    compiled = dg.compile(fn, wait=True)
    for n in (*first, *sizes):
        args = make(np.random.default_rng(n), n)
        dg.manual_seed(n)
        expected = eager(*args)
        dg.manual_seed(n)
        got = compiled(*args)
        pairs = zip(got, expected, strict=True) if type(got) is tuple else [(got, expected)]
        for x, y in pairs:
            np.testing.assert_array_equal(x.numpy(force=True), y.numpy(force=True))
        if shared and n not in first:
            assert isinstance(template_of(compiled).at((n,))._executable, AtSizes), n
    assert len(compiled.programs) == 2
    return compiled


W = tensor(np.random.default_rng(0), 5, 7)


def views_and_copies(x):
    y = x.reshape(-1, 5, 1).transpose(0, 1)[:, 1:] * 2
    return y.relu(), dg.concat([x, x * 2], axis=0), F.pad(x, (1, 2)), x.T[::2] + 0.5


def rows_taken(x):
    at = dg.argmax(x, axis=0)
    return dg.take(x, at, axis=0) * 2, dg.where(x > 0, x, 0.0).cumsum(0)


def attention(x):
    q = (x @ W)[None, None]
    return F.scaled_dot_product_attention(q, q * 0.5, q + 1, is_causal=True), dg.softmax(x, -1)


def running(x):
    def step(c, row):
        return c * 0.5 + row @ W[:, :5], c

    last, rows = dg.scan(step, dg.zeros(5), x)
    return last, rows


def steps_of_numpy(x):
    y = (x @ W).relu()
    values, at = dg.topk(y.sort(0).values * 2, 2, dim=1)
    middle = y.T.reshape(-1, 7).median(0).values + values.sum()
    turned = dg.linalg.inv(x.T @ x + dg.eye(5)) * 2
    return (
        at + 1,
        middle,
        turned,
        dg.argsort(y.reshape(-1, 7), axis=1),
        dg.quantile(x + 1, 0.5, dim=0),
    )


@pytest.mark.parametrize(
    "fn",
    [views_and_copies, rows_taken, attention, running, steps_of_numpy],
    ids=lambda f: f.__name__,
)
def test_one_program_at_all_sizes(fn):
    one = () if fn is views_and_copies else (1,)  # of one row it takes all but the first: nothing
    check(fn, fn, lambda rng, n: (tensor(rng, n, 5),), sizes=(*one, *SIZES, *one))


def test_sums_over_many_rows_are_of_the_same_program():
    fn = lambda x: (x.sum(0), x.mean(), (x * 2).amax(0), (x + 1).std(0))  # noqa: E731
    check(fn, fn, lambda rng, n: (tensor(rng, n, 5),), sizes=(300, 50_000, 1, 120_000))


def step_of(make):
    dg.manual_seed(3)
    model = make()
    optimiser = optim.AdamW(model.parameters(), lr=0.01)

    def step(x, y):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimiser.step()
        return loss

    return step


class Words(nn.Module):
    """A small transformer over words, whose score is of the last one."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.score = nn.Linear(16, 4)

    def forward(self, x):
        return self.score(self.block(self.words(x))[:, -1])


def images():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4)
    )


def labels(rng, n):
    return dg.tensor(rng.integers(0, 4, n))


@pytest.mark.parametrize("kind", ["images", "words"])
def test_training_steps(kind):
    if kind == "images":
        make, batch = images, lambda rng, n: (tensor(rng, n, 1, 6, 6), labels(rng, n))
    else:
        make = Words
        batch = lambda rng, n: (dg.tensor(rng.integers(0, 11, (n, 6))), labels(rng, n))  # noqa: E731
    check(step_of(make), step_of(make), batch, sizes=(20, 3, 33, 1, 2))


def test_sizes_taking_turns_in_many_threads():
    def fn(x):
        return dg.softmax(x @ W, -1).sum(0), x.relu().mean(1)

    compiled = check(fn, fn, lambda rng, n: (tensor(rng, n, 5),))
    given = [tensor(np.random.default_rng(n), n, 5) for n in range(40, 48)]
    wanted = [fn(x) for x in given]

    def calls(i):
        for _ in range(20):
            for got, expected in zip(compiled(given[i]), wanted[i], strict=True):
                np.testing.assert_array_equal(got.numpy(), expected.numpy())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, range(8)))


def test_a_loop_that_python_sees_to_leaves_each_size_a_program():
    def fn(x):
        return dg.scan(lambda c, row: (dg.linalg.inv(c + dg.eye(5)), c @ row), dg.eye(5), x)

    compiled = check(fn, fn, lambda rng, n: (tensor(rng, n, 5),), shared=False)
    assert template_of(compiled).resizing is None
