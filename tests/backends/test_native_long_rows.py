"""Folds of one long row: threads share its blocks, in the canonical order to the bit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")


import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.backends.native.kernel import lowered
from dualgraph.backends.native.schedule import LONG
from dualgraph.backends.native.threads import get_num_threads, set_num_threads

if not api.available():
    pytest.skip("native kernels are not in use", allow_module_level=True)

PROGRAMS = {
    "sum": lambda x: dg.sum(x * 2 + 1),
    "mean of squares": lambda x: dg.mean(dg.square(x - 0.5)),
    "max": lambda x: dg.max(dg.abs(x)),
    "extremes": lambda x: (dg.max(x), dg.min(x), dg.sum(x)),
    "variance": lambda x: dg.var(x),
    "softmax": lambda x: dg.softmax(x.reshape(-1), 0),
    "normalised": lambda x: (x - x.mean()) / dg.sqrt(dg.var(x) + 1e-5),
    "stored on the way": lambda x: (y := dg.exp(x), dg.sum(y)),
    "any": lambda x: (dg.any(x > 4.9), dg.all(x > -9)),
    "turned": lambda x: dg.sum(x.reshape(2, -1).T * 3),
}


def arrays(out):
    return [a.numpy() for a in (out if isinstance(out, tuple) else (out,))]


@pytest.mark.parametrize("size", [LONG, LONG + 2, 2 * LONG + 1234])
@pytest.mark.parametrize("name", PROGRAMS)
def test_bits_are_those_of_eager_runs_for_any_number_of_threads(name, size):
    fn = PROGRAMS[name]
    rng = np.random.default_rng(1)
    x = dg.asarray(rng.standard_normal(size).astype("float32"))
    if name != "softmax":
        x[size // 2], x[7] = -0.0, 3.0
    want = arrays(fn(x))
    before = get_num_threads()
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            compiled = dg.compile(fn, wait=True)
            compiled(x)
            for got, exact in zip(arrays(compiled(x)), want, strict=True):
                assert got.tobytes() == exact.tobytes(), threads
    finally:
        set_num_threads(before)


def test_nans_go_through():
    x = np.ones(LONG + 5, "float64")
    x[LONG // 3] = np.nan
    f = dg.compile(lambda x: (dg.max(x), dg.min(x), dg.sum(x)), wait=True)
    for _ in range(2):
        assert all(np.isnan(float(v)) for v in f(dg.asarray(x)))


def test_blocks_are_a_loop_that_threads_share():
    f = dg.compile(lambda x: dg.sum(x), wait=True)
    f(dg.ones(LONG))
    (node,) = f.programs[0].graph.nodes
    kernel = lowered(node.params["body"])
    assert len(kernel.nests) == 3
    assert kernel.nests[0].parallel.axes[0].extent == LONG // 512
    assert "shared" in str(kernel) and "tree" in str(kernel)
