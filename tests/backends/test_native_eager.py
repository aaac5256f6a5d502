"""Native kernels of single ops give the bits of the op on NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph.ops.arithmetic
import dualgraph.ops.cumulative
import dualgraph.ops.reduce
import dualgraph.ops.transcendental  # noqa: F401
from dualgraph.backends.native import api
from dualgraph.backends.native.threads import get_num_threads, set_num_threads
from dualgraph.backends.scalar_numpy import ExactArrayScalar
from dualgraph.core import dtypes as dt
from dualgraph.core.prim import REGISTRY

pytestmark = pytest.mark.skipif(not api.available(), reason="llvmlite is not installed")


def run(name: str, *arrays: Any, **params: Any) -> None:
    prim = REGISTRY[name]
    dtypes = tuple(dt.from_numpy(a.dtype) for a in arrays)
    out = api.elementwise(prim, arrays, dtypes, params)
    with np.errstate(all="ignore"):
        expected = np.asarray(prim.kernel(ExactArrayScalar(np), *arrays, **params))
    assert out.dtype == expected.dtype and out.shape == expected.shape
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n", [0, 1, 7, 16, 1000, 250_001])
def test_elementwise_of_any_length(n: int) -> None:
    x = np.random.default_rng(0).standard_normal(n).astype("f4")
    run("exp", x)
    run("tanh", x)
    run("add", x, np.float32([2.5]))
    run("where", x > 0, x, np.asarray(np.float32(1)))
    run("cast", x, dtype="int32")


def test_elementwise_of_any_layout() -> None:
    x = np.random.default_rng(0).standard_normal((6, 40, 3))
    run("exp", x.transpose(2, 0, 1))
    run("multiply", x[:, ::-2], x[:1, :20, :1])
    run("sqrt", np.asarray(x[0, 0, 0] ** 2))


@pytest.mark.parametrize("monoid", ["sum", "prod", "max", "any"])
@pytest.mark.parametrize(
    "shape",
    [(3, 700, 1), (1, 40, 33), (1, 1025, 20), (4, 600, 17), (2, 0, 3), (0, 3, 2), (1, 5, 1)],
)
def test_fold_of_any_axis(monoid: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    x = x > 0 if monoid == "any" else x
    if monoid == "max" and shape[1] == 0:
        return
    d = dt.from_numpy(x.dtype)
    expected = REGISTRY[f"reduce_{monoid}"].kernel(np, x, (1,), False)
    np.testing.assert_array_equal(api.fold(monoid, x, (1,), d, d), expected)


@pytest.mark.parametrize("axes", [(), (0,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_fold_of_several_axes_in_any_layout(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (5, 30, 20)).astype("i4").transpose(2, 0, 1)
    for a in (x, np.ascontiguousarray(x), x.astype("f4")):
        d = dt.from_numpy(a.dtype)
        out = dt.int64 if d is dt.int32 else d
        expected = REGISTRY["reduce_sum"].kernel(np, a, axes, False)
        np.testing.assert_array_equal(api.fold("sum", a, axes, d, out), expected)


def test_threads_leave_the_bits_alone() -> None:
    x = np.random.default_rng(0).standard_normal((600, 2000)).astype("f4")
    results = []
    before = get_num_threads()
    try:
        for n in (1, 2, 5):
            set_num_threads(n)
            results.append([api.elementwise(REGISTRY["exp"], [x], (dt.float32,), {})])
            results[-1] += [
                api.fold("sum", x, axes, dt.float32, dt.float32) for axes in ((0,), (1,), (0, 1))
            ]
    finally:
        set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
