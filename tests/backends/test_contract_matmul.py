"""Native matrix products: the bits of the documented order of sums (`law`), whatever sizes, layouts and threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import dualgraph as dg
from dualgraph.backends.native import api, contract
from dualgraph.backends.native.contract import kernels, product, shape, stages, tiling
from dualgraph.backends.native.contract.cuts import Cut
from dualgraph.backends.native.contract.operands import Product, Strided, Tabled
from dualgraph.backends.native.contract.plan import Plan
from dualgraph.backends.native.threads import pool
from dualgraph.backends.scalar_numpy import ExactArrayScalar

matmul = product.matmul
exact = ExactArrayScalar(np)
if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)


def law(x, y):
    """The products by fma in order of k from +0 in blocks of KC; the blocks' sums added in order."""
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape_ = (*lead, x.shape[-2], y.shape[-1])
    out = None
    for first in range(0, x.shape[-1], shape.KC):
        total = np.zeros(shape_, x.dtype)
        for k in range(first, min(first + shape.KC, x.shape[-1])):
            a, b = np.broadcast_arrays(x[..., :, k, None], y[..., k, None, :])
            total = exact.fma(a, b, total)
        out = total if out is None else out + total
    return np.zeros(shape_, x.dtype) if out is None else out


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def layouts(x, rng):
    """x with the same values in some layout."""
    choice = rng.integers(5)
    if choice == 1:
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if choice == 2:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if choice == 3:
        return np.repeat(np.repeat(x, 3, axis=-1), 2, axis=-2)[..., ::2, ::3]
    if choice == 4:
        return np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1]
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(6))
def test_products_follow_the_law_in_any_layout(dtype, seed):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        m, k, n = (int(v) for v in rng.integers(1, 41, 3))
        x, y = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        want = law(x, y)
        got = matmul(layouts(x, rng), layouts(y, rng))
        assert same_bits(got, want), (m, k, n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [shape.KC - 1, shape.KC, shape.KC + 1, 2 * shape.KC + 3])
@pytest.mark.parametrize(("m", "n"), [(1, 150), (3, 17), (17, 3), (150, 1), (29, 70)])
def test_blocks_of_k_are_summed_apart(dtype, k, m, n):
    rng = np.random.default_rng(k)
    x, y = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    want = law(x, y)
    assert same_bits(matmul(x, y), want)
    assert same_bits(matmul(x.T.copy().T, y.T.copy().T), want)


@pytest.mark.parametrize(
    ("x_lead", "y_lead"), [((3,), ()), ((), (3,)), ((2, 1), (1, 3)), ((2, 3), (3,)), ((1,), (1,))]
)
def test_batch_axes_broadcast(x_lead, y_lead):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((*x_lead, 5, 7)).astype("float32")
    y = rng.standard_normal((*y_lead, 7, 33)).astype("float32")
    assert same_bits(matmul(x, y), law(x, y))
    assert same_bits(matmul(x, y[..., :2]), law(x, y[..., :2]))


@pytest.mark.parametrize(
    "shapes", [((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3), (3, 0)), ((0, 2, 3), (3, 4))]
)
def test_empty_products(shapes):
    x, y = (np.ones(s, "float32") for s in shapes)
    assert same_bits(matmul(x, y), np.matmul(x, y))


def test_a_sum_of_zeros_is_plus_zero():
    x, y = np.full((1, 1), -0.0, "float32"), np.ones((1, 1), "float32")
    assert not np.signbit(matmul(x, y)).any()


