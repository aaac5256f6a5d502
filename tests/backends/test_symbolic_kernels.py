"""Kernels of symbolic sizes: compiled once, they give at each size the bits of a kernel made for it."""

from __future__ import annotations

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.backends.native import api as native
from dualgraph.core import dtypes as dt
from dualgraph.core.node import Literal
from dualgraph.core.numbers.guards import guarded
from dualgraph.core.numbers.polynomial import evaluator
from dualgraph.core.numbers.symbolic import source
from dualgraph.core.numbers.symbols import atom_of, symbol
from dualgraph.core.prim import lookup
from dualgraph.core.types import TensorType
from dualgraph.static.graph import Graph, GraphBuilder

if not native.available():
    pytest.skip("needs llvmlite", allow_module_level=True)

from dualgraph.backends.native.contract import kernels
from dualgraph.backends.native.jit import jit
from dualgraph.backends.native.kernel import NativeKernel, lowered

F32 = dt.float32


class Body:
    """Writes a body op by op."""

    def __init__(self):
        self.b = GraphBuilder()

    def input(self, *shape):
        return self.b.input(TensorType(F32, shape))

    def __getattr__(self, name):
        return lambda *xs, **params: self.b.add(lookup(name), xs, params)[0]

    def graph(self, *outs) -> Graph:
        return self.b.build(outs)


def pointwise(n, m):
    b = Body()
    x, w = b.input(n, m), b.input(m)
    return b.graph(b.exp(b.multiply(b.add(x, w), Literal(0.5, F32))))


def column(n, m):
    b = Body()
    x, w = b.input(n, m), b.input(n, 1)
    return b.graph(b.subtract(x, w), b.tanh(w))


def softmax(n, m):
    b = Body()
    x = b.input(n, m)
    e = b.exp(b.subtract(x, b.reduce_max(x, axes=(1,), keepdims=True)))
    return b.graph(b.divide(e, b.reduce_sum(e, axes=(1,), keepdims=True)))


def columns_sum(n, m):
    b = Body()
    x = b.input(n, m)
    return b.graph(b.reduce_sum(b.multiply(x, x), axes=(0,), keepdims=False))


def whole_sum(n, m):
    b = Body()
    x, y = b.input(n, m), b.input(n, m)
    z = b.subtract(x, y)
    return b.graph(b.reduce_sum(b.multiply(z, z), axes=(0, 1), keepdims=False))


def two_sums(n, m):
    b = Body()
    x = b.input(n, 3, m)
    s = b.reduce_sum(x, axes=(0, 2), keepdims=True)
    t = b.reduce_sum(b.multiply(x, x), axes=(0, 2), keepdims=True)
    return b.graph(s, t, b.divide(b.subtract(x, s), t))


def turned(n, m):
    b = Body()
    x, y = b.input(n, m), b.input(m, n)
    return b.graph(b.add(b.permute(x, axes=(1, 0)), y))


def reshaped(n, m):
    b = Body()
    x, y = b.input(n, m, 4), b.input(n * m * 4)
    flat = b.reshape(x, shape=(n * m * 4,))
    return b.graph(b.add(flat, y), b.reshape(b.multiply(flat, y), shape=(n, 4 * m)))


def sliced(n, m):
    b = Body()
    x = b.input(n + 2, m)
    low = b.slice(x, starts=(0, 0), stops=(n, m), steps=(1, 1))
    high = b.slice(x, starts=(2, 0), stops=(n + 2, m), steps=(1, 1))
    return b.graph(b.subtract(high, b.flip(low, axes=(0,))))


BODIES = [
    pointwise, column, softmax, columns_sum, whole_sum, two_sums, turned, reshaped, sliced,
]  # fmt: skip
SIZES = [(0, 3), (1, 1), (1, 5), (2, 3), (3, 1), (5, 7), (17, 16), (33, 40), (16, 64), (700, 9), (9, 700)]  # fmt: skip


def run(kernel, graph, rng):
    ins = [rng.standard_normal(v.type.shape).astype(np.float32) for v in graph.inputs]
    outs = [np.full(v.type.shape, np.nan, np.float32) for v in graph.outputs]
    kernel.run(ins, outs)
    return outs


@pytest.mark.parametrize("make", BODIES)
@pytest.mark.parametrize("dims", [(True, False), (False, True), (True, True)])
def test_one_kernel_serves_all_sizes(make, dims):
    for own in SIZES:
        at = [symbol(s) if dim else v for s, dim, v in zip((6, 10), dims, own, strict=True)]
        names = tuple(atom_of(s) for s, dim in zip(at, dims, strict=True) if dim)
        with guarded(proving=True):
            body = make(*at)
        kernel = native.compile_group(body)
        values = tuple(v for v, dim in zip(own, dims, strict=True) if dim)
        if not all(evaluator(names, list(kernel.kernel.guards))(*values)):
            assert make is softmax and 0 in own  # no largest of none
            continue
        before = len(jit().cache)
        there = kernel.resized(evaluator(names, [source(v) for v in kernel.symbolic])(*values))
        assert len(jit().cache) == before
        graph = make(*own)
        if make in (softmax,) and 0 in own:
            continue
        expected = run(NativeKernel(lowered(graph)), graph, np.random.default_rng(1))
        got = run(there, graph, np.random.default_rng(1))
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_the_code_does_not_depend_on_the_size_at_hand():
    texts = set()
    for n in (5, 24, 700):
        with guarded(proving=True):
            texts.add(NativeKernel(lowered(softmax(symbol(n), 10))).code.text())
    assert len(texts) == 1


def test_products_of_new_sizes_compile_nothing(monkeypatch):
    def scores(x):
        return F.scaled_dot_product_attention(x, x, x) + dg.softmax(x @ x.T, axis=-1) @ x

    compiled = dg.compile(scores, wait=True)
    kernels.micro.cache_clear()
    kernels._machine.cache_clear()
    for n in (4, 6):
        compiled(dg.ones(n, 5))
    sizes = (*range(2, 72), 100, 128, 333)
    xs = [dg.tensor(np.random.default_rng(n).standard_normal((n, 5))) for n in sizes]
    compiled(xs[0]), compiled(xs[1])  # of float64
    compiled.wait()
    compiled._arrivals.settle()  # sizes that come once may run eagerly, which compiles
    with monkeypatch.context() as patch:
        patch.setattr(type(jit()), "compile", lambda *a, **k: pytest.fail("compiled"))
        got = [compiled(x) for x in xs]
    for x, y in zip(xs, got, strict=True):
        np.testing.assert_array_equal(y, scores(x))
    assert len(compiled.programs) == 4 and not compiled._eager_calls
