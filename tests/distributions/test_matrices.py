"""Distributions over matrices and of low rank: densities against simpler ones and sums, draws against moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributions as D

FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 1.2]])
WHOLE = FACTOR @ FACTOR.T


def close(got: Any, wanted: Any, tol: float = 1e-10) -> None:
    np.testing.assert_allclose(got.numpy(), np.asarray(wanted), rtol=tol, atol=tol)


def test_a_wishart_of_one_axis_is_a_gamma() -> None:
    df, size = dg.tensor(np.array([2.5, 4.0])), dg.tensor(np.array([[0.7]]))
    d, simple = D.Wishart(df, size), D.Gamma(df / 2, 1 / (2 * size[0]))
    x = dg.tensor(np.array([0.3, 2.0]))
    close(d.log_prob(x[:, None, None]), simple.log_prob(x))
    for name in ("mean", "variance"):
        close(getattr(d, name)[:, 0, 0], getattr(simple, name))
    close(d.mode[:, 0, 0], [0.5 * 0.7, 2 * 0.7])
    close(d.entropy(), simple.entropy())


def test_a_wishart_density_changes_as_its_axes_are_mapped() -> None:
    """Of ``A x A^T`` it is that of x times ``|det A| ** (n + 1)``; independent axes have a factor each."""
    x, n = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.4], [0.1, -0.4, 1.0]]), 3
    plain, mapped = D.Wishart(5.0, dg.eye(n, dtype=dg.float64)), D.Wishart(5.0, dg.tensor(WHOLE))
    there = dg.tensor(FACTOR @ x @ FACTOR.T)
    size = (n + 1) * np.log(np.linalg.det(FACTOR))
    close(plain.log_prob(dg.tensor(x)), mapped.log_prob(there) + size)
    known = -np.trace(x) / 2 + (5 - n - 1) / 2 * np.log(np.linalg.det(x)) - 5 * n / 2 * math.log(2)
    whole = math.log(math.pi) * 1.5 + sum(math.lgamma((5 - i) / 2) for i in range(n))
    close(plain.log_prob(dg.tensor(x)), known - whole)
    for how in ({"precision_matrix": np.linalg.inv(WHOLE)}, {"scale_tril": FACTOR}):
        d = D.Wishart(5.0, **{k: dg.tensor(v) for k, v in how.items()})
        close(d.log_prob(there), mapped.log_prob(there))
        close(d.covariance_matrix, WHOLE)
        close(d.precision_matrix, np.linalg.inv(WHOLE))


def test_draws_of_matrices() -> None:
    dg.manual_seed(0)
    d = D.Wishart(dg.tensor([4.5, 6.0]), dg.tensor(WHOLE.astype(np.float32)))
    assert (d.batch_shape, d.event_shape) == ((2,), (3, 3))
    x = d.sample((1500,))
    assert x.shape == (1500, 2, 3, 3) and bool(d.support.check(x[:50]).all())
    close(x.mean(0), d.mean.numpy(), 0.4)
    close(x.var(0).sqrt(), d.stddev.numpy(), 0.4)
    df = dg.tensor(4.0, requires_grad=True)
    D.Wishart(df, dg.eye(2)).rsample((5,)).sum().backward()
    assert df.grad is not None and df.grad.item() > 0
    c = D.LKJCholesky(3, dg.tensor([1.0, 4.0]))
    factors = c.sample((2000,))
    assert factors.shape == (2000, 2, 3, 3) and bool(c.support.check(factors).all())
    parts = (factors @ factors.mT).numpy()[..., [1, 2, 2], [0, 0, 1]]
    # one correlation is 2 b - 1 of a beta variable of concentrations `concentration + dim / 2 - 1`
    np.testing.assert_allclose(
        parts.var(0), 1 / (2 * np.array([[1.5], [4.5]]) + 1) * np.ones(3), rtol=0.12
    )


@pytest.mark.parametrize("concentration", [0.5, 1.0, 3.0])
def test_an_lkj_density_of_two_axes_sums_to_one(concentration: float) -> None:
    angle = (np.arange(20_000) + 0.5) / 20_000 * math.pi
    r, side = np.cos(angle), np.sin(angle)
    factors = np.stack([np.stack([np.ones_like(r), 0 * r], -1), np.stack([r, side], -1)], -2)
    density = (
        D.LKJCholesky(2, dg.tensor(np.array(concentration)))
        .log_prob(dg.tensor(factors))
        .exp()
        .numpy()
    )
    assert (density * side).sum() * math.pi / 20_000 == pytest.approx(1, abs=1e-3)
    with pytest.raises(dg.ArgumentError, match="concentration"):
        D.LKJCholesky(2, -concentration)
    with pytest.raises(dg.ArgumentError, match="dim"):
        D.LKJCholesky(1, concentration)


def test_normal_vectors_of_low_rank_are_normal_vectors() -> None:
    rng = np.random.default_rng(0)
    w, diagonal, loc = (
        rng.standard_normal((2, 3, 1)),
        rng.random((2, 3)) + 0.5,
        rng.standard_normal(3),
    )
    d = D.LowRankMultivariateNormal(*map(dg.tensor, (loc, w, diagonal)))
    full = D.MultivariateNormal(dg.tensor(loc), d.covariance_matrix)
    x = dg.tensor(rng.standard_normal((4, 2, 3)))
    close(d.log_prob(x), full.log_prob(x).numpy())
    close(d.entropy(), full.entropy().numpy())
    close(d.variance, full.variance.numpy())
    dg.manual_seed(0)
    draws = d.sample((4000,)).numpy()
    assert draws.shape == (4000, 2, 3)
    for i in range(2):
        np.testing.assert_allclose(np.cov(draws[:, i].T), d.covariance_matrix.numpy()[i], atol=0.25)
