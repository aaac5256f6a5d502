"""Symbolic sizes in functions whose statements print, log and keep, and that exchange tensors: as in eager mode."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import frozen

SIZES = (4, 7, 5, 9, 33, 2, 1, 12)


class Holder:
    def __init__(self):
        self.count, self.rows, self.last, self.h = 0, 0, None, dg.zeros(3)
        self.log, self.table = [], {}


def printing(c, x):
    n = x.shape[0]
    print(f"rows {n}", x.size(0) + 1, x.shape, isinstance(n, int))
    return x.sum(0) / n


def appending(c, x):
    y = (x * x).mean()
    c.log.append((x.shape[0], y.item(), [math.sqrt(len(x)), x.shape]))
    return y * x.numel()


def counting(c, x):
    n = x.shape[0]
    c.count += 1
    c.rows += n
    c.last = n
    c.table[n] = {"rows": n * 2}
    return x.relu()


def in_blocks(c, x):
    if x.shape[0] % 2:
        c.log.append(("odd", x.shape[0]))
    try:
        c.log.append(1 // (x.shape[0] - 5))
    except ZeroDivisionError:
        print("five")
    return dg.softmax(x, 0)


def exchanging(c, x):
    c.h = c.h * 0.9 + x.mean(0)
    return x - c.h


def all_of_it(c, x):
    c.h = c.h + x.sum(0) / x.shape[0]
    c.count += 1
    print(x.shape[0])
    return c.h / c.count


ALIKE = [printing, appending, counting, exchanging, all_of_it]
if sys.version_info >= (3, 11):  # before, handlers are not followed
    ALIKE.append(in_blocks)


@pytest.mark.parametrize("fn", ALIKE, ids=lambda f: f.__name__)
def test_all_sizes_take_one_program(fn, capsys):
    def calls(run, holder):
        out = []
        for n in SIZES:
            x = dg.tensor(np.random.default_rng(n).standard_normal((n, 3)).astype("f4"))
            out.append((frozen(run(x)), capsys.readouterr().out, frozen(vars(holder))))
        return out

    mine, given = Holder(), Holder()
    compiled = dg.compile(lambda x: fn(given, x), wait=True)
    assert calls(compiled, given) == calls(lambda x: fn(mine, x), mine)
    assert len(compiled.programs) <= 3 and compiled.programs[-1].calls >= 4, compiled.explain()


def test_a_statement_that_tells_a_size_from_a_number_has_a_program_for_each():
    kinds = []

    @dg.compile(wait=True)
    def f(x):
        kinds.append(type(x.shape[0]).__name__)
        return x * 2

    for n in SIZES:
        f(dg.ones(n, 3))
    assert set(kinds) == {"int"}


def test_sizes_left_at_places_are_numbers():
    held = {"rows": 0}

    def f(x):
        held["rows"] = held["rows"] + x.shape[0]
        return x.sum(0) / held["rows"]

    compiled, total = dg.compile(f, wait=True), 0
    for n in SIZES:
        out, total = compiled(dg.ones(n, 3)), total + n
        assert type(held["rows"]) is int and held["rows"] == total
        np.testing.assert_array_equal(out.numpy(), (dg.ones(n, 3).sum(0) / total).numpy())


def failing_early(c, x):
    c.log.append(1 // (x.shape[0] - 5))
    c.h.add_(x.mean(0))
    return x * 2


def failing_op(c, x):
    c.log.append((x + dg.ones(3, 3) if x.shape[0] == 5 else x).sum().item())
    c.h = c.h + x.mean(0)
    return c.h


def failing_on_nothing(c, x):
    c.log.append(x.max().item())
    c.h.add_(x.sum(0))
    return x + 1


@pytest.mark.parametrize("fn", [failing_early, failing_op, failing_on_nothing])
def test_a_statement_that_fails_at_a_size_leaves_what_it_leaves_in_eager_mode(fn):
    def calls(run, holder):
        out = []
        for n in (4, 7, 9, 3, 5, 8, 0, 5, 2):
            try:
                got = frozen(run(dg.ones(n, 3)))
            except (ZeroDivisionError, dg.ShapeError) as problem:
                got = type(problem)
            out.append((got, frozen(vars(holder))))
        return out

    mine, given = Holder(), Holder()
    compiled = dg.compile(lambda x: fn(given, x), wait=True)
    assert calls(compiled, given) == calls(lambda x: fn(mine, x), mine)
