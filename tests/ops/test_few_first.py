"""Orders of many elements, the first few and the k-th among them: the places that a plain stable sort gives."""

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


@pytest.mark.parametrize("kind", ["plain", "tied", "equal", "special"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int32", "uint8", "bool", "float64", "int64", "complex64"]
)
def test_the_kth_element_is_that_of_the_whole_order(dtype, kind):
    for shape in ((1001,), (40, 103), (3, 7, 211)):
        x = values(kind, dtype, shape)
        order = np.argsort(x, axis=-1, kind="stable")
        for k in (0, 1, shape[-1] // 2, shape[-1] - 1):
            got = sorting._order(np, x, False, k + 1, k)
            assert np.array_equal(got, order[..., k : k + 1]) and got.dtype == np.int64, (shape, k)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64"])
def test_long_numbers_are_ordered_by_all_of_their_bits(dtype):
    """High bits and the index share a word: numbers that differ below them, and extremes, are told apart, too."""
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**64, (3, 1000), dtype="uint64")
    near = np.uint64(2**62) + rng.integers(0, 7, bits.shape, dtype="uint64")
    some = np.where(rng.random(bits.shape) < 0.2, near, bits)
    for x in (bits, some, near, near % 3, np.where(bits % 2, near, ~near)):
        x = x.view(dtype)
        for line in (x, x[0]):
            expected = np.argsort(line, axis=-1, kind="stable")
            assert np.array_equal(sorting._order(np, line, False, line.shape[-1]), expected)
            backwards = line.shape[-1] - 1 - np.argsort(line[..., ::-1], axis=-1, kind="stable")
            descending = sorting._order(np, line, True, line.shape[-1])
            assert np.array_equal(descending, backwards[..., ::-1])


def test_medians_in_both_modes():
    x = dg.asarray(values("tied", "float32", (6, 997)))
    f = dg.compile(lambda x: (*x.median(1), x.kthvalue(500, 1)[1], x.median()), wait=True)
    order = np.argsort(x.numpy(), axis=1, kind="stable")
    for _ in range(3):
        middle, place, also, all_ = f(x)
        assert np.array_equal(place.numpy(), order[:, 498]) and np.array_equal(
            also.numpy(), order[:, 499]
        )
        assert middle.tolist() == np.sort(x.numpy(), 1)[:, 498].tolist()
        assert all_.item() == np.sort(x.numpy().ravel())[(x.numel() - 1) // 2]


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
