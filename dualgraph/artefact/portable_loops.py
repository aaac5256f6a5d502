"""Portable loops: what NumPy has no function for - random bits, recurrences, factors - as loops over calls of some."""

from __future__ import annotations

from typing import Any

from ..core.dtypes import int64, uint64
from ..core.types import TensorType
from ..ops.random import FACTORS, ROUNDS, STEPS, blocks_for

ALL = slice(None)


def random_bits(np: Any, state: Any, size: int) -> Any:
    """Philox4x32-10 of (seed, counter)."""
    lead, blocks = state.shape[:-1], blocks_for(size)
    ahead = [ALL] * len(lead)

    def low(x: Any) -> Any:
        return np.bitwise_and(x, 0xFFFFFFFF)

    def high(x: Any) -> Any:
        return np.bitwise_right_shift(x, 32)

    def pair(numbers: tuple[int, int]) -> Any:
        return np.reshape(np.asarray(numbers, "uint64"), (2, *(1 for _ in state.shape)))

    def step(np: Any, even: Any, odd: Any, keys: Any) -> Any:
        product = np.multiply(even, pair(FACTORS))
        mixed = np.bitwise_xor(np.bitwise_xor(np.flip(high(product), 0), odd), keys)
        return mixed, np.flip(low(product), 0), low(np.add(keys, pair(STEPS)))

    seed, first = (np.getitem(state, [*ahead, slice(i, i + 1)]) for i in (0, 1))
    counters = np.add(first, np.astype(np.arange(blocks), "uint64"))
    none = np.multiply(counters, 0)
    words = TensorType(uint64, (2, *lead, blocks))
    body = np.body(step, words, words, TensorType(uint64, (2, *lead, 1)))
    given = [(low(counters), none), (high(counters), none), (low(seed), high(seed))]
    even, odd, _ = _scan(np, *map(np.stack, given), body=body, carries=3, slices=0, length=ROUNDS)
    each = [np.getitem(x, i) for i in (0, 1) for x in (even, odd)]
    out = np.reshape(np.stack(each, -1), (*lead, 4 * blocks))
    return np.getitem(out, [*ahead, slice(0, size)])


def recurrence_along(np: Any, a: Any, b: Any, axis: int) -> Any:
    """``y[i] = a[i] y[i - 1] + b[i]`` along an axis."""
    count = b.shape[axis]
    if count < 2:
        return np.asarray(b)

    def step(np: Any, before: Any, factor: Any, term: Any) -> Any:
        return [np.add(np.multiply(before, factor), term)] * 2

    others = [i for i in range(len(b.shape)) if i != axis]
    line = TensorType(b.dtype, tuple(b.shape[i] for i in others))
    factors, terms = (np.transpose(x, [axis, *others]) for x in (a, b))
    first = np.getitem(terms, 0)
    later = [np.getitem(x, slice(1, None)) for x in (factors, terms)]
    how = {"body": np.body(step, line, line, line), "carries": 1, "slices": 2, "length": count - 1}
    _, rows = _scan(np, first, *later, rows=[line], **how)
    whole = np.concatenate([np.expand_dims(first, 0), rows])
    return np.transpose(whole, [[axis, *others].index(i) for i in range(len(b.shape))])


def cofactors(np: Any, x: Any) -> Any:
    """The conjugate of ``det(x) inv(x)^T``: by products of all singular values but one."""
    u, s, vh = (np.getitem(np.svd(x), i) for i in range(3))
    turn = np.conj(np.multiply(np.det(u), np.det(vh)))
    count = np.arange(x.shape[-1])
    own = np.equal(np.expand_dims(count, -1), count)
    others = np.prod(np.where(own, 1, np.expand_dims(s, -2)), -1)
    scale = np.multiply(np.expand_dims(turn, -1), others)
    return np.matmul(np.multiply(u, np.expand_dims(scale, -2)), vh)


def lu_factor(np: Any, x: Any, pivot: bool) -> Any:
    """Triangular factors, the row that each step exchanged with its own (from 1), and the rows in their order."""
    *lead, m, n = x.shape
    ahead, steps = [ALL] * len(lead), min(m, n)

    def step(np: Any, x: Any, order: Any, j: Any) -> Any:
        down, across, best = np.arange(m), np.arange(n), np.broadcast_to(j, lead)
        if pivot:
            column = np.getitem(x, [*ahead, ALL, j])
            size = np.add(np.abs(np.real(column)), np.abs(np.imag(column)))
            best = np.argmax(np.where(np.less(down, j), -1, size), -1)
        best = np.expand_dims(best, -1)
        exchanged = np.where(np.equal(down, j), best, np.where(np.equal(down, best), j, down))
        x = np.take_along_axis(x, np.expand_dims(exchanged, -1), -2)
        order = np.take_along_axis(order, exchanged, -1)
        row, column = np.getitem(x, [*ahead, j, ALL]), np.getitem(x, [*ahead, ALL, j])
        head = np.expand_dims(np.getitem(row, [*ahead, j]), -1)
        factors = np.expand_dims(np.divide(column, np.where(np.equal(head, 0), 1, head)), -1)
        below, right = np.expand_dims(np.greater(down, j), -1), np.greater(across, j)
        rest = np.subtract(x, np.multiply(factors, np.expand_dims(row, -2)))
        x = np.where(np.logical_and(below, right), rest, x)
        x = np.where(np.logical_and(below, np.equal(across, j)), factors, x)
        return x, order, np.add(np.squeeze(best, -1), 1)

    order = TensorType(int64, (*lead, m))
    whole, number = TensorType(x.dtype, x.shape), TensorType(int64, ())
    how = {"body": np.body(step, whole, order, number), "carries": 2, "slices": 1, "length": steps}
    given = x, np.broadcast_to(np.arange(m), order.shape), np.arange(steps)
    out, rows, pivots = _scan(np, *given, rows=[TensorType(int64, tuple(lead))], **how)
    return out, np.transpose(pivots, [*range(1, len(lead) + 1), 0]), rows


def _scan(np: Any, *xs: Any, carries: int, rows: Any = (), length: int, **how: Any) -> Any:
    """The last carries, and a row for each step."""
    shapes = [(t.dtype, (length, *t.shape)) for t in rows]
    out = np.scan(*xs, carries=carries, rows=shapes, length=length, reverse=False, **how)
    return [np.getitem(out, i) for i in range(carries + len(rows))]


LOOPS = random_bits, recurrence_along, cofactors, lu_factor