def test_results_go_into_given_memory_of_any_layout():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((5, 6)), rng.standard_normal((6, 7))
    for out in (np.empty((5, 7)), np.empty((7, 5)).T, np.empty((10, 7))[::2]):
        assert matmul(x, y, out=out) is out
        assert same_bits(np.ascontiguousarray(out), law(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_does_not_depend_on_its_neighbours_nor_on_threads(dtype, monkeypatch):
    rng = np.random.default_rng(3)
    x, y = (
        rng.standard_normal((300, 520)).astype(dtype),
        rng.standard_normal((520, 700)).astype(dtype),
    )
    whole = matmul(x, y)
    for threads in (1, 3):
        monkeypatch.setattr(pool, "size", threads)
        assert same_bits(matmul(x, y), whole)
        assert same_bits(matmul(x.T.copy().T, y.T.copy().T), whole)
    assert same_bits(matmul(x[7:8], y), whole[7:8])
    assert same_bits(matmul(x, y[:, 5:6]), whole[:, 5:6].copy())
    assert same_bits(matmul(x[100:104, :], y[:, :70]), whole[100:104, :70].copy())
    assert same_bits(law(x[:2], y[:, :3]), whole[:2, :3].copy())
    monkeypatch.setattr(tiling, "HUGE", 0)
    for rows in (6, 7):  # in two tiles then
        assert same_bits(matmul(x[:rows], y), whole[:rows].copy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [16, 32, 64])  # wider vectors than the processor's are split
@pytest.mark.parametrize("packed", [False, True])
def test_vector_width_and_packing_do_not_matter(dtype, width, packed):
    rng = np.random.default_rng(4)
    size = np.dtype(dtype).itemsize
    for m, k, n in [(37, 300, 45), (1, 40, 64), (5, 20, 130)]:
        x, y = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        out = np.empty((m, n), dtype)
        start = np.zeros(1, dtype=np.int64)
        want, form = law(x, y), shape.geometry(dtype, width)
        ways = [(y, Strided(size, n * size)), (y.T.copy(), Strided(k * size, size))]
        for columns, lie in ways if packed else ways[:1]:  # what lies along k is always packed
            sizes = Product(dtype, m, n, k, Strided(k * size, size), lie, n * size, (start,) * 3)
            Plan(sizes, shape=form, pack_x=packed, pack_y=packed)(x, columns, out)
            assert same_bits(out, want)
            out.fill(np.nan)


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("whole", [False, True])
def test_rows_are_packed_in_stripes_of_any_height(width, whole):
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal(s).astype("float32") for s in [(40, 300), (300, 20)])
    start, out = np.zeros(1, dtype=np.int64), np.empty((40, 20), "float32")
    rows, ks = np.arange(40) * 1200, np.arange(300) * 4
    sizes = Product("float32", 40, 20, 300, Tabled(rows, ks, 72), Strided(4, 80), 80, (start,) * 3)
    cut = Cut(40, 20, whole_x=whole)
    Plan(sizes, shape=shape.geometry("float32", width), cut=cut)(x, y, out)
    assert same_bits(out, law(x, y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("whole", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("large", [0, 2**30])
def test_how_a_product_is_cut_does_not_matter(dtype, threads, whole, large, monkeypatch):
    monkeypatch.setattr(pool, "size", threads)
    monkeypatch.setattr(tiling, "LARGE", large)
    monkeypatch.setattr(tiling, "MC", 28)  # several blocks of rows and columns
    monkeypatch.setattr(tiling, "NC", 64)
    # As for small results, without and with AVX-512
    group = 1 if large else 2 if threads == 1 else 4
    monkeypatch.setattr(shape.Geometry, "group", lambda self, nbytes: group)
    monkeypatch.setattr(stages, "HELPED", 0)
    rng = np.random.default_rng(6)
    size = np.dtype(dtype).itemsize
    for batch, m, k, n in [(1, 60, 300, 130), (2, 29, 40, 33), (1, 43, 1050, 64), (2, 15, 257, 97)]:
        x = rng.standard_normal((batch, m, k)).astype(dtype)
        y = rng.standard_normal((1, k, n)).astype(dtype)
        out = np.empty((batch, m, n), dtype)
        starts = tuple(
            np.arange(batch, dtype=np.int64) * step for step in (m * k * size, 0, m * n * size)
        )
        sizes = Product(
            dtype, m, n, k, Strided(k * size, size), Strided(size, n * size), n * size, starts
        )
        whole_plan = Plan(sizes, pack_x=True, pack_y=True, cut=Cut(m, n))
        want = law(x, y)
        for rows, columns in [(1, 1), (2, 1), (3, 2), (100, 100)]:
            cut = Cut(rows * whole_plan.tiling.rows, columns * whole_plan.tiling.columns, *whole)
            Plan(sizes, pack_x=True, pack_y=True, cut=cut)(x, y, out)
            assert same_bits(out, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_as_far_from_k_to_k_as_in_a_panel_are_no_panel(dtype):
    made = kernels.shape_for(dtype)
    m, k, n, step = 2 * made.rows, 37, 3 * made.columns, made.packed_vectors * made.lanes
    rng = np.random.default_rng(8)
    whole, y = (rng.standard_normal(s).astype(dtype) for s in ((m, k * step), (k, n)))
    out, size = np.empty((m, n), dtype), whole.itemsize
    x = Strided(k * step * size, step * size)
    sizes = Product(dtype, m, n, k, x, Strided(size, n * size), n * size, (product.START,) * 3)
    Plan(sizes, pack_x=False, pack_y=True)(whole, y, out)
    assert same_bits(out, law(whole[:, ::step], y))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("early", [0, 3, 15])
@pytest.mark.parametrize("gap", [0, 16, 5])
def test_a_matrix_times_a_vector_follows_the_law_wherever_it_lies(dtype, early, gap):
    rng = np.random.default_rng(early + gap)
    for rows, k in [(8, 8), (16, 15), (63, 256), (64, 257), (65, 272), (129, 511), (200, 600)]:
        memory = rng.standard_normal(rows * (k + gap) + early + 1).astype(dtype)
        whole = memory[early : early + rows * (k + gap)].reshape(rows, k + gap)
        x, v = whole[:, :k], rng.standard_normal((2 * k, 1)).astype(dtype)[::2]
        want = law(x, v)
        assert same_bits(matmul(x, v), want), (rows, k)
        assert same_bits(matmul(v.T, x.T), want.T.copy())


def test_infinities_and_nan_beside_a_matrix_do_not_touch_its_product_with_a_vector():
    for beside in (np.inf, np.nan):
        whole = np.full((70, 300), beside, "float32")
        whole[:, 5:270] = 1
        v = np.ones((265, 1), "float32")
        assert same_bits(matmul(whole[:, 5:270], v), np.full((70, 1), 265, "float32"))


def test_vectors_of_a_batch(monkeypatch):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((3, 1, 90, 40)).astype("float32")
    v = rng.standard_normal((2, 40, 1)).astype("float32")
    for threads in (1, 3):
        monkeypatch.setattr(pool, "size", threads)
        assert same_bits(matmul(x, v), law(x, v))
    big = rng.standard_normal((1500, 800)).astype("float32")
    whole = matmul(big, v.reshape(-1)[:80].repeat(10).reshape(800, 1))
    monkeypatch.setattr(pool, "size", 5)
    assert same_bits(matmul(big, v.reshape(-1)[:80].repeat(10).reshape(800, 1)), whole)


DIGEST = """
import hashlib
import numpy as np
from dualgraph.backends.native.contract import convolution, product

rng, digest = np.random.default_rng(0), hashlib.sha256()
how = {"stride": (1, 2), "padding": ((1, 1), (0, 1)), "dilation": (1, 1), "groups": 1}
for dtype in ("float32", "float64"):
    x, y = rng.standard_normal((70, 300)).astype(dtype), rng.standard_normal((300, 90)).astype(dtype)
    for a, b in [(x, y), (x, np.asfortranarray(y)), (x[:2], y), (x, y[:, :1]), (x[:, ::3], y[::3])]:
        digest.update(product.matmul(a, b).tobytes())
    x, w = rng.standard_normal((3, 5, 14, 15)).astype(dtype), rng.standard_normal((6, 5, 3, 3)).astype(dtype)
    out = convolution.conv(x, w, **how)
    digest.update(out.tobytes())
    digest.update(convolution.conv_input(out, w, extent=(14, 15), **how).tobytes())
    digest.update(convolution.conv_weight(x, out, kernel=(3, 3), **how).tobytes())
print(digest.hexdigest())
"""


def test_older_processors_compute_the_same_bits():
    def digest(**settings):
        environment = {**os.environ, **settings}
        run = subprocess.run(
            [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    if kernels.vector_bytes() < 32:
        pytest.skip("there is nothing older")
    assert digest(DUALGRAPH_CPU="x86-64-v3", DUALGRAPH_NUM_THREADS="3") == digest(DUALGRAPH_CPU="")


@pytest.mark.skipif(not api.available(), reason="native kernels are not in use")
def test_both_modes_take_the_claimed_kernel():
    rng = np.random.default_rng(5)
    x, w = (dg.asarray(rng.standard_normal(s).astype("float32")) for s in [(9, 300), (300, 40)])

    def f(x, w):
        return dg.tanh(x @ w)

    want = dg.tanh(dg.asarray(matmul(x.numpy(), w.numpy()))).numpy()
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        assert same_bits(compiled(x, w).numpy(), want)
    assert same_bits(f(x, w).numpy(), want)
    assert contract.claimed("matmul", np.dtype("int64"), np.dtype("int64")) is None
    assert contract.claimed("matmul", np.dtype("float32"), np.dtype("float64")) is None
