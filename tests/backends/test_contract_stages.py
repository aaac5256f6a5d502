"""Stages of contractions one by one: lines that are copied, operands packed in any shares."""

import ctypes
import threading
from itertools import accumulate, pairwise

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from dualgraph.backends.native.addresses import address_of
from dualgraph.backends.native.contract import product, stages
from dualgraph.backends.native.contract.copy import NOWHERE
from dualgraph.backends.native.contract.cuts import Cut
from dualgraph.backends.native.contract.kernels import shape_for
from dualgraph.backends.native.contract.layout import copying
from dualgraph.backends.native.contract.operands import Product, Strided
from dualgraph.backends.native.contract.plan import Plan
from dualgraph.backends.native.contract.stages import Recipe

FUNCTION = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)
if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)


def perform(stage, arrays, shares):
    """Runs a stage on arrays, its units in so many shares."""
    pointers = (ctypes.c_void_p * 24)(*map(address_of, arrays))
    scratch = np.empty(stage.scratch + 64, np.uint8)
    cuts = [stage.units * i // shares for i in range(shares + 1)]
    for begin, end in pairwise(cuts):
        FUNCTION(stage.function)(stage.place, pointers, address_of(scratch), begin, end)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize(
    "width", [0, 1, 2, 7, 15, 16, 17, 30, 33, 58, 64, 100, 129, 255, 257, 1000]
)
def test_lines_are_copied_with_zeros_around(width, step, dtype):
    rng = np.random.default_rng(width * 10 + step)
    lines, room, size = 45, 3, np.dtype(dtype).itemsize
    for lead, count in ((0, width), (1, max(0, width - 2)), (width // 2, width // 3), (0, 0)):
        row = max(1, (count - 1) * step + 1)
        x = rng.standard_normal((lines, row)).astype(dtype)
        out = np.full((lines, width + room), 7, dtype)
        there = rng.random(lines) < 0.8
        from_ = np.where(there, np.arange(lines, dtype=np.int64) * row * size, NOWHERE)
        to = np.arange(lines, dtype=np.int64) * (width + room) * size
        part = (from_, to, 0, lead, count, width, step * size, size)
        perform(copying(dtype, 0, 1, lines, [part]), (x, out), 3)
        expected = np.full((lines, width + room), 7, dtype)
        expected[:, :width] = 0
        used = x[:, ::step][:, :count]
        expected[there, lead : lead + used.shape[1]] = used[there] if count else 0
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shares", [1, 2, 3, 11])
@pytest.mark.parametrize("x_turned", [False, True])
@pytest.mark.parametrize("y_turned", [False, True])
def test_operands_are_packed_whole_in_any_shares(shares, x_turned, y_turned):
    rng = np.random.default_rng(shares)
    m, k, n, batch = 61, 600, 150, 2
    x = rng.standard_normal((batch, k, m) if x_turned else (batch, m, k)).astype(np.float32)
    y = rng.standard_normal((batch, n, k) if y_turned else (batch, k, n)).astype(np.float32)
    xs = Strided(4, 4 * m) if x_turned else Strided(4 * k, 4)
    ys = Strided(4 * k, 4) if y_turned else Strided(4, 4 * n)
    starts = tuple(np.arange(batch) * each * 4 for each in (m * k, k * n, m * n))
    recipe = Recipe(3)
    shape = Product("float32", m, n, k, xs, ys, 4 * n, starts)
    Plan(shape, recipe, pack_x=True, pack_y=True, cut=Cut(1008, 1024, True, True))
    out = np.empty((batch, m, n), np.float32)
    work = [np.empty(size + 64, np.uint8) for size in recipe.sizes.values()]
    assert len(recipe.stages) == 3
    for stage in recipe.stages:
        perform(stage, (x, y, out, *work), shares)
    turned = x.swapaxes(1, 2) if x_turned else x, y.swapaxes(1, 2) if y_turned else y
    np.testing.assert_array_equal(out, product.matmul(*turned))


def test_threads_that_share_the_first_run_of_a_recipe_find_all_of_it(monkeypatch):
    """One begins while the other, which makes the table, has not come to its end."""
    x = np.random.default_rng(0).standard_normal((61, 61)).astype(np.float32)
    starts = (np.zeros(1, np.int64),) * 3
    shape = Product("float32", 61, 61, 61, Strided(4 * 61, 4), Strided(4, 4 * 61), 4 * 61, starts)
    recipe = Recipe(3)
    Plan(shape, recipe, pack_x=True, pack_y=True, cut=Cut(1008, 1024, True, True))
    outs = [np.empty((61, 61), np.float32) for _ in range(2)]
    faults = []

    def work(out):
        try:
            recipe(*map(address_of, (x, x, out)))
        except AttributeError as fault:
            faults.append(fault)

    first, second = (threading.Thread(target=work, args=(out,)) for out in outs)

    def slow(sizes):
        if second.ident is None:
            second.start()
            second.join(0.2)  # it must wait; where it does not, it is done by then
        return accumulate(sizes)

    monkeypatch.setattr(stages, "accumulate", slow)
    first.start()
    first.join()
    second.join()
    assert not faults
    for out in outs:
        np.testing.assert_array_equal(out, product.matmul(x, x))


@pytest.mark.parametrize("k", [4096, 4100])
def test_a_few_rows_of_a_loop_are_packed_only_for_many_columns(k):
    def stages_of_a_turn(m, tiles):
        n, start = tiles * shape_for("float32").columns, np.zeros(1, np.int64)
        x, y = Strided(4 * k, 4), Strided(4, 4 * n)
        recipe = Recipe(3, frozenset([1]))
        plan = Plan(Product("float32", m, n, k, x, y, 4 * n, (start, start, start)), recipe)
        return plan.tiling.pack_x, sum(s.ahead is None for s in recipe.stages)

    assert stages_of_a_turn(16, 8) == (False, 1)
    assert stages_of_a_turn(16, 64)[0] and stages_of_a_turn(200, 8)[0]
