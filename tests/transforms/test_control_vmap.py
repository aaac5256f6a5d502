"""Control flow under vmap: what each example would do by itself, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from tests.static.modes import bits, check_modes, normal


def each(fn: Any, *args: Any) -> Any:
    """`fn` example by example, stacked."""
    return dg.stack([fn(*row) for row in zip(*args, strict=True)])


def assert_close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-5)


def scalar_loss(x: Any, w: Any) -> Any:
    last, ys = dg.scan(lambda c, row: (dg.tanh(c * w + row), c.sum()), w, x)
    return last.sum() + ys.sum()


def branchy(x: Any, w: Any) -> Any:
    y = dg.cond(x.sum() > 0, lambda x: (dg.sin(x) * w, x.sum()), lambda x: (x * x, w.sum()), x)
    return (y[0] * w).sum() + y[1]


def loopy(x: Any, w: Any) -> Any:
    def step(s: Any) -> Any:
        return s[0] + 1, s[1] * 0.7 + 0.01 * w

    return dg.while_loop(lambda s: dg.abs(s[1]).max() > 0.5, step, (0, x[0]), max_steps=30)[1].sum()


@pytest.mark.parametrize("fn", [scalar_loss, branchy, loopy])
def test_vmap_is_example_by_example(fn: Any) -> None:
    xs, w = normal(6, 5, 4), normal(4, seed=8)
    xs = xs[:, 0] if fn is branchy else xs
    one = lambda x: fn(x, w)  # noqa: E731
    assert_close(check_modes(dg.vmap(one), xs), each(one, xs))
    per_example = dg.vmap(dg.grad(fn, (0, 1)), (0, None))
    for i, found in enumerate(check_modes(per_example, xs, w)):
        assert_close(found, each(lambda x, i=i: dg.grad(fn, i)(x, w), xs))
    total = check_modes(dg.grad(lambda xs, w: dg.vmap(fn, (0, None))(xs, w).sum(), (0, 1)), xs, w)
    assert_close(total[1], each(lambda x: dg.grad(fn, 1)(x, w), xs).sum(axis=0))
    assert_close(total[0], each(lambda x: dg.grad(fn)(x, w), xs))
    twice = normal(2, 6, 5, 4)
    twice = twice[:, :, 0] if fn is branchy else twice
    assert_close(dg.vmap(dg.vmap(one))(twice), each(lambda x: each(one, x), twice))


def test_vmap_of_an_unbounded_while() -> None:
    a = dg.asarray([[2.0, 3.0], [1e4, 5.0], [0.5, 0.1]])
    found = check_modes(dg.vmap(newton), a)
    assert bits(found) == bits(each(newton, a))
    slopes = dg.vmap(dg.grad(lambda a: newton(a).sum()))(a)
    assert_close(slopes, 0.5 / dg.sqrt(a))


def newton(a: Any) -> Any:
    """The square root, in as many steps as it takes."""

    def step(s: Any) -> Any:
        return 0.5 * (s[0] + a / s[0]), s[0]

    start = (a * 1.0, dg.zeros_like(a))
    return dg.while_loop(lambda s: dg.abs(s[0] - s[1]).max() > 1e-6 * a.max(), step, start)[0]


W = normal(4, 4, seed=1)


def test_vmap_inside_of_a_scan() -> None:
    def step(c: Any, x: Any) -> Any:
        c = dg.vmap(lambda a, b: dg.tanh(a @ W) + b.sum())(c, x)
        return c, c.sum()

    check_modes(lambda h, xs: dg.scan(step, h, xs), normal(5, 4), normal(7, 5, 3))


def normed(q: dict[str, Any]) -> dict[str, Any]:
    u = q["a"] - q["a"].mean()
    return {"a": u / dg.sqrt((u * u).sum() + 1), "b": dg.maximum(q["b"], u[:, None])}


INSIDE = {
    "vjp": lambda q: dg.vjp(normed, q)[1](normed(q))[0],
    "jvp": lambda q: dg.jvp(normed, (q,), (q,))[1],
    "linearize": lambda q: dg.linearize(normed, q)[1](q),
    "grad": lambda q: dg.grad(lambda q: sum((v * v).sum() for v in normed(q).values()))(q),
    "checkpoint": lambda q: dg.checkpoint(normed)(q),
}
AROUND = {
    "scan": lambda f: lambda q: dg.scan(lambda c, _: (f(c), None), q, None, length=3)[0],
    "while": lambda f: (
        lambda q: dg.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, f(c[1])), (0, q), max_steps=4
        )[1]
    ),
    "cond": lambda f: lambda q: dg.cond(q["a"].sum() > -99, lambda q: f(f(q)), lambda q: q, q),
    "map": lambda f: lambda q: dg.map(lambda s: f({k: v * s for k, v in q.items()}), dg.ones(1)),
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("around", AROUND)
def test_derivatives_in_bodies_of_what_only_some_operands_have_a_batch_of(
    inside: str, around: str
) -> None:
    """What has no batch yet is the carry inside, too, and not what the carry was at first."""
    run = AROUND[around](INSIDE[inside])
    a, bs = dg.randn(3), dg.randn(3, 2, 4)
    expected = [run({"a": a, "b": bs[..., i]}) for i in range(4)]
    batched = dg.vmap(run, in_axes=({"a": None, "b": -1},))
    modes = [batched, *([dg.compile(batched, wait=True)] if inside == "vjp" else [])]
    for f in modes:
        for _ in range(2):
            found = f({"a": a, "b": bs})
            for i, one in enumerate(expected):
                assert all(dg.allclose(found[k][i], one[k]) for k in "ab")


def test_branches_write_in_place_inside_of_a_vmap_of_their_own() -> None:
    def first_doubled(row: Any) -> Any:
        y = row.clone()
        y[0] = row[1] * 2
        return y

    def branch(x: Any) -> Any:
        return dg.vmap(lambda row, s: (first_doubled(row) * s).sum(), (None, 0))(x, x.sin())

    def f(x: Any) -> Any:
        return dg.cond(x.sum() > 0, branch, lambda x: branch(x) * 3, x)

    xs = dg.asarray(np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, -2.0]]))
    expected = [f(x).tolist() for x in xs]
    assert dg.vmap(f)(xs).tolist() == expected
    assert dg.compile(dg.vmap(f), wait=True)(xs).tolist() == expected


class Third(dg.autograd.Function):
    """``x ** 3 / 3`` with a gradient of its own: ``2 * x`` in place of ``x * x``."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3 / 3

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * x * ct


