"""Derivatives at kinks, ties and singular points: finite, as in PyTorch, and smooth where the function is."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F

INF = float("inf")


def slope(fn, *values):
    """The gradient of the sum of what `fn` gives, for its first argument."""
    first, *others = (dg.asarray(np.asarray(v, "float64")) for v in values)
    return dg.grad(lambda x: fn(x, *others).sum())(first).numpy()


def curve(fn, value):
    """The second derivative at one number."""
    return dg.grad(dg.grad(fn))(dg.asarray(np.float64(value))).item()


@pytest.mark.parametrize(
    ("fn", "value", "expected"),
    [
        (lambda x: x.std(), [2.0, 2.0, 2.0], [0, 0, 0]),
        (lambda x: x.std(-1, correction=0), [[1.0, 1.0]], [[0, 0]]),
        (lambda x: dg.linalg.vector_norm(x, ord=0.5), [0.0, 0.0], [0, 0]),
        (lambda x: dg.linalg.vector_norm(x, ord=0.5), [1.0, 0.0], [1, 0]),
        (lambda x: dg.linalg.vector_norm(x, ord=-1), [1.0, 0.0], [0, 0]),
        (lambda x: dg.linalg.vector_norm(x, ord=0), [3.0, 0.0], [0, 0]),
        (lambda x: x**0, [0.0, 2.0], [0, 0]),
        (lambda x: x**0.0, [0.0, 2.0], [0, 0]),
        (lambda x: dg.atan2(x, x), [0.0, 1.0], [0, 0]),
        (lambda x: dg.complex(x, x * 0).angle(), [0.0, 1.0], [0, 0]),
        (lambda x: dg.xlogy(x, 2.0), [0.0, 1.0], [math.log(2), math.log(2)]),
        (lambda x: dg.xlogy(x, x), [0.0, 1.0], [0, 1]),
        (lambda x: dg.special.xlog1py(x, 1.0), [0.0, 1.0], [math.log(2), math.log(2)]),
        (lambda x: dg.fmax(x, 0.0 * x), [0.0, -1.0], [1, 0]),
        (lambda x: dg.fmin(x, 0.0 * x), [0.0, -1.0], [1, 1]),
        (lambda x: x.median(), [1.0, 1.0, 0.0, 2.0], [0.5, 0.5, 0, 0]),
        (lambda x: x.nanmedian(), [1.0, 1.0, math.nan, 0.0], [0.5, 0.5, 0, 0]),
        (lambda x: dg.nextafter(x, dg.ones(2, dtype=dg.float64)), [0.0, 1.0], [1, 0]),
        (lambda x: F.margin_ranking_loss(x, x * 0, x * 0 + 1, reduction="sum"), [0.0], [-1]),
        (lambda x: F.hinge_embedding_loss(x, x * 0 - 1, reduction="sum"), [1.0, 2.0], [-1, 0]),
        (lambda x: x.logit(), [0.0, 0.5, 1.0], [INF, 4, INF]),
        (lambda x: 2.0**x, [INF, 0.0], [INF, math.log(2)]),
        (lambda x: 0.0**x, [0.0, 1.0, -1.0], [0, 0, -INF]),
    ],
)
def test_first_derivatives_at_ties_and_singular_points(fn, value, expected):
    np.testing.assert_allclose(slope(fn, value), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("fn", "at", "expected"),
    [
        (lambda x: F.logsigmoid(x), 0.0, -0.25),
        (lambda x: F.binary_cross_entropy_with_logits(x, x.detach() * 0), 0.0, 0.25),
        (lambda x: F.smooth_l1_loss(x, x.detach() * 0, beta=0.5), 0.0, 2.0),
        (lambda x: F.huber_loss(x, x.detach() * 0), 0.0, 1.0),
        (lambda x: dg.special.xlog1py(x, x), 0.0, 2.0),
        (lambda x: dg.complex(x, x).abs(), 0.0, 0.0),
    ],
)
def test_second_derivatives_of_functions_that_are_smooth_at_a_seam(fn, at, expected):
    assert curve(fn, at) == pytest.approx(expected, abs=1e-12)


def test_norms_are_curved_across_elements_that_are_0():
    x = dg.asarray(np.array([3.0, 0.0, 4.0]))
    unit = x.numpy() / 5
    expected = (np.eye(3) - np.outer(unit, unit)) / 5
    for fn in (dg.norm, dg.linalg.norm, lambda v: dg.linalg.matrix_norm(v.reshape(1, 3))):
        np.testing.assert_allclose(dg.hessian(fn)(x).numpy(), expected, atol=1e-12)
    assert slope(dg.linalg.matrix_norm, np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]
    z = dg.complex(x, 0 * x)
    np.testing.assert_allclose(dg.norm(z).item(), 5.0)
    assert curve(lambda v: dg.complex(v, v).var(correction=0), 0.0) == 0
    both = dg.grad(dg.grad(lambda v: dg.norm(dg.complex(v, 1 + v.detach() * 0))))
    assert both(dg.asarray(np.float64(0))).item() == pytest.approx(1.0)


def test_a_determinant_has_its_cofactors_for_gradient_though_it_is_0():
    singular = [[1.0, 1.0, 0.5], [0.0, 0.0, 0.0], [-1.0, 2.0, 2.0]]
    cofactors = [[0, 0, 0], [-1, 2.5, -3], [0, 0, 0]]
    np.testing.assert_allclose(slope(dg.linalg.det, singular), cofactors, atol=1e-12)
    stack = [singular, np.zeros((3, 3)), np.eye(3)]
    found = slope(dg.linalg.det, stack)
    np.testing.assert_allclose(found, [cofactors, np.zeros((3, 3)), np.eye(3)], atol=1e-12)
    assert slope(dg.linalg.det, [[0.0]]).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "x", [np.diag([1.0, 0, 2]), np.zeros((2, 2)), np.ones((2, 2)), np.eye(3)[:, [0, 0, 1]]]
)
def test_a_determinant_is_curved_where_it_is_0(x):
    along, across = np.random.default_rng(0).standard_normal((2, *x.shape))

    def det(s, t):
        return np.linalg.det(x + s * along + t * across)

    expected = (det(1e-3, 1e-3) - det(1e-3, -1e-3) - det(-1e-3, 1e-3) + det(-1e-3, -1e-3)) / 4e-6
    once = dg.grad(lambda v: (dg.grad(dg.linalg.det)(v) * dg.asarray(along)).sum())
    np.testing.assert_allclose(
        (once(dg.asarray(x)).numpy() * across).sum(), expected, rtol=1e-6, atol=1e-8
    )


def test_the_largest_singular_value_is_curved_though_others_are_0():
    x = np.outer([1.0, 2.0], [2.0, 1.0])
    along = np.array([[1.0, -1.0], [0.5, 2.0]])

    def largest(s):
        return np.linalg.norm(x + s * along, 2)

    expected = (largest(1e-3) - 2 * largest(0) + largest(-1e-3)) / 1e-6
    for shape in ((2, 2), (2, 3)):
        wide = [np.pad(v, ((0, 0), (0, shape[1] - 2))) for v in (x, along)]
        value, direction = map(dg.asarray, wide)
        first = lambda v, d=direction: (dg.grad(lambda u: dg.linalg.norm(u, 2))(v) * d).sum()  # noqa: E731
        found = (dg.grad(first)(value).numpy() * wide[1]).sum()
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fn", [lambda x: x.cumprod(0), lambda x: x.prod()])
@pytest.mark.parametrize(
    "x", [[0.0, 0, 0], [1, 0, 2.0, 3.0], [0.0, 3, 0, 2], [2.0, 3.0, 0.5, -1.0]]
)
def test_products_are_curved_across_zeros(fn, x):
    x = np.array(x)
    w = np.cos(np.arange(len(x)) + 0.3)

    def weighed(v):
        return (fn(v) * dg.asarray(w[: fn(v).numel()])).sum()

    def third(v):
        return (dg.hessian(weighed)(v) * dg.asarray(np.outer(w, w))).sum()

    def terms(v):  # the same, without an op of its own
        out, total = 1.0, 0.0
        for i in range(len(x)):
            out = out * v[i]
            total = total + out * w[i]
        return total if fn(v).ndim else out * w[0]

    v = dg.asarray(x)
    for f, g in [
        (dg.grad(weighed), dg.grad(terms)),
        (dg.hessian(weighed), dg.hessian(terms)),
        (
            dg.grad(third),
            dg.grad(lambda v: (dg.hessian(terms)(v) * dg.asarray(np.outer(w, w))).sum()),
        ),
    ]:
        np.testing.assert_allclose(f(v).numpy(), g(v).numpy(), atol=1e-12)


@pytest.mark.parametrize(
    "name",
    """sqrt rsqrt log log1p exp expm1 exp2 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid square
    reciprocal""".split(),
)
def test_slopes_of_complex_functions_in_all_quadrants(name):
    z, h = np.array([1.3 + 0.4j, -1.3 + 0.4j, -1.3 - 0.4j, 1.3 - 0.4j, 0.2 + 2j, -0.2 - 2j]), 1e-6
    fn = getattr(dg, name)
    _, pull = dg.vjp(fn, dg.asarray(z))
    expected = (fn(dg.asarray(z + h)).numpy() - fn(dg.asarray(z - h)).numpy()) / (2 * h)
    np.testing.assert_allclose(
        pull(dg.ones(6, dtype="complex128"))[0].numpy().conj(), expected, rtol=1e-8
    )


def test_values_at_infinities_and_of_precise_parts():
    x = dg.asarray(np.array([1.0, INF, 2.0]))
    assert dg.gradient(x)[0].tolist() == [INF, 0.5, -INF]
    assert dg.linalg.vector_norm(dg.asarray([-INF, INF]), ord=-1).item() == INF
    assert dg.quantile(dg.asarray(np.arange(4.0)), 0.3).item() == np.quantile(np.arange(4.0), 0.3)
    assert dg.quantile(dg.asarray([1.0, -INF, 2.0]), 0.3).item() == -INF


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (2, 4), (4, 4)])
def test_the_gradient_of_a_pseudo_inverse_bears_equal_singular_values(shape):
    rng = np.random.default_rng(0)
    first, *_, last = np.linalg.svd(rng.standard_normal(shape))
    rank = min(shape) - (shape == (4, 4))  # one of them singular
    x, along = first[:, :rank] @ last[:rank], rng.standard_normal(shape)
    if rank < min(shape):  # along matrices of one rank alone
        along = first[:, :rank] @ first[:, :rank].T @ along
    weights = rng.standard_normal(shape[::-1])
    found = (slope(lambda v: dg.linalg.pinv(v) * dg.asarray(weights), x) * along).sum()
    step = 1e-6
    near = [np.linalg.pinv(x + s * step * along, 1e-4) for s in (1, -1)]
    assert found == pytest.approx(((near[0] - near[1]) * weights).sum() / (2 * step), rel=1e-6)


def test_complex_takes_its_parts_as_they_are():
    made = dg.complex(dg.asarray([INF, -2.0, math.nan]), dg.asarray([1.0, -0.0, 2.0]))
    assert made.numpy().real.tolist()[:2] == [INF, -2.0]
    assert made.imag.tolist() == [1.0, -0.0, 2.0]
    assert made.angle()[1].item() == pytest.approx(-math.pi)


@pytest.mark.parametrize("before", [False, True])
def test_a_backward_that_fails_changes_no_gradient(before):
    x, y = (dg.ones(2, requires_grad=True) for _ in range(2))
    if before:
        (x * 2 + y).sum().backward()
    kept = [None if t.grad is None else t.grad.tolist() for t in (x, y)]
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ((x * 3).exp() + y).sum().backward()
    z = x * 1.0
    spoiled = z.exp() + y
    deep = (z * z).sum() + spoiled.sum()
    z.add_(1)
    with pytest.raises((ZeroDivisionError, dg.DualgraphError)):
        deep.backward()
    assert [None if t.grad is None else t.grad.tolist() for t in (x, y)] == kept
