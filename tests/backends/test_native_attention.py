"""Native attention: its values, and bits that depend on nothing beside a row of queries."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("llvmlite")


import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.backends.native import api, attention
from dualgraph.backends.native.contract import product
from dualgraph.backends.native.threads import get_num_threads, set_num_threads
from dualgraph.ops.nn.attention import attention_grad, attention_op

if not api.available():
    pytest.skip("native kernels are not in use", allow_module_level=True)

if not product.available():
    pytest.skip("this processor has no fused multiply-add", allow_module_level=True)

F32, F64 = np.dtype("float32"), np.dtype("float64")
SIZES = [  # leading axes, queries, keys, width, width of values
    ((2, 3), 5, 6, 4, 7),
    ((), 2, 2, 1, 1),
    ((2,), 64, 64, 32, 32),
    ((1,), 65, 257, 33, 17),
    ((2,), 130, 600, 20, 64),
    ((1,), 300, 300, 300, 40),
    ((2,), 17, 1000, 8, 8),
    ((1,), 3, 700, 64, 64),
]


def operands(rng, lead, queries, keys, width, values, dtype=np.float64):
    shapes = (queries, width), (keys, width), (keys, values)
    return tuple(rng.standard_normal((*lead, *s)).astype(dtype) for s in shapes)


def masks(rng, lead, queries, keys):
    return {
        "none": (),
        "bool": (rng.random((queries, keys)) > 0.3,),
        "add": (rng.standard_normal((*lead, queries, keys)),),
        "padding": (rng.random((*lead, 1, keys)) > 0.3,),
        "column": (rng.standard_normal((queries, 1)),),
        "turned": (rng.standard_normal((keys, queries)).T,),
    }


def cast(dtype, *arrays):
    return tuple(a if a.dtype == bool else a.astype(dtype) for a in arrays)


def close(got, want, dtype):
    finite = np.isfinite(want)
    assert (np.isfinite(got) == finite).all()
    scale = max(np.abs(want[finite]).max(initial=0), 1e-2)
    error = np.abs(got - np.where(finite, want, 0))[finite].max(initial=0)
    assert error <= 100 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_gradients_are_those_of_the_op_in_double_precision(sizes, causal, dtype):
    rng = np.random.default_rng(3)
    lead, queries, keys, width, _ = sizes
    how = {"causal": causal, "scale": width**-0.5}
    forward = attention.claimed("attention", dtype, dtype, dtype)
    backward = attention.claimed("attention_grad", *[dtype] * 6)
    for mask in masks(rng, lead, queries, keys).values():
        given = cast(dtype, *operands(rng, *sizes), *mask)
        wide = cast(F64, *given)
        out, lse = forward(*given, **how)
        want, want_lse = attention_op.kernel(np, *wide, **how)
        close(out, want, dtype)
        close(lse, want_lse, dtype)
        ct = rng.standard_normal(out.shape).astype(dtype)
        rows = ct, *given[:3], lse, (ct * out).sum(-1, dtype=dtype), *given[3:]
        for got, exact in zip(
            backward(*rows, **how), attention_grad.kernel(np, *cast(F64, *rows), **how), strict=True
        ):
            close(got, exact, dtype)


def results(q, k, v, *mask, causal=True):
    """Value and gradients, as bytes of each query's rows and of the whole gradients."""
    how = {"causal": causal, "scale": 0.3}
    out, lse = attention_op(*map(dg.asarray, (q, k, v, *mask)), **how)
    ct = dg.cos(out)
    grads = attention_grad(ct, *map(dg.asarray, (q, k, v)), lse, (ct * out).sum(-1), *mask, **how)
    return [x.numpy() for x in (out, lse, *grads)]


@pytest.mark.parametrize("dtype", [F32, F64])
def test_bits_do_not_depend_on_batch_threads_or_how_many_queries_there_are(dtype):
    rng = np.random.default_rng(5)
    q, k, v = operands(rng, (3, 2), 333, 600, 40, 48, dtype)
    before = get_num_threads()
    try:
        set_num_threads(1)
        want = results(q, k, v)
        for threads in (2, 3, 5):
            set_num_threads(threads)
            for got, exact in zip(results(q, k, v), want, strict=True):
                assert got.tobytes() == exact.tobytes()
            for got, exact in zip(results(q[1, :1], k[1, :1], v[1, :1]), want, strict=True):
                assert got.tobytes() == exact[1, :1].tobytes()  # now split by blocks
        for rows in (1, 20, 64, 200):
            part = results(q[..., :rows, :], k, v)
            for got, exact in zip(part[:3], want[:3], strict=True):
                assert got.tobytes() == np.ascontiguousarray(exact[:, :, :rows]).tobytes()
    finally:
        set_num_threads(before)


