"""grad, value_and_grad, vjp, jvp and Jacobians: values, orders, trees, tapes and errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.errors import (
    ArgumentError,
    AutogradError,
    DTypeError,
    ShapeError,
    TransformError,
)


def close(x: Any, y: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=tolerance, atol=tolerance)


def test_grad_of_python_floats_to_any_order() -> None:
    f = dg.sin
    for expected in (math.cos(0.7), -math.sin(0.7), -math.cos(0.7), math.sin(0.7)):
        f = dg.grad(f)
        close(f(0.7), expected)


def test_inner_derivatives_do_not_see_outer_variables() -> None:
    # d/dx (x * d/dy (x + y)) = 1: confusing the two variables gives 2
    assert dg.grad(lambda x: x * dg.grad(lambda y: x + y)(1.0))(1.0).item() == 1.0


def test_inner_derivatives_follow_outer_variables_that_they_close_over() -> None:
    def f(x: Any) -> Any:
        return dg.grad(lambda y: x * x * y * y)(3.0)  # 2 x² y

    assert dg.grad(f)(2.0).item() == 24.0
    assert dg.grad(lambda x: x * f(x))(2.0).item() == 72.0


def test_argnums_choose_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y * y

    assert dg.grad(f, argnums=1)(2.0, 3.0).item() == 12.0
    assert [g.item() for g in dg.grad(f, argnums=(0, -1))(2.0, 3.0)] == [9.0, 12.0]
    with pytest.raises(ArgumentError, match="no argument 2"):
        dg.grad(f, argnums=2)(2.0, 3.0)


def test_trees_of_arguments_give_trees_of_gradients() -> None:
    params = {"w": dg.ones(2, 3), "b": [dg.zeros(3), 1.5]}

    def loss(p: Any, x: Any) -> Any:
        return ((x @ p["w"] + p["b"][0]) * p["b"][1]).sum()

    value, grads = dg.value_and_grad(loss)(params, dg.ones(4, 2))
    assert value.item() == 36.0
    assert grads["w"].shape == (2, 3) and grads["b"][0].tolist() == [6.0] * 3
    assert grads["b"][1].item() == 24.0


def test_none_in_trees_is_nothing_to_differentiate() -> None:
    def f(p: Any) -> Any:
        return {"out": p["w"] * p["w"], "nothing": None}

    p = {"w": dg.asarray([1.0, 2.0]), "b": None}
    gradient = dg.grad(lambda p: f(p)["out"].sum())(p)
    assert gradient["w"].tolist() == [2.0, 4.0] and gradient["b"] is None
    for transform in (dg.jacrev, dg.jacfwd):
        j = transform(f)(p)
        assert j["nothing"] is None and j["out"]["b"] is None
        assert j["out"]["w"].tolist() == [[2.0, 0.0], [0.0, 4.0]]
    each = dg.vmap(dg.grad(lambda p: f(p)["out"]))(p)
    assert each["w"].tolist() == [2.0, 4.0] and each["b"] is None


def test_aux_results_are_passed_on() -> None:
    def f(x: Any) -> Any:
        return (x * x).sum(), {"mean": x.mean()}

    x = dg.asarray([1.0, 3.0])
    gradient, aux = dg.grad(f, has_aux=True)(x)
    assert gradient.tolist() == [2.0, 6.0] and aux["mean"].item() == 2.0
    (value, _), _ = dg.value_and_grad(f, has_aux=True)(x)
    assert value.item() == 10.0 and not value.requires_grad
    out, pull, aux = dg.vjp(f, x, has_aux=True)
    assert out.item() == 10.0 and pull(1.0)[0].tolist() == [2.0, 6.0]


def test_arguments_that_do_not_matter_get_zeros() -> None:
    first, second = dg.grad(lambda x, y: x * 2.0, argnums=(0, 1))(1.0, dg.ones(2))
    assert first.item() == 2.0 and second.tolist() == [0.0, 0.0]
    assert dg.grad(lambda x: 3.0)(1.0).item() == 0.0


def test_results_are_off_the_tape_unless_the_caller_differentiates() -> None:
    x = dg.tensor([1.0, 2.0])
    value, gradient = dg.value_and_grad(lambda v: (v * v).sum())(x)
    assert not value.requires_grad and not gradient.requires_grad and not x.requires_grad
    x.requires_grad_()
    value, gradient = dg.value_and_grad(lambda v: (v**3).sum())(x)
    (gradient.sum() + value).backward()
    close(x.grad, [6 + 3, 12 + 12])


def test_gradients_reach_tensors_that_the_function_closes_over() -> None:
    w = dg.tensor(2.0, requires_grad=True)
    dg.grad(lambda x: w * w * x * x)(3.0).backward()
    assert w.grad.item() == 24.0  # d/dw 2 w² x


def test_no_grad_outside_keeps_derivatives_inside() -> None:
    x = dg.tensor(3.0, requires_grad=True)
    with dg.no_grad():
        value, gradient = dg.value_and_grad(lambda v: v * v)(x)
    assert gradient.item() == 6.0 and not gradient.requires_grad and not value.requires_grad


def test_no_grad_inside_is_a_constant() -> None:
    def f(x: Any) -> Any:
        with dg.no_grad():
            constant = x * x
        return constant * x

    assert dg.grad(f)(3.0).item() == 9.0


def test_detach_stops_gradients_at_every_level() -> None:
    assert dg.grad(dg.grad(lambda x: x.detach() * x * x))(3.0).item() == 6.0
    assert not dg.tensor(1.0, requires_grad=True).detach().requires_grad


def test_in_place_writes_inside_the_function() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        y[0] = x[1] * x[1]
        y += x
        return (y * y).sum()

    def pure(x: Any) -> Any:
        y = dg.concat([(x[1] * x[1]).reshape(1), x[1:] * 2.0]) + x
        return (y * y).sum()

    x = dg.asarray([1.0, 2.0, 3.0])
    close(dg.grad(f)(x), dg.grad(pure)(x))
    close(dg.hessian(f)(x), dg.hessian(pure)(x))
    assert x.tolist() == [1.0, 2.0, 3.0]


def _all_at_once(y: Any, new: Any) -> None:
    y[:] = new


def _with_dots(y: Any, new: Any) -> None:
    y[...] = new


def _through_a_view(y: Any, new: Any) -> None:
    y.narrow(0, 0, 3).copy_(new)


@pytest.mark.parametrize("put", [_all_at_once, _with_dots, _through_a_view])
def test_how_a_whole_is_spelled_is_not_seen_in_derivatives(put: Any) -> None:
    def spelled(x: Any, put: Any = put) -> Any:
        y = x * 1.0
        put(y, x * x)
        return y * y

    x = dg.asarray([-1.5, 0.5, -2.0])
    tangents = dg.jacfwd(lambda x: spelled(x, dg.Tensor.copy_))(x).numpy().tobytes()
    derivative = dg.jacfwd(spelled)
    compiled = dg.compile(derivative, wait=True)
    each = dg.vmap(derivative)(dg.stack([x, x]))
    assert {compiled(x).numpy().tobytes() for _ in range(3)} == {tangents}
    assert {derivative(x).numpy().tobytes() for _ in range(3)} == {tangents}
    assert [row.numpy().tobytes() for row in each] == [tangents] * 2


def test_arguments_cannot_be_written_in_place() -> None:
    def f(x: Any) -> Any:
        x += 1.0
        return x.sum()

    with pytest.raises(AutogradError, match="in place"):
        dg.grad(f)(dg.ones(2))


def test_vjp_and_jvp_are_transposes() -> None:
    rng = np.random.default_rng(0)
    w = dg.asarray(rng.standard_normal((3, 4)))

    def f(x: Any, y: Any) -> Any:
        return {"a": dg.tanh(x @ w), "b": (x * y).sum()}

    x, y, tx, ty = (dg.asarray(rng.standard_normal((2, 3))) for _ in range(4))
    out, pull = dg.vjp(f, x, y)
    out2, tangent = dg.jvp(f, (x, y), (tx, ty))
    ct = {k: dg.asarray(rng.standard_normal(v.shape)) for k, v in out.items()}
    cx, cy = pull(ct)
    close(sum((ct[k] * tangent[k]).sum() for k in ct), (cx * tx).sum() + (cy * ty).sum(), 1e-12)
    close(out["a"], out2["a"])
    assert not tangent["a"].requires_grad
    step = 1e-6
    ahead, behind = f(x + step * tx, y + step * ty), f(x - step * tx, y - step * ty)
    close((ahead["a"] - behind["a"]) / (2 * step), tangent["a"], 1e-7)


def test_pullbacks_can_be_used_again_and_differentiated() -> None:
    out, pull = dg.vjp(lambda x: x**3, 2.0)
    assert out.item() == 8.0 and not out.requires_grad
    assert pull(1.0)[0].item() == 12.0 and pull(2.0)[0].item() == 24.0
    assert dg.grad(lambda ct: pull(ct)[0])(5.0).item() == 12.0
    assert dg.grad(lambda x: dg.vjp(lambda y: y**3, x)[1](1.0)[0])(2.0).item() == 12.0


def test_jacobians_have_result_axes_then_argument_axes() -> None:
    a = dg.asarray(np.arange(6.0).reshape(2, 3))

    def f(x: Any) -> Any:
        return dg.sin(a @ x)

    x = dg.asarray([0.1, 0.2, 0.3], dtype=dg.float64)
    expected = np.cos(a.numpy() @ x.numpy())[:, None] * a.numpy()
    close(dg.jacrev(f)(x), expected)
    close(dg.jacfwd(f)(x), expected)
    close(dg.jacobian(f)(x), expected)
    assert not dg.jacfwd(f)(x).requires_grad


def test_jacobians_of_trees() -> None:
    def f(p: Any, y: Any) -> Any:
        return {"u": p["x"] * y, "v": (y * y).sum()}

    p, y = {"x": dg.asarray([1.0, 2.0])}, dg.asarray([3.0, 4.0])
    for transform in (dg.jacrev, dg.jacfwd):
        j = transform(f, argnums=(0, 1))(p, y)
        assert j["u"][0]["x"].tolist() == [[3.0, 0.0], [0.0, 4.0]]
        assert j["u"][1].tolist() == [[1.0, 0.0], [0.0, 2.0]]
        assert j["v"][0]["x"].tolist() == [0.0, 0.0]
        assert j["v"][1].tolist() == [6.0, 8.0]


def test_hessians() -> None:
    def f(x: Any) -> Any:
        return (x[0] ** 2 * x[1] + dg.exp(x[1])).sum()

    x = dg.asarray([1.5, 0.5], dtype=dg.float64)
    expected = [[2 * 0.5, 2 * 1.5], [2 * 1.5, math.exp(0.5)]]
    close(dg.hessian(f)(x), expected)
    close(dg.jacrev(dg.jacrev(f))(x), expected)
    close(dg.jacrev(dg.grad(f))(x), expected)
    close(dg.jacfwd(dg.jacfwd(f))(x), expected)


def test_hessian_vector_products_in_every_composition() -> None:
    def f(x: Any) -> Any:
        return (dg.sin(x) * x).sum()

    x, v = (dg.asarray(np.random.default_rng(i).standard_normal(4)) for i in range(2))
    expected = dg.hessian(f)(x) @ v
    close(dg.jvp(dg.grad(f), (x,), (v,))[1], expected)
    close(dg.grad(lambda x: (dg.grad(f)(x) * v).sum())(x), expected)
    close(dg.grad(lambda x: dg.jvp(f, (x,), (v,))[1])(x), expected)
    close(dg.vjp(dg.grad(f), x)[1](v)[0], expected)


def test_transforms_meet_backward() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    dg.jvp(lambda v: v**3, (x,), (dg.ones(2),))[1].sum().backward()
    close(x.grad, [6.0, 12.0])
    x.grad = None
    dg.jacrev(lambda v: v**3)(x).sum().backward()
    close(x.grad, [6.0, 12.0])


def test_backward_inside_a_transformed_function_stays_inside() -> None:
    w = dg.tensor(2.0, requires_grad=True)
    dg.grad(lambda x: x * w)(3.0)
    assert w.grad is None


def test_complex_arguments_get_conjugate_gradients() -> None:
    z = dg.asarray(1.0 + 2.0j)
    assert dg.grad(lambda z: dg.real(z * dg.conj(z)))(z).item() == 2 + 4j


def test_errors_name_the_trouble() -> None:
    with pytest.raises(ShapeError, match=r"gives one number") as caught:
        dg.grad(lambda x: x * 2.0)(dg.ones(2))
    assert "test_grad.py" in str(caught.value) and "remedy" in str(caught.value)
    with pytest.raises(DTypeError, match="only floating"):
        dg.grad(lambda x: x * 2.0)(3)
    with pytest.raises(DTypeError, match="real and floating"):
        dg.grad(lambda x: (x > 0).sum())(1.0)
    with pytest.raises(DTypeError, match="str"):
        dg.grad(lambda x: 1.0)("a")
    with pytest.raises(TransformError, match="has_aux"):
        dg.grad(lambda x: (x, 1))(1.0)
    with pytest.raises(TransformError, match="pair"):
        dg.grad(lambda x: x, has_aux=True)(1.0)
    _, pull = dg.vjp(lambda x: x * 2.0, dg.ones(2))
    with pytest.raises(ShapeError, match="cotangent"):
        pull(dg.ones(3))
    with pytest.raises(TransformError, match="structure"):
        pull((dg.ones(2), dg.ones(2)))
    with pytest.raises(ShapeError, match="tangent"):
        dg.jvp(lambda x: x, (dg.ones(2),), (dg.ones(3),))
    with pytest.raises(TransformError, match="tuple"):
        dg.jvp(lambda x: x, 1.0, 1.0)  # type: ignore[arg-type]


def test_compiled_transforms_give_the_bits_of_eager_ones() -> None:
    rng = np.random.default_rng(0)
    w, x = (dg.asarray(rng.standard_normal(s).astype(np.float32)) for s in ((3, 4), (5, 3)))

    def loss(w: Any, x: Any) -> Any:
        return (dg.tanh(x @ w) ** 2).sum()

    for transform in (dg.grad, dg.value_and_grad, dg.hessian, dg.jacrev, dg.jacfwd):
        f = transform(loss)
        compiled = dg.compile(f, wait=True)
        compiled(w, x)
        got, want = compiled(w, x), f(w, x)
        assert compiled.programs, compiled.explain()
        pairs = zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]
        assert all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in pairs), transform
