"""Writes in place on large tensors: the bits, versions and errors of the plain way."""

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.eager import overwrite as ow
from dualgraph.merge import forms

SIZES = (ow.LEAST - 1, ow.LEAST, 1 << 17)
FORMS = {
    "add_": (2.5,), "sub_": (0.1,), "mul_": (1.3,), "div_": (3.0,), "relu_": (), "exp_": (), "neg_": (),
    "clamp_": (-0.5, 0.5), "pow_": (2,), "abs_": (), "sigmoid_": (), "round_": (), "fill_": (-0.0,), "zero_": (),
}  # fmt: skip


def drawn(n, dtype="float32", seed=0):
    return dg.asarray((np.random.default_rng(seed).normal(size=n) * 3).astype(dtype))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", sorted(FORMS))
def test_forms_in_place_are_those_out_of_place(name, dtype, n):
    args = FORMS[name]
    x = drawn(n, dtype)
    for _ in range(4):  # from the third call on it may run as one kernel
        before, version = dg.asarray(x.numpy().copy()), x._version
        try:
            got = getattr(x, name)(*args)
        except dg.DualgraphError:
            assert x._version == version and x.tolist() == before.tolist()
            return
        assert got is x and x._version == version + 1
        plain = getattr(before, name[:-1], None)
        if plain is not None:
            assert x._data.tobytes() == plain(*args).to(dtype)._data.tobytes()
        else:
            assert (
                x._data.tobytes()
                == dg.full((n,), args[0] if args else 0, dtype=x.dtype)._data.tobytes()
            )
        forms.wait()


@pytest.mark.parametrize("n", SIZES)
def test_operands_that_share_memory(n):
    base = drawn(n + 1)
    for make in (
        lambda x: (x[:-1], x[1:]), lambda x: (x[1:], x[:-1]), lambda x: (x, x), lambda x: (x, x[5:6]),
        lambda x: (x, x.flip(0)),
    ):  # fmt: skip
        x = dg.asarray(base.numpy().copy())
        t, other = make(x)
        expected = t.numpy() + other.numpy().copy()
        t += other
        assert t._data.tobytes() == expected.tobytes()


def test_operands_that_broadcast_or_promote():
    x, n = drawn((64, 512)), drawn((64, 512), "int64")
    for other in (drawn(512), drawn((64, 1)), dg.tensor(2.0), np.float64(2), n, True):
        expected = x + other
        x += other
        assert x._data.tobytes() == expected.to(x.dtype)._data.tobytes()
    with pytest.raises(dg.DualgraphError):
        n += 0.5
    with pytest.raises(dg.DualgraphError):
        x += drawn((2, 64, 512))


def test_gradients_and_versions_are_kept():
    x = drawn(1 << 16).requires_grad_()
    with pytest.raises(dg.AutogradError):
        x.add_(1)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(dg.AutogradError):
        z.sum().backward()
    a = x * 2
    a.mul_(3).add_(x)
    a.sum().backward()
    assert (x.grad == 7).all()
    with dg.no_grad():
        x.mul_(0.5).clamp_(-1, 1)
    assert x.requires_grad and x.is_leaf
    base = dg.zeros(1 << 16)
    base.view(256, 256)[1:].add_(1)
    assert base.sum().item() == (1 << 16) - 256


def test_captures_see_writes_in_place():
    def f(x, y):
        x.add_(y).mul_(2).clamp_(-1, 1)
        return x.sum()

    g = dg.compile(f, wait=True)
    for seed in range(3):
        one, other, y = drawn(1 << 16, seed=seed), drawn(1 << 16, seed=seed), drawn(1 << 16, seed=9)
        assert f(one, y).item() == g(other, y).item()
        assert one._data.tobytes() == other._data.tobytes()


def test_large_copies_are_whole():
    for shape in ((3_000_000,), (1500, 2001)):
        x, y = drawn(shape), drawn(shape, seed=1)
        x.copy_(y)
        assert x._data.tobytes() == y._data.tobytes()
        x.copy_(y.flip(0))
        assert x._data.tobytes() == y.numpy()[::-1].tobytes()


def test_an_optimiser_step_of_a_large_parameter_writes_into_it():
    p = dg.nn.Parameter(drawn(1 << 17))
    q = dg.nn.Parameter(p.detach().clone())
    for owner in (p, q):
        owner.grad = drawn(1 << 17, seed=2)
    memory = p._data
    fast = dg.optim.SGD([p], lr=0.1)
    for _ in range(4):
        fast.step()
        forms.wait()
        with dg.no_grad():
            q.copy_(q - q.grad * 0.1)
    assert p._data is memory and p._data.tobytes() == q._data.tobytes()
