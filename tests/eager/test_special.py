"""Special functions: values against mpmath and Python's integers, both modes, gradients, errors."""

import math

import numpy as np
import pytest

import dualgraph as dg

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.uniform(-5, 5, 30), [0.5, 1, 2, 40, 1e6]])
P = RNG.uniform(0.001, 0.999, 20)
Z = np.concatenate([RNG.uniform(-5, 5, 20), [-20.0, -35, -100]])
I, J = RNG.integers(-60, 60, (2, 40))


def in_both_modes(f, *arrays):
    given = [dg.tensor(a) for a in arrays]
    found = f(*given)
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        assert np.array_equal(compiled(*given).numpy(), found.numpy(), equal_nan=True)
    return found.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_mpmaths(dtype):
    mp = pytest.importorskip("mpmath")

    def of_matrices(x):
        return sum((mp.loggamma(x - j / mp.mpf(2)) for j in range(3)), 1.5 * mp.log(mp.pi))

    cases = {
        "lgamma": (dg.lgamma, X, lambda x: mp.loggamma(x).real),
        "digamma": (dg.digamma, X, lambda x: mp.digamma(x)),
        "polygamma 1": (lambda x: dg.polygamma(1, x), X, lambda x: mp.psi(1, x)),
        "polygamma 3": (lambda x: x.polygamma(3), X, lambda x: mp.psi(3, x)),
        "mvlgamma": (lambda x: x.mvlgamma(3), X[X > 1.1], of_matrices),
        "erfinv": (dg.special.erfinv, 2 * P - 1, mp.erfinv),
        "ndtr": (dg.special.ndtr, Z[Z > -12], mp.ncdf),
        "ndtri": (dg.special.ndtri, P, lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1)),
        "log_ndtr": (dg.special.log_ndtr, Z, lambda x: mp.log(mp.ncdf(x))),
        "entr": (dg.special.entr, P, lambda p: -p * mp.log(p)),
        "xlog1py": (lambda x: dg.special.xlog1py(x, x), P, lambda p: p * mp.log1p(p)),
    }  # fmt: skip
    rtol = 2e-6 if dtype == "float32" else 1e-9
    for name, (f, points, reference) in cases.items():
        x = points.astype(dtype)
        with mp.workdps(40):
            wanted = np.array([float(reference(mp.mpf(float(v)))) for v in x])
        found = in_both_modes(f, x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol, err_msg=name)


def test_values_at_the_edges():
    x = dg.tensor([0.0, -1.0, -2.0, math.inf, math.nan])
    assert dg.lgamma(x).tolist()[:4] == [math.inf] * 4
    assert dg.digamma(x).tolist()[0] == -math.inf and dg.digamma(x).tolist()[3] == math.inf
    assert dg.polygamma(1, x).tolist()[:4] == [math.inf, math.inf, math.inf, 0.0]
    assert dg.erfinv(dg.tensor([1.0, -1.0])).tolist() == [math.inf, -math.inf]
    assert np.isnan(dg.erfinv(dg.tensor([1.5, math.nan])).numpy()).all()
    assert dg.special.entr(dg.tensor([0.0, -1.0])).tolist() == [0.0, -math.inf]
    assert dg.special.xlog1py(dg.tensor([0.0]), dg.tensor([-1.0])).tolist() == [0.0]
    assert dg.lgamma(dg.tensor([3, 4])).dtype is dg.float32
    np.testing.assert_allclose(dg.lgamma(dg.tensor([3, 4])).numpy(), np.log([2.0, 6.0]), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
def test_divisors_and_multiples(dtype):
    x, y = (np.abs(v).astype(dtype) if dtype == "uint8" else v.astype(dtype) for v in (I, J))
    x[:2] = 0
    y[1:3] = 0
    assert in_both_modes(dg.gcd, x, y).tolist() == np.gcd(x, y).tolist()
    small = x % 12, y % 12
    assert in_both_modes(dg.lcm, *small).tolist() == np.lcm(*small).tolist()
    assert dg.gcd(dg.tensor(x), 6).tolist() == np.gcd(x, 6).tolist()
    with pytest.raises(dg.DTypeError, match="gcd"):
        dg.gcd(dg.ones(2), dg.ones(2))


def test_ldexp_and_writing_in_place():
    x = dg.tensor([1.0, -2.5])
    assert dg.ldexp(x, dg.tensor([3, -1])).tolist() == [8.0, -1.25]
    y = dg.tensor([2.5, 3.5])
    assert y.lgamma_() is y and y.tolist() == dg.lgamma(dg.tensor([2.5, 3.5])).tolist()
    assert dg.tensor([4.0]).polygamma_(1).tolist() == dg.polygamma(1, dg.tensor([4.0])).tolist()
    assert dg.tensor([12, 18]).gcd_(dg.tensor([8, 27])).tolist() == [4, 9]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: dg.lgamma(x),
        lambda x: dg.polygamma(2, x),
        lambda x: dg.erfinv(x / 4).sin(),
        lambda x: dg.mvlgamma(x + 2, 3),
        lambda x: dg.special.ndtri(x / 4),
        lambda x: dg.special.log_ndtr(dg.cat([-x, x * 30 - 90])),
        lambda x: dg.special.entr(x) + dg.special.xlog1py(x, x),
        lambda x: dg.ldexp(x, x),
    ],
)
def test_gradients(f):
    x = dg.tensor(RNG.uniform(0.3, 3, 5), requires_grad=True)
    assert dg.autograd.gradcheck(f, x) and dg.autograd.gradgradcheck(f, x)


def test_errors_say_what_is_wrong():
    with pytest.raises(dg.ArgumentError, match="no derivatives below"):
        dg.polygamma(-1, dg.ones(2))
    with pytest.raises(dg.ArgumentError, match="p = 0"):
        dg.ones(2).mvlgamma(0)
    with pytest.raises(dg.DTypeError, match="lgamma"):
        dg.lgamma(dg.tensor([1j]))
