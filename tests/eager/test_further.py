"""Further functions of PyTorch: values against NumPy, both modes alike, gradients, errors."""

import math

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.prim import REGISTRY

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype("float32")
Z = (RNG.standard_normal((3, 4)) + 1j * RNG.standard_normal((3, 4))).astype("complex64")
N = np.array([[np.nan, 1, -np.inf, np.inf], [0.0, 5, 2, np.nan], [1, 2, 3, 4]], "float32")

SLICED = np.stack([X[:, 0], -X[:, 0], X[:, 2], -X[:, 2]], 1)
DIAGONAL = X + np.diagflat(X[0, :3] - np.diag(X, 1), 1)[:3]
STRIDED = np.stack([X[0], X[:2].ravel()[1::2]], 1).reshape(2, 4)
FOLDED = np.c_[X[:, :3].max(1), X[:, 1:]]
QUARTERS = np.nanquantile(N[1:], [0.25, 1], 1).astype("float32")
EDGES = [-1.0, 0.0, 0.5, 2.0]
DENSITY = np.histogram(X, EDGES, density=True)[0].astype("float32")
PARTS = np.histogram(X, 3, (-1, 2), weights=np.abs(X))[0]
PLANE = np.histogramdd(X.reshape(-1, 2), [3, 2], [(-1, 2), (-2, 2)], True)[0].astype("float32")
SQUARES = np.histogramdd(X.reshape(-1, 2), [EDGES, EDGES], weights=np.abs(X[:, :2]).ravel())[0]

