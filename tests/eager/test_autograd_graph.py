"""Hooks on what the tape saves, hooks on several gradients, and tensors that carry tangents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.autograd.forward_ad as fwd
from dualgraph import nn
from dualgraph.autograd import graph
from dualgraph.core.errors import AutogradError


class Cube(dg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ct * 3 * x * x


def network() -> nn.Module:
    dg.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def in_place(m: Any, x: Any) -> Any:
    y = x * 2
    y[0] = x[1] ** 2
    return (m(y.mul_(3.0)) ** 2).mean()


RECURRENT = nn.GRU(6, 5)
PROGRAMS: list[Callable[[Any, Any], Any]] = [
    lambda m, x: nn.functional.cross_entropy(m(x), dg.tensor([0, 1, 2, 0])),
    in_place,
    lambda m, x: (Cube.apply(x) * m(x).softmax(-1).sum()).sum(),
    lambda m, x: (
        dg.checkpoint(lambda v: m(v).sin())(x).sum() + dg.vmap(lambda v: m[0](v).sum())(x).sum()
    ),
    lambda m, x: dg.scan(lambda c, v: (c * v.sum(), c), x.sum(), x)[0],
    lambda m, x: RECURRENT(x[:, None])[0].sum() + m(x).sum(),
    dg.compile(lambda m, x: m(x).exp().sum(), wait=True),
]


@pytest.mark.parametrize("f", PROGRAMS)
def test_gradients_are_the_same_when_what_is_saved_is_kept_elsewhere(f: Any) -> None:
    m, kept = network(), []

    def pack(t: Any) -> Any:
        kept.append(1)
        return t.detach().numpy().copy()

    def gradients(hooks: Any, inside: bool = False) -> list[bytes]:
        dg.manual_seed(5)
        x = dg.randn(4, 6, requires_grad=True)
        m.zero_grad()
        RECURRENT.zero_grad()
        with hooks:
            loss = f(m, x)
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        weights = [*m.parameters(), *RECURRENT.parameters()]
        found = [loss.detach(), x.grad, *(p.grad for p in weights)]
        return [b"" if g is None else g.numpy().tobytes() for g in found]

    plain = gradients(dg.enable_grad())
    assert gradients(graph.saved_tensors_hooks(pack, dg.from_numpy)) == plain
    assert kept
    assert gradients(graph.save_on_cpu(), inside=True) == plain


def test_packed_values_have_their_place_on_the_tape() -> None:
    def derivatives(hooks: Any) -> list[list[float]]:
        x = dg.tensor([1.0, 2.0], requires_grad=True)
        with hooks:
            y = (x**3 * x.exp()).sum()
        (first,) = dg.autograd.grad(y, x, create_graph=True)
        return [first.tolist(), dg.autograd.grad(first.sum(), x)[0].tolist()]

    hooks = graph.saved_tensors_hooks(lambda t: t.tolist(), dg.tensor)
    assert derivatives(hooks) == derivatives(dg.enable_grad())


def test_a_packed_value_that_was_written_is_noticed_unless_a_copy_was_packed() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    for pack in (lambda t: t), (lambda t: t.clone()):
        z = x * 1
        with graph.saved_tensors_hooks(pack, lambda t: t):
            y = z.sin().sum()
        z.add_(1)
        if pack(z) is z:
            with pytest.raises(dg.AutogradError, match="changed in place"):
                y.backward()
        else:
            y.backward()
            assert x.grad.tolist() == np.cos(np.asarray([1.0, 2.0], "f4")).tolist()


def test_hooks_that_cannot_serve_say_so() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: None):
        y = x.sin().sum()
    with pytest.raises(
        dg.AutogradError, match=r"sin\(f32\[2\]\): saved_tensors_hooks unpacked NoneType"
    ):
        y.backward()
    off = graph.disable_saved_tensors_hooks("not here")
    with off, pytest.raises(dg.AutogradError, match="not here"), graph.save_on_cpu():
        pass
    with pytest.raises(dg.AutogradError, match="inside of a vmap"):
        dg.vmap(lambda v: graph.save_on_cpu().__enter__())(dg.ones(2))


def test_a_function_that_switches_hooks_on_is_left_to_eager_mode() -> None:
    @dg.compile(wait=True)
    def f(x: Any) -> Any:
        with graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t / 2):
            y = (x.sin() * x).sum()
        y.backward()
        return y

    x = dg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        x.grad = None
        f(x)
        np.testing.assert_allclose(x.grad, (x.cos() * x + x.sin()).detach(), rtol=1e-6)
    assert not f.programs and "hooks on saved tensors" in f.explain()


def test_a_hook_on_several_gradients_is_called_once_a_sweep() -> None:
    a, b, c = (dg.tensor(float(i), requires_grad=True) for i in (2, 3, 4))
    seen: list[Any] = []
    every = graph.register_multi_grad_hook(
        (a, b, c), lambda gs: seen.append([g if g is None else g.item() for g in gs])
    )
    some = graph.register_multi_grad_hook((a, c), lambda g: seen.append(g.item()), mode="any")
    for _ in range(2):
        (a * b).backward()
    (a * b + c).backward()
    assert seen == [3.0, [3.0, 2.0, None]] * 2 + [1.0, [3.0, 2.0, 1.0]]
    every.remove()
    some.remove()
    (a * b).backward()
    assert len(seen) == 6
    with pytest.raises(dg.ArgumentError, match="mode is 'all' or 'any'"):
        graph.register_multi_grad_hook((a,), print, mode="some")


DUALS: list[Callable[[Any], Any]] = [
    lambda v: v.exp() @ v.T,
    lambda v: v.softmax(-1).cumsum(0),
    lambda v: dg.cat([v, v.sin()]).sort(0).values,
    lambda v: v.clone().add_(v.cos()),
    lambda v: v[1:] * 2 + v[:-1],
]


@pytest.mark.parametrize("f", DUALS)
def test_tangents_are_those_of_jvp_in_both_modes(f: Any) -> None:
    def dual(x: Any, t: Any) -> Any:
        with fwd.dual_level():
            return fwd.unpack_dual(f(fwd.make_dual(x, t)))

    x, t = dg.randn(3, 4), dg.randn(3, 4)
    compiled = dg.compile(dual, wait=True)
    compiled(x, t)
    for out in dual(x, t), compiled(x, t):
        for got, wanted in zip(out, dg.jvp(f, (x,), (t,)), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert not out[0].requires_grad and compiled.programs


def test_gradients_go_through_primals_and_tangents() -> None:
    w = dg.tensor([2.0, 3.0], requires_grad=True)
    with fwd.dual_level():
        primal, tangent = fwd.unpack_dual((fwd.make_dual(w, dg.ones(2)) ** 3).sum())
        scaled = fwd.unpack_dual(fwd.make_dual(dg.ones(2), dg.ones(2)) * w)
        assert fwd.unpack_dual(w.detach()).tangent is None
    assert dg.autograd.grad(primal, w, retain_graph=True)[0].tolist() == [12.0, 27.0]
    assert dg.autograd.grad(tangent, w)[0].tolist() == [12.0, 18.0]
    assert dg.autograd.grad(scaled.tangent.sum(), w)[0].tolist() == [1.0, 1.0]


def test_duals_outside_of_a_level_are_errors() -> None:
    with pytest.raises(dg.AutogradError, match="there is no dual level"):
        fwd.make_dual(dg.ones(2), dg.ones(2))
    with fwd.dual_level():
        with pytest.raises(dg.ShapeError, match="a tangent has the type of its tensor"):
            fwd.make_dual(dg.ones(2), dg.ones(3))
        with dg.no_grad(), pytest.raises(dg.AutogradError, match="outside of no_grad"):
            fwd.make_dual(dg.ones(2), dg.ones(2))
        with pytest.raises(dg.AutogradError, match="levels do not nest"):
            fwd.dual_level().__enter__()


def test_places_on_the_tape_stand_for_tensors_in_sweeps() -> None:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    edge, z = graph.get_gradient_edge(y), (y * y).sum()
    assert dg.autograd.grad(z, [edge, x], retain_graph=True)[0].tolist() == [6.0, 12.0]
    dg.autograd.backward(
        edge, dg.tensor([1.0, 10.0]), retain_graph=True, inputs=graph.get_gradient_edge(x)
    )
    assert x.grad.tolist() == [3.0, 30.0]
    a, b = dg.linalg.slogdet(dg.eye(2).requires_grad_())
    assert (a.output_nr, b.output_nr, x.output_nr) == (0, 1, 0)
    with pytest.raises(AutogradError, match="requires no gradient"):
        graph.get_gradient_edge(dg.ones(2))


def test_entries_of_several_results_say_that_they_have_no_hooks() -> None:
    f = dg.compile(lambda x: (x.exp(), x.sin()), wait=True)
    x = dg.ones(2).requires_grad_()
    f(x)
    a, b = f(x)
    with pytest.raises(AutogradError, match="one entry of 2 results"):
        a.grad_fn.register_hook(print)
    (a + b).sum().backward(create_graph=True)  # unfolds the entry
    with pytest.raises(AutogradError, match="one entry of 2 results"):
        a.grad_fn.register_hook(print)
