"""Differentiation in eager mode: accumulation, hooks, higher orders, versions, user-defined functions."""

import gc
import weakref

import numpy as np
import pytest

import dualgraph as dg


def leaf(*values):
    return dg.tensor(values, dtype=dg.float64, requires_grad=True)


def test_backward_adds_to_the_gradients_of_leaves():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * y).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [5.0, 8.0]
    assert y.grad.tolist() == [1.0, 2.0]


def test_gradients_have_memory_of_their_own():
    x, y = leaf(1.0, 2.0), leaf(1.0, 2.0)
    (x + y).backward(dg.ones(2, dtype=dg.float64))
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0]


def test_only_one_element_starts_a_gradient_by_itself():
    x = leaf(1.0, 2.0)
    with pytest.raises(dg.AutogradError, match=r"gradient="):
        (x * 2).backward()
    (x * 2).backward(dg.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_backward_may_be_limited_to_some_leaves():
    x, y = leaf(1.0), leaf(2.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [2.0]
    assert y.grad is None


def test_a_second_sweep_needs_retain_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(dg.AutogradError, match="retain_graph"):
        y.backward()


def test_grad_gives_gradients_and_accumulates_nothing():
    x, y = leaf(2.0), leaf(5.0)
    z = (x * x * 3).sum()
    assert [g.tolist() for g in dg.autograd.grad(z, [x])] == [[12.0]]
    assert x.grad is None
    with pytest.raises(dg.AutogradError, match="allow_unused"):
        dg.autograd.grad((x * x).sum(), [y])
    assert dg.autograd.grad((x * x).sum(), [y], allow_unused=True) == (None,)
    (zero,) = dg.autograd.grad((x * x).sum(), [y], materialize_grads=True)
    assert zero.tolist() == [0.0]


def test_higher_orders():
    x = leaf(0.5, 1.5)
    y = (x**4).sum()
    wanted = [4 * x.detach() ** 3, 12 * x.detach() ** 2, 24 * x.detach()]
    for expected in wanted:
        (g,) = dg.autograd.grad(y, x, create_graph=True)
        np.testing.assert_allclose(g.detach(), expected)
        y = g.sum()


def test_create_graph_lets_gradients_be_swept():
    x = leaf(3.0)
    (x**3).sum().backward(create_graph=True)
    x.grad.sum().backward()
    assert x.grad.tolist() == [27.0 + 18.0]


def test_hooks_see_and_change_gradients():
    x = leaf(1.0, 2.0)
    seen = []
    y = x * 3
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert seen == [[1.0, 1.0]]
    assert x.grad.tolist() == [31.0, 31.0]
    handle.remove()
    handle.remove()
    y = x * 3
    y.sum().backward()
    assert len(seen) == 1


@pytest.mark.parametrize("place", ["copy_", "[:]", "[...]", "[0:2]", "fill_", "view of"])
def test_what_is_written_and_what_it_is_written_to_have_their_own_entries(place):
    x = leaf(1.0, 1.0)
    target = dg.zeros(2, dtype=dg.float64)
    if place == "copy_":
        target.copy_(x)
    elif place == "fill_":
        x, target = leaf(1.0)[0].detach().requires_grad_(), dg.zeros((), dtype=dg.float64)
        target.fill_(x)
    elif place == "view of":
        target[:].copy_(x)
    else:
        target[{"[:]": slice(None), "[...]": ..., "[0:2]": slice(0, 2)}[place]] = x
    assert target.grad_fn is not None and not target.is_leaf
    target.register_hook(lambda g: g * 10)
    target.retain_grad()
    (target * 1 + x).sum().backward()
    assert x.grad.flatten()[0].item() == 11.0 and target.grad.flatten()[0].item() == 10.0
    x.sum().backward()  # the hook is the target's alone
    assert x.grad.flatten()[0].item() == 12.0


def test_hooks_of_leaves_outlive_writes_without_the_tape():
    x = leaf(1.0)
    calls = []
    x.register_hook(lambda g: calls.append(g.item()))
    for _ in range(2):
        (x * 2).sum().backward()
        with dg.no_grad():
            x -= 0.1
    assert calls == [2.0, 2.0]


def test_retain_grad_keeps_gradients_of_results():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    (y * 5).sum().backward()
    assert y.grad.tolist() == [5.0]


def test_no_grad_and_its_kin():
    x = leaf(1.0)
    with dg.no_grad():
        assert not (x * 2).requires_grad
        with dg.enable_grad():
            assert (x * 2).requires_grad
    assert not dg.no_grad()(lambda: x * 2)().requires_grad
    assert not dg.no_grad(lambda: x * 2)().requires_grad
    with dg.inference_mode():
        assert not dg.is_grad_enabled()
    with dg.set_grad_enabled(False):
        assert not dg.is_grad_enabled()
    assert dg.is_grad_enabled()
    dg.set_grad_enabled(False)
    assert not dg.is_grad_enabled()
    dg.set_grad_enabled(True)


def test_no_grad_holds_inside_generators_only():
    @dg.no_grad()
    def steps():
        yield dg.is_grad_enabled()
        yield dg.is_grad_enabled()

    inside = []
    for enabled in steps():
        inside.append(enabled)
        assert dg.is_grad_enabled()
    assert inside == [False, False]


def test_detaching_ends_the_history():
    x = leaf(2.0)
    y = (x * x).detach()
    assert not y.requires_grad and y.is_leaf and y.grad_fn is None
    assert not x.data.requires_grad
    z = x * 1
    assert z.detach_() is z and not z.requires_grad


def test_requires_grad_is_for_floating_leaves():
    with pytest.raises(dg.DTypeError, match="floating"):
        dg.tensor([1]).requires_grad_()
    x = leaf(1.0)
    with pytest.raises(dg.AutogradError, match="detach"):
        (x * 2).requires_grad_(False)
    assert not x.requires_grad_(False).requires_grad


# --- versions ------------------------------------------------------------------------------------


def test_writing_what_a_gradient_needs_is_an_error_that_names_both_lines():
    x = leaf(1.0, 2.0)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(dg.AutogradError, match="changed in place") as caught:
        z.sum().backward()
    text = str(caught.value)
    assert text.count("test_autograd.py") >= 2 and "version 1" in text and "clone" in text


def test_writing_a_result_that_its_own_gradient_needs_is_an_error():
    y = leaf(1.0, 2.0).exp()
    z = y * 1
    y.add_(1)
    with pytest.raises(dg.AutogradError, match="changed in place"):
        z.sum().backward()


def test_a_write_through_a_view_counts_for_its_base():
    y = leaf(1.0, 2.0) * 1
    z = y * y
    y[0] = 5.0
    with pytest.raises(dg.AutogradError, match="changed in place"):
        z.sum().backward()


@pytest.mark.parametrize(
    ("name", "binary"), [("mul", True), ("atan2", True), ("sin", False), ("square", False)]
)
def test_ops_in_place_keep_the_old_values_that_they_need(name, binary):
    gradients = []
    for form in (name, name + "_"):
        x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
        getattr(x * 1, form)(*[w] * binary).sum().backward()
        gradients.append((x.grad.tolist(), w.grad.tolist() if binary else None))
    assert gradients[0] == gradients[1]


def test_an_earlier_reader_of_the_old_values_is_still_protected():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = x * 1
    earlier = y * y
    y.mul_(w)
    with pytest.raises(dg.AutogradError, match="changed in place"):
        earlier.sum().backward()


# --- views and writes ------------------------------------------------------------------------------


def test_writes_reach_base_and_views_with_their_history():
    base, w = dg.zeros(4, dtype=dg.float64), leaf(1.0, 2.0)
    view, other = base[1:3], base[2:]
    view.copy_(w * 3)
    assert base.tolist() == [0.0, 3.0, 6.0, 0.0] and other.tolist() == [6.0, 0.0]
    assert base.requires_grad and other.requires_grad
    (base.sum() + other.sum() * 10).backward()
    assert w.grad.tolist() == [3.0, 33.0]


def test_a_write_to_the_base_reaches_the_history_of_its_views():
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1
    view = y[1:]
    y.mul_(2)
    (view * dg.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 2.0, 20.0]


def test_views_of_views():
    x = leaf(*range(6))
    y = x * 1
    y.view(2, 3)[1].mul_(2)
    y.view(3, 2).t()[0, 1:] = 0.0
    y.sum().backward()
    assert y.tolist() == [0.0, 1.0, 0.0, 6.0, 0.0, 10.0]
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 2.0, 0.0, 2.0]


def test_writes_through_detached_memory_do_not_touch_the_history():
    x = leaf(1.0, 2.0)
    x.data.add_(1)
    x.detach().mul_(2)
    assert x.tolist() == [4.0, 6.0] and x.is_leaf and x.requires_grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [8.0, 12.0]


def test_writes_without_the_tape_keep_the_history():
    x = leaf(1.0)
    y = x * 2
    with dg.no_grad():
        y.add_(1)
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2.0]


