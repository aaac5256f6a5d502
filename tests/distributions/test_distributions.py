"""Distributions: densities against sums over their range, draws against their moments, both modes alike, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributions as D


def numbers(*values: float) -> Any:
    return dg.tensor(np.array(values))


# Two of each: what they are made of, and where nearly all of the probability lies.
CONTINUOUS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], tuple[float, float]]] = {
    "Normal": ((numbers(0.5), numbers(0.8)), (numbers(-0.2), numbers(1.5)), (-14, 14)),
    "Laplace": ((numbers(0.5), numbers(0.8)), (numbers(-0.2), numbers(1.5)), (-40, 40)),
    "Gumbel": ((numbers(0.5), numbers(0.8)), (numbers(0.1), numbers(0.9)), (-8, 40)),
    "LogNormal": ((numbers(0.1), numbers(0.4)), (numbers(0.3), numbers(0.5)), (1e-9, 60)),
    "HalfNormal": ((numbers(0.8),), (numbers(1.1),), (0, 14)),
    "Uniform": ((numbers(0.5), numbers(1.5)), (numbers(-1.0), numbers(3.0)), (0.5, 1.5 - 1e-12)),
    "Exponential": ((numbers(1.3),), (numbers(0.7),), (0, 60)),
    "Gamma": ((numbers(2.5), numbers(1.3)), (numbers(3.5), numbers(0.8)), (1e-9, 60)),
    "Chi2": ((numbers(5.0),), (numbers(7.0),), (1e-9, 120)),
    "Beta": ((numbers(2.5), numbers(3.0)), (numbers(2.0), numbers(4.0)), (1e-9, 1 - 1e-9)),
    "StudentT": (
        (numbers(9.0), numbers(0.5), numbers(0.8)),
        (numbers(5.0), numbers(0.0), numbers(1.0)),
        (-80, 80),
    ),
    "Pareto": ((numbers(0.6), numbers(9.0)), (numbers(0.5), numbers(7.0)), (0.6, 30)),
    "Weibull": ((numbers(0.8), numbers(1.7)), (numbers(1.0), numbers(1.2)), (1e-9, 20)),
    "InverseGamma": ((numbers(9.0), numbers(2.0)), (numbers(7.0), numbers(1.0)), (1e-3, 20)),
}
WITHOUT_KL = {"StudentT", "Weibull", "InverseGamma"}
DISCRETE: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], int]] = {
    "Bernoulli": ((numbers(0.3),), (numbers(0.6),), 2),
    "Geometric": ((numbers(0.3),), (numbers(0.6),), 400),
    "Categorical": ((numbers(1.0, 3.0, 2.0),), (numbers(2.0, 1.0, 1.0),), 3),
}


def spread(name: str) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...], tuple[Any, ...]]:
    """Places, what each of them stands for, and the parameters of two such distributions."""
    if name in DISCRETE:
        first, second, count = DISCRETE[name]
        return np.arange(float(count)), np.ones(count), first, second
    first, second, (low, high) = CONTINUOUS[name]
    x = np.linspace(low, high, 400_001)
    weights = np.full(len(x), x[1] - x[0])
    weights[[0, -1]] /= 2
    return x, weights, first, second


def density(d: Any, x: np.ndarray) -> np.ndarray:
    return d.log_prob(dg.tensor(x)).numpy()


def test_divergences_of_counts_and_of_heavy_tails() -> None:
    x = dg.arange(60.0, dtype=dg.float64)
    pairs = [
        (D.Poisson(numbers(2.0)), D.Poisson(numbers(3.5)), x),
        (D.Binomial(5, numbers(0.3)), D.Binomial(5, numbers(0.6)), x[:6]),
    ]
    for p, q, at in pairs:
        log_p = p.log_prob(at)
        wanted = (log_p.exp() * (log_p - q.log_prob(at))).sum().item()
        assert D.kl_divergence(p, q).item() == pytest.approx(wanted)
    assert D.kl_divergence(D.Binomial(5, 0.3), D.Binomial(3, 0.3)).item() == math.inf
    far = D.kl_divergence(D.Cauchy(0.0, 1.0), D.Cauchy(2.0, 3.0)).item()
    assert far == pytest.approx(math.log(20 / 12))
    for p, q in ((D.Normal(0.0, 1.0), D.Gamma(1.0, 1.0)), (pairs[1][0], D.Binomial(6, 0.1))):
        with pytest.raises(NotImplementedError, match="no formula"):
            D.kl_divergence(p, q)


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_sums_over_the_range(name: str) -> None:
    x, weights, first, second = spread(name)
    p, q = (getattr(D, name)(*args) for args in (first, second))
    log_p, log_q = density(p, x), density(q, x)
    share = np.exp(log_p) * weights
    finite = np.where(share > 0, log_p, 0.0)
    assert share.sum() == pytest.approx(1, abs=1e-5)
    assert p.entropy().item() == pytest.approx(-(share * finite).sum(), abs=1e-4)
    assert p.perplexity().item() == pytest.approx(math.exp(p.entropy().item()))
    if name != "Categorical":
        mean = (share * x).sum()
        assert p.mean.item() == pytest.approx(mean, abs=1e-4)
        assert p.variance.item() == pytest.approx((share * (x - mean) ** 2).sum(), abs=1e-3)
    if name not in WITHOUT_KL:
        difference = np.where(share > 0, log_p - log_q, 0.0)
        wanted = (share * difference).sum()
        assert D.kl_divergence(p, q).item() == pytest.approx(wanted, abs=1e-4)
    if type(p).cdf is not D.Distribution.cdf:
        at = len(x) // 3 if name in ("Normal", "Laplace", "Gumbel") else len(x) // 40
        below = share[:at].sum() + share[at] / 2
        assert p.cdf(dg.tensor(x[at])).item() == pytest.approx(below, abs=1e-4)
        inverted = type(p).icdf is not D.Distribution.icdf
        for chance in (0.1, 0.5, 0.9) if inverted else ():
            place = p.icdf(dg.tensor(np.array(chance)))
            assert p.cdf(place).item() == pytest.approx(chance, abs=1e-9)


@pytest.mark.parametrize("name", [*CONTINUOUS, "Bernoulli", "Geometric", "small Gamma"])
def test_draws_have_the_moments(name: str) -> None:
    dg.manual_seed(0)
    d = D.Gamma(0.4, 2.0) if name == "small Gamma" else getattr(D, name)(*spread(name)[2])
    x = d.sample((50_000,))
    assert x.shape == (50_000, *d.batch_shape) and not x.requires_grad
    assert x.mean().item() == pytest.approx(d.mean.item(), abs=6 * d.stddev.item() / 200)
    assert x.var().item() == pytest.approx(d.variance.item(), rel=0.1)
    assert bool(d.log_prob(x).isfinite().all())


def test_a_ratio_of_chi2_variables() -> None:
    d = D.FisherSnedecor(numbers(6.0), numbers(24.0))
    x = np.linspace(1e-9, 60, 200_001)
    log_p = density(d, x)
    share = np.exp(log_p) * (x[1] - x[0])
    assert share.sum() == pytest.approx(1, abs=1e-5)
    assert d.entropy().item() == pytest.approx(-(share * log_p).sum(), abs=1e-4)
    mean = (share * x).sum()
    assert d.mean.item() == pytest.approx(mean, abs=1e-4)
    assert d.variance.item() == pytest.approx((share * (x - mean) ** 2).sum(), abs=1e-3)
    assert d.mode.item() == pytest.approx(x[log_p.argmax()], abs=1e-3)
    dg.manual_seed(0)
    draws = d.sample((4000,))
    assert draws.mean().item() == pytest.approx(mean, abs=0.1) and bool((draws > 0).all())
    few = D.FisherSnedecor(3.0, dg.tensor([2.0, 4.0]))
    assert few.mean.isnan().tolist() == [True, False] and bool(few.variance.isnan().all())


def test_draws_of_places_come_by_their_probabilities() -> None:
    dg.manual_seed(0)
    probs = np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]])
    places = D.Categorical(dg.tensor(probs)).sample((20_000,))
    assert places.shape == (20_000, 2) and places.dtype is dg.int64
    found = np.stack([(places.numpy() == k).mean(0) for k in range(3)], axis=-1)
    np.testing.assert_allclose(found, probs, atol=0.02)
    ones = D.OneHotCategorical(logits=dg.tensor(np.log(probs))).sample((20_000,))
    assert ones.shape == (20_000, 2, 3) and bool((ones.sum(-1) == 1).all())
    np.testing.assert_allclose(ones.numpy().mean(0), probs, atol=0.02)
    same = D.Categorical(logits=dg.tensor(np.log(probs)))
    np.testing.assert_allclose(same.probs.numpy(), probs)
    np.testing.assert_allclose(same.log_prob(dg.tensor([2, 0])).numpy(), np.log([0.3, 0.5]))
    assert same.log_prob(dg.tensor([[2], [0], [1]])).shape == (3, 2)


def test_normal_vectors_have_the_density_of_their_covariance() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 3))
    covariance = a @ a.T + np.eye(3)
    loc, x = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    off = x - loc
    wanted = -0.5 * (
        np.einsum("bi,ij,bj->b", off, np.linalg.inv(covariance), off)
        + np.log(np.linalg.det(2 * np.pi * covariance))
    )
    for how in (
        {"covariance_matrix": covariance},
        {"precision_matrix": np.linalg.inv(covariance)},
        {"scale_tril": np.linalg.cholesky(covariance)},
    ):
        given = {k: dg.tensor(v) for k, v in how.items()}
        d = D.MultivariateNormal(dg.tensor(loc), **given)
        assert (d.batch_shape, d.event_shape) == ((2,), (3,))
        np.testing.assert_allclose(d.log_prob(dg.tensor(x)).numpy(), wanted)
        np.testing.assert_allclose(d.covariance_matrix.numpy(), covariance)
    dg.manual_seed(0)
    draws = d.sample((40_000,)).numpy()
    np.testing.assert_allclose(np.cov(draws[:, 0].T), covariance, atol=0.15)
    shares = D.Dirichlet(dg.tensor([[2.0, 3.0, 1.0]]))
    assert bool((shares.sample((5,)).sum(-1) - 1).abs().max() < 1e-6)
    two = D.Dirichlet(numbers(2.5, 3.0))
    beta = D.Beta(2.5, 3.0)
    assert two.log_prob(numbers(0.3, 0.7)).item() == pytest.approx(
        beta.log_prob(0.3).item(), rel=1e-5
    )
    single = D.Normal(dg.tensor(loc), dg.ones(2, 3))
    event = D.Independent(single, 1)
    assert (event.batch_shape, event.event_shape) == ((2,), (3,))
    assert event.log_prob(dg.tensor(x)).tolist() == single.log_prob(dg.tensor(x)).sum(-1).tolist()
    assert D.kl_divergence(event, event).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_both_modes_draw_alike_and_gradients_reach_parameters(name: str) -> None:
    args = spread(name)[2]

    def loss(*given: Any) -> Any:
        d = getattr(D, name)(*given)
        x = d.rsample((3,)) if d.has_rsample else d.sample((3,))
        return d.log_prob(x).sum() + d.entropy().sum() + x.sum()

    compiled = dg.compile(loss, wait=True)
    dg.manual_seed(4)
    eager = [loss(*args).item() for _ in range(3)]
    dg.manual_seed(4)
    assert [compiled(*args).item() for _ in range(3)] == eager and compiled.programs
    given = [dg.tensor(a.numpy(), requires_grad=True) for a in args]
    point = dg.tensor(1.0) if name in DISCRETE else dg.tensor(np.array(0.7))
    assert dg.autograd.gradcheck(lambda *a: getattr(D, name)(*a).log_prob(point), given)


def test_a_policy_learns() -> None:
    dg.manual_seed(0)
    logits = dg.zeros(3, requires_grad=True)
    optimizer = dg.optim.Adam([logits], lr=0.1)

    @dg.compile(wait=True)
    def step() -> Any:
        d = D.Categorical(logits=logits)
        action = d.sample((64,))
        reward = (action == 2).float()
        loss = -(d.log_prob(action) * (reward - reward.mean())).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return reward.mean()

    for _ in range(80):
        last = step()
    assert last.item() > 0.9 and step.programs


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: D.Normal(0.0, -1.0), "Normal: scale"),
        (lambda: D.Uniform(1.0, 1.0), "Uniform: high"),
        (lambda: D.Bernoulli(1.5), "Bernoulli: probs"),
        (lambda: D.Bernoulli(), "either probs or logits"),
        (lambda: D.Categorical(dg.tensor([-1.0, 2.0])), "Categorical: probs"),
        (lambda: D.Poisson(1.0).rsample(), "no reparametrized draws"),
        (lambda: D.MultivariateNormal(dg.zeros(2)), "parameters"),
    ],
)
def test_errors_name_the_parameter(call: Any, words: str) -> None:
    with pytest.raises(dg.ArgumentError, match=words):
        call()
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1


COUNTS: dict[str, tuple[tuple[Any, ...], int]] = {
    "Poisson": ((numbers(3.5),), 80),
    "Binomial": ((9, numbers(0.3)), 10),
    "NegativeBinomial": ((numbers(4.0), numbers(0.4)), 200),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_have_the_moments_of_their_density(name: str) -> None:
    given, most = COUNTS[name]
    make = getattr(D, name)
    d, k = make(*given), np.arange(float(most))
    share = np.exp(density(d, k))
    assert share.sum() == pytest.approx(1, abs=1e-9)
    assert d.mean.item() == pytest.approx((share * k).sum(), rel=1e-6)
    assert d.variance.item() == pytest.approx((share * (k - d.mean.item()) ** 2).sum(), rel=1e-6)
    dg.manual_seed(0)
    x = d.sample((40_000,)).numpy()
    found = np.array([(x == i).mean() for i in range(most)])
    assert np.abs(found - share).max() < 0.012 and found.sum() == pytest.approx(1)
    parameter = given[-1].numpy()

    def loss(p: Any) -> Any:
        d = make(*given[:-1], p)
        return d.log_prob(dg.tensor(2.0)).sum() + d.sample((4, 5)).sum()

    compiled = dg.compile(loss, wait=True)
    shown = []
    for fn in (loss, compiled):
        dg.manual_seed(4)
        shown.append([fn(dg.tensor(parameter)).item() for _ in range(3)])
    assert shown[0] == shown[1] and compiled.programs
    at = dg.tensor(parameter, requires_grad=True)
    assert dg.autograd.gradcheck(lambda p: make(*given[:-1], p).log_prob(dg.tensor(2.0)), [at])


def test_large_and_small_rates() -> None:
    dg.manual_seed(0)
    rates = dg.tensor([0.0, 1e-3, 30.0, 900.0]).expand(4000, 4)
    x = dg.poisson(rates)
    assert x.dtype is dg.float32 and x[:, 0].sum().item() == 0
    mean, var = x.mean(0).tolist(), x.var(0).tolist()
    assert mean[2:] == pytest.approx([30.0, 900.0], rel=0.02)
    assert var[2:] == pytest.approx([30.0, 900.0], rel=0.1)


def test_many_draws_of_places() -> None:
    dg.manual_seed(0)
    d = D.Multinomial(6, probs=numbers(0.2, 0.5, 0.3))
    x = d.sample((20_000,))
    assert x.shape == (20_000, 3) and bool((x.sum(-1) == 6).all())
    np.testing.assert_allclose(x.numpy().mean(0), d.mean.numpy(), atol=0.03)
    np.testing.assert_allclose(x.numpy().var(0), d.variance.numpy(), atol=0.05)
    wanted = math.log(60 * 0.2 * 0.5**2 * 0.3**3)
    assert d.log_prob(numbers(1.0, 2.0, 3.0)).item() == pytest.approx(wanted)


def test_half_cauchy_is_a_cauchy_folded() -> None:
    d = D.HalfCauchy(numbers(1.5))
    assert d.cdf(d.icdf(numbers(0.3))).item() == pytest.approx(0.3)
    assert d.log_prob(numbers(0.7)).item() == pytest.approx(
        math.log(2 / math.pi / 1.5 / (1 + (0.7 / 1.5) ** 2))
    )
    assert d.log_prob(numbers(-1.0)).item() == -math.inf
    dg.manual_seed(0)
    assert bool((d.rsample((100,)) >= 0).all())


def test_mixtures_have_the_moments_of_their_density() -> None:
    weights, places = np.array([[0.3, 0.7], [0.9, 0.1]]), np.array([[-2.0, 1.0], [0.0, 5.0]])
    d = D.MixtureSameFamily(
        D.Categorical(dg.tensor(weights)), D.Normal(dg.tensor(places), dg.tensor(0.5).double())
    )
    x = np.linspace(-8, 12, 40_001)
    share = np.exp(density(d, x[:, None])) * (x[1] - x[0])
    np.testing.assert_allclose(share.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose((share * x[:, None]).sum(0), d.mean.numpy(), atol=1e-6)
    spread = ((x[:, None] - d.mean.numpy()) ** 2 * share).sum(0)
    np.testing.assert_allclose(spread, d.variance.numpy(), atol=1e-5)
    np.testing.assert_allclose(share[:20_001].sum(0), d.cdf(numbers(2.0, 2.0)).numpy(), atol=1e-3)
    dg.manual_seed(0)
    draws = d.sample((20_000,))
    assert draws.shape == (20_000, 2)
    np.testing.assert_allclose(draws.numpy().mean(0), d.mean.numpy(), atol=0.06)
    vectors = D.MixtureSameFamily(
        D.Categorical(numbers(0.5, 0.5)), D.Independent(D.Normal(dg.zeros(2, 3), 1.0), 1)
    )
    assert vectors.sample((4,)).shape == (4, 3) and vectors.log_prob(dg.zeros(4, 3)).shape == (4,)
    assert vectors.mean.shape == vectors.variance.shape == (3,)
    with pytest.raises(dg.ArgumentError, match="3 weights"):
        D.MixtureSameFamily(D.Categorical(dg.ones(3)), D.Normal(dg.zeros(2), 1.0))


def _many(of, t, zeros, ones):
    return [
        of.Normal(t([0.0, 1.0]), 1.0), of.Bernoulli(t([0.2, 0.8])), of.Categorical(t([[0.2, 0.7], [0.3, 0.4]])),
        of.OneHotCategorical(t([0.2, 0.8, 0.1])), of.Beta(2.0, t([3.0, 1.5])), of.Dirichlet(t([2.0, 3.0, 4.0])),
        of.Gamma(t([2.0, 0.5]), 1.0), of.Exponential(2.0), of.HalfNormal(t([1.0, 2.0])), of.Chi2(t([2.0])),
        of.MultivariateNormal(zeros(3, 2), t([[2.0, 0.5], [0.5, 1.0]])), of.LogNormal(0.0, 1.0),
        of.Independent(of.Normal(zeros(3, 2), 1.0), 1), of.RelaxedOneHotCategorical(t(0.5), t([0.3, 0.7])),
        of.MixtureSameFamily(of.Categorical(ones(2)), of.Normal(t([-1.0, 1.0]), 0.5)),
        of.Multinomial(4, t([0.3, 0.7])), of.Binomial(3, t([0.3, 0.8])), of.Pareto(t([1.0]), t([2.0])),
        of.InverseGamma(t([3.0]), t([2.0])), of.Weibull(1.0, t([2.0])), of.Geometric(t([0.2, 0.3])),
        of.LogisticNormal(zeros(2), ones(2)), of.Kumaraswamy(t([2.0]), t([3.0])), of.StudentT(3.0),
    ]  # fmt: skip


OURS = _many(dg.distributions, dg.tensor, dg.zeros, dg.ones)


@pytest.mark.parametrize("d", OURS, ids=lambda d: type(d).__name__)
def test_a_larger_batch_holds_the_same_distributions(d):
    batch, event = d.batch_shape, d.event_shape
    wide = d.expand((4, *batch))
    assert wide.batch_shape == (4, *batch) and wide.event_shape == event and d.batch_shape == batch
    x = wide.sample((2,))
    assert x.shape == (2, 4, *batch, *event) and wide.log_prob(x).shape == (2, 4, *batch)
    np.testing.assert_allclose(wide.log_prob(x), d.log_prob(x), rtol=1e-4, atol=1e-5)
    if d in OURS[:3]:
        assert dg.compare(lambda v: d.expand((4, *batch)).log_prob(v), x).bitwise_equal


@pytest.mark.parametrize("place", range(len(OURS)), ids=lambda i: type(OURS[i]).__name__)
def test_modes_and_values_are_torchs(place):
    torch = pytest.importorskip("torch")
    theirs = _many(torch.distributions, torch.tensor, torch.zeros, torch.ones)[place]
    asked = (
        lambda d: d.mode,
        lambda d: d.enumerate_support(),
        lambda d: d.enumerate_support(expand=False),
    )
    for ask in asked:
        try:
            expected = ask(theirs)
        except NotImplementedError:
            continue
        if type(theirs).__name__ != "Kumaraswamy":
            found = ask(OURS[place])
            assert found.shape == tuple(expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_modes_and_values_of_few():
    bell = dg.distributions.Independent(dg.distributions.Normal(dg.ones(2), 1.0), 1)
    assert bell.mode.tolist() == [1.0, 1.0]
    assert dg.distributions.Categorical(dg.ones(3)).enumerate_support().tolist() == [0, 1, 2]
    with pytest.raises(NotImplementedError, match="finitely many"):
        bell.enumerate_support()
    with pytest.raises(dg.ArgumentError, match="total_count differs"):
        dg.distributions.Binomial(dg.tensor([2.0, 3.0]), 0.5).enumerate_support()
