"""Inner products and products of one row: the bits of the documented order of sums, and no Python in between."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.backends.native.contract import matvec, product
from dualgraph.backends.native.threads import pool
from dualgraph.backends.scalar_numpy import ExactArrayScalar

if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)

exact = ExactArrayScalar(np)
KC = 256


def law(x, y):
    """The inner products of the rows of x and y, block by block."""
    out = None
    for first in range(0, x.shape[-1], KC):
        total = np.zeros(x.shape[:-1], x.dtype)
        for k in range(first, min(first + KC, x.shape[-1])):
            total = exact.fma(x[..., k], y[..., k], total)
        out = total if out is None else out + total
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [8, 15, 16, 17, 100, 255, 256, 257, 1000, 4097])
@pytest.mark.parametrize("items", [1, 3, 40])
def test_inner_products_follow_the_law(dtype, k, items, monkeypatch):
    rng = np.random.default_rng(k)
    x, y = (rng.standard_normal((items, k)).astype(dtype) for _ in range(2))
    expected = law(x, y)
    for threads in (1, 3):
        monkeypatch.setattr(pool, "size", threads)
        got = product.matmul(x[:, None], y[:, :, None])[:, 0, 0]
        np.testing.assert_array_equal(got, expected)
    if items * k >= 32:
        run = product._call(x[:, None], y[:, :, None]).run
        assert isinstance(run, matvec.Dots)


@pytest.mark.parametrize("n", [1, 5, 8, 20, 70])
@pytest.mark.parametrize("k", [8, 13, 300])
def test_a_sum_that_became_minus_zero_stays_so(n, k):
    x, y = np.full((1, k), 1e-30, np.float32), np.full((n, k), -1e-30, np.float32)
    assert np.signbit(product.matmul(x, y.T)).all()


def test_large_inner_products_are_shared_by_threads(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(700_003).astype("float32") for _ in range(2))
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(pool, "size", threads)
        results.append(product.matmul(x[None], y[:, None]))
    assert results[0] == results[1] == results[2]
    block = slice(700_003 // KC * KC, None)
    np.testing.assert_allclose(results[0], x.astype("f8") @ y.astype("f8"), rtol=1e-3, atol=1)
    assert law(x[None, block], y[None, block]) == product.matmul(x[None, block], y[block, None])


@pytest.mark.skipif(not api.available(), reason="no native code")
@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("i,i->", [(300,), (300,)]), ("ij,j->i", [(40, 30), (30,)]), ("bi,bi->b", [(9, 70), (9, 70)]),
     ("ij,ij->", [(20, 30), (20, 30)])],
)  # fmt: skip
def test_products_of_vectors_are_one_call_of_native_code(equation, shapes):
    tensors = [dg.randn(*s) for s in shapes]

    def contract(*tensors):
        return dg.einsum(equation, *tensors)

    compiled = dg.compile(contract, wait=True)
    compiled(*tensors)
    expected = contract(*tensors)
    got = compiled(*tensors)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.numpy(), expected.numpy())
    (program,) = compiled.programs
    assert program._executable.direct() is not None


def test_a_result_reshaped_on_its_way_out_is_of_its_own_each_time():
    compiled = dg.compile(lambda x, y: (x @ y).reshape(2, 3, 2), wait=True)
    x, y = dg.randn(6, 5), dg.randn(5, 2)
    first = compiled(x, y)
    kept = first.numpy().copy()
    second = compiled(x + 1, y)
    np.testing.assert_array_equal(first.numpy(), kept)
    np.testing.assert_array_equal(second.numpy(), ((x + 1) @ y).reshape(2, 3, 2).numpy())
    assert second.shape == (2, 3, 2)


def test_both_shapes_of_one_result_may_leave():
    def both(x, y):
        z = x @ y
        return z, z.reshape(-1), z.T

    compiled = dg.compile(both, wait=True)
    x, y = dg.randn(6, 5), dg.randn(5, 2)
    for _ in range(3):
        for got, expected in zip(compiled(x, y), both(x, y), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
