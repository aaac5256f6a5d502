"""Constraints: which values are in them; and the supports of distributions, which hold what is drawn."""

import pytest

import dualgraph as dg
from dualgraph import distributions as D
from dualgraph.distributions import constraints as C

NAN, INF = float("nan"), float("inf")
NUMBERS = {
    "real": ([0.0, -3.5], [NAN]),
    "boolean": ([0.0, 1.0], [0.5, -1.0, 2.0]),
    "positive": ([0.1, INF], [0.0, -1.0, NAN]),
    "nonnegative": ([0.0, 2.0], [-1e-6, NAN]),
    "unit_interval": ([0.0, 0.5, 1.0], [-0.1, 1.1]),
    "nonnegative_integer": ([0.0, 7.0], [0.5, -1.0]),
    "positive_integer": ([1.0], [0.0, 1.5]),
}
MADE = {
    "interval": (C.interval(-1, 2), [-1.0, 2.0], [2.1, -1.1, NAN]),
    "half_open_interval": (C.half_open_interval(0, 1), [0.0, 0.9], [1.0, -0.1]),
    "integer_interval": (C.integer_interval(0, 3), [0.0, 3.0], [1.5, 4.0]),
    "greater_than": (C.greater_than(1), [1.1], [1.0, NAN]),
    "greater_than_eq": (C.greater_than_eq(1), [1.0], [0.9]),
    "less_than": (C.less_than(1), [0.9], [1.0]),
}
EVENTS = {
    "simplex": ([[0.2, 0.8]], [[0.2, 0.7], [1.2, -0.2]]),
    "one_hot": ([[0.0, 1.0]], [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0]]),
    "real_vector": ([[1.0, -2.0]], [[1.0, NAN]]),
    "lower_triangular": ([[[1.0, 0.0], [2.0, -3.0]]], [[[1.0, 1.0], [2.0, 3.0]]]),
    "lower_cholesky": ([[[1.0, 0.0], [2.0, 3.0]]], [[[1.0, 0.0], [2.0, -3.0]]]),
    "corr_cholesky": ([[[1.0, 0.0], [0.6, 0.8]]], [[[1.0, 0.0], [0.6, 0.9]]]),
    "symmetric": ([[[1.0, 2.0], [2.0, 1.0]]], [[[1.0, 2.0], [3.0, 1.0]]]),
    "positive_definite": ([[[2.0, 1.0], [1.0, 2.0]]], [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]]),
    "positive_semidefinite": ([[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 2.0], [2.0, 1.0]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", [*NUMBERS, *MADE, *EVENTS])
def test_members_and_others(name):
    if name in MADE:
        constraint, inside, outside = MADE[name]
    else:
        constraint, (inside, outside) = getattr(C, name), (NUMBERS | EVENTS)[name]
        assert repr(constraint) == name
    x = dg.tensor([*inside, *outside])
    wanted = [True] * len(inside) + [False] * len(outside)
    assert x.ndim - 1 == constraint.event_dim
    compiled = dg.compile(constraint.check, wait=True)
    for check in (constraint.check, compiled, compiled):
        assert check(x).tolist() == wanted


def test_sums_and_independent_parts():
    assert C.multinomial(3).check(dg.tensor([[1, 2], [2, 2], [4, -1]])).tolist() == [
        True,
        False,
        False,
    ]
    both = C.independent(C.positive, 2)
    assert both.event_dim == 2 and both.check(dg.ones(3, 2, 2)).tolist() == [True] * 3
    assert C.independent(C.simplex, 1).event_dim == 2 and C.independent(C.boolean, 1).is_discrete


P, Q = dg.tensor([0.2, 0.8]), dg.tensor([[0.2, 0.8], [0.5, 0.5]])
DISTRIBUTIONS = {
    "Normal": lambda: D.Normal(0.0, P), "Laplace": lambda: D.Laplace(0.0, P), "Cauchy": lambda: D.Cauchy(0.0, P),
    "Gumbel": lambda: D.Gumbel(0.0, P), "LogNormal": lambda: D.LogNormal(0.0, P), "HalfNormal": lambda: D.HalfNormal(P),
    "HalfCauchy": lambda: D.HalfCauchy(P), "Uniform": lambda: D.Uniform(P, 2 + P),
    "Exponential": lambda: D.Exponential(P),
    "Gamma": lambda: D.Gamma(P, P), "Chi2": lambda: D.Chi2(P), "InverseGamma": lambda: D.InverseGamma(P + 1, P),
    "StudentT": lambda: D.StudentT(P), "Weibull": lambda: D.Weibull(P, P), "Pareto": lambda: D.Pareto(P, P + 3),
    "Poisson": lambda: D.Poisson(P), "Binomial": lambda: D.Binomial(4, P), "Beta": lambda: D.Beta(P, P),
    "NegativeBinomial": lambda: D.NegativeBinomial(4, P), "Multinomial": lambda: D.Multinomial(4, Q),
    "Bernoulli": lambda: D.Bernoulli(P), "Geometric": lambda: D.Geometric(P), "Categorical": lambda: D.Categorical(Q),
    "OneHotCategorical": lambda: D.OneHotCategorical(Q), "Dirichlet": lambda: D.Dirichlet(Q),
    "MultivariateNormal": lambda: D.MultivariateNormal(dg.zeros(2), dg.eye(2)),
    "RelaxedBernoulli": lambda: D.RelaxedBernoulli(0.5, P), "Kumaraswamy": lambda: D.Kumaraswamy(P, P),
    "RelaxedOneHotCategorical": lambda: D.RelaxedOneHotCategorical(0.5, Q),
    "OneHotCategoricalStraightThrough": lambda: D.OneHotCategoricalStraightThrough(Q),
    "LogisticNormal": lambda: D.LogisticNormal(dg.zeros(2), dg.ones(2)),
    "Independent": lambda: D.Independent(D.Gamma(Q, 1.0), 1),
    "VonMises": lambda: D.VonMises(0.0, P),
    "MixtureSameFamily": lambda: D.MixtureSameFamily(D.Categorical(P), D.Gamma(P, 1.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_supports_hold_what_is_drawn(name):
    dg.manual_seed(0)
    d = DISTRIBUTIONS[name]()
    x = d.sample((50,))
    support = d.support
    assert support.event_dim == len(d.event_shape)
    assert support.check(x).shape == (50, *d.batch_shape) and bool(support.check(x).all())
    assert not bool(support.check(x * NAN).any())
    if support.event_dim == 0 and support.is_discrete:
        assert not bool(support.check(x + 0.5).any())


def test_supports_that_depend_on_parameters():
    assert D.Uniform(dg.tensor([0.0, 5.0]), 6.0).support.check(dg.tensor([1.0, 1.0])).tolist() == [
        True,
        False,
    ]
    assert D.Binomial(dg.tensor([1.0, 5.0]), 0.5).support.check(3.0).tolist() == [False, True]
    with pytest.raises(NotImplementedError, match="support"):
        _ = D.TransformedDistribution(D.Normal(0.0, 1.0), D.TanhTransform()).support
