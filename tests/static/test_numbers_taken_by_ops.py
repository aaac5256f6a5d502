"""What ops make of numbers that were taken out of tensors: one program for all of them, with the bits of eager mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.nn import functional as F
from tests.side_by_side import attempt, frozen
from tests.static.modes import normal


def written(x: Any, n: Any) -> Any:
    y = x.clone().mul_(n)
    y[0] = n
    y[1, :2] += n
    return y


USES: dict[str, Callable[..., Any]] = {
    "bounds": lambda x, n, k: x.clip(-n, n) + dg.clamp(x, max=n),
    "exponent": lambda x, n, k: x.abs() ** n + n ** x.clip(-1, 1),
    "division": lambda x, n, k: (x % n) / n + n / (x.abs() + 1) + x // n,
    "parameters": lambda x, n, k: dg.lerp(x, x * 2, n) + dg.addcmul(x, x, x, value=n),
    "comparison": lambda x, n, k: dg.where(x > n, x, n) + (x == k),
    "creation": lambda x, n, k: dg.full((4,), n) + dg.linspace(0, n, 4) + dg.tensor(n) + x,
    "writes": lambda x, n, k: written(x, n) + x.clone().fill_(n),
    "other dtypes": lambda x, n, k: (x.double() * n, x.half() * n, x.long() * k, x.long() * n),
    "random numbers": lambda x, n, k: (
        dg.empty(3).uniform_(0, n), dg.normal(n, 1.0, (3,)), F.dropout(x, p=n / 10), F.gumbel_softmax(x, tau=n),
    ),
    "Python's and NumPy's functions": lambda x, n, k: x * math.floor(n) + np.sqrt(n) * x + max(n, k) * x,
    "layers": lambda x, n, k: F.layer_norm(x, (4,), eps=n) + F.leaky_relu(x, n / 10) + F.elu(x, n),
    "losses": lambda x, n, k: F.huber_loss(x, x * 0, delta=n) + (x / n).softmax(-1),
    "conditions": lambda x, n, k: dg.cond(x.sum() > n, lambda y: y * n, lambda y: y - n, x),
}  # fmt: skip


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_any_number_is_served_by_one_program(use: Callable[..., Any]) -> None:
    def step(x: Any) -> Any:
        n = x.abs().mean().item() + 0.1
        return use(x, n, (x > 1).sum().item()), n

    f = dg.compile(step, wait=True)
    for i in range(16):
        x = normal(8, 4, seed=i) * (1 + i % 3)
        seen = []
        for run in (step, f):
            dg.manual_seed(i)
            seen.append(frozen(run(x)))
        assert seen[0] == seen[1], f.explain()
    assert len(f.programs) <= 2 and sum(p.calls for p in f.programs) > 6, f.explain()


def test_counts_of_numbers_that_have_a_bin_each_need_one_program() -> None:
    def confusion(y: Any, found: Any) -> Any:
        return dg.bincount(y * 4 + found, minlength=16).reshape(4, 4)

    f = dg.compile(confusion, wait=True)
    for i in range(6):
        y, found = dg.tensor(np.random.default_rng(i).integers(0, 4, (2, 9)))
        assert frozen(f(y, found)) == frozen(confusion(y, found))
    assert len(f.programs) == 1 and f.programs[0].calls == 5, f.explain()
    for y in (dg.tensor([5, 0, 4]), dg.tensor([0, -1, 3])):
        told = [str(attempt(lambda g=g, y=y: g(y, y * 0))) for g in (f, confusion)]
        assert told[0].partition("\n")[0] == told[1].partition("\n")[0]
