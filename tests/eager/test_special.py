"""Special functions: values against mpmath and Python's integers, both modes, gradients, errors."""

import math

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.prim import Prim

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.uniform(-5, 5, 30), [0.5, 1, 2, 40, 1e6]])
P = RNG.uniform(0.001, 0.999, 20)
Z = np.concatenate([RNG.uniform(-5, 5, 20), [-20.0, -35, -100]])
B = np.concatenate([RNG.uniform(-9, 9, 30), [0.0, 8.0, -8.0, 20.5, 30.0]])
C = np.concatenate([RNG.uniform(0.05, 12, 30), [2.0, 8.0, 40.0]])
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
        "j0": (dg.special.bessel_j0, B, lambda x: mp.besselj(0, x)),
        "j1": (dg.special.bessel_j1, B, lambda x: mp.besselj(1, x)),
        "y0": (dg.special.bessel_y0, C, lambda x: mp.bessely(0, x)),
        "y1": (dg.special.bessel_y1, C, lambda x: mp.bessely(1, x)),
        "i0": (dg.special.i0, B, lambda x: mp.besseli(0, x)),
        "i1": (dg.special.i1, B, lambda x: mp.besseli(1, x)),
        "i0e": (dg.special.i0e, B, lambda x: mp.besseli(0, x) * mp.exp(-abs(x))),
        "i1e": (dg.special.i1e, B, lambda x: mp.besseli(1, x) * mp.exp(-abs(x))),
        "k0": (dg.special.modified_bessel_k0, C, lambda x: mp.besselk(0, x)),
        "k1": (dg.special.modified_bessel_k1, C, lambda x: mp.besselk(1, x)),
        "k0e": (dg.special.scaled_modified_bessel_k0, C, lambda x: mp.besselk(0, x) * mp.exp(x)),
        "k1e": (dg.special.scaled_modified_bessel_k1, C, lambda x: mp.besselk(1, x) * mp.exp(x)),
        "erfcx": (dg.special.erfcx, B, lambda x: mp.exp(x * x) * mp.erfc(x)),
        "spherical j0": (dg.special.spherical_bessel_j0, B, lambda x: mp.sinc(x)),
        "zeta": (lambda x: dg.special.zeta(x + 1, x), C, lambda x: mp.zeta(x + 1, x)),
        "t": (lambda x: dg.special.chebyshev_polynomial_t(x, 7), P, lambda x: mp.chebyt(7, x)),
        "u": (lambda x: dg.special.chebyshev_polynomial_u(x, 1), P, lambda x: mp.chebyu(1, x)),
        "h": (lambda x: dg.special.hermite_polynomial_h(x, 5), P, lambda x: mp.hermite(5, x)),
        "l": (lambda x: dg.special.laguerre_polynomial_l(x, 6), P, lambda x: mp.laguerre(6, 0, x)),
        "p": (lambda x: dg.special.legendre_polynomial_p(x, 6), P, lambda x: mp.legendre(6, x)),
        "xlog1py": (lambda x: dg.special.xlog1py(x, x), P, lambda p: p * mp.log1p(p)),
    }  # fmt: skip
    rtol = 2e-6 if dtype == "float32" else 1e-9
    for name, (f, points, reference) in cases.items():
        x = points.astype(dtype)
        with mp.workdps(25):
            wanted = np.array([float(reference(mp.mpf(float(v)))) for v in x])
        op = isinstance(f, Prim)  # of which every one is captured and compiled elsewhere
        found = f(dg.tensor(x)).numpy() if op else in_both_modes(f, x)
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


def test_bessel_functions_at_the_edges():
    sp, inf = dg.special, math.inf
    x = dg.tensor([0.0, inf, -inf, math.nan])
    ends = {
        sp.bessel_j0: [1.0, 0.0, 0.0], sp.bessel_j1: [0.0, 0.0, 0.0], sp.bessel_y0: [-inf, 0.0, math.nan],
        sp.i0: [1.0, inf, inf], sp.i1: [0.0, inf, -inf], sp.i1e: [0.0, 0.0, 0.0],
        sp.modified_bessel_k0: [inf, 0.0, math.nan], sp.modified_bessel_k1: [inf, 0.0, math.nan],
        sp.erfcx: [1.0, 0.0, inf], sp.spherical_bessel_j0: [1.0, 0.0, 0.0],
    }  # fmt: skip
    for f, wanted in ends.items():
        np.testing.assert_array_equal(f(x).numpy(), [*wanted, math.nan], err_msg=f.__name__)
    assert math.isfinite(sp.i0(dg.tensor(712.0, dtype=dg.float64)).item())
    assert sp.zeta(dg.tensor([1.0, 0.5, 2.0, 2.0]), dg.tensor([2.0, 2.0, -1.0, -0.5])).tolist()[
        ::2
    ] == [inf, inf]
    assert dg.i0(dg.tensor([0, 1])).dtype is dg.float32


def test_polynomials_of_several_degrees():
    x, n = dg.tensor(P), dg.tensor(np.arange(len(P)) % 6 - 1)
    for name in dg.special.__all__:
        if "polynomial" in name:
            f = getattr(dg.special, name)
            each = [f(v, int(d)).item() for v, d in zip(x, n, strict=True)]
            assert f(x, n).tolist() == each and f(x, -1).abs().sum() == 0, name
    shifted = dg.special.shifted_chebyshev_polynomial_w(x, 3)
    assert shifted.tolist() == dg.special.chebyshev_polynomial_w(2 * x - 1, 3).tolist()


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
        lambda x: dg.special.zeta(x + 1.5, x),
        lambda x: dg.special.legendre_polynomial_p(x / 4, 5),
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


def test_degrees_are_cut_to_whole_numbers():
    f, x = dg.special.hermite_polynomial_h, dg.tensor([0.3, 0.3, 0.3])
    assert f(x, dg.tensor([2.9, 0.5, -1.5])).tolist() == [f(x[0], n).item() for n in (2, 0, -1)]
    assert f(x, 2.9).tolist() == f(x, 2).tolist()
