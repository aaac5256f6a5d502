"""Masked reductions: those of what a mask keeps, in both modes and with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import masked

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
KEEP = np.random.default_rng(1).random((4, 6)) > 0.4
KEEP[:, 0] = True
OF_ROW: dict[str, Any] = {
    "sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min,
    "var": lambda v: np.var(v, ddof=1), "std": lambda v: np.std(v, ddof=1),
    "logsumexp": lambda v: np.log(np.exp(v).sum()),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ROW)
def test_a_reduction_is_that_of_what_is_kept(name: str) -> None:
    fn = getattr(masked, name)
    call = lambda x, m: fn(x, dim=1, mask=m)  # noqa: E731
    x, mask = dg.tensor(X), dg.tensor(KEEP)
    wanted = [OF_ROW[name](row[keep]) for row, keep in zip(X, KEEP, strict=True)]
    found = call(x, mask)
    np.testing.assert_allclose(found, wanted, rtol=2e-5)
    compiled = dg.compile(call, wait=True)
    compiled(x, mask)
    np.testing.assert_array_equal(compiled(x, mask), found)
    whole = fn(x, dim=(0, 1), mask=mask, keepdim=True)
    np.testing.assert_allclose(whole, [[OF_ROW[name](X[KEEP])]], rtol=2e-5)
    gradient = dg.grad(lambda v: fn(v, dim=1, mask=mask).sum())(x)
    assert not gradient.numpy()[~KEEP].any() and np.isfinite(gradient).all()


def test_places_and_rows_keep_the_shape() -> None:
    x, mask = dg.tensor(X), dg.tensor(KEEP)
    away = np.where(KEEP, X, -np.inf)
    np.testing.assert_array_equal(masked.argmax(x, 1, mask=mask), away.argmax(1))
    np.testing.assert_array_equal(
        masked.argmin(x, 1, mask=mask), np.where(KEEP, X, np.inf).argmin(1)
    )
    soft = np.exp(away) / np.exp(away).sum(1, keepdims=True)
    np.testing.assert_allclose(masked.softmax(x, 1, mask=mask), soft, rtol=1e-5)
    np.testing.assert_allclose(dg.exp(masked.log_softmax(x, 1, mask=mask)), soft, rtol=1e-5)
    np.testing.assert_allclose(
        masked.cumsum(x, 1, mask=mask), (X * KEEP).cumsum(1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        masked.cumprod(x, 1, mask=mask), np.where(KEEP, X, 1).cumprod(1), rtol=1e-5
    )


def test_where_nothing_is_kept() -> None:
    none = dg.tensor([False, False])
    x, n = dg.tensor([1.0, 2.0]), dg.tensor([1, 2], dtype=dg.int8)
    assert masked.sum(x, mask=none).item() == 0.0 and masked.prod(x, mask=none).item() == 1.0
    assert np.isnan(masked.mean(x, mask=none).item()) and np.isnan(masked.var(x, mask=none).item())
    assert masked.amax(x, mask=none).item() == -np.inf and masked.amin(n, mask=none).item() == 127
    assert masked.mean(x).item() == 1.5 and masked.amax(n).item() == 2
