"""vmap: axes, trees, nesting, gradients at both levels, writes, random numbers and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.errors import AxisError, ShapeError, TransformError

RNG = np.random.default_rng(0)


def normal(*shape: int) -> dg.Tensor:
    return dg.asarray(RNG.standard_normal(shape))


def close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-12, atol=1e-12)


def loop(fn: Any, *batches: Any) -> dg.Tensor:
    return dg.stack([fn(*rows) for rows in zip(*batches, strict=True)])


# --- axes and trees ----------------------------------------------------------------------------


def test_inside_tensors_have_the_shape_of_one_example() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append((x.shape, x.ndim, x.size, x.dtype, len(x)))
        return x

    dg.vmap(f)(dg.zeros(5, 2, 3))
    assert seen == [((2, 3), 2, 6, dg.float32, 2)]


def test_in_axes_and_out_axes() -> None:
    x, y = normal(2, 3, 4), normal(3)

    def f(x: Any, y: Any) -> Any:
        return x * y

    assert dg.vmap(f, in_axes=(1, 0))(x, y).shape == (3, 2, 4)
    close(dg.vmap(f, in_axes=(1, 0), out_axes=1)(x, y), x * y.reshape(3, 1))
    close(dg.vmap(f, in_axes=(-2, 0), out_axes=-2)(x, y), x * y.reshape(3, 1))
    close(dg.vmap(f, in_axes=(1, None), out_axes=2)(x, 2.0), (x * 2.0).permute(0, 2, 1))


def test_trees_of_axes_are_prefixes() -> None:
    p = {"w": normal(4, 2), "b": [normal(3), normal(4)]}

    def f(p: Any, x: Any) -> Any:
        return {"out": (p["w"] * x).sum() + p["b"][1], "b": p["b"][0]}

    got = dg.vmap(f, in_axes=({"w": 0, "b": [None, 0]}, None), out_axes={"out": 0, "b": None})(
        p, 3.0
    )
    close(got["out"], (p["w"] * 3.0).sum(1) + p["b"][1])
    close(got["b"], p["b"][0])


def test_keyword_arguments_are_batched_along_axis_0() -> None:
    x, y = normal(4, 2), normal(4, 2)
    close(dg.vmap(lambda x, *, y: (x * y).sum())(x, y=y), (x * y).sum(1))


def test_results_that_are_the_same_for_all_examples_are_repeated() -> None:
    a, b = dg.vmap(lambda x: (x, dg.ones(2)))(dg.zeros(3))
    assert a.shape == (3,) and b.shape == (3, 2)
    assert dg.vmap(lambda x: 1.5)(dg.zeros(3)).tolist() == [1.5] * 3


def test_numpy_arrays_are_accepted() -> None:
    close(dg.vmap(lambda x: x * np.arange(3.0))(np.ones((2, 3))), np.tile(np.arange(3.0), (2, 1)))


# --- composition -------------------------------------------------------------------------------


def test_nested_vmap_is_an_outer_product() -> None:
    x, y = normal(3), normal(4)
    outer = dg.vmap(lambda a: dg.vmap(lambda b: a * b)(y))(x)
    close(outer, x.reshape(3, 1) * y)
    close(dg.vmap(dg.vmap(lambda a, b: a * b, (None, 0)), (0, None))(x, y), outer)


def test_nested_vmap_of_matrices() -> None:
    x, w = normal(5, 6, 2, 3), normal(5, 3, 4)
    got = dg.vmap(lambda xs, w: dg.vmap(lambda x: dg.tanh(x @ w).sum(0))(xs))(x, w)
    close(got, dg.tanh(x @ w.reshape(5, 1, 3, 4)).sum(2))


def mlp(p: Any, x: Any, target: Any) -> Any:
    h = dg.tanh(x @ p["w1"] + p["b1"])
    return dg.mean((h @ p["w2"] - target) ** 2)


def mlp_data(n: int = 6) -> tuple[Any, Any, Any]:
    p = {"w1": normal(3, 4), "b1": normal(4), "w2": normal(4, 2)}
    return p, normal(n, 3), normal(n, 2)


def test_a_gradient_for_each_example() -> None:
    p, x, y = mlp_data()
    each = dg.vmap(dg.grad(mlp), in_axes=(None, 0, 0))(p, x, y)
    rows = [dg.grad(mlp)(p, a, b) for a, b in zip(x, y, strict=True)]
    for name, g in each.items():
        close(g, dg.stack([r[name] for r in rows]))
        assert not g.requires_grad
    whole = dg.grad(lambda p: dg.vmap(mlp, (None, 0, 0))(p, x, y).sum())(p)
    for name, g in whole.items():
        close(g, each[name].sum(0))


def test_gradients_of_gradients_for_each_example() -> None:
    p, x, y = mlp_data()

    def penalty(p: Any) -> Any:
        each = dg.vmap(dg.grad(mlp), (None, 0, 0))(p, x, y)
        return sum((g**2).sum() for g in each.values())

    def slow(p: Any) -> Any:
        rows = [dg.grad(mlp)(p, a, b) for a, b in zip(x, y, strict=True)]
        return sum((g**2).sum() for r in rows for g in r.values())

    got, want = dg.grad(penalty)(p), dg.grad(slow)(p)
    for name in p:
        close(got[name], want[name])


def test_derivatives_of_every_kind_under_vmap() -> None:
    x, v = normal(5, 3), normal(5, 3)

    def f(x: Any) -> Any:
        return (dg.sin(x) * x.flip(0)).sum() ** 2

    close(dg.vmap(dg.hessian(f))(x), loop(dg.hessian(f), x))
    close(dg.vmap(dg.jacfwd(dg.sin))(x), loop(dg.jacfwd(dg.sin), x))
    close(
        dg.vmap(lambda x, v: dg.jvp(f, (x,), (v,))[1])(x, v),
        loop(lambda x, v: dg.jvp(f, (x,), (v,))[1], x, v),
    )
    close(dg.vmap(lambda x, v: dg.vjp(dg.sin, x)[1](v)[0])(x, v), dg.cos(x) * v)
    close(dg.hessian(lambda x: dg.vmap(f)(x).sum())(x)[2, :, 2, :], dg.hessian(f)(x[2]))
    close(dg.vmap(dg.vmap(dg.grad(dg.sin)))(x), dg.cos(x))


def test_value_and_grad_under_vmap() -> None:
    x = normal(5, 3)
    value, gradient = dg.vmap(dg.value_and_grad(lambda x: (x**3).sum()))(x)
    close(value, (x**3).sum(1))
    close(gradient, 3 * x**2)
    assert not value.requires_grad and not gradient.requires_grad


def test_tensors_that_require_gradients_get_them_through_vmap() -> None:
    w, x = dg.tensor(normal(3).numpy(), requires_grad=True), normal(4, 3)
    dg.vmap(lambda r: (r * w).sum() ** 2)(x).sum().backward()
    close(w.grad, (2 * (x @ w.detach()).reshape(4, 1) * x).sum(0))
    w.grad = None
    dg.vmap(dg.grad(lambda r: (r * w).sum() ** 2))(x).sum().backward()
    total = (x @ w.detach()).reshape(4, 1)
    close(w.grad, (2 * x * w.detach().sum() + 2 * total).sum(0))


def test_layers_under_vmap() -> None:
    x = dg.asarray(RNG.standard_normal((5, 2, 3, 8, 8)).astype(np.float32))
    model = dg.nn.Sequential(
        dg.nn.Conv2d(3, 4, 3, padding=1), dg.nn.ReLU(), dg.nn.MaxPool2d(2), dg.nn.Flatten(),
        dg.nn.Linear(64, 10), dg.nn.LayerNorm(10), dg.nn.LogSoftmax(-1),
    )  # fmt: skip
    np.testing.assert_allclose(
        dg.vmap(model)(x).detach().numpy(),
        dg.stack([model(a) for a in x]).detach().numpy(),
        rtol=2e-5,
        atol=2e-5,
    )


def test_convolution_gradients_for_each_example() -> None:
    w, x = normal(4, 2, 3, 3), normal(5, 2, 6, 6)

    def loss(w: Any, x: Any) -> Any:
        return (dg.nn.functional.conv2d(x.unsqueeze(0), w, padding=1) ** 2).sum()

    close(dg.vmap(dg.grad(loss), (None, 0))(w, x), loop(lambda x: dg.grad(loss)(w, x), x))


def test_vmap_in_a_compiled_function() -> None:
    p, x, y = mlp_data()

    def each(p: Any, x: Any, y: Any) -> Any:
        return dg.vmap(dg.grad(mlp), (None, 0, 0))(p, x, y)["w1"]

    compiled = dg.compile(each, wait=True)
    compiled(p, x, y)
    assert compiled.programs, compiled.explain()
    assert compiled(p, x, y).numpy().tobytes() == each(p, x, y).numpy().tobytes()


def test_compiled_functions_under_vmap() -> None:
    x = normal(4, 3)
    close(dg.vmap(dg.compile(lambda r: (r * r).sum()))(x), (x * x).sum(1))


# --- indexes, conditions, writes, random numbers -------------------------------------------------


def test_indexes_that_differ_between_examples() -> None:
    table, at = normal(7, 3), dg.asarray(RNG.integers(0, 7, 5))
    close(dg.vmap(lambda i: table[i])(at), table[at])
    rows, column = normal(5, 7), dg.asarray(RNG.integers(0, 7, 5))
    close(dg.vmap(lambda r, i: r[i])(rows, column), rows[dg.arange(5), column])
    pairs = dg.asarray(RNG.integers(0, 7, (5, 2)))
    close(
        dg.vmap(lambda r, i: r[i] * 2.0)(rows, pairs), dg.take_along_axis(rows, pairs, axis=1) * 2.0
    )
    deep, where = normal(5, 2, 7, 3), dg.asarray(RNG.integers(0, 7, (5, 4)))
    close(dg.vmap(lambda d, i: d[:, i])(deep, where), loop(lambda d, i: d[:, i], deep, where))
    close(
        dg.vmap(lambda d, i: d[i % 2, :, i % 3])(deep, where),
        loop(lambda d, i: d[i % 2, :, i % 3], deep, where),
    )


def test_writes_at_places_that_differ_between_examples() -> None:
    x, at, v = normal(5, 4, 3), dg.asarray(RNG.integers(0, 3, (5, 2))), normal(5, 4, 2)

    def put(x: Any, at: Any, v: Any) -> Any:
        x = x.clone()
        x[:, at] = v
        return x

    at = dg.asarray(np.argsort(RNG.standard_normal((5, 3)), axis=1)[:, :2])
    close(dg.vmap(put)(x, at, v), loop(put, x, at, v))
    close(dg.vmap(put, (0, None, 0))(x, at[0], v), loop(lambda x, v: put(x, at[0], v), x, v))
    close(dg.vmap(put, (None, 0, None))(x[0], at, v[0]), loop(lambda at: put(x[0], at, v[0]), at))


def test_where_chooses_for_each_example() -> None:
    x = dg.asarray([-1.0, 2.0])
    assert dg.vmap(lambda a: dg.where(a > 0, a, a * 10.0))(x).tolist() == [-10.0, 2.0]


def test_writes_to_tensors_made_inside() -> None:
    def f(x: Any) -> Any:
        out = dg.zeros(3, 2, dtype=x.dtype)
        first = out[0]
        out[1:] = x
        first += x[0]
        out[2] *= 2.0
        return out * first

    def pure(x: Any) -> Any:
        return dg.stack([x[0], x[0], x[1] * 2.0]) * x[0]

    x = normal(4, 2, 2)
    close(dg.vmap(f)(x), dg.vmap(pure)(x))
    close(dg.vmap(dg.jacrev(f))(x), dg.vmap(dg.jacrev(pure))(x))
    close(dg.jacfwd(dg.vmap(f))(x), dg.jacfwd(dg.vmap(pure))(x))
    close(dg.vmap(dg.vmap(f))(x.reshape(2, 2, 2, 2)).reshape(4, 3, 2), dg.vmap(pure)(x))


def _changed_by_itself(x: Any, y: Any) -> Any:
    z = x * 1.0
    z.mul_(z)
    return z.sin_() + y


def _changed_through_a_view(x: Any, y: Any) -> Any:
    z = dg.ones(3)
    z[1:].mul_(x[:-1])
    return z.exp_() * y


def _given_a_place(x: Any, y: Any) -> Any:
    z = x * y
    return dg.mul(z, z, out=z)


@pytest.mark.parametrize("f", [_changed_by_itself, _changed_through_a_view, _given_a_place])
def test_gradients_around_read_the_values_before_writes_inside(f: Any) -> None:
    def gradient(f: Any, x: Any, y: Any) -> Any:
        return dg.grad(lambda x: f(x, y).sum())(x)

    x, y = dg.randn(2, 3), dg.randn(2, 3)
    each = dg.stack([gradient(f, a, b) for a, b in zip(x, y, strict=True)]).numpy().tobytes()
    around = dg.compile(lambda x, y: gradient(dg.vmap(f), x, y), wait=True)
    assert gradient(dg.vmap(f), x, y).numpy().tobytes() == each
    assert {around(x, y).numpy().tobytes() for _ in range(2)} == {each}


def test_writes_to_tensors_made_outside_are_refused() -> None:
    total = dg.zeros(2)

    def f(x: Any) -> Any:
        total.add_(x)
        return total

    with pytest.raises(TransformError, match="all examples share") as caught:
        dg.vmap(f)(dg.ones(3, 2))
    assert "test_vmap.py" in str(caught.value)
    assert total.tolist() == [0.0, 0.0]


def test_each_example_draws_its_own_numbers() -> None:
    dg.manual_seed(0)
    drawn = dg.vmap(lambda x: x + dg.rand(2))(dg.zeros(3, 2))
    assert len(set(drawn.numpy().ravel().tolist())) == 6
    dg.manual_seed(0)
    again = dg.vmap(lambda x: x + dg.rand(2))(dg.zeros(3, 2))
    assert drawn.tolist() == again.tolist()
    later = dg.vmap(lambda x: x + dg.rand(2))(dg.zeros(3, 2))
    assert not set(later.numpy().ravel().tolist()) & set(drawn.numpy().ravel().tolist())
    dg.manual_seed(0)
    assert dg.stack([dg.rand(2) for _ in range(3)]).tolist() == drawn.tolist()  # as a loop would


def test_dropout_differs_between_examples() -> None:
    x = dg.ones(8, 64)
    out = dg.vmap(lambda r: dg.nn.functional.dropout(r, 0.5))(x)
    assert len({tuple(r) for r in (out != 0).tolist()}) == 8
    nested = dg.vmap(dg.vmap(lambda r: r + dg.randn(5)))(dg.zeros(2, 3, 5))
    assert len(set(nested.numpy().ravel().tolist())) == 30


# --- errors ------------------------------------------------------------------------------------


def test_values_that_differ_cannot_steer_python() -> None:
    with pytest.raises(TransformError, match="one for each example") as caught:
        dg.vmap(lambda x: x if x > 0 else -x)(dg.ones(3))
    assert "dg.where" in str(caught.value) and "test_vmap.py" in str(caught.value)
    for leave in (float, lambda x: x.item(), lambda x: x.numpy(), lambda x: x.tolist(), np.asarray):
        with pytest.raises(TransformError, match="inside vmap"):
            dg.vmap(leave)(dg.ones(3))


def test_tensors_can_be_printed_inside() -> None:
    seen = []
    dg.vmap(lambda x: seen.append(str(x)) or x)(dg.ones(3, 2))
    assert seen == ["tensor(one of 3 examples, shape=(2,), dtype=dualgraph.float32)"]


def test_tensors_used_after_their_vmap_are_noticed() -> None:
    kept = []
    dg.vmap(lambda x: kept.append(x) or x)(dg.ones(3))
    with pytest.raises(TransformError, match="ended"):
        kept[0] + 1
    with pytest.raises(TransformError, match="ended"):
        dg.vmap(lambda x: x + kept[0])(dg.ones(3))


def test_a_failing_function_leaves_no_vmap_behind() -> None:
    def fail(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        dg.vmap(fail)(dg.ones(3))
    assert float(dg.ones(())) == 1.0


def test_errors_of_axes_name_the_argument() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y

    with pytest.raises(ShapeError, match="differ in size"):
        dg.vmap(f)(dg.ones(3), dg.ones(4))
    with pytest.raises(AxisError, match="leaf 1 is a number"):
        dg.vmap(f)(dg.ones(3), 2.0)
    with pytest.raises(AxisError, match="no axis 1"):
        dg.vmap(f, in_axes=1)(dg.ones(3), dg.ones(3))
    with pytest.raises(TransformError, match="one entry for each"):
        dg.vmap(f, in_axes=(0,))(dg.ones(3), dg.ones(3))
    with pytest.raises(TransformError, match="no argument is batched"):
        dg.vmap(f, in_axes=None)(dg.ones(3), dg.ones(3))
    with pytest.raises(TransformError, match="structure"):
        dg.vmap(f, in_axes=((0, 0), 0))(dg.ones(3), dg.ones(3))
    with pytest.raises(TransformError, match="out_axes is None"):
        dg.vmap(f, out_axes=None)(dg.ones(3), dg.ones(3))
    with pytest.raises(AxisError, match="out_axes 2"):
        dg.vmap(f, out_axes=2)(dg.ones(3), dg.ones(3))
    with pytest.raises(ShapeError, match=r"f32\[2\], f32\[3\]"):
        dg.vmap(f)(dg.ones(4, 2), dg.ones(4, 3))  # shapes of one example


def test_backward_inside_vmap_is_refused_for_shared_leaves() -> None:
    w = dg.tensor(1.0, requires_grad=True)
    with pytest.raises(TransformError, match=r"dg\.grad"):
        dg.vmap(lambda x: (w * x).backward())(dg.ones(3))
    assert w.grad is None


class Sine(dg.autograd.Function):
    """Sine by NumPy, which takes no batched tensors: it says itself what it gives for all examples."""

    @staticmethod
    def forward(x):
        return dg.asarray(np.sin(x.detach().numpy()))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, ct):
        return ct * ctx.saved_tensors[0].cos()

    @staticmethod
    def vmap(info, in_dims, x):
        assert info.batch_size == 3 and info.randomness == "different"
        return Sine.apply(x).T, None if in_dims[0] is None else 1


def test_a_custom_function_may_say_what_it_is_under_vmap() -> None:
    x = dg.linspace(-1.0, 1.0, 6).reshape(3, 2)
    np.testing.assert_array_equal(dg.vmap(Sine.apply)(x).numpy(), np.sin(x.numpy()))
    np.testing.assert_array_equal(dg.vmap(Sine.apply, 1)(x.T).numpy(), np.sin(x.numpy()))
    each = dg.vmap(dg.grad(lambda row: Sine.apply(row).sum()))(x)
    whole = dg.grad(lambda x: dg.vmap(Sine.apply)(x).sum())(x)
    np.testing.assert_array_equal(each.numpy(), x.cos().numpy())
    np.testing.assert_array_equal(whole.numpy(), x.cos().numpy())
    twice = dg.grad(lambda x: dg.vmap(dg.grad(lambda row: Sine.apply(row).sum()))(x).sum())(x)
    np.testing.assert_allclose(twice.numpy(), -np.sin(x.numpy()), rtol=1e-6)
    compiled = dg.compile(lambda x: dg.vmap(Sine.apply)(x) * 2, wait=True)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(x).numpy(), np.sin(x.numpy()) * 2)


def test_custom_functions_under_vmap() -> None:
    class Cube(dg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x * x * x * w

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            x, w = ctx.saved_tensors
            return ct * 3 * x * x * w, ct * x * x * x

    x, w = normal(4), dg.asarray(2.0, dtype=dg.float64)
    close(dg.vmap(lambda x: Cube.apply(x, w))(x), 2 * x**3)
    close(dg.vmap(dg.grad(lambda x: Cube.apply(x, w)))(x), 6 * x**2)
    close(dg.grad(lambda x: dg.vmap(lambda r: Cube.apply(r, w))(x).sum())(x), 6 * x**2)
    close(dg.grad(lambda w: dg.vmap(lambda r: Cube.apply(r, w))(x).sum())(w), (x**3).sum())
    close(dg.grad(lambda x: dg.vmap(dg.grad(lambda r: Cube.apply(r, w)))(x).sum())(x), 12 * x)


def test_the_number_of_examples_may_be_given() -> None:
    x = dg.randn(3, 2)
    f = dg.vmap(lambda: x.sum(0), axis_size=4)
    assert f().tolist() == [x.sum(0).tolist()] * 4
    g = dg.vmap(lambda a, b: (a * 2, b), in_axes=None, out_axes=(1, None), axis_size=3)
    assert [t.shape for t in g(x, 2.0)] == [(3, 3, 2), ()]
    assert dg.vmap(lambda a: a + 1, axis_size=3)(x).tolist() == (x + 1).tolist()
    assert dg.compile(dg.vmap(lambda a: a.sum(), axis_size=3), wait=True)(x).shape == (3,)
    with pytest.raises(dg.ShapeError, match="size 3, not axis_size=4"):
        dg.vmap(lambda a: a, axis_size=4)(x)
    with pytest.raises(TransformError, match="axis_size="):
        dg.vmap(lambda a: a, in_axes=None)(x)


def test_vmap_takes_pytorch_names_chunks_and_randomness():
    x, y = dg.randn(5, 3), dg.randn(3, 5)
    expected = dg.vmap(dg.dot, (0, 1), 0)(x, y)
    assert np.array_equal(dg.func.vmap(dg.dot, in_dims=(0, 1), out_dims=0)(x, y), expected)
    chunked = dg.vmap(lambda a, b: (dg.dot(a, b), a * b), (0, 1), (0, 1), chunk_size=2)(x, y)
    assert np.array_equal(chunked[0], expected) and np.array_equal(chunked[1], x.T * y)
    constant = dg.vmap(lambda a: (dg.ones(2), a), out_axes=(None, 0), chunk_size=2)(x)
    assert constant[0].shape == (2,) and np.array_equal(constant[1], x)
    assert np.array_equal(
        dg.jacrev(lambda v: v * v, chunk_size=2)(x[0]), dg.jacrev(lambda v: v * v)(x[0])
    )

    def noisy(v):
        return v * 0 + dg.rand(3)

    same = dg.vmap(noisy, randomness="same")(x)
    assert all(np.array_equal(row, same[0]) for row in same)
    different = dg.vmap(noisy, randomness="different")(x)
    assert not np.array_equal(different[0], different[1])
    inside = dg.vmap(dg.vmap(noisy, 1, 1, randomness="same"))(dg.zeros(2, 3, 4))
    assert np.array_equal(inside[0, :, 0], inside[0, :, 3])
    assert not np.array_equal(inside[0], inside[1])
    with pytest.raises(TransformError, match="draws random numbers"):
        dg.vmap(noisy, randomness="error")(x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"in_axes": 1, "in_dims": 1}, "both say the same"),
        ({"out_axes": None, "out_dims": 1}, "both say the same"),
        ({"randomness": "some"}, "randomness is one of"),
        ({"chunk_size": 0}, "at least one example"),
        ({"axes": 0}, "there is no such argument"),
    ],
)
def test_vmap_names_arguments_that_do_not_fit(options, words):
    with pytest.raises(TransformError, match=words):
        dg.vmap(dg.sum, **options)


def test_hessian_takes_aux():
    found, aux = dg.hessian(lambda x: ((x**3).sum(), x.sum()), has_aux=True)(dg.asarray([1.0, 2.0]))
    assert found.tolist() == [[6, 0], [0, 12]] and aux.item() == 3


def test_per_example_gradients_of_a_net_with_batch_norm():
    net = dg.nn.Sequential(dg.nn.Linear(3, 4), dg.nn.BatchNorm1d(4), dg.nn.Linear(4, 1))
    assert dg.func.replace_all_batch_norm_modules_(net) is net and not dict(net.named_buffers())
    parameters, x = dict(net.named_parameters()), dg.randn(5, 2, 3)

    def loss(p, batch):
        return dg.func.functional_call(net, p, (batch,)).sin().sum()

    found = dg.vmap(dg.grad(loss), (None, 0))(parameters, x)
    for i in range(5):
        for name, one in dg.grad(loss)(parameters, x[i]).items():
            assert one.allclose(found[name][i], atol=1e-6)
