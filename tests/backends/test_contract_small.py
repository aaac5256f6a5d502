"""Batches of small products: the bits of the documented order of sums in any layout, alike in both modes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import dualgraph as dg
from dualgraph.backends.native.contract import product, small
from dualgraph.backends.native.threads import pool
from tests.backends.test_contract_matmul import law, layouts, same_bits

if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)

SIZES = [(1, 1, 2), (3, 3, 1), (3, 3, 3), (4, 4, 4), (2, 17, 3), (8, 8, 8), (5, 1, 7), (1, 6, 9)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
def test_small_products_follow_the_law(sizes, dtype, monkeypatch):
    m, k, n = sizes
    rng = np.random.default_rng(k)
    for batch in (16, 17, 47, 64):
        x = layouts(rng.standard_normal((batch, m, k)).astype(dtype), rng)
        y = layouts(rng.standard_normal((batch, k, n)).astype(dtype), rng)
        for one, two in ((x, y), (x[:1], y), (x[::-1], y), (x, np.broadcast_to(y[:1], y.shape))):
            expected = law(one, two)
            for threads in (1, 3):
                monkeypatch.setattr(pool, "size", threads)
                assert same_bits(product.matmul(one, two), expected)
        assert isinstance(product._call(x, y).run, small.Small)


def test_nothing_is_written_beside_the_result():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((19, 3, 3)).astype("f4") for _ in range(2))
    room = np.full(19 * 9 + 64, 7, np.float32)
    out = room[32 : 32 + 19 * 9].reshape(19, 3, 3)
    product.matmul(x, y, out)
    assert same_bits(out, law(x, y))
    assert (room[:32] == 7).all()
    assert (room[-32:] == 7).all()


def test_a_sum_that_became_minus_zero_stays_so():
    x, y = np.full((20, 2, 3), 1e-30, np.float32), np.full((20, 3, 2), -1e-30, np.float32)
    assert np.signbit(product.matmul(x, y)).all()


def test_small_products_and_what_is_done_with_them_have_one_meaning_in_both_modes():
    def f(x, y, b):
        return dg.tanh(x @ y + b) * 2

    x, y, b = dg.randn(200, 3, 3), dg.randn(200, 3, 2), dg.randn(2)
    compiled = dg.compile(f, wait=True)
    for _ in range(3):
        got = compiled(x, y, b)
    np.testing.assert_array_equal(got.numpy(), f(x, y, b).numpy())
