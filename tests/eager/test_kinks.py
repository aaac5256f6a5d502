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
