"""Further functions of PyTorch: values against NumPy, both modes alike, gradients, errors."""

import numpy as np
import pytest

import dualgraph as dg

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype("float32")
Z = (RNG.standard_normal((3, 4)) + 1j * RNG.standard_normal((3, 4))).astype("complex64")
N = np.array([[np.nan, 1, -np.inf, np.inf], [0.0, 5, 2, np.nan], [1, 2, 3, 4]], "float32")

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
    ],
)
def test_gradients(f):
    assert dg.autograd.gradcheck(f, dg.tensor(X.astype("float64"), requires_grad=True))


def test_shapes_and_dtypes_alone():
    assert dg.broadcast_shapes((3, 1), 4, ()) == (3, 4)
    assert dg.promote_types(dg.int8, dg.uint8) is dg.int16
    assert dg.promote_types("float16", dg.int64) is dg.float16


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dg.complex(dg.ones(2), dg.ones(2, dtype=dg.float64)), "complex(f32[2], f64[2])"),
        (lambda: dg.view_as_complex(dg.ones(3)), "the last axis must have length 2"),
        (lambda: dg.view_as_real(dg.ones(3)), "not complex"),
        (lambda: dg.ones(3).sum_to_size(2, 3), "sum_to_size(f32[3])"),
        (lambda: dg.vander(dg.ones(2, 2)), "needs a vector"),
        (lambda: dg.broadcast_shapes((2,), (3,)), "(2,)"),
    ],
)
def test_what_does_not_fit_is_named(call, words):
    with pytest.raises(dg.DualgraphError) as caught:
        call()
    assert words in str(caught.value) and "test_further.py" in str(caught.value)