def test_layout_does_not_matter():
    rng = np.random.default_rng(6)
    q, k, v = operands(rng, (2, 3), 70, 90, 16, 16, F32)
    mask = rng.random((2, 1, 70, 90)) > 0.2
    want = results(q, k, v, mask)
    turned = [
        np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3) for x in (q, k, v)
    ]
    inside = [np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in (q, k, v)]
    for others in (turned, inside):
        other_mask = np.ascontiguousarray(mask.swapaxes(-1, -2)).swapaxes(-1, -2)
        for got, exact in zip(results(*others, other_mask), want, strict=True):
            assert got.tobytes() == exact.tobytes()


@pytest.mark.parametrize("how", [{}, {"is_causal": True}, {"enable_gqa": True}])
def test_compiled_training_has_the_bits_of_eager_training(how):
    rng = np.random.default_rng(7)
    heads = 2 if "enable_gqa" in how else 4
    shapes = (2, 70, 4, 8), (2, 80, heads, 8), (2, 80, heads, 8)
    q, k, v = (dg.asarray(rng.standard_normal(s).astype(F32)) for s in shapes)

    def step(q, k, v):
        def loss(q, k, v):
            turned = (x.transpose(1, 2) for x in (q, k, v))
            return (F.scaled_dot_product_attention(*turned, **how) ** 2).sum()

        return dg.value_and_grad(loss, argnums=(0, 1, 2))(q, k, v)

    value, grads = step(q, k, v)
    compiled = dg.compile(step, wait=True)
    compiled(q, k, v)
    again, others = compiled(q, k, v)
    assert compiled.programs
    for a, b in zip((value, *grads), (again, *others), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("compiled", [False, True])
def test_memory_grows_with_the_length_and_not_with_its_square(compiled):
    length, width = 4096, 16
    rng = np.random.default_rng(8)
    q, k, v = (dg.asarray(rng.standard_normal((1, length, width)).astype(F32)) for _ in range(3))

    def step(q, k, v):
        def loss(*x):
            return F.scaled_dot_product_attention(*x, is_causal=True).sum()

        return dg.grad(loss, argnums=(0, 1, 2))(q, k, v)

    run = dg.compile(step, wait=True) if compiled else step
    run(q, k, v)
    tracemalloc.start()
    try:
        run(q, k, v)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * q.numpy().nbytes < length * length


def test_a_mask_gets_its_gradient_and_second_derivatives_go_through():
    rng = np.random.default_rng(9)
    q, k, v = map(dg.asarray, operands(rng, (2,), 3, 4, 5, 2))
    mask = dg.asarray(rng.standard_normal((3, 4)))

    def f(q, k, v, mask):
        return dg.sin(F.scaled_dot_product_attention(q, k, v, mask)).sum()

    def plain(q, k, v, mask):
        weights = dg.softmax(q @ k.transpose(-1, -2) / 5**0.5 + mask, -1)
        return dg.sin(weights @ v).sum()

    args = range(4)
    for got, want in zip(
        dg.grad(f, argnums=tuple(args))(q, k, v, mask),
        dg.grad(plain, argnums=tuple(args))(q, k, v, mask),
        strict=True,
    ):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-10, atol=1e-13)
    for i in args:
        curve = [
            dg.grad(lambda *x, g=g, i=i: (dg.grad(g, argnums=i)(*x) ** 2).sum(), argnums=i)
            for g in (f, plain)
        ]
        got, want = (c(q, k, v, mask).numpy() for c in curve)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    tangents = tuple(dg.ones_like(x) for x in (q, k, v, mask))
    for a, b in zip(
        dg.jvp(f, (q, k, v, mask), tangents), dg.jvp(plain, (q, k, v, mask), tangents), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)


DIGEST = """
import hashlib, numpy as np, dualgraph as dg, dualgraph.nn.functional as F
rng = np.random.default_rng(0)
h = hashlib.sha256()
for dtype in ("float32", "float64"):
    q, k, v = (rng.standard_normal((2, n, 24)).astype(dtype) for n in (130, 300, 300))
    x = [dg.tensor(a, requires_grad=True) for a in (q, k, v)]
    out = F.scaled_dot_product_attention(*x, is_causal=True)
    (out ** 2).sum().backward()
    for a in (out.detach(), *(y.grad for y in x)):
        h.update(a.numpy().tobytes())
print(h.hexdigest())
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_vectors_of_the_processor():
    def digest(**env):
        run = subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    assert digest(DUALGRAPH_CPU="x86-64-v3", DUALGRAPH_NUM_THREADS="3") == digest(DUALGRAPH_CPU="")
