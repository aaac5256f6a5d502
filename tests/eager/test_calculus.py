"""Slopes and integrals of samples, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 5)])
def test_slopes_are_numpys(shape: tuple[int, ...], edge_order: int) -> None:
    x = RNG.standard_normal(shape)
    places = [np.cumsum(RNG.uniform(0.5, 2, n)) for n in shape]
    for spacing, given in ((0.5, (0.5,)), ([dg.tensor(p) for p in places], places)):
        want = np.gradient(x, *given, edge_order=edge_order)
        got = dg.gradient(dg.tensor(x), spacing=spacing, edge_order=edge_order)
        for w, g in zip(want if len(shape) > 1 else [want], got, strict=True):
            np.testing.assert_allclose(g.numpy(), w, rtol=1e-12, atol=1e-12)
    (last,) = dg.gradient(dg.tensor(x), dim=-1)
    np.testing.assert_allclose(last.numpy(), np.gradient(x, axis=-1), rtol=1e-12)


def test_too_few_places_have_no_slope() -> None:
    with pytest.raises(dg.ArgumentError, match="needs more than 2 places along axis 0"):
        dg.gradient(dg.ones(2), edge_order=2)
    with pytest.raises(dg.ArgumentError, match="3 spacings for 1 axes"):
        dg.gradient(dg.ones(5), spacing=[1, 2, 3])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("given", ["nothing", "dx", "places", "each"])
def test_integrals_are_numpys(given: str, dim: int) -> None:
    y = RNG.standard_normal((4, 4))
    x = {"places": np.cumsum(RNG.uniform(0.1, 1, 4)), "each": RNG.standard_normal((4, 4))}.get(
        given
    )
    params: dict[str, Any] = {"dx": 0.25} if given == "dx" else {}
    want = np.trapezoid(y, x, axis=dim, **params)
    places = None if x is None else dg.tensor(x)
    got = dg.trapezoid(dg.tensor(y), places, dim=dim, **params)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    running = dg.cumulative_trapezoid(dg.tensor(y), places, dim=dim, **params)
    np.testing.assert_allclose(running.select(dim, -1).numpy(), want, rtol=1e-12)
    assert running.shape[dim] == 3
