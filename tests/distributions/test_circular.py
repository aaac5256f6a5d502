"""Angles: densities against sums over the circle, draws against densities, both modes, gradients."""

import math

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributions as D

ANGLES = (np.arange(20_000) + 0.5) / 20_000 * 2 * math.pi - math.pi
CONCENTRATIONS = [1e-6, 0.05, 1.0, 7.0, 300.0]


@pytest.mark.parametrize("k", CONCENTRATIONS)
def test_densities_and_what_follows_of_them(k):
    d = D.VonMises(dg.asarray(np.array(0.7)), dg.asarray(np.array(k)))
    log = d.log_prob(dg.asarray(ANGLES)).numpy()
    share = np.exp(log) * 2 * math.pi / len(ANGLES)
    assert share.sum() == pytest.approx(1, abs=1e-9)
    assert d.entropy().item() == pytest.approx(-(share * log).sum(), abs=1e-7)
    point = (share * np.exp(1j * ANGLES)).sum()
    assert d.variance.item() == pytest.approx(1 - abs(point), abs=1e-7)
    assert k < 0.01 or np.angle(point) == pytest.approx(d.mean.item(), abs=1e-6)
    assert ANGLES[log.argmax()] == pytest.approx(d.mode.item(), abs=1e-3)


@pytest.mark.parametrize("k", CONCENTRATIONS)
def test_draws_follow_the_density(k):
    dg.manual_seed(0)
    # Whose angles go over the edge at pi
    d = D.VonMises(dg.asarray(np.array(3.0)), dg.asarray(np.array(k)))
    x = np.sort(d.sample((100_000,)).numpy())
    assert x.min() >= -math.pi and x.max() < math.pi
    share = np.exp(d.log_prob(dg.asarray(ANGLES)).numpy())
    below = np.interp(x, ANGLES, np.cumsum(share) / share.sum())
    gap = abs(below - np.linspace(0, 1, len(x))).max()
    assert gap < 1.95 / math.sqrt(len(x))  # Kolmogorov's bound at 0.1 %


def test_both_modes_draw_alike_and_gradients_are_right():
    def fn(loc, k):
        d = D.VonMises(loc, k)
        return d.sample((5,)), d.log_prob(dg.asarray(1.0)) + d.entropy()

    args = dg.tensor([0.0, 2.0]), dg.tensor([0.5, 20.0])
    compiled = dg.compile(fn, wait=True)
    dg.manual_seed(3)
    eager = [[t.numpy().tobytes() for t in fn(*args)] for _ in range(3)]
    dg.manual_seed(3)
    assert [[t.numpy().tobytes() for t in compiled(*args)] for _ in range(3)] == eager
    assert compiled.programs
    wide = [dg.asarray(a.numpy().astype("float64")).requires_grad_() for a in args]
    assert dg.autograd.gradcheck(lambda *a: fn(*a)[1], wide)


def test_errors_name_the_parameter():
    with pytest.raises(dg.ArgumentError, match="concentration"):
        D.VonMises(0.0, -1.0)
