"""Footguns: gradients inside and through compiled calls. All must equal eager mode, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dualgraph as dg
from tests.side_by_side import Wrap, attempt, both_modes
from tests.static.footguns.inputs import leaf, x


@both_modes(2)
def test_gradients_flow_through_compiled_calls(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a, w: (a @ w).tanh())
    for i in range(3):
        a, w = leaf(), leaf([[1.0], [2.0], [0.5]])
        y = f(a * (i + 1), w)
        (y * y).sum().backward()
        yield y, a.grad, w.grad


@both_modes(2)
def test_double_and_triple_backward_through_compiled_calls(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.sin() * a * a).sum())
    for _ in range(3):
        a = leaf()
        (g,) = dg.autograd.grad(f(a), a, create_graph=True)
        (h,) = dg.autograd.grad(g.sum(), a, create_graph=True)
        (k,) = dg.autograd.grad((h * h).sum(), a)
        yield g, h, k


@both_modes(2)
def test_gradients_inside_and_through(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def penalty(a: Any) -> Any:
        (g,) = dg.autograd.grad((a**3).sum(), a, create_graph=True)
        return (g * g).sum()

    for _ in range(3):
        a = leaf()
        loss = penalty(a)
        loss.backward()
        yield loss, a.grad


@both_modes(2)
def test_grad_present_or_absent_at_entry(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        loss = (a * w).exp().sum()
        loss.backward()
        return loss

    for step in range(8):
        yield f(x() * 0.1), w.grad
        if step % 3 == 2:
            w.grad = None
        elif step % 3 == 1:
            w.grad.zero_()


@both_modes(1)
def test_the_gradient_tensor_keeps_its_identity(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        (a * w).sum().backward()

    f(x())
    first = w.grad
    for _ in range(4):
        f(x())
        yield w.grad is first, first


@both_modes(1)
def test_grad_is_read_replaced_and_dropped_inside(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        before = None if w.grad is None else w.grad.clone()
        w.grad = None
        (a * w).sum().backward()
        w.grad = w.grad * 2
        return before

    for _ in range(5):
        yield f(x()), w.grad


@both_modes(1)
def test_backward_inside_then_grad_used_outside(wrap: Wrap) -> Iterator[Any]:
    a = leaf()

    @wrap
    def f(a: Any) -> Any:
        y = (a * a).sum()
        y.backward()
        return y

    for _ in range(4):
        y = f(a)
        yield y, a.grad, attempt(lambda y=y: y.backward()).__class__.__name__
        a.grad = None


@both_modes(1)
def test_retain_graph_inside_and_backward_outside(wrap: Wrap) -> Iterator[Any]:
    a = leaf()

    @wrap
    def f(a: Any) -> Any:
        y = (a * a).sum()
        y.backward(retain_graph=True)
        return y

    for _ in range(4):
        y = f(a)
        y.backward()
        yield y, a.grad
        a.grad = None


@both_modes(2)
def test_requires_grad_is_toggled(wrap: Wrap) -> Iterator[Any]:
    w = dg.tensor([1.0, 2.0, 3.0])
    f = wrap(lambda a: (a * w).sum())
    for flag in (False, False, True, True, False, True):
        w.requires_grad_(flag)
        y = f(x())
        yield y
        if flag:
            w.grad = None
            y.backward()
            yield w.grad


@both_modes(2)
def test_no_grad_around_and_inside(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def f(a: Any) -> Any:
        with dg.no_grad():
            scale = w.sum()
        return a * w / scale

    for _ in range(3):
        yield f(x())
        with dg.no_grad():
            yield f(x())
        with dg.inference_mode():
            yield f(x())
    y = f(x()).sum()
    y.backward()
    yield w.grad


@both_modes(1)
def test_detach_and_stopped_gradients(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a * a.detach()).sum() + a.detach().exp().sum())
    for _ in range(3):
        a = leaf()
        f(a).backward()
        yield a.grad


@both_modes(1)
def test_hooks_set_after_capture(wrap: Wrap) -> Iterator[Any]:
    w = leaf([1.0, 2.0, 3.0])

    @wrap
    def step(a: Any) -> Any:
        (a * w).sum().backward()

    f = wrap(lambda a: (a * w).sum())
    for _ in range(2):
        step(x())
        f(x()).backward()
        yield w.grad
    seen: list[Any] = []
    handle = w.register_hook(lambda g: (seen.append(g.clone()), g * 10)[1])
    for _ in range(2):
        w.grad = None
        step(x())
        yield w.grad, len(seen), seen[-1]
        f(x()).backward()
        yield w.grad, len(seen), seen[-1]
    handle.remove()
    w.grad = None
    step(x())
    yield w.grad, len(seen)


@both_modes(0)
def test_hooks_on_intermediates_inside(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any) -> Any:
        y = a * 2
        y.register_hook(lambda g: g * 3)
        return (y * y).sum()

    for _ in range(3):
        a = leaf()
        f(a).backward()
        yield a.grad


@both_modes(0)
def test_hooks_of_inputs_set_and_taken_away_inside(wrap: Wrap) -> Iterator[Any]:
    w, handles = leaf(), []

    @wrap
    def setting(a: Any) -> Any:
        a.register_hook(lambda g: g * 3)
        return (a * w).sum()

    @wrap
    def taking(a: Any) -> Any:
        handles.pop().remove()
        return (a * w).sum()

    for _ in range(3):
        a = leaf()
        setting(a).backward()
        handles.append(w.register_hook(lambda g: g * 5))
        taking(a).backward()
        yield a.grad, w.grad


@both_modes(1)
def test_module_hooks_set_after_capture(wrap: Wrap) -> Iterator[Any]:
    layer = dg.nn.Linear(3, 2)
    f = wrap(lambda a: layer(a) * 2)
    yield f(x())
    yield f(x())
    handle = layer.register_forward_hook(lambda m, args, out: out + 100)
    yield f(x())
    yield f(x())
    handle.remove()
    yield f(x())
    handle = layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    yield f(x())


@both_modes(1)
def test_retain_grad_of_a_result(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: a * 2)
    for _ in range(3):
        a = leaf()
        y = f(a)
        y.retain_grad()
        (y * y).sum().backward()
        yield y.grad, a.grad


@both_modes(1)
def test_gradients_of_shared_inputs_add_up_in_order(wrap: Wrap) -> Iterator[Any]:
    f = wrap(lambda a: (a.sin() * 1.7).sum())
    for _ in range(3):
        a = leaf([0.1, 0.2, 0.3, 1e-3])
        b = a * 1.1
        loss = b.exp().sum() + f(b) + (b * 0.3).sum() + f(a) + a.cos().sum()
        loss.backward()
        yield a.grad


@both_modes(2)
def test_gradients_that_are_results_are_the_ones_left(wrap: Wrap) -> Iterator[Any]:
    weight, other = leaf([1.0, 2.0, 3.0]), leaf([1.0, 2.0, 3.0])

    def step(a):
        weight.grad = other.grad = None
        ((weight * a).sum() + (other**2).sum()).backward()
        return weight.grad, other.grad[1:]

    step = wrap(step)
    for i in range(5):
        gradient, part = step(dg.ones(3) * i)
        yield gradient is weight.grad
        gradient.add_(1)
        part.mul_(2)
        yield gradient, part, weight.grad, other.grad


@both_modes(2)
def test_one_gradient_of_two_tensors(wrap: Wrap) -> Iterator[Any]:
    first, second = leaf([1.0, 2.0, 3.0]), leaf([1.0, 2.0])

    def step(a):
        first.grad = a * 2
        second.grad = first.grad[1:]
        return a + 1

    step = wrap(step)
    for i in range(5):
        yield step(dg.ones(3) * i)
        first.grad.add_(1)
        yield first.grad, second.grad