def test_leaves_that_require_gradients_are_written_without_the_tape_only():
    x = leaf(1.0, 2.0)
    for write in (lambda: x.add_(1), lambda: x[0].zero_(), lambda: x.__setitem__(0, 3.0)):
        with pytest.raises(dg.AutogradError, match="no_grad"):
            write()
    with dg.no_grad():
        x[0] = 7.0
    assert x.tolist() == [7.0, 2.0] and x.is_leaf


def test_expanded_memory_cannot_be_written():
    with pytest.raises(dg.AutogradError, match="clone"):
        dg.zeros(1).expand(3).add_(1)


def test_what_does_not_fit_is_not_written():
    x = dg.zeros(2, dtype=dg.int64)
    with pytest.raises(dg.DTypeError, match="float"):
        x.add_(0.5)
    with pytest.raises(dg.ShapeError, match="in place"):
        x.add_(dg.zeros(3, 2, dtype=dg.int64))
    assert x.tolist() == [0, 0]


# --- user-defined functions --------------------------------------------------------------------------


class Scale(dg.autograd.Function):
    """``x * factor`` with a gradient that is ten times too large."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, ct):
        (x,) = ctx.saved_tensors
        return ct * ctx.factor * 10 + x * 0, None


def test_functions_of_the_user_bring_their_own_gradient():
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3)
    assert y.tolist() == [3.0, 6.0] and "Scale" in repr(y)
    y.sum().backward()
    assert x.grad.tolist() == [30.0, 30.0]


def test_functions_of_the_user_with_several_results():
    class Both(dg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            return a + b * 2

    x = leaf(1.0)
    one, two = Both.apply(x)
    (one * 5 + two).sum().backward()
    assert x.grad.tolist() == [7.0]
    x.grad = None
    Both.apply(x)[1].sum().backward()
    assert x.grad.tolist() == [2.0]


# --- memory ----------------------------------------------------------------------------------------


class Put(dg.autograd.Function):
    """`value` at a place of `x`."""

    @staticmethod
    def forward(ctx, x, place, value):
        ctx.place = place
        y = x.clone()
        y[place] = value
        return y

    @staticmethod
    def backward(ctx, ct):
        rest = ct.clone()
        rest[ctx.place] = 0
        return rest, None, ct[ctx.place] if ctx.needs_input_grad[2] else None


@pytest.mark.parametrize("place", [(..., 1), (0, slice(None)), (0, 1), [1, 0], slice(0, 1)])
def test_functions_of_the_user_take_arguments_of_any_kind(place):
    x = dg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = Put.apply(x, place, 5.0)
    assert y.grad_fn.place == place and not hasattr(y.grad_fn, "places")
    y.sum().backward()
    expected = np.ones((2, 2))
    expected[place] = 0
    assert x.grad.tolist() == expected.tolist()


def test_the_tape_frees_what_it_held():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    held = weakref.ref(y)
    del y
    assert held() is not None
    z.backward()
    gc.collect()
    assert held() is None


def test_long_chains_do_not_overflow_the_stack():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 0.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y