OWN_GRADIENTS: dict[str, Any] = {
    "scan": lambda x: dg.scan(lambda c, r: (Third.apply(c) * 0.5 + r, c), x, dg.stack([x, x]))[0],
    "while_loop": lambda x: dg.while_loop(
        lambda c: (c * c).sum() < 3, lambda c: Third.apply(c) + x, x, max_steps=4
    ),
    "cond": lambda x: dg.cond(x.sum() > 0, Third.apply, lambda x: Third.apply(x) * x, x),
    "nested": lambda x: dg.cond(x.sum() > 0, OWN_GRADIENTS["scan"], lambda x: x * 2, x),
}


@pytest.mark.parametrize("name", OWN_GRADIENTS)
def test_functions_with_gradients_of_their_own_in_bodies(name: str) -> None:
    fn = OWN_GRADIENTS[name]
    values = dg.asarray(np.array([[0.5, 0.25, -0.125], [-0.5, 0.25, -1.0]]))

    def shown(of_all: Any) -> Any:
        xs = values.clone().requires_grad_()
        out = of_all(xs)
        (out * out).sum().backward()
        return out.detach(), xs.grad

    expected = shown(lambda xs: each(fn, xs))
    for f in (dg.vmap(fn), dg.compile(dg.vmap(fn), wait=True)):
        for found, one in zip(shown(f), expected, strict=True):
            assert_close(found, one)
