"""Incomplete gamma functions: values against mpmath, edges, both modes, gradients; and gamma draws that have them."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import distributions as D

RNG = np.random.default_rng(0)
SHAPES = np.concatenate([10 ** RNG.uniform(-3, 4, 25), [1.0, 0.5, 12.0, 11.9, 1e5]])
PLACES = SHAPES * np.exp(RNG.normal(size=30) / np.sqrt(SHAPES) * 2)
below, above = dg.special.gammainc, dg.special.gammaincc


def in_both_modes(f, *arrays):
    given = [dg.asarray(a) for a in arrays]
    found, compiled = f(*given), dg.compile(f, wait=True)
    for _ in range(3):
        assert compiled(*given).numpy().tobytes() == found.numpy().tobytes()
    return found.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_values_are_mpmaths(dtype):
    mp = pytest.importorskip("mpmath")
    a, x = (np.clip(v, 1e-3, 1e4).astype(dtype) for v in (SHAPES, PLACES))
    share = [
        float(mp.gammainc(float(s), 0, float(z), regularized=True))
        for s, z in zip(a, x, strict=True)
    ]
    rest = [
        float(mp.gammainc(float(s), float(z), regularized=True)) for s, z in zip(a, x, strict=True)
    ]
    eps = max(np.finfo(dtype).eps, 1e-12)
    np.testing.assert_allclose(in_both_modes(below, a, x), share, rtol=eps, atol=eps / 9)
    far = x > np.maximum(a, 1)
    tiny = np.finfo(dtype).tiny
    np.testing.assert_allclose(in_both_modes(above, a, x)[far], np.array(rest)[far], eps, tiny)
    np.testing.assert_allclose(above(dg.asarray(a), dg.asarray(x)).numpy(), rest, atol=2 * eps)


def test_zeros_infinities_and_operands_below_zero():
    inf, nan = np.inf, np.nan
    a = np.array([0.0, 0.0, 1.0, 1.0, inf, inf, -1.0, 1.0, nan, 1.0, -1.0, 0.0, 5.0])
    x = np.array([0.0, 1.0, 0.0, inf, 1.0, inf, 1.0, -1.0, 1.0, nan, 0.0, inf, 1e300])
    share = np.array([nan, 1, 0, 1, 0, nan, nan, nan, nan, nan, nan, 1, 1])
    np.testing.assert_array_equal(in_both_modes(below, a, x), share)
    np.testing.assert_array_equal(in_both_modes(above, a, x), 1 - share)


def test_operands_broadcast_and_take_one_dtype():
    found = below(dg.ones(3, 1), dg.ones(2, dtype=dg.float64))
    assert found.shape == (3, 2) and found.dtype is dg.float64
    assert below(2, dg.tensor([1, 3])).dtype is dg.float32
    assert dg.vmap(below)(dg.ones(4), dg.ones(4)).tolist() == below(dg.ones(4), dg.ones(4)).tolist()


def test_gradients_of_both_operands():
    a = dg.asarray(np.array([0.3, 1.0, 2.5, 20.0, 300.0])).requires_grad_()
    x = dg.asarray(np.array([0.4, 0.5, 4.0, 15.0, 310.0])).requires_grad_()
    for f in (below, above):
        assert dg.autograd.gradcheck(f, (a, x)) and dg.autograd.gradgradcheck(f, (a, x), atol=1e-5)


CASES = {
    "Gamma": lambda a: D.Gamma(a, 2.0),
    "Chi2": lambda a: D.Chi2(a),
    "InverseGamma": lambda a: D.InverseGamma(a, 2.0),
}


@pytest.mark.parametrize("name", CASES)
def test_draws_move_with_their_parameters_as_quantiles_do(name):
    a = dg.asarray(10 ** np.linspace(-1, 3, 200)).requires_grad_()
    z = CASES[name](a).rsample()
    (slope,) = dg.autograd.grad(z.sum(), a)
    z, b, h = z.detach(), a.detach(), a.detach() * 1e-4
    share = [CASES[name](b + s * h).cdf(z + s * h * slope) for s in (-1, 0, 1)]
    np.testing.assert_allclose(share[2].numpy() - share[0].numpy(), 0, atol=1e-9)
    inside = (share[1].numpy() > 0.05) & (share[1].numpy() < 0.95)
    moved = CASES[name](b + h).cdf(z) - CASES[name](b - h).cdf(z)
    assert inside.sum() > 100 and (abs(moved.numpy()[inside]) > 1e-7).all()  # it would show


VECTORS = {
    "Beta": lambda a: D.Beta(a[..., 0], a[..., 1]),
    "Dirichlet": lambda a: D.Dirichlet(a),
    "StudentT": lambda a: D.StudentT(a[..., 0] + 4, 0.0, a[..., 1]),
}


@pytest.mark.parametrize("name", [*CASES, *VECTORS])
def test_both_modes_draw_the_same_and_give_the_same_gradients(name):
    def fn(a):
        dg.manual_seed(7)
        z = (CASES | VECTORS)[name](a).rsample((5,))
        return z, (z * z).sum()

    found = []
    compiled = dg.compile(fn, wait=True)
    for call in (fn, compiled, compiled, compiled):
        a = dg.tensor([[0.2, 3.0], [7.0, 1.5]]).requires_grad_()
        z, total = call(a)
        total.backward()
        found.append((z.detach().numpy().tobytes(), a.grad.numpy().tobytes()))
    assert found[1:] == found[:1] * 3 and len(compiled.programs) == 1
    assert np.frombuffer(found[0][1], "float32").all()


@pytest.mark.parametrize("name", ["Beta", "Dirichlet"])
def test_gradients_of_expected_squares(name):
    a = dg.asarray(np.array([1.5, 0.7])).requires_grad_()
    dg.manual_seed(0)
    z = VECTORS[name](a).rsample((20_000,))
    first = z if name == "Beta" else z[:, 0]
    (got,) = dg.autograd.grad((first**2).mean(), a)
    p = a.detach().requires_grad_()
    q = p.sum()
    (want,) = dg.autograd.grad(p[0] * (p[0] + 1) / (q * (q + 1)), p)  # E[x**2] of a beta number
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=0.04)


def test_draws_without_gradients_are_what_they_were():
    a = dg.tensor([0.3, 4.0])
    drawn = []
    for wanted in (False, True):
        dg.manual_seed(1)
        drawn.append(D.Gamma(a.detach().requires_grad_(wanted), 1.0).rsample((9,)).tolist())
    assert drawn[0] == drawn[1]
    assert not D.Gamma(a.requires_grad_(), 1.0).sample().requires_grad