CASES = {
    "angle": (lambda x: dg.angle(x), X, np.angle(X)),
    "angle of complex": (lambda x: x.angle(), Z, np.angle(Z)),
    "angle of integers": (lambda x: x.angle(), np.array([-1, 0, 2]), np.float32([np.pi, 0, 0])),
    "sgn": (lambda x: x.sgn(), Z, Z / np.abs(Z)),
    "isreal": (lambda x: x.isreal(), np.array([1j, 2 + 0j]), np.array([False, True])),
    "isreal of NaN": (lambda x: x.isreal(), N, np.ones((3, 4), bool)),
    "complex": (lambda x: dg.complex(x, x * 2), X, (X + 2j * X).astype("complex64")),
    "polar": (lambda x: dg.polar(x.abs(), x), X, (np.abs(X) * np.exp(1j * X)).astype("complex64")),
    "view_as_real": (dg.view_as_real, Z, np.stack([Z.real, Z.imag], -1)),
    "view_as_complex": (dg.view_as_complex, X[:, :2], X[:, 0] + 1j * X[:, 1]),
    "logaddexp2": (lambda x: x.logaddexp2(x * 2), X, np.logaddexp2(X, 2 * X)),
    "logcumsumexp": (lambda x: x.logcumsumexp(1), X * 50, np.logaddexp.accumulate(X * 50, axis=1)),
    "sum_to_size": (lambda x: x.sum_to_size(1, 4), X, X.sum(0, keepdims=True)),
    "diagflat": (lambda x: dg.diagflat(x, 1), X[0], np.diagflat(X[0], 1)),
    "dsplit": (lambda x: dg.dsplit(x.reshape(1, 3, 4), 2)[1], X, X.reshape(1, 3, 4)[..., 2:]),
    "put": (lambda x: x.put(dg.tensor([5, 0]), dg.tensor([9.0, 8.0])), X, None),
    "vander": (lambda x: dg.vander(x, 3), X[0], np.vander(X[0], 3).astype("float32")),
    "nanmedian": (lambda x: x.nanmedian(), N, np.float32(2)),
    "nanmedian along an axis": (lambda x: x.nanmedian(1).values, N, np.float32([1, 2, 2])),
    "positive": (lambda x: x.positive(), X, X),
    "select_scatter": (lambda x: x.select_scatter(x[:, 0] * 2, 1, -1), X, np.c_[X[:, :3], 2 * X[:, 0]]),
    "slice_scatter": (lambda x: x.slice_scatter(-x[:, ::2], 1, 1, step=2), X, SLICED),
    "diagonal_scatter": (lambda x: x.diagonal_scatter(x[0, :3], 1), X, DIAGONAL),
    "as_strided": (lambda x: x.as_strided((2, 3), (4, 1), 2), X, X.ravel()[[[2, 3, 4], [6, 7, 8]]]),
    "as_strided of no axes": (lambda x: x.as_strided((), (), 7), X, X[1, 3]),
    "as_strided_scatter": (lambda x: x.as_strided_scatter(x[0], (4,), (2,)), X[:2], STRIDED),
    "index_reduce": (lambda x: x.index_reduce(1, dg.tensor([0, 0]), x[:, 1:3], "amax"), X, FOLDED),
    "nanquantile": (lambda x: x.nanquantile(dg.tensor([0.25, 1.0]), 1), N[1:], QUARTERS),
    "nanquantile of nothing": (lambda x: (x * float("nan")).nanquantile(0.5), X, np.float32(np.nan)),
    "renorm": (lambda x: dg.renorm(x, 1, 1, 0.5), X, X * np.minimum(1, 0.5 / np.abs(X).sum(0))),
    "rsub": (lambda x: dg.rsub(x, 5, alpha=2), X, 5 - 2 * X),
    "resize_": (lambda x: x.clone().resize_(2, 7), X, np.r_[X.ravel(), 0, 0].reshape(2, 7)),
    "histogram": (lambda x: x.histogram(dg.tensor(EDGES), density=True).hist, X, DENSITY),
    "histogram of equal parts": (lambda x: x.histogram(3, range=(-1, 2), weight=x.abs()).hist, X, PARTS),
    "histogramdd": (
        lambda x: dg.histogramdd(x.reshape(-1, 2), [3, 2], range=[-1, 2, -2, 2], density=True).hist, X, PLANE
    ),
    "histogramdd by edges": (
        lambda x: x.reshape(-1, 2).histogramdd([dg.tensor(EDGES)] * 2, weight=x[:, :2].abs()).hist, X,
        SQUARES.astype("float32"),
    ),
    "cdist": (lambda x: dg.cdist(x, x[:2]), X, np.linalg.norm(X[:, None] - X[:2], axis=-1)),
    "cdist of 12 coordinates": (lambda x: dg.cdist(x.reshape(1, 12), x.reshape(1, 12) + 1), X, np.float32([[12**0.5]])),
    "places among nothing": (lambda x: dg.searchsorted(x[:, :0], x), X, np.zeros((3, 4), "int64")),
    "places in no rows": (lambda x: dg.searchsorted(x[:0], x[:0]), X, np.zeros((0, 4), "int64")),
    "slope of cdist at 0": (dg.grad(lambda x: dg.cdist(x, x.detach()).diagonal().sum()), X, 0 * X),
    "lu": (lambda x: dg.linalg.lu(x.T).P @ dg.linalg.lu(x.T).L @ dg.linalg.lu(x.T).U, X, X.T),
    "svd": (lambda x: x.svd().U * x.svd().S @ x.svd().V.mT, X, X),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_in_both_modes(name):
    f, array, wanted = CASES[name]
    if wanted is None:
        wanted = array.copy()
        np.put(wanted, [5, 0], [9, 8])
    x = dg.tensor(array)
    found = f(x)
    assert found.numpy().dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-6)
    compiled = dg.compile(f, wait=True)
    for _ in range(2):
        assert np.array_equal(compiled(x).numpy(), found.numpy(), equal_nan=True)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.logcumsumexp(0).sin(),
        lambda x: x.logaddexp2(x.flip(0)),
        lambda x: dg.polar(x.exp(), x).real * 2,
        lambda x: dg.view_as_complex(x.reshape(6, 2)).abs(),
        lambda x: x.sum_to_size(3, 1) ** 2,
        lambda x: x.put(dg.tensor([1, 1]), x[0, :2] * 3, accumulate=True),
        lambda x: dg.vander(x[0], 4),
        lambda x: x.select_scatter(x[:, 0].sin(), 1, 2) * x,
        lambda x: x.diagonal_scatter(x[0, :3].exp(), 1) * x,
        lambda x: (
            x.as_strided((3, 3), (1, 1)).sin() + x.slice_scatter(x[:, :2] * x[:, 1:3], 1, 2)[:, 1:]
        ),
        lambda x: x.nanquantile(0.3, 1) + dg.renorm(x, 2, 0, 1.0).sum(1),
        lambda x: dg.linalg.lu_factor(x).LU,
        lambda x: dg.linalg.lu(x.T).U,
    ],
)
def test_gradients(f):
    assert dg.autograd.gradcheck(f, dg.tensor(X.astype("float64"), requires_grad=True))


def test_shapes_and_dtypes_alone():
    assert dg.broadcast_shapes((3, 1), 4, ()) == (3, 4)
    assert dg.promote_types(dg.int8, dg.uint8) is dg.int16
    assert dg.promote_types("float16", dg.int64) is dg.float16


