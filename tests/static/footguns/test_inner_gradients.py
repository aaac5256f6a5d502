"""Footguns: gradients taken inside of compiled functions, whose own gradients flow out. All must equal eager mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from dualgraph import nn
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import leaf, x


def small() -> Any:
    """A smooth network of three inputs and one output."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def swept(loss: Any, module: Any) -> list[Any]:
    """Gradients of the parameters."""
    module.zero_grad()
    loss.backward()
    return [p.grad for p in module.parameters()]


@both_modes(6)
def test_slopes_of_networks_lead_to_their_parameters(wrap: Wrap) -> Iterator[Any]:
    net = small()
    slope = wrap(lambda a: dg.grad(lambda z: net(z).sum())(a))
    curve = wrap(lambda a: dg.vmap(dg.hessian(lambda z: net(z)[0]))(a))
    for i in range(4):
        g, h = slope(x() * (i + 1)), curve(x() + i)
        yield g, h, swept((g * g).sum() + h.sin().sum(), net)


@both_modes(3)
def test_leaves_made_inside_end_the_tape(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def penalty(p: Any) -> Any:
        z = (p * 2).detach().requires_grad_()
        (g,) = dg.autograd.grad((z * z * z * p).sum(), z, create_graph=True)
        return (g * p).sum()

    for i in range(4):
        p = leaf()
        loss = penalty(p) * (i + 1)
        loss.backward()
        yield loss, p.grad


@both_modes(0)
def test_leaves_made_inside_that_something_keeps(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def given(p: Any) -> Any:
        z = p.detach().requires_grad_()
        y = (z * z * p).sum()
        y.backward(retain_graph=True)
        return z.grad, y

    kept: dict[str, Any] = {"z": None}

    @wrap
    def keep(p: Any) -> Any:
        z = kept["z"] = p.detach().requires_grad_()
        return (z * z * p).sum()

    for _ in range(3):
        p = leaf()
        g, y = given(p)
        y.backward()  # adds to g
        keep(p).backward()
        yield g, p.grad, kept["z"].grad


@both_modes(3)
def test_tensors_detached_in_place(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(p: Any) -> Any:
        y = p * 2
        before = y.sum()
        y.detach_()
        return before + (y * p).sum()

    for _ in range(4):
        p = leaf()
        f(p).backward()
        yield p.grad


@both_modes(3)
def test_gradients_left_with_a_history(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def left(a: Any) -> None:
        w.grad = None
        (w * w * a).sum().backward(create_graph=True)

    @wrap
    def used_up(a: Any) -> None:
        w.grad = None
        (w * w * a).sum().backward(create_graph=True)
        (w.grad * w.grad).sum().backward()

    for i in range(4):
        left(x() * (i + 1))
        square = (w.grad * w.grad).sum()
        yield square, *dg.autograd.grad(square, w)
        used_up(x())
        yield w.grad, type(attempt(lambda: w.grad.sum().backward()))


@both_modes(3)
def test_arguments_that_the_function_makes_leaves(wrap: Wrap) -> Iterator[Any]:
    net = small()

    @wrap
    def residual(a: Any) -> Any:
        a.requires_grad_(True)
        u = net(a)
        (slope,) = dg.autograd.grad(u.sum(), a, create_graph=True)
        return ((slope.sum(-1) - u[:, 0]) ** 2).mean()

    @wrap
    def late(a: Any) -> Any:
        before = a * 3
        a.requires_grad_()
        return (before * a).sum()

    for i in range(4):
        a, b = x() * (i + 1), x()
        loss = residual(a)
        yield loss, a.requires_grad, swept(loss, net), a.grad
        late(b).backward()
        yield b.grad


@both_modes(0)
def test_leaves_made_of_results_before_anything_is_done_with_them(wrap: Wrap) -> Iterator[Any]:
    def f(a):
        y = a * 2
        y.requires_grad = True
        return y

    f = wrap(f)
    for _ in range(4):
        y = f(x())
        (y * 3).sum().backward()
        yield y, y.is_leaf, y.grad
