"""`fori_loop` and `switch`: eager, captured, differentiated and batched."""

from __future__ import annotations

import numpy as np
import pytest

import dualgraph as dg

BRANCHES = [lambda x: x.sin(), lambda x: x * 2, lambda x: x * x + 1]


def both(fn, *calls):
    """What `fn` gives for each call's operands, which is the same compiled."""
    compiled = dg.compile(fn, wait=True)
    out = []
    for args in calls:
        out.append(fn(*args))
        for _ in range(2):
            assert np.array_equal(compiled(*args), out[-1])
    return out


@pytest.mark.parametrize(("lower", "upper"), [(0, 4), (2, 5), (3, 3), (4, 1), (-2, 1)])
def test_fori_loop_is_a_loop_over_a_range(lower, upper):
    def plain(x):
        for i in range(lower, upper):
            x = x * 0.5 + i
        return x

    x = dg.randn(3)
    looped = both(lambda x: dg.fori_loop(lower, upper, lambda i, v: v * 0.5 + i, x), (x,))[0]
    assert np.allclose(looped, plain(x), atol=1e-6)
    slope = both(
        dg.grad(lambda x: dg.fori_loop(lower, upper, lambda i, v: (v + i).sin(), x).sum()), (x,)
    )
    assert slope[0].shape == (3,)


def test_fori_loop_takes_bounds_that_are_tensors_and_trees():
    def factorial(n):
        found = dg.fori_loop(1, n + 1, lambda i, v: {"all": v["all"] * i, "last": i}, start)
        return found["all"] + 0 * found["last"]

    start = {"all": dg.asarray(1), "last": dg.asarray(0)}
    found = both(factorial, *((dg.asarray(n),) for n in (0, 1, 5, 7)))
    assert [f.item() for f in found] == [1, 1, 120, 5040]
    assert dg.vmap(factorial)(dg.asarray([3, 0, 4])).tolist() == [6, 1, 24]


def test_switch_takes_the_branch_of_the_index_or_the_nearest():
    x = dg.randn(3)
    calls = [(dg.asarray(i), x) for i in (-1, 0, 1, 2, 7)]
    found = both(lambda i, x: dg.switch(i, BRANCHES, x), *calls)
    for (i, _), out in zip(calls, found, strict=True):
        assert np.array_equal(out, BRANCHES[min(max(i.item(), 0), 2)](x))
        assert np.array_equal(out, dg.switch(i.item(), BRANCHES, x))
    slopes = both(lambda i, x: dg.grad(lambda x: dg.switch(i, BRANCHES, x).sum())(x), *calls)
    assert np.array_equal(slopes[2], np.full(3, 2)) and np.allclose(slopes[-1], 2 * x.numpy())
    rows = dg.vmap(lambda i, x: dg.switch(i, BRANCHES, x), (0, None))(dg.arange(3), x)
    assert all(np.array_equal(row, b(x)) for row, b in zip(rows, BRANCHES, strict=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dg.fori_loop(0, dg.asarray(1.5), lambda i, v: v, 0.0), "whole number"),
        (lambda: dg.switch(dg.asarray(1.0), BRANCHES, 1.0), "one whole number"),
        (lambda: dg.switch(dg.arange(2), BRANCHES, 1.0), "one whole number"),
        (lambda: dg.switch(0, []), "no branch"),
        (lambda: dg.fori_loop(0, 2, lambda i, v: v.double(), dg.ones(2)), "the carry changes"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises(dg.DualgraphError, match=words):
        call()
