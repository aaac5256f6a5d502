"""The first few of many elements: found by way of their blocks, to the places that a whole sort gives."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.ops import sorting


def values(kind, dtype, shape):
    rng = np.random.default_rng(3)
    if kind == "equal":
        return np.zeros(shape, dtype)
    x = rng.standard_normal(shape) * (3 if kind == "tied" else 30)
    x = np.round(x) if kind == "tied" else x
    x = x.astype(dtype)
    if kind == "special" and dtype.startswith("f"):
        x.flat[rng.integers(0, x.size, 4)] = -0.0
        x.flat[x.size // 2] = np.inf
        x.flat[-1] = np.nan
    return x


@pytest.mark.parametrize("kind", ["plain", "tied", "equal", "special"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int32", "int8", "uint8", "float64", "int64"]
)
def test_places_are_those_of_the_whole_order(dtype, kind, monkeypatch):
    for shape in ((20_000,), (40, 1003), (3, 7, 2011)):
        x = values(kind, dtype, shape)
        for descending in (False, True):
            for first in (1, 4, 17):
                got = sorting._order(np, x, descending, first)
                with monkeypatch.context() as patch:
                    patch.setattr(sorting, "FEW", x.size + 1)
                    expected = sorting._order(np, x, descending, first)
                assert np.array_equal(got, expected), (shape, descending, first)


@pytest.mark.parametrize("kind", ["plain", "tied", "equal", "special"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int32", "uint8", "bool", "float64", "int64"]
)
def test_few_elements_are_ordered_like_many(dtype, kind, monkeypatch):
    for shape in ((30,), (4, 17), (3, 1), (2, 3, 9)):
        x = values(kind, dtype, shape)
        for descending in (False, True):
            for first in (1, shape[-1]):
                got = sorting._order(np, x, descending, first)
                with monkeypatch.context() as patch:
                    patch.setattr(sorting, "BRIEF", 0)
                    expected = sorting._order(np, x, descending, first)
                assert np.array_equal(got, expected) and got.dtype == expected.dtype


def test_topk_of_a_large_tensor_in_both_modes():
    x = dg.asarray(values("tied", "float32", (60, 997)))
    f = dg.compile(lambda x: x.topk(3, 1), wait=True)
    for largest in (True, False):
        got = x.topk(3, 1, largest=largest)
        order = np.argsort(-x.numpy() if largest else x.numpy(), axis=1, kind="stable")[:, :3]
        assert np.array_equal(got[1].numpy(), order)
    assert all(
        a._data.tobytes() == b._data.tobytes()
        for _ in range(3)
        for a, b in zip(f(x), x.topk(3, 1), strict=True)
    )