def test_factors_solve_and_failures_are_told():
    a = dg.tensor(RNG.standard_normal((2, 4, 4)))
    b = dg.tensor(RNG.standard_normal((2, 4, 3)))
    factors, pivots = dg.linalg.lu_factor(a)
    for left, turned in ((True, False), (True, True), (False, False), (False, True)):
        x = dg.linalg.lu_solve(factors, pivots, b if left else b.mT, left=left, adjoint=turned)
        whole = a.mT if turned else a
        assert dg.allclose(whole @ x if left else x @ whole, b if left else b.mT)
    assert dg.allclose(dg.lu_unpack(factors, pivots).P, dg.linalg.lu(a).P)
    large = dg.tensor(RNG.standard_normal((70, 50)))
    p, low, high = dg.linalg.lu(large)
    assert dg.allclose(p @ low @ high, large) and float(low.abs().max()) == 1
    assert dg.allclose(
        dg.triangular_solve(b, a, transpose=True).solution, dg.linalg.solve(a.triu().mT, b)
    )
    definite = dg.stack([a[0] @ a[0].mT, -a[0] @ a[0].mT])
    root, info = dg.linalg.cholesky_ex(definite)
    assert info.tolist() == [0, 1] and dg.allclose(root[0] @ root[0].mT, definite[0])
    with pytest.raises(dg.LinAlgError, match="not positive definite"):
        dg.linalg.cholesky_ex(definite, check_errors=True)
    low = dg.randn(20, 3, dtype=dg.float64) @ dg.randn(3, 9, dtype=dg.float64)
    assert dg.allclose(dg.svd_lowrank(low, 3).S, dg.linalg.svdvals(low)[:3])
    assert dg.allclose(dg.pca_lowrank(low, 3).S, dg.linalg.svdvals(low - low.mean(0))[:3])


