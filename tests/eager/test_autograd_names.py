"""What PyTorch's `autograd` has beside backward and grad: checks, functional forms, facts of the tape."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph import autograd
from dualgraph.autograd import functional
from dualgraph.core.errors import ArgumentError, AutogradError


class Apart(autograd.Function):
    """Forward without a context, as PyTorch has it since 2.0."""

    @staticmethod
    def forward(x, y):
        return x + y, x * y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, ct_sum, ct_product):
        x, y = ctx.saved_tensors
        return ct_sum + ct_product * y, ct_sum + ct_product * x


def test_a_function_may_set_its_context_up_apart():
    def loss(x, y):
        total, product = Apart.apply(x, y)
        return (total + product).sum()

    x, y = (dg.tensor(v, requires_grad=True) for v in ([2.0, 1.0], [5.0, 3.0]))
    loss(x, y).backward()
    assert x.grad.tolist() == [6.0, 4.0] and y.grad.tolist() == [3.0, 2.0]
    compiled = dg.compile(dg.grad(loss), wait=True)
    for _ in range(2):
        assert compiled(x.detach(), y.detach()).tolist() == [6.0, 4.0]
    batched = dg.vmap(lambda a, b: Apart.apply(a, b)[1])(x.detach(), y.detach())
    assert batched.tolist() == [10.0, 3.0]


def test_entries_of_the_tape_lead_to_those_before():
    x = dg.tensor(2.0, requires_grad=True)
    y = (x * 3).exp()
    assert y.grad_fn.name() == "exp"
    ((before, place),) = y.grad_fn.next_functions
    assert before.name() == "multiply" and place == 0
    assert before.next_functions == ((x._edge()[0], 0), (None, 0))


def test_kept_gradients_are_known():
    x = dg.ones(2, requires_grad=True)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad and not x.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4.0, 4.0]


def test_checks_find_wrong_gradients():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, ct):
            return ct

    x = dg.randn(3, dtype=dg.float64, requires_grad=True)
    y = dg.randn(3, dtype=dg.float64, requires_grad=True)
    assert autograd.gradcheck(lambda a, b: (a.sin() * b, a.sum()), (x, y))
    assert autograd.gradgradcheck(lambda a, b: a.sin() * b, (x, y))
    assert not autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(dg.AutogradError, match="output 0 by input 0 is off"):
        autograd.gradcheck(Wrong.apply, (x,))
    with pytest.raises(dg.AutogradError, match="no input requires gradients"):
        autograd.gradcheck(dg.sin, (dg.ones(2),))


def test_functional_forms_name_what_is_missing():
    x, y = dg.tensor([1.0, 2.0]), dg.tensor([3.0, 4.0])
    lone = functional.jacobian(lambda a, b: (a**2).sum(), (x, y))
    assert [t.tolist() for t in lone] == [[2, 4], [0, 0]]
    for call in (
        lambda: functional.jacobian(lambda a, b: (a**2).sum(), (x, y), strict=True),
        lambda: functional.hessian(lambda a: (a * 3).sum(), x, strict=True),
        lambda: functional.vjp(lambda a, b: (a**2).sum(), (x, y), strict=True),
        lambda: functional.vhp(lambda a: (a * 3).sum(), x, x, strict=True),
    ):
        with pytest.raises(AutogradError, match="no output depends on it"):
            call()
    for call in (
        lambda: functional.jvp(lambda a: a**2, x),
        lambda: functional.vjp(lambda a: a**2, x),
        lambda: functional.hvp(lambda a: (a**2).sum(), x),
        lambda: functional.vhp(lambda a, b: (a * b).sum(), (x, y), x),
    ):
        with pytest.raises(ArgumentError, match=r"one element|2 tensors"):
            call()


def test_functional_forms():
    x, y, v = dg.tensor([1.0, 2.0]), dg.tensor([3.0, 4.0]), dg.tensor([1.0, 10.0])
    assert functional.jacobian(lambda a: a**2, x).tolist() == [[2, 0], [0, 4]]
    by_x, by_y = functional.jacobian(lambda a, b: (a * b).sum(), (x, y))
    assert by_x.tolist() == [3, 4] and by_y.tolist() == [1, 2]
    (first, _), (_, second) = functional.jacobian(lambda a, b: (a, b * 2), (x, y))
    assert first.tolist() == [[1, 0], [0, 1]] and second.tolist() == [[2, 0], [0, 2]]
    assert functional.hessian(lambda a: (a**3).sum(), x).tolist() == [[6, 0], [0, 12]]
    crossed = functional.hessian(lambda a, b: (a * b).sum(), (x, y))
    assert crossed[0][1].tolist() == [[1, 0], [0, 1]] and crossed[0][0].tolist() == [[0, 0], [0, 0]]
    out, product = functional.jvp(lambda a: a**2, x, v)
    assert out.tolist() == [1, 4] and product.tolist() == [2, 40]
    assert functional.vjp(lambda a: a**2, x, v)[1].tolist() == [2, 40]
    for form in (functional.vhp, functional.hvp):
        value, product = form(lambda a: (a**3).sum(), x, v)
        assert value.item() == 9 and product.tolist() == [6, 120] and not product.requires_grad


def test_functional_forms_can_be_differentiated():
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    functional.jacobian(lambda a: a**3, x, create_graph=True).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_anomalies_name_the_op():
    x = dg.tensor([0.0], requires_grad=True)
    y = (dg.sqrt(x) * 0).sum()
    with autograd.detect_anomaly(), pytest.raises(dg.NanError):
        y.backward()
    autograd.set_detect_anomaly(True)
    autograd.set_detect_anomaly(False)
    (dg.zeros(1) / 0).sum()


def test_variables_are_tensors():
    array = np.ones(2, dtype="float32")
    v = autograd.Variable(dg.asarray(array), requires_grad=True)
    array[0] = 5
    assert v.requires_grad and v.tolist() == [5.0, 1.0]


def test_grad_takes_many_weights_at_once():
    x = dg.randn(3, requires_grad=True)
    y, unused = x.sin() * x.sum(), dg.ones(2, requires_grad=True)
    rows = [dg.autograd.grad(y, x, dg.eye(3)[i], retain_graph=True)[0].tolist() for i in range(3)]
    found = dg.autograd.grad(
        y, (x, unused), dg.eye(3), True, allow_unused=True, is_grads_batched=True
    )
    assert found[0].tolist() == rows and found[1] is None
    z = (x * x).sum()
    (first,) = dg.autograd.grad(z, x, create_graph=True)
    (second,) = dg.autograd.grad([first, z], x, [dg.eye(3), None], is_grads_batched=True)
    assert second.allclose(2 * dg.eye(3) + 2 * x)
    with pytest.raises(dg.ArgumentError, match="takes the weights"):
        dg.autograd.grad(y, x, is_grads_batched=True)
    with pytest.raises(dg.ArgumentError, match="only_inputs=False"):
        dg.autograd.grad(y, x, dg.ones(3), only_inputs=False)


def test_functional_takes_pytorch_strategies():
    hessian, jacobian = dg.autograd.functional.hessian, dg.autograd.functional.jacobian
    x = dg.tensor([1.0, 2.0])
    kept = hessian(lambda v: (v**3).sum(), x, outer_jacobian_strategy="forward-mode")
    assert kept.tolist() == [[6, 0], [0, 12]]
    with pytest.raises(dg.ArgumentError, match="'reverse-mode' or 'forward-mode'"):
        jacobian(lambda v: v * 2, x, strategy="backwards")


def test_gradients_marked_once_differentiable():
    class Cube(autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        @autograd.function.once_differentiable
        def backward(ctx, ct):
            assert not dg.is_grad_enabled()
            (x,) = ctx.saved_tensors
            return ct * 3 * x * x, None

    x = dg.tensor([2.0, -1.0], requires_grad=True)
    (first,) = autograd.grad((Cube.apply(x, 3) ** 2).sum(), x, create_graph=True)
    assert first.tolist() == [192.0, -6.0] and first.requires_grad
    with pytest.raises(dg.AutogradError, match="once_differentiable"):
        first.sum().backward()
    assert autograd.grad(Cube.apply(x, 3).sum(), x)[0].tolist() == [12.0, 3.0]


def test_places_that_pytorch_has_in_autograd():
    assert autograd.grad_mode.no_grad is dg.no_grad and autograd.profiler is dg.profiler
    x = dg.ones(2, requires_grad=True)
    y = x * 2
    assert y.grad_fn.next_functions[0][0].variable is x and not hasattr(y.grad_fn, "variable")


@pytest.mark.parametrize("wrong", (lambda g: g[0], lambda g: g.double(), lambda g: 0.0))
def test_hooks_give_gradients_of_the_same_type(wrong):
    x = dg.ones(2, requires_grad=True)
    x.register_hook(wrong)
    with pytest.raises(dg.AutogradError, match=r"f32\[2\].*in place of this gradient"):
        (x * 2).sum().backward()
    assert x.grad is None
