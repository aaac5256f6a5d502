"""Symbolic sizes: they compute as ints do, and say what was decided on them."""

from __future__ import annotations

import itertools
import operator
import random
from math import prod

import pytest

from dualgraph.core.guards import guarded
from dualgraph.core.sizing import range_length, slice_indices, to_float
from dualgraph.core.symbolic import SymFloat, SymInt, atom_of, evaluator, hint, source, symbol

OPS = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]


def value_at(x, names, *sizes):
    return evaluator(names, [source(x)])(*sizes)[0]


@pytest.mark.parametrize("seed", range(40))
def test_arithmetic_is_that_of_ints_at_every_size(seed):
    rng = random.Random(seed)
    n, m = symbol(7), symbol(4)
    names = atom_of(n), atom_of(m)
    terms = [(n, lambda a, b: a), (m, lambda a, b: b), (3, lambda a, b: 3), (-5, lambda a, b: -5)]
    for _ in range(6):
        op, (x, f), (y, g) = rng.choice(OPS), rng.choice(terms), rng.choice(terms)
        if op in (operator.floordiv, operator.mod) and hint(y) == 0:
            continue
        terms.append((op(x, y), lambda a, b, op=op, f=f, g=g: op(f(a, b), g(a, b))))
    for (x, f), (a, b) in itertools.product(terms, [(7, 4), (1, 1), (2, 9), (13, 3)]):
        try:
            expected = f(a, b)
        except ZeroDivisionError:
            continue
        assert value_at(x, names, a, b) == expected
        if (a, b) == (7, 4):
            assert hint(x) == expected


def test_the_same_sum_written_otherwise_is_equal_without_a_guard():
    n, m = symbol(5), symbol(5)
    with guarded() as guards:
        assert prod((n, 3, m)) == 3 * m * n
        assert (n * 32) // 32 == n and (n * 32) % 32 == 0 and (64 * n) // n == 64
        assert n >= 0 and not n < 0 and n + 1 > 0
    assert list(guards) == [f"{atom_of(n)} != 0"]  # it was divided by


def test_what_other_sizes_would_decide_otherwise_is_a_guard():
    n, m = symbol(5), symbol(5)
    with guarded() as guards:
        assert n == m and n != 1 and n > 3 and max(n, 2) is n and bool(n)
    assert len(guards) == 5
    check = evaluator((atom_of(n), atom_of(m)), list(guards))
    assert all(check(5, 5)) and all(check(4, 4))
    for other in ((5, 4), (1, 1), (3, 3), (0, 0)):
        assert not all(check(*other))


def test_proving_takes_equal_only_what_always_is():
    n = symbol(5)
    with guarded(proving=True) as guards:
        assert n != 5 and n == n * 1 and 5 not in (n, 2 * n) and n > 0
    assert not guards


def test_using_the_number_itself_pins_it():
    for use in (int, float, lambda n: n & 1, lambda n: 2**n, lambda n: 1 << n):
        n = symbol(6)
        with guarded() as guards:
            assert not isinstance(use(n), (SymInt, SymFloat))
        assert not all(evaluator((atom_of(n),), list(guards))(7))
        assert all(evaluator((atom_of(n),), list(guards))(6))


def test_floats_keep_the_arithmetic_that_made_them():
    n = symbol(7)
    x = (to_float(n) - 1) / 3 * 0.1 + 1 / n
    for size in (7, 1, 10, 12345):
        assert value_at(x, (atom_of(n),), size) == (float(size) - 1) / 3 * 0.1 + 1 / size


@pytest.mark.parametrize("step", [1, 2, 3, -1, -2])
def test_ranges_and_slices_of_symbolic_lengths(step):
    for hinted in (3, 8):
        n = symbol(hinted)
        for start, stop in itertools.product((None, 0, 2, -2, -9), (None, 1, 5, -1, 12)):
            k = slice(start, stop, step)
            with guarded() as guards:
                found = slice_indices(k, n)
                length = range_length(*found)
            for size in (hinted, 3, 5, 8, 20):
                if not all(evaluator((atom_of(n),), list(guards))(size)):
                    continue
                own = evaluator((atom_of(n),), [*map(source, found), source(length)])(size)
                assert own[3] == len(range(size)[k])
                assert own[:3] == k.indices(size)


def test_it_is_an_int_and_copies_as_one():
    import copy
    import pickle

    n = symbol(4)
    assert isinstance(n, int) and repr(n) == "4" and f"{n:03d}" == "004" and hash(n) == hash(4)
    assert type(pickle.loads(pickle.dumps(n))) is int and copy.deepcopy(n) is n