def test_draws_and_python_functions_in_place():
    x = dg.zeros(20000, dtype=dg.float64)
    assert abs(x.geometric_(0.25).mean().item() - 4) < 0.2 and x.min() == 1
    assert abs(x.log_normal_(0.5, 0.3).log().std().item() - 0.3) < 0.02
    assert abs(x.cauchy_(1.0, 2.0).median().item() - 1) < 0.2
    y = dg.tensor([1.0, 2.0])
    assert y.apply_(lambda v: v + 1) is y and y.map_(y, lambda a, b: a * b).tolist() == [4.0, 9.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dg.complex(dg.ones(2), dg.ones(2, dtype=dg.float64)), "complex(f32[2], f64[2])"),
        (lambda: dg.view_as_complex(dg.ones(3)), "the last axis must have length 2"),
        (lambda: dg.view_as_real(dg.ones(3)), "not complex"),
        (lambda: dg.ones(3).sum_to_size(2, 3), "sum_to_size(f32[3])"),
        (lambda: dg.vander(dg.ones(2, 2)), "needs a vector"),
        (lambda: dg.broadcast_shapes((2,), (3,)), "(2,)"),
        (lambda: dg.ones(3).as_strided((2, 2), (2, 2)), "place 4 does not lie in a tensor of 3"),
        (lambda: dg.ones(3).select_scatter(dg.ones(()), 0, 3), "index 3 is out of range"),
        (lambda: dg.ones(3).slice_scatter(dg.ones(2)), "values of shape (2,) do not fit"),
        (lambda: dg.linalg.inv(dg.zeros(2, 2)), "inv(f32[2,2]): Singular matrix"),
        (lambda: dg.ones(3).histogram(0), "0 bins"),
        (lambda: dg.ones(3, 2).histogramdd([2]), "points of 2 coordinates"),
        (lambda: dg.ones(3).geometric_(2.0), "p lies in (0, 1)"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises(dg.DualgraphError) as caught:
        call()
    assert words in str(caught.value) and "test_further.py" in str(caught.value)


def test_axis_and_keepdims_are_taken_for_dim_and_keepdim() -> None:
    x = dg.asarray([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
    both = [
        (lambda y, **k: y.cumsum(**k), lambda y, **k: dg.cumsum(y, **k)),
        (lambda y, **k: y.cumprod(**k), lambda y, **k: dg.cumprod(y, **k)),
        (lambda y, **k: y.softmax(**k), lambda y, **k: dg.softmax(y, **k)),
        (lambda y, **k: y.log_softmax(**k), lambda y, **k: dg.log_softmax(y, **k)),
        (lambda y, **k: y.sort(**k)[0], lambda y, **k: dg.sort(y, **k)),
        (lambda y, **k: y.argsort(**k), lambda y, **k: dg.argsort(y, **k)),
        (lambda y, **k: y.diff(**k), lambda y, **k: dg.diff(y, **k)),
        (lambda y, **k: y.count_nonzero(**k), lambda y, **k: dg.count_nonzero(y, **k)),
        (lambda y, **k: y.amax(**k), lambda y, **k: dg.amax(y, **k)),
        (lambda y, **k: y.amin(**k), lambda y, **k: dg.amin(y, **k)),
        (lambda y, **k: y.norm(**k), lambda y, **k: dg.norm(y, **k)),
    ]
    for method, function in both:
        expected = method(x, dim=0).tolist()
        assert method(x, axis=0).tolist() == function(x, axis=0).tolist() == expected
        assert dg.compare(lambda y, m=method: m(y, axis=0), x).bitwise_equal
    assert x.amax(axis=1, keepdims=True).shape == x.norm(axis=1, keepdims=True).shape == (2, 1)
    assert dg.topk(x, 1, axis=0)[0].tolist() == [[6.0, 5.0, 4.0]]
    assert dg.logsumexp(x, axis=1, keepdims=True).shape == (2, 1)
    assert dg.unsqueeze(x, axis=1).shape == (2, 1, 3)
    assert x[:1].squeeze(axis=0).shape == (3,)
    for missing in (x.cumsum, x.softmax):
        with pytest.raises(dg.ArgumentError, match="needs an axis"):
            missing()


def test_words_of_conversions_and_older_functions() -> None:
    x = dg.asarray([[4.0, 2.0], [2.0, 3.0]])
    assert x.double(memory_format=dg.contiguous_format).dtype is dg.float64
    assert dg.scalar_tensor(2, requires_grad=True).requires_grad
    factors, pivots, infos = dg.lu(x, get_infos=True)
    assert infos.tolist() == 0 and factors.shape == (2, 2) and pivots.shape == (2,)
    assert dg.polygamma(dg.tensor(1), x).tolist() == dg.polygamma(1, x).tolist()
    many = dg.linalg.vander(x.reshape(2, 1, 2), N=3)
    assert many.shape == (2, 1, 2, 3) and many[1, 0].tolist() == [[1.0, 2.0, 4.0], [1.0, 3.0, 9.0]]


def test_powers_of_integers_have_the_shape_of_both_operands() -> None:
    for dtype in (dg.uint8, dg.uint32, dg.int64):
        x, none = dg.full((2, 1, 3), 2).to(dtype), dg.zeros(2, 4, 3).to(dtype)
        assert dg.pow(x, none).tolist() == dg.ones(2, 4, 3).to(dtype).tolist()
        assert dg.compare(lambda a, b: a**b, x, none).bitwise_equal


def test_a_power_in_place_keeps_what_its_gradient_reads() -> None:
    x = dg.tensor([2.0, 3.0], dtype=dg.float64, requires_grad=True)
    exponent = dg.tensor([2.0, 0.5], dtype=dg.float64, requires_grad=True)

    def gradients(power):
        return [g.tolist() for g in dg.autograd.grad(power(x.clone()).sum(), [x, exponent])]

    expected = gradients(lambda y: y.float_power(exponent))
    assert gradients(lambda y: y.float_power_(exponent)) == expected


def test_a_cast_to_the_dtype_it_has_shares_no_memory() -> None:
    x = dg.tensor([2.0], dtype=dg.float64)
    y = REGISTRY["cast"](x, dtype="float64")
    y += 1
    assert x.item() == 2.0


def test_totals_of_unsigned_integers_are_signed() -> None:
    x = dg.ones(2, 2).to(dg.uint8)
    assert dg.trace(x).dtype is dg.nansum(x).dtype is x.sum().dtype is dg.int64
    assert dg.special.ndtri(dg.tensor([0, 1]).to(dg.uint8)).tolist() == [-math.inf, math.inf]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dg.cov(dg.ones(2, 2, 2)), r"cov\(f32\[2,2,2\]\): needs a matrix"),
        (lambda: dg.cov(dg.ones(2, 3), aweights=dg.ones(1)), "for 3 observations"),
        (lambda: dg.cov(dg.ones(3), fweights=dg.tensor([1, 2])), "for 3 observations"),
        (lambda: dg.linalg.cross(dg.ones(2, 3), dg.ones(2, 3), axis=4), "axis 4"),
        (lambda: dg.linalg.lstsq(dg.ones(()), dg.ones(())), "needs matrices"),
        (
            lambda: dg.conv2d(dg.ones(1, 1, 4, 4), dg.ones(1, 2, 2), padding="same"),
            r"conv2d\(f32\[1,1,4,4\], f32\[1,2,2\]\): weight must have 4 axes",
        ),
    ],
)
def test_operands_that_do_not_fit_are_named(call, words) -> None:
    with pytest.raises(dg.DualgraphError, match=words):
        call()
