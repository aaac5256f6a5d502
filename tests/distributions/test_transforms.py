"""Transforms and what is made of them: PyTorch's values, densities that sum to 1, both modes alike, gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributions as D

RNG = np.random.default_rng(0)
X, S = RNG.standard_normal((3, 4)), RNG.uniform(0.2, 2.0, (3, 4))
SQUARE = RNG.standard_normal((2, 3, 3))

# by name: how to make it from a library (and its arrays), and what it maps
TRANSFORMS: dict[str, tuple[Any, np.ndarray]] = {
    "affine": (lambda d, t: d.AffineTransform(t(X[0]), t(S), event_dim=1), X),
    "falling": (lambda d, t: d.AffineTransform(1.0, -2.0), X),
    "exp": (lambda d, t: d.ExpTransform(), X),
    "power": (lambda d, t: d.PowerTransform(t(np.array(1.5))), S),
    "sigmoid": (lambda d, t: d.SigmoidTransform(), X),
    "tanh": (lambda d, t: d.TanhTransform(), X),
    "softplus": (lambda d, t: d.SoftplusTransform(), X),
    "stick breaking": (lambda d, t: d.StickBreakingTransform(), X),
    "reshape": (lambda d, t: d.ReshapeTransform((4,), (2, 2)), X),
    "independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), X),
    "cumulative": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(t(X[1]), t(S))), X),
    "composed": (
        lambda d, t: d.ComposeTransform(
            [d.AffineTransform(0.1, t(S)), d.SigmoidTransform(), d.StickBreakingTransform()]
        ),
        X,
    ),
    "inverse": (lambda d, t: d.ComposeTransform([d.ExpTransform(), d.ExpTransform().inv]).inv, X),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, x = TRANSFORMS[name]
    theirs, ours = make(torch.distributions, torch.tensor), make(D, dg.tensor)
    a, b = torch.tensor(x), dg.tensor(x)
    np.testing.assert_allclose(ours(b), theirs(a), rtol=1e-9)
    np.testing.assert_allclose(ours.inv(ours(b)), theirs.inv(theirs(a)), rtol=1e-7, atol=1e-9)
    both = ours.log_abs_det_jacobian(b, ours(b)), theirs.log_abs_det_jacobian(a, theirs(a))
    assert both[0].shape == tuple(both[1].shape)
    np.testing.assert_allclose(*both, rtol=1e-9, atol=1e-12)
    assert ours.forward_shape(x.shape) == tuple(theirs.forward_shape(x.shape))
    assert ours.event_dims == (theirs.domain.event_dim, theirs.codomain.event_dim)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_stretches_are_slopes(name: str) -> None:
    make, x = TRANSFORMS[name]
    t, at = make(D, dg.tensor), dg.tensor(x)
    assert dg.allclose(t.inv(t(at)), at)
    if t.event_dims != (0, 0):
        return
    slope = dg.grad(lambda v: t(v).sum())(at)
    assert dg.allclose(slope.abs().log(), t.log_abs_det_jacobian(at, t(at)))


def test_maps_without_a_stretch() -> None:
    y = D.SoftmaxTransform()(dg.tensor(X))
    assert dg.allclose(D.SoftmaxTransform()(D.SoftmaxTransform().inv(y)), y)
    low = D.LowerCholeskyTransform()
    assert dg.allclose(low.inv(low(dg.tensor(SQUARE))), dg.tensor(SQUARE).tril())
    assert D.AbsTransform()(dg.tensor(X)).min() >= 0 and not D.AbsTransform().bijective
    assert D.identity_transform(dg.tensor(X)).tolist() == X.tolist()
    with pytest.raises(NotImplementedError, match="SoftmaxTransform has no log_abs_det"):
        D.SoftmaxTransform().log_abs_det_jacobian(y, y)
    with pytest.raises(dg.ArgumentError, match="not as many elements"):
        D.ReshapeTransform((4,), (3,))


# by name: how to make it, and a value of it
MADE: dict[str, tuple[Any, np.ndarray]] = {
    "squashed": (
        lambda d, t: d.TransformedDistribution(d.Normal(t(X), t(S)), [d.AffineTransform(0.5, -2.0), d.TanhTransform()]),
        np.tanh(X[::-1]),
    ),
    "events": (
        lambda d, t: d.TransformedDistribution(d.Normal(t(X), t(S)), d.StickBreakingTransform()),
        np.full((3, 5), 0.2),
    ),
    "of vectors": (
        lambda d, t: d.TransformedDistribution(d.MultivariateNormal(t(X[0]), t(np.diag(S[0]))), [d.ExpTransform()]),
        S,
    ),
    "wider": (
        lambda d, t: d.TransformedDistribution(d.Normal(0.0, 1.0), [d.AffineTransform(t(X), t(S))]),
        X[::-1].copy(),
    ),
    "RelaxedBernoulli": (lambda d, t: d.RelaxedBernoulli(t(np.array(0.7)), logits=t(X)), S / 3),
    "RelaxedOneHotCategorical": (
        lambda d, t: d.RelaxedOneHotCategorical(t(np.array(0.7)), probs=t(S / S.sum(-1, keepdims=True))),
        S / S.sum(-1, keepdims=True),
    ),
    "OneHotCategoricalStraightThrough": (lambda d, t: d.OneHotCategoricalStraightThrough(logits=t(X)), np.eye(4)[:3]),
    "LogisticNormal": (lambda d, t: d.LogisticNormal(t(X), t(S)), np.full((3, 5), 0.2)),
    "Kumaraswamy": (lambda d, t: d.Kumaraswamy(t(S), t(S[::-1].copy())), S / 3),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_made_distributions_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, value = MADE[name]
    theirs, ours = make(torch.distributions, torch.tensor), make(D, dg.tensor)
    assert ours.batch_shape == tuple(theirs.batch_shape)
    assert ours.event_shape == tuple(theirs.event_shape)
    np.testing.assert_allclose(
        ours.log_prob(dg.tensor(value)), theirs.log_prob(torch.tensor(value)), rtol=1e-7
    )
    assert ours.sample((5,)).shape == tuple(theirs.sample((5,)).shape)
    if name in ("squashed", "Kumaraswamy"):
        share = ours.cdf(dg.tensor(value))
        np.testing.assert_allclose(share, theirs.cdf(torch.tensor(value)), rtol=1e-6)
        np.testing.assert_allclose(ours.icdf(share), value, rtol=1e-6)
    if name == "Kumaraswamy":
        np.testing.assert_allclose(ours.mean, theirs.mean)
        np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-6)


@pytest.mark.parametrize("name", MADE)
def test_both_modes_draw_alike_and_gradients_pass(name: str) -> None:
    make, _ = MADE[name]

    def loss(shift: Any) -> Any:
        d = make(D, lambda a: dg.tensor(a) + shift)
        x = d.rsample((2,))
        return d.log_prob(x).sum() + (x * x).sum()

    compiled, shown = dg.compile(dg.value_and_grad(loss), wait=True), []
    for fn in (dg.value_and_grad(loss), compiled):
        dg.manual_seed(4)
        shown.append([[v.item() for v in fn(dg.tensor(0.01, dtype=dg.float64))] for _ in range(3)])
    assert shown[0] == shown[1] and compiled.programs and shown[0][0][1] != 0


def test_densities_sum_to_one() -> None:
    at = np.linspace(1e-6, 1 - 1e-6, 200_001)
    for d in (D.Kumaraswamy(2.0, 3.0), D.RelaxedBernoulli(0.8, probs=0.3)):
        share = d.log_prob(dg.tensor(at)).exp().mean().item()
        assert share == pytest.approx(1, abs=1e-3)
    with pytest.raises(dg.ArgumentError, match="need 1 axes"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform())
    assert math.isfinite(D.LogisticNormal(dg.zeros(2), dg.ones(2)).rsample().sum().item())
