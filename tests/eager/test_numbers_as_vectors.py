"""PyTorch's functions that take an axis treat a number as a vector of one; and other corners of selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes

ZERO = dg.tensor(0)


@pytest.mark.parametrize("index", [dg.tensor(0), dg.tensor([0])])
def test_places_in_a_number(index: dg.Tensor) -> None:
    x = dg.tensor(2.0, requires_grad=True)
    assert x.gather(0, index).shape == index.shape
    assert x.scatter(0, index, dg.full(index.shape, 5.0)).item() == 5
    assert x.scatter_add(0, index, dg.full(index.shape, 5.0)).item() == 7
    for reduce, total in (("sum", 7), ("prod", 10), ("amax", 5), ("amin", 2), ("mean", 3.5)):
        out = x.scatter_reduce(0, index, dg.full(index.shape, 5.0), reduce)
        assert (out.shape, out.item()) == ((), total)
    assert x.index_add(0, index, dg.tensor([3.0])).item() == 5
    assert x.index_copy(0, index, dg.tensor([3.0])).item() == 3
    out = x.index_fill(0, index, 4.0) + x.gather(0, ZERO)
    out.backward()
    assert (out.item(), x.grad.item()) == (6, 1)


def test_numbers_along_an_axis() -> None:
    x = dg.tensor(3.0)
    assert x.quantile(0.5, dim=0).item() == 3
    assert x.quantile(dg.tensor([0.5]), dim=0, keepdim=True).shape == (1,)
    assert x.unfold(0, 1, 1).tolist() == [3]
    assert [i.tolist() for i in x.nonzero(as_tuple=True)] == [[0]]
    assert dg.searchsorted(dg.tensor([1.0, 2.0, 4.0]), 3.0).item() == 2
    assert [g.shape for g in dg.meshgrid([dg.tensor(1.0), dg.arange(3)], indexing="ij")] == [
        (1, 3)
    ] * 2


@pytest.mark.parametrize("dtype", [dg.int32, dg.int64, dg.uint8])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "amax", "amin", "mean"])
def test_integers_stay_integers(reduce: str, include_self: bool, dtype: dg.dtype) -> None:
    x, src, at = np.array([9, 1, 5]), np.array([4, 7, 2, 8]), np.array([0, 0, 2, 0])
    fold = {"sum": np.sum, "prod": np.prod, "amax": np.max, "amin": np.min, "mean": np.mean}[reduce]
    want = x.copy()
    for i in set(at):
        here = [*src[at == i], *([x[i]] if include_self else [])]
        want[i] = int(np.floor(fold(here))) % (256 if dtype is dg.uint8 else 2**31)
    got = dg.tensor(x, dtype=dtype).scatter_reduce(
        0, dg.tensor(at), dg.tensor(src, dtype=dtype), reduce, include_self=include_self
    )
    assert (got.dtype, got.tolist()) == (dtype, want.tolist())


def test_unknown_reductions_are_named() -> None:
    with pytest.raises(dg.ArgumentError, match="not 'max'"):
        dg.ones(2).scatter_reduce(0, dg.tensor([0]), dg.ones(1), "max")


def test_masks_and_doubles_among_the_places() -> None:
    x = dg.zeros(3, 2)
    mask = dg.tensor([True, False, True])
    assert x.index_put((mask,), dg.tensor(1.0)).tolist() == [[1, 1], [0, 0], [1, 1]]
    value = dg.tensor(2.0, requires_grad=True)
    x.index_fill(0, dg.tensor([1, 1, 2]), value).sum().backward()
    assert value.grad.item() == 4  # the places written, though one is named twice


def test_rows_in_a_run() -> None:
    x = dg.tensor([[1, 1, 2], [1, 1, 2], [3, 3, 3], [1, 1, 2]])
    values, inverse, counts = dg.unique_consecutive(
        x, return_inverse=True, return_counts=True, dim=0
    )
    assert values.tolist() == [[1, 1, 2], [3, 3, 3], [1, 1, 2]]
    assert (inverse.tolist(), counts.tolist()) == ([0, 0, 1, 2], [2, 1, 1])
    assert dg.unique_consecutive(x, dim=1).shape == (4, 2)


def test_diagonals_between_any_two_axes() -> None:
    x = np.arange(6.0).reshape(2, 3)
    got = dg.diag_embed(dg.tensor(x), offset=1, dim1=0, dim2=2).numpy()
    assert got.shape == (4, 2, 4)
    np.testing.assert_array_equal(got.diagonal(1, 0, 2), x)
    assert dg.diag(dg.tensor([True, False])).dtype is dg.bool


def test_weighted_covariance_is_numpys() -> None:
    rng = np.random.default_rng(5)
    x, often, weight = rng.standard_normal((3, 6)), rng.integers(1, 4, 6), rng.uniform(0.1, 2, 6)
    for f, a in ((often, None), (None, weight), (often, weight)):
        params = {k: v for k, v in (("fweights", f), ("aweights", a)) if v is not None}
        want = np.cov(x, ddof=1, **params)
        got = dg.cov(dg.tensor(x), **{k: dg.tensor(v) for k, v in params.items()})
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    assert dg.cov(dg.ones(1, 4)).shape == ()


def test_combinations_of_elements() -> None:
    x = dg.tensor([1, 2, 3])
    assert dg.combinations(x, 3).tolist() == [[1, 2, 3]]
    assert dg.combinations(x, 2, with_replacement=True).shape == (6, 2)
    assert dg.combinations(x, 4).shape == (0, 4)


def test_parts_of_floats_and_places() -> None:
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        x = np.array(
            [0, -0.0, 1, -3.5, 1e-3, info.max, info.tiny, info.smallest_subnormal, 8, 7.9], dtype
        )
        m, e = dg.frexp(dg.tensor(x))
        want_m, want_e = np.frexp(x)
        np.testing.assert_array_equal(m.numpy(), want_m)
        np.testing.assert_array_equal(e.numpy(), want_e)
    places = dg.unravel_index(dg.arange(24), (2, 3, 4))
    for got, want in zip(places, np.unravel_index(np.arange(24), (2, 3, 4)), strict=True):
        np.testing.assert_array_equal(got.numpy(), want)


def test_vectors_of_nothing_are_passed_over() -> None:
    out = dg.tensor([])
    for i in range(3):
        out = dg.cat([out, dg.full((1, 2), float(i))])
    assert out.shape == (3, 2)


def test_transforms_take_dims() -> None:
    x = np.random.default_rng(1).standard_normal((3, 4, 5))
    for name in ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"):
        got = getattr(dg.fft, name)(dg.tensor(x), dim=(0, 2))
        np.testing.assert_allclose(got.numpy(), getattr(np.fft, name)(x, axes=(0, 2)), atol=1e-12)
    np.testing.assert_allclose(
        dg.fft.fftn(dg.tensor(x), dim=1).numpy(), np.fft.fft(x, axis=1), atol=1e-12
    )
    np.testing.assert_array_equal(
        dg.fft.fftshift(dg.tensor(x), dim=1).numpy(), np.fft.fftshift(x, 1)
    )


@both_modes(2)
def test_both_modes_agree(wrap: Wrap) -> Iterator[Any]:
    at = dg.tensor([[0, 1, 3], [2, 2, 0]])
    f = wrap(
        lambda x, src: (
            x.scatter_reduce(0, at, src, "amax", include_self=False),
            x.index_fill(1, dg.tensor([0, 0, 3]), x[0, 0]),
            dg.cov(x, aweights=src[0].abs().repeat(2)[:5]),
            *dg.frexp(x),
            *dg.gradient(x, edge_order=2),
        )
    )
    for _ in range(3):
        yield f(dg.randn(4, 5), dg.randn(2, 3))


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_extremes_at_places_take_the_memory_of_their_operands(reduce: str) -> None:
    index, src = dg.arange(40_000) % 20_000, dg.arange(40_000.0)  # not a table of 20,000 x 40,000
    src.requires_grad = True
    x = dg.full((20_000,), 30_000.0, requires_grad=True)
    out = x.scatter_reduce(0, index, src, reduce)
    out.sum().backward()
    first, second = np.arange(20_000.0), np.arange(20_000.0, 40_000.0)
    fold = np.maximum if reduce == "amax" else np.minimum
    want = fold(30_000.0, fold(first, second))
    assert out.tolist() == want.tolist()
    assert src.grad.sum().item() + x.grad.sum().item() == 20_000
    tie = 10_000 if reduce == "amax" else None  # 30,000 meets 30,000 at place 10,000
    assert tie is None or x.grad[tie].item() == 0.5
