"""Symbolic sizes: they compute as ints do, and say what was decided on them."""

from __future__ import annotations

import itertools
import math
import operator
import random
from decimal import Decimal
from fractions import Fraction
from math import prod

import numpy as np
import pytest

from dualgraph.core.numbers.guards import guarded
from dualgraph.core.numbers.polynomial import evaluator
from dualgraph.core.numbers.sizing import range_length, slice_indices, to_float
from dualgraph.core.numbers.symbolic import hint, plain, source
from dualgraph.core.numbers.symbols import atom_of, symbol

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


@pytest.mark.parametrize("op", [*OPS, operator.truediv, operator.pow])
def test_products_of_sizes_are_one_operand_of_what_meets_them(op):
    n, m = symbol(7), symbol(4)
    names = atom_of(n), atom_of(m)
    others = [(0.75, lambda a, b: 0.75), (7, lambda a, b: 7)]
    others += [(n, lambda a, b: a), (3 * m, lambda a, b: 3 * b)] * (op is not operator.pow)
    products = (2 * n, lambda a, b: 2 * a), (n * m, lambda a, b: a * b), (n * n, lambda a, b: a * a)
    for (x, f), (y, g), (a, b) in itertools.product(products, others, [(7, 4), (2, 3)]):
        assert value_at(op(x, y), names, a, b) == op(f(a, b), g(a, b))
        assert value_at(op(y, x), names, a, b) == op(g(a, b), f(a, b))


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


READS = (
    int, float, complex, range, hash, repr, "{:3}".format, "%d".__mod__, math.sqrt, math.log2, math.isqrt,
    list(range(20)).__getitem__, lambda n: list(range(20))[:n], lambda n: "ab" * n, lambda n: [0] * n,
    lambda n: {6: 1}.get(n), lambda n: n in {1, 2}, lambda n: n * 1j, lambda n: n * Fraction(1, 3),
    lambda n: Decimal(2) * n, np.zeros, np.sqrt, np.array, lambda n: np.float32(3) * n, lambda n: n + np.int8(1),
    lambda n: np.arange(20)[n], lambda n: round(n, -1), lambda n: n.to_bytes(2, "little"), operator.index,
    lambda n: math.gcd(n, 4), lambda n: bytes(n), lambda n: pow(n, 2, 7), str, lambda n: (1, 2, 3, 4, 5, 6, 7)[n],
)  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_a_number_that_is_read_pins_itself_or_tells(read):
    expected = read(6)
    n = symbol(6)
    with guarded() as guards:
        found = read(n)
    same = (
        np.array_equal(found, expected) if isinstance(expected, np.ndarray) else found == expected
    )
    assert same and type(plain(found)) is type(expected)
    if not isinstance(found, tuple):
        assert not all(evaluator((atom_of(n),), list(guards))(7))
        assert all(evaluator((atom_of(n),), list(guards))(6))
        told = []
        with guarded(leak=lambda: told.append(1)) as guards:
            read(n)
        assert told


COMPUTED = (
    lambda n: n & 1, lambda n: 2**n, lambda n: 1 << n, lambda n: n >> 1, lambda n: ~n, lambda n: n | 3, lambda n: n**7,
    lambda n: n**0.5, lambda n: 0.5**n, lambda n: n**-1, lambda n: n // 2.5, lambda n: n % 2.5, lambda n: 7 % n,
    lambda n: 1 << (n - 1).bit_length(), lambda n: math.ceil(n / 4), lambda n: math.floor(n * 0.3),
    lambda n: round(n * 0.37), lambda n: round(n / 7, 2), lambda n: -(-n // 4), lambda n: abs(3 - n), lambda n: n.real,
    lambda n: math.trunc(n * 1.7), lambda n: sum([n, n, 1]), lambda n: max(n, 3) + min(n, 3), lambda n: divmod(n, 4)[1],
    lambda n: (n * 2.0) ** 0.5, lambda n: 2.0 ** (n / 3), lambda n: n * np.float64(0.1), lambda n: n - True,
)  # fmt: skip


@pytest.mark.parametrize("compute", COMPUTED)
def test_what_is_computed_of_a_number_is_followed(compute):
    n = symbol(6)
    with guarded() as guards:
        found = compute(n)
    expected = compute(6)
    assert plain(found) == expected and isinstance(
        found, int if isinstance(expected, int) else float
    )
    for size in (6, 1, 2, 5, 7, 40):
        try:
            holds = all(evaluator((atom_of(n),), list(guards))(size))
        except ArithmeticError:
            continue
        if holds:
            value = value_at(found, (atom_of(n),), size)
            assert value == compute(size) and isinstance(value, type(plain(found)))
    assert not any(f"{atom_of(n)}-6 == 0" in g for g in guards)


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


@pytest.mark.parametrize("edge", [2.5, 9.0, "2", symbol(4) * 0.5])
def test_slices_of_symbolic_lengths_take_whole_numbers_only(edge):
    """Also where a length at hand tells the result: ``x[:9.0]`` of four rows."""
    for k in (slice(edge), slice(edge, None), slice(None, None, edge)):
        with pytest.raises(TypeError, match="slice indices must be integers"):
            slice_indices(k, symbol(4))
    assert slice_indices(slice(np.int64(2)), symbol(4)) == (0, 2, 1)


def test_it_is_an_int_and_copies_as_one():
    import copy
    import pickle

    n = symbol(4)
    assert isinstance(n, int) and repr(n) == "4" and f"{n:03d}" == "004" and hash(n) == hash(4)
    assert type(pickle.loads(pickle.dumps(n))) is int and copy.deepcopy(n) is n
