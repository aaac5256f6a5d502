"""Worked numbers: the code they write gives the right numbers at other sizes, or says why it cannot."""

from __future__ import annotations

import random
from math import prod

import numpy as np
import pytest

from dualgraph.core.numbers.worked import Unfollowed, Working, filled, largest, may_meet, plainly
from dualgraph.passes.strided import Strided

OPS = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * 3 - y,
    lambda x, y: x // 4 + y,
    lambda x, y: -(-x // 16) * y,
    lambda x, y: x * y,
    lambda x, y: x % 7,
    lambda x, y: abs(x - y) // max(plainly(2), 2),
    largest,
    lambda x, y: x if x > y else y + 1,
    lambda x, y: 5 if x == y else x,
]


def chain(rng, n, m):
    """Some arithmetic with two sizes, the same for equal seeds."""
    found = [n, m, 3]
    for _ in range(12):
        found.append(rng.choice(OPS)(rng.choice(found), rng.choice(found)))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_numbers_are_found_again_unless_code_would_go_another_way(seed):
    work = Working()
    cells = np.zeros(15, dtype=np.int64)
    filled(cells, chain(random.Random(seed), work.size(6), work.size(9)))
    np.testing.assert_array_equal(cells, chain(random.Random(seed), 6, 9))
    again = work.function()
    assert again(6, 9)
    for sizes in [(1, 1), (2, 30), (9, 6), (8, 8), (100, 7), (0, 5), (64, 1000)]:
        before = cells.copy()
        if again(*sizes):
            np.testing.assert_array_equal(cells, chain(random.Random(seed), *sizes))
        else:
            np.testing.assert_array_equal(cells, before)


def test_what_calls_find_is_found_again():
    work, seen = Working(), []

    def find(n, pair):
        seen.append((n, pair))
        return None if n > 50 else (n + pair[1], 7)

    n = work.size(4)
    total, seven = work.call(find, n * 2, (n, 1))
    again = work.function([total * 2, (seven, n)], lambda *got: seen.append(got))
    assert seen == [(8, (4, 1))] and plainly(total) == 9
    assert again(5) and seen[1:] == [(10, (5, 1)), (22, (7, 5))]
    assert not again(40)


@pytest.mark.parametrize("read", [range, int, float, np.zeros, np.asarray, lambda n: [0] * n])
def test_nothing_is_read_unseen(read):
    n = Working().size(4)
    with pytest.raises(Unfollowed):
        read(n)


def test_memory_is_kept_apart_where_that_is_sure():
    work = Working()
    n = work.size(4)
    a, b, c = work.call(lambda n: (0, 64, 0), n)
    work.keep_apart(b, a)
    assert not may_meet(a, a + n, b, b + n) and may_meet(a, a + n, c, c + n)
    assert not may_meet(a, a + n, a + n, a + 2 * n) and may_meet(a, a + n, a + 3, a + 2 * n)


def test_views_lie_as_numpy_says():
    rng, views = np.random.default_rng(0), 0
    for _ in range(400):
        x = np.empty(rng.integers(1, 5, rng.integers(1, 5)))
        x = x.transpose(rng.permutation(x.ndim))
        x = x[tuple(slice(None, None, int(s)) for s in rng.integers(1, 3, x.ndim))]
        shape, rest = [1] * int(rng.integers(0, 2)), x.size
        while rest > 1:
            shape.append(int(rng.choice([d for d in range(2, rest + 1) if rest % d == 0])))
            rest //= shape[-1]
        shape = tuple(int(d) for d in rng.permutation(shape))
        expected = x.reshape(shape)
        try:
            found = Strided(x.shape, x.strides).reshape(shape)
        except Unfollowed:
            assert not np.may_share_memory(x, expected)
            continue
        steps = zip(shape, found.strides, expected.strides, strict=True)
        assert prod(shape) == x.size and all(d == 1 or s == t for d, s, t in steps)
        views += 1
    assert views > 100
