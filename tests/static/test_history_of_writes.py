"""What is written over, and what is written off the tape: its history, the same in both modes and as in PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg


def put(key: Any, value: Any) -> Callable[..., Any]:
    return lambda y: y.__setitem__(key, value)


WHOLE: dict[str, Callable[..., Any]] = {
    "all": put(slice(None), 2.0),
    "ellipsis": put(..., 2.0),
    "all of the rows": put(slice(0, 2), 2.0),
    "new axis": put(None, 2.0),
    "tensor": put(slice(None), dg.zeros(2, 3)),
    "mask": put(dg.ones(2, 3) > 0, 2.0),
    "places": put(dg.tensor([0, 1]), 2.0),
    "fill_": lambda y: y.fill_(2.0),
    "zero_": lambda y: y.zero_(),
    "copy_": lambda y: y.copy_(dg.ones(2, 3)),
    "normal_": lambda y: y.normal_(),
    "eq_": lambda y: y.eq_(2.0),
    "view": lambda y: y.view(-1).fill_(2.0),
    "rows": lambda y: y[:].fill_(2.0),
    "turned": lambda y: y.T.fill_(2.0),
    "turned, copied": lambda y: y.T.copy_(dg.ones(3, 2)),
    "views of views": lambda y: y.view(-1).view(3, 2).fill_(2.0),
}  # fmt: skip


def outcomes(fn: Callable[..., Any], calls: int) -> list[Any]:
    """Of each call: whether results want gradients, and the bits of values and of the gradient of x."""
    found = []
    for _ in range(calls):
        dg.manual_seed(0)
        x = dg.asarray(np.arange(6.0, dtype="float32").reshape(2, 3) + 1).requires_grad_()
        outs = fn(x)
        wants = [t.requires_grad for t in outs]
        if any(wants):
            sum(t.sum() for t in outs if t.requires_grad).backward()
        grad = None if x.grad is None else x.grad.tolist()
        found.append((wants, [t.detach().numpy().tobytes() for t in outs], grad))
    return found


def in_both_modes(fn: Callable[..., Any]) -> Any:
    """What a call gives, which is the same in all of them."""
    compiled = dg.compile(fn, wait=True)
    (eager,) = outcomes(fn, 1)
    assert outcomes(compiled, 4) == [eager] * 4
    return eager


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_written_over_stays_on_the_tape_with_a_gradient_of_zero(name):
    def fn(x):
        y = x * 2.0
        WHOLE[name](y)
        return (y * 3,)

    wants, _, grad = in_both_modes(fn)
    assert wants == [True] and grad == [[0.0] * 3] * 2


@pytest.mark.parametrize("name", ["view", "rows", "turned"])
def test_a_written_view_is_a_part_of_its_written_base(name):
    def fn(x):
        y = x * 2.0
        v = WHOLE[name](y)
        assert v.requires_grad and not v.is_leaf
        return v * 3, y

    wants, _, grad = in_both_modes(fn)
    assert wants == [True, True] and grad == [[0.0] * 3] * 2


def test_a_part_that_is_written_over():
    def fn(x):
        y = x * 2.0
        row = y[1]
        row[1:].zero_()
        return y * 3, row

    wants, _, grad = in_both_modes(fn)
    assert wants == [True, True] and grad == [[6.0] * 3, [8.0, 0.0, 0.0]]


def test_gradients_past_a_written_part_stay_zero_where_others_are_infinite():
    def fn(x):
        y = x * 2.0
        y[0] = 0.0
        return (y**-1.0,)  # the slope is infinite at the zeros

    _, _, grad = in_both_modes(fn)
    assert grad[0] == [0.0] * 3


@pytest.mark.parametrize(
    "write",
    [
        lambda y, z: y.copy_(z),
        lambda y, z: y.__setitem__(slice(None), z),
        lambda y, z: y.__setitem__(..., z),
        lambda y, z: y.view(-1).copy_(z.view(-1)),
        lambda y, z: y.T.copy_(z.T),
    ],
)
def test_both_what_is_written_and_what_is_written_over_have_gradients(write):
    def fn(x):
        y, z = x * 2.0, x.detach().requires_grad_()
        write(y, z * 5.0)
        out = (y * 3).sum()
        out.backward()
        return x.grad, z.grad

    for call in (fn, dg.compile(fn, wait=True)):
        for _ in range(3):
            x = dg.ones(2, 3, requires_grad=True)
            grads = call(x)
            assert [g.tolist() for g in grads] == [[[0.0] * 3] * 2, [[15.0] * 3] * 2]


def off(write: Callable[..., Any]) -> Callable[..., Any]:
    def run(y: Any) -> None:
        with dg.no_grad():
            write(y)

    return run


OFF_THE_TAPE: dict[str, Callable[..., Any]] = {
    "scaled": off(lambda y: y.mul_(3.0)),
    "filled": off(lambda y: y.fill_(3.0)),
    "part": off(put((0, 0), 5.0)),
    "part of a part": off(lambda y: y[1][1:].fill_(5.0)),
    "data": lambda y: y.data.mul_(3.0),
    "data of a part": lambda y: y[0].data.fill_(3.0),
    "part of the data": lambda y: y.data.__setitem__((0, 0), 5.0),
    "detached": lambda y: y.detach().mul_(3.0),
}


@pytest.mark.parametrize("name", OFF_THE_TAPE)
def test_writes_off_the_tape_leave_the_history_as_it_is(name):
    def fn(x):
        y = x * 2.0
        OFF_THE_TAPE[name](y)
        return (y * y,)

    wants, values, grad = in_both_modes(fn)
    y = np.sqrt(np.frombuffer(values[0], "float32")).reshape(2, 3)
    assert wants == [True]
    # D(y*y) = 2y, at the values written, and d(y) = 2, as if not written
    np.testing.assert_allclose(grad, 4 * y)


def test_writes_through_a_view_made_off_the_tape_leave_the_history_as_it_is():
    def fn(x):
        y = x * 2.0
        with dg.no_grad():
            row = y[0]
        row.mul_(3.0)
        return (y * y,)

    wants, values, grad = in_both_modes(fn)
    y = np.sqrt(np.frombuffer(values[0], "float32")).reshape(2, 3)
    assert wants == [True]
    np.testing.assert_allclose(grad, 4 * y)


def test_second_gradients_past_what_is_written_over():
    def fn(x):
        y = x**3
        y[:, 0] = 1.0
        (first,) = dg.autograd.grad((y * y).sum(), x, create_graph=True)
        return (first,)

    _, _, grad = in_both_modes(fn)
    at = np.arange(6.0).reshape(2, 3) + 1
    expected = 30 * at**4
    expected[:, 0] = 0
    np.testing.assert_allclose(grad, expected, rtol=1e-6)


def test_writes_of_other_sizes_and_in_a_batch():
    def fn(x):
        y = x * 2.0
        y[:] = 1.0
        return (y * 3).sum() + x.sum()

    compiled = dg.compile(fn, wait=True)
    for n in (2, 3, 5, 1, 4):
        x = dg.ones(n, 2, requires_grad=True)
        compiled(x).backward()
        assert x.grad.tolist() == [[1.0, 1.0]] * n
    batched = dg.vmap(dg.grad(fn))
    for call in (batched, dg.compile(batched, wait=True)):
        for _ in range(2):
            assert call(dg.ones(4, 2)).tolist() == [[1.0, 1.0]] * 4


def test_a_leaf_that_wants_gradients_is_not_written():
    x = dg.ones(2, requires_grad=True)
    for write in (lambda: x.fill_(1.0), lambda: x.__setitem__(slice(None), 1.0), x[:1].zero_):
        with pytest.raises(dg.AutogradError, match="leaf"):
            write()


def test_programs_do_not_grow_by_what_is_written_over():
    @dg.compile(wait=True)
    def fn(x):
        y = dg.sin(x)
        y.fill_(2.0)
        with dg.no_grad():
            y.mul_(2.0)
        return y

    x = dg.ones(3, requires_grad=True)
    assert fn(x).requires_grad and fn(x).requires_grad
    assert "sin" not in str(fn.programs[0].graph)
