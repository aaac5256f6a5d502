"""checkpoint: the bits of the plain function, without what it computed on the way."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.core.errors import AutogradError

RNG = np.random.default_rng(0)


def weights(*shapes: tuple[int, ...]) -> list[dg.Tensor]:
    return [
        dg.tensor(RNG.standard_normal(s).astype(np.float32), requires_grad=True) for s in shapes
    ]


def bits(*tensors: Any) -> list[bytes]:
    return [t.detach().numpy().tobytes() for t in tensors]


def block(x: Any, w: Any) -> Any:
    return dg.tanh(x @ w) * w.sum()


def gradients(f: Any, x: Any, ws: list[Any]) -> list[bytes]:
    for t in (x, *ws):
        t.grad = None
    out = x
    for w in ws:
        out = f(out, w)
    loss = (out * out).sum() + sum(w.sum() for w in ws)
    loss.backward()
    return bits(loss, *(t.grad for t in (x, *ws)))


def test_gradients_have_the_bits_of_the_plain_function() -> None:
    x, *ws = weights((5, 4), (4, 4), (4, 4))
    assert gradients(dg.checkpoint(block), x, ws) == gradients(block, x, ws)
    assert gradients(dg.checkpoint(block), x, [ws[0], ws[0]]) == gradients(block, x, [ws[0], ws[0]])


def test_gradients_reach_tensors_that_the_function_closes_over() -> None:
    x, w = weights((3, 4), (4, 4))
    scaled = w * 2.0  # no leaf: the sweep goes on beyond the piece
    dg.checkpoint(lambda x: dg.tanh(x @ scaled) @ w)(x).sum().backward()
    got = bits(x.grad, w.grad)
    x.grad = w.grad = None
    scaled = w * 2.0
    (dg.tanh(x @ scaled) @ w).sum().backward()
    assert bits(x.grad, w.grad) == got


def test_parameters_of_a_module_get_gradients() -> None:
    model = dg.nn.Sequential(dg.nn.Linear(4, 8), dg.nn.GELU(), dg.nn.Linear(8, 2))
    x = dg.asarray(RNG.standard_normal((3, 4)).astype(np.float32))
    dg.checkpoint(model)(x).sum().backward()
    got = bits(*(p.grad for p in model.parameters()))
    model.zero_grad()
    model(x).sum().backward()
    assert bits(*(p.grad for p in model.parameters())) == got


def test_what_was_computed_on_the_way_is_dropped() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        h = dg.exp(x)
        kept.append(weakref.ref(h))
        return dg.sin(h).reshape(4)

    x = dg.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    out = dg.checkpoint(f)(x)
    gc.collect()
    assert kept[0]() is None
    out.sum().backward()
    assert len(kept) == 2


def test_the_same_random_numbers_are_drawn_again() -> None:
    x = dg.tensor(np.ones(64, np.float32), requires_grad=True)
    drop = dg.checkpoint(lambda x: dg.nn.functional.dropout(x, 0.5) * x)
    dg.manual_seed(3)
    out = drop(x)
    after = dg.get_rng_state().tolist()
    out.sum().backward()
    assert dg.get_rng_state().tolist() == after  # the sweep leaves the stream where it was
    np.testing.assert_array_equal(x.grad.numpy(), 2 * out.detach().numpy())


def test_higher_orders_and_transforms() -> None:
    def f(x: Any) -> Any:
        return (dg.sin(x) * x).sum()

    g = dg.checkpoint(f)
    x = dg.asarray(RNG.standard_normal(4))
    for transform in (dg.grad, dg.hessian, lambda h: dg.grad(lambda x: dg.grad(h)(x).sum())):
        np.testing.assert_allclose(transform(g)(x).numpy(), transform(f)(x).numpy(), rtol=1e-13)
    rows = dg.asarray(RNG.standard_normal((3, 4)))
    np.testing.assert_allclose(
        dg.vmap(dg.grad(g))(rows).numpy(), dg.vmap(dg.grad(f))(rows).numpy(), rtol=1e-13
    )
    np.testing.assert_allclose(
        dg.grad(lambda r: dg.vmap(g)(r).sum())(rows).numpy(),
        dg.vmap(dg.grad(f))(rows).numpy(),
        rtol=1e-13,
    )


def test_trees_of_results_and_untracked_calls() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    out = dg.checkpoint(lambda x, scale: {"a": x * scale, "n": (x > 1).sum(), "x": x, "k": 3})(
        x, scale=2.0
    )
    assert out["k"] == 3 and out["n"].item() == 1
    (out["a"].sum() + out["x"].sum()).backward()
    assert x.grad.tolist() == [3.0, 3.0]
    with dg.no_grad():
        assert not dg.checkpoint(lambda x: x * 2.0)(x).requires_grad


def test_nested_checkpoints() -> None:
    x, w = weights((3, 4), (4, 4))
    inner = dg.checkpoint(block)
    outer = dg.checkpoint(lambda x: inner(inner(x, w), w))
    outer(x).sum().backward()
    got = bits(x.grad, w.grad)
    x.grad = w.grad = None
    block(block(x, w), w).sum().backward()
    assert bits(x.grad, w.grad) == got


def test_arguments_written_in_place_are_noticed() -> None:
    (w,) = weights((2,))
    x = w * 1.0
    out = dg.checkpoint(dg.exp)(x)
    x += 1.0
    with pytest.raises(AutogradError, match=r"changed in place.*test_checkpoint"):
        out.sum().backward()


def test_compiled_checkpoints_give_the_same_bits() -> None:
    x, w = (t.detach() for t in weights((5, 4), (4, 4)))
    f = dg.checkpoint(block)

    def step(x: Any, w: Any) -> Any:
        return dg.grad(lambda w: f(f(x, w), w).sum())(w)

    compiled = dg.compile(step, wait=True)
    compiled(x, w)
    assert compiled.programs, compiled.explain()
    assert bits(compiled(x, w)) == bits(step(x, w))


def test_a_compiled_training_step_with_checkpoints_gives_the_same_bits() -> None:
    def train(wrap: Any) -> list[bytes]:
        dg.manual_seed(0)
        layers = [dg.nn.Linear(4, 4) for _ in range(2)]
        model = dg.nn.Sequential(*layers, dg.nn.Dropout(0.5))
        blocks = dg.checkpoint(model)

        def step(x: Any) -> Any:
            model.zero_grad()
            loss = (blocks(x) ** 2).mean()
            loss.backward()
            with dg.no_grad():
                for p in model.parameters():
                    p -= p.grad * 0.1
            return loss

        run = wrap(step)
        losses = [run(dg.ones(3, 4) * float(i)) for i in range(4)]
        return bits(*losses, *model.parameters())

    assert train(lambda f: dg.compile(f, wait=True)) == train(lambda f: f)


def test_gradients_of_gradients_have_the_bits_of_the_plain_function() -> None:
    x, w = weights((5, 4), (4, 4))

    def second(f: Any) -> list[bytes]:
        y = f(f(x, w), w)
        first = dg.autograd.grad((y * y).sum(), [x, w], create_graph=True)
        return bits(*first, *dg.autograd.grad(sum((g * g).sum() for g in first), [x, w]))

    plain = second(block)
    assert second(dg.checkpoint(block)) == plain
    assert second(dg.checkpoint(dg.checkpoint(block))) == plain
    assert second(dg.checkpoint(dg.compile(block, wait=True))) == plain


def test_transforms_within_and_around() -> None:
    def slope(x: Any) -> Any:
        return dg.grad(lambda z: (z**3).sum())(x).sum()

    x = dg.asarray([1.0, 2.0])
    held = dg.checkpoint(slope)
    assert dg.grad(held)(x).tolist() == [6.0, 12.0]
    assert dg.hessian(held)(x).tolist() == [[6.0, 0.0], [0.0, 6.0]]
    assert dg.vmap(dg.grad(held))(dg.stack([x, x * 2])).tolist() == [[6.0, 12.0], [12.0, 24.0]]
    assert dg.jvp(held, (x,), (dg.ones(2),))[1].item() == 18.0
    twice = dg.checkpoint(lambda x: dg.grad(held)(x).sum())
    assert dg.grad(twice)(x).tolist() == [6.0, 6.0]


@pytest.mark.parametrize("wants", [True, False])
def test_a_body_goes_on_from_what_a_checkpoint_gave(wants: bool) -> None:
    w = dg.tensor([0.5, -0.5, 1.0], requires_grad=True)

    def run(wrap: Any) -> list[bytes]:
        x = dg.tensor([1.0, 2.0, 0.3], requires_grad=wants)
        step = wrap(lambda c, z: (c * z * w).tanh())
        w.grad = None
        out, _ = dg.scan(lambda c, z: (step(c, z) * 0.5 + z, None), x, dg.stack([x, x * 2]))
        out.sum().backward()
        assert w.grad is not None
        return bits(out, w.grad) + (bits(x.grad) if wants else [])

    assert run(dg.checkpoint) == run(lambda f: f)


def test_a_function_of_the_user_s_own_in_a_checkpoint_in_a_body_keeps_its_gradient() -> None:
    class Straight(dg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.round()

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return ct * 3

    x = dg.tensor([1.2, 2.7], requires_grad=True)
    dg.map(dg.checkpoint(lambda z: Straight.apply(z) * 2), x).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_checkpoints_in_loops_beside_random_numbers(
    outer: bool, drops: bool, compiled: bool
) -> None:
    w = dg.randn(3, requires_grad=True)

    def step(kept: Any, c: Any, v: Any) -> Any:
        cell = lambda c: ((F.dropout(c, 0.5) if drops else c) * w).sin()  # noqa: E731
        return (dg.checkpoint(cell) if kept else cell)(c) + v, None

    def loss(x: Any, kept: bool) -> Any:
        whole = lambda x: F.dropout(dg.scan(lambda c, v: step(kept, c, v), x[0], x)[0], 0.5)  # noqa: E731
        return (dg.checkpoint(whole) if outer and kept else whole)(x).sum()

    def gradient(f: Any) -> Any:
        dg.manual_seed(0)
        w.grad = None
        f(dg.ones(4, 3)).backward()
        return w.grad.tolist()

    expected = gradient(lambda x: loss(x, False))
    f = lambda x: loss(x, True)  # noqa: E731
    f = dg.compile(f, wait=True) if compiled else f
    assert [gradient(f) for _ in range(3)] == [expected] * 3
