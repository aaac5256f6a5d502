"""Composites called often on few elements run as one program each, to the bits of their ops."""

import contextlib
import os

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.composite import Merge
from dualgraph.core.sweep import Whole
from dualgraph.nn import functional as F
from dualgraph.sweeps import calls as sweeps

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

from dualgraph.backends.native.quick import composing, install, plans, programs, recipes
from dualgraph.backends.native.quick.recipe import PROGRAM

RNG = np.random.default_rng(3)
X = dg.asarray(RNG.standard_normal((4, 6), dtype=np.float32))
W = dg.asarray(RNG.standard_normal((5, 6), dtype=np.float32))
V = dg.asarray(RNG.standard_normal(6, dtype=np.float32))
K = dg.asarray([0, 5, 3, 1])

CALLS = {
    "softmax": lambda: X.softmax(1), "softmax of columns": lambda: X.T.softmax(0),
    "log_softmax": lambda: F.log_softmax(X[:, ::2], dim=-1), "layer_norm": lambda: F.layer_norm(X, (6,), V, V),
    "cross_entropy": lambda: F.cross_entropy(X, K, label_smoothing=0.25), "var": lambda: X.var(1),
    "std": lambda: X.std(), "mse_loss": lambda: F.mse_loss(X, X * 0.5), "norm": lambda: X.norm(),
    "linear": lambda: F.linear(X, W, dg.ones(5)), "dot": lambda: V @ V, "matrix and vector": lambda: X @ V,
    "stack": lambda: dg.stack([V, V], 1), "one_hot": lambda: F.one_hot(K, 7), "roll": lambda: X.roll((1, -2), (0, 1)),
    "float64": lambda: X.double().softmax(0), "gelu": lambda: F.gelu(X, approximate="tanh"),
    "group_norm": lambda: F.group_norm(X, 2), "cosine": lambda: F.cosine_similarity(X, X + 1),
}  # fmt: skip


@pytest.fixture(autouse=True)
def early(monkeypatch):
    """The glue is there, and asks for programs as soon as it may."""
    install.install()
    monkeypatch.setattr(composing, "KNOWN", composing.KNOWN)
    composing.KNOWN.clear()


def warmed(call):
    """The result of a call that a program makes by now, if one ever will."""
    for _ in range(recipes.OFTEN + 1):
        call()
    programs.wait()
    return call()


def made_by_programs():
    return {
        key[0].__name__ for key, r in composing.KNOWN.items() if r is not None and r.kind == PROGRAM
    }


@pytest.mark.parametrize("name", CALLS)
def test_programs_have_the_bits_of_the_ops(name, monkeypatch):
    call = CALLS[name]
    with monkeypatch.context() as plain:
        plain.setattr(Merge, "quick", None)
        expected = call()
    got = warmed(call)
    assert got.tensor_type == expected.tensor_type
    assert got.numpy().tobytes() == expected.numpy().tobytes()
    assert made_by_programs()


def test_what_a_composite_calls_has_no_program_before_it_is_called_alone():
    warmed(lambda: F.cross_entropy(X, K))
    assert made_by_programs() == {"cross_entropy"}
    for _ in range(composing.LATER):
        F.log_softmax(X, dim=1)
    warmed(lambda: F.log_softmax(X, dim=1))
    assert made_by_programs() == {"cross_entropy", "log_softmax"}


def test_operands_have_at_most_so_many_elements():
    few = dg.ones(composing.FEW_ELEMENTS)
    more = dg.ones(composing.FEW_ELEMENTS + 1)
    warmed(lambda: F.leaky_relu(more))
    assert not made_by_programs()
    warmed(lambda: F.leaky_relu(few))
    assert made_by_programs() == {"leaky_relu"}


GRADIENTS = {
    "softmax": lambda x, w, v: x.softmax(1), "layer_norm": lambda x, w, v: F.layer_norm(x, (6,), v, v * 2),
    "cross_entropy": lambda x, w, v: F.cross_entropy(x, K), "linear": lambda x, w, v: F.linear(x, w, w[:, 0]),
    "bare linear": lambda x, w, v: F.linear(x, w), "gelu": lambda x, w, v: F.gelu(x.T),
    "norm": lambda x, w, v: x.norm(dim=1),
    "vectors": lambda x, w, v: (x @ v) * (v @ v), "some": lambda x, w, v: F.linear(x.detach(), w, dg.ones(5)),
    "after each other": lambda x, w, v: F.log_softmax(F.linear(F.layer_norm(x, (6,)), w), dim=1) + x.softmax(1).sum(),
}  # fmt: skip


def operands():
    return [dg.tensor(t.numpy(), requires_grad=True) for t in (X, W, V)]


def gradients(fn, sweep):
    given = operands()
    out = fn(*given)
    found = sweep(out, given)
    return [out, *(t for t in found if t is not None)]


def plain(out, given):
    out.sum().backward()
    return [t.grad for t in given]


def twice(out, given):
    first = dg.autograd.grad(out.square().sum(), given, create_graph=True, allow_unused=True)
    sum(g.square().sum() for g in first if g is not None).backward()
    return [*first, *(t.grad for t in given)]


def again(out, given):
    out.mean().backward(retain_graph=True)
    out.sum().backward()
    return [t.grad for t in given]


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_have_the_bits_of_those_of_the_ops(name, monkeypatch):
    fn = GRADIENTS[name]
    for sweep in (plain, twice, again):
        with monkeypatch.context() as slow:
            slow.setattr(Merge, "quick", None)
            expected = gradients(fn, sweep)
        warmed(lambda: fn(*operands()))
        for _ in range(2):  # the gradient is compiled beside the first
            got = gradients(fn, sweep)
            assert [t.tensor_type for t in got] == [t.tensor_type for t in expected], sweep
            for t, e in zip(got, expected, strict=True):
                assert t.detach().numpy().tobytes() == e.detach().numpy().tobytes(), sweep
    assert any(r is not None and r.op for r in composing.KNOWN.values())


def test_sweeps_over_composites_are_whole_programs(monkeypatch):
    monkeypatch.setattr(sweeps, "SELDOM", 1)
    monkeypatch.setattr(sweeps, "OFTEN", 1)
    monkeypatch.setattr(Whole, "serve", staticmethod(sweeps.serve))
    fn = GRADIENTS["after each other"]
    with monkeypatch.context() as slow:
        slow.setattr(Merge, "quick", None)
        slow.setattr(Whole, "serve", None)
        expected = gradients(fn, plain)
    warmed(lambda: fn(*operands()))
    for matcher in (Whole.match, None):
        monkeypatch.setattr(Whole, "match", matcher)
        sweeps._sites.clear()
        for _ in range(4):
            got = gradients(fn, plain)
            sweeps.wait()
            assert all(
                t.detach().numpy().tobytes() == e.detach().numpy().tobytes()
                for t, e in zip(got, expected, strict=True)
            )
        assert any(known.program is not None for s in sweeps._sites.values() for known in s.known)


def test_a_value_that_is_written_after_it_was_saved_is_an_error():
    x = dg.tensor(X.numpy(), requires_grad=True)
    v = dg.tensor(V.numpy(), requires_grad=True)

    def scaled():
        y, w = x * 1, v * 1
        return w, F.layer_norm(y, (6,), w)

    warmed(scaled)
    w, out = scaled()
    w.add_(1)
    with pytest.raises(dg.AutogradError):
        out.sum().backward()
    warmed(lambda: x.softmax(1))
    out = x.softmax(1)
    out.detach().mul_(2)
    with pytest.raises(dg.AutogradError):
        out.sum().backward()
    out = x.softmax(1)
    out.sum().backward()
    with pytest.raises(dg.AutogradError, match="retain_graph"):
        out.sum().backward()


def test_captures_and_views_beside_tape_entries_of_composites():
    base = dg.tensor(X.numpy(), requires_grad=True)
    part = lambda: base[1:3].softmax(1)  # noqa: E731
    first = part()
    first.sum().backward()
    expected, base.grad = base.grad, None
    warmed(part)
    part().sum().backward()
    assert base.grad.numpy().tobytes() == expected.numpy().tobytes()
    assert "softmax" in str(dg.capture(lambda t: t.softmax(1), X))
    twice = dg.tensor(X.numpy(), requires_grad=True)
    warmed(lambda: F.mse_loss(twice, twice))
    F.mse_loss(twice, twice).backward()
    assert not twice.grad.numpy().any()


def test_values_that_are_equal_but_not_the_same_are_told_apart():
    def mean(x, axis):
        return dg.mean(x, axis=axis)

    assert warmed(lambda: mean(X, 1)).shape == (4,)
    for eps in (0.0, -0.0, 0, 1.0, 1, True):
        assert warmed(lambda eps=eps: F.layer_norm(X, (6,), eps=eps)).shape == (4, 6)
    kinds = {key[-1] for key in composing.KNOWN if key[0].__name__ == "layer_norm"}
    assert not any(type(k) is float and str(k) == "-0.0" for k in kinds)
    keys = [key for key in composing.KNOWN if key[0].__name__ == "layer_norm"]
    assert len(keys) == 5  # 0.0, 0, 1.0, 1, True


def test_errors_are_those_of_the_ops():
    warmed(lambda: F.cross_entropy(X, K))
    for _ in range(3):
        with pytest.raises(dg.BoundsError, match="out of range"):
            F.cross_entropy(X, dg.asarray([0, 6, 1, 1]))
        with pytest.raises(dg.ShapeError):
            F.cross_entropy(X, dg.asarray([0, 1]))
    assert np.isfinite(F.cross_entropy(X, K).item())


def test_draws_are_those_of_the_first_calls():
    calls = (
        lambda: dg.rand(3), lambda: dg.randn(2, 3), lambda: dg.randint(-2, 9, (4,)), lambda: dg.randperm(5),
        lambda: dg.rand(3, dtype=dg.float64), lambda: F.dropout(X),
    )  # fmt: skip

    def drawn():
        dg.manual_seed(5)
        return [call().numpy().tobytes() for call in calls]

    expected = drawn()
    for call in calls:
        warmed(call)
    assert drawn() == expected
    assert {"uniform", "normal", "_whole"} <= made_by_programs()


def test_another_default_dtype_forgets():
    k = dg.asarray([1, 2, 3])
    warmed(lambda: k.float().softmax(0))
    dg.set_default_dtype(dg.float64)
    try:
        assert not composing.KNOWN
        assert dg.tensor([1.0]).softmax(0).dtype is dg.float64
    finally:
        dg.set_default_dtype(dg.float32)


VIEWS = {
    "view": (-1, 2), "reshape": ((4, 3),), "flatten": (), "unsqueeze": (-1,), "squeeze": (), "permute": (1, 0),
    "transpose": (0, -1), "t": (), "movedim": (0, 1), "expand": (2, 3, 4), "unflatten": (1, (2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_those_of_the_first_calls(name):
    for make in (
        lambda x: x,
        lambda x: x.mT,
        lambda x: x[:, ::2],
        lambda x: x[1:2].mT,
    ):
        x = dg.asarray(np.arange(12, dtype=np.float32).reshape(3, 4)) * 1
        with contextlib.suppress(dg.ShapeError):  # a view that the memory does not allow
            given = make(x)
            expected = getattr(given, name)(*VIEWS[name])
            for _ in range(2 * plans.HOT):
                got = getattr(given, name)(*VIEWS[name])
            assert got.shape == expected.shape and got.stride() == expected.stride()
            assert got._data.tobytes() == expected._data.tobytes()
            assert (got._parent is None) == (expected._parent is None)
            if got._parent is not None and name != "expand" and got.numel():
                got.mul_(2.0)
                assert x._version == given._version == got._version == 1
                assert expected._data.tobytes() == got._data.tobytes()


def test_gradients_and_captures_of_views():
    w = dg.ones(3, 4).requires_grad_()
    for _ in range(2 * plans.HOT):
        w.grad = None
        out = w.view(4, 3).transpose(0, 1).flatten()
        (out * dg.arange(12)).sum().backward()
    expected = np.arange(12.0).reshape(3, 4).T.reshape(3, 4)
    assert w.grad.tolist() == expected.tolist()
    g = dg.capture(lambda x: x.view(4, 3).t(), dg.ones(3, 4))
    assert [n.prim.name for n in g.nodes] == ["reshape", "permute"]
    assert dg.vmap(lambda x: x.view(2, 2).t())(dg.ones(3, 4)).shape == (3, 2, 2)


def test_what_is_no_view_stays_what_it_is():
    x = dg.ones(3, 4)
    for _ in range(2 * plans.HOT):
        assert x.view(dg.int32).dtype is dg.int32 and x[0].flatten() is not x
        assert x.T.reshape(12)._parent is None
        y = x.flatten()
        assert y.flatten() is y
        with pytest.raises(dg.ShapeError):
            x.view(5, 5)
        with pytest.raises(dg.ShapeError):
            x.T.view(12)


MADE = {
    "zeros": lambda: dg.zeros(3, 2), "zeros by shape": lambda: dg.zeros((2,), dtype=dg.int32),
    "ones": lambda: dg.ones(4, 1), "full": lambda: dg.full((2, 2), 7), "full of -0.0": lambda: dg.full((2,), -0.0),
    "arange": lambda: dg.arange(5), "arange of floats": lambda: dg.arange(1, 2, 0.25), "eye": lambda: dg.eye(3),
    "linspace": lambda: dg.linspace(0, 1, 7), "nothing": lambda: dg.zeros(0, 3),
    "one": lambda: dg.ones(()), "tril_indices": lambda: dg.tril_indices(3, 3), "True": lambda: dg.full((2,), True),
    "leaf": lambda: dg.ones(2, requires_grad=True), "large": lambda: dg.zeros(5000),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_numbers_is_a_new_tensor_each_time(name):
    expected = MADE[name]()
    values = expected.detach().numpy().tobytes()
    for _ in range(plans.HOT + 3):
        made = MADE[name]()
        assert (
            made.tensor_type == expected.tensor_type and made.detach().numpy().tobytes() == values
        )
        assert made.requires_grad == expected.requires_grad and made._parent is None
        with dg.no_grad():
            made.fill_(1)
    before = dg.get_default_dtype()
    try:
        dg.set_default_dtype(dg.float64)
        assert dg.zeros(3, 2).dtype is dg.ones(4, 1).dtype is dg.eye(3).dtype is dg.float64
    finally:
        dg.set_default_dtype(before)
    graph = dg.capture(lambda x: x + dg.arange(5), dg.ones(5))
    assert [n.prim.name for n in graph.nodes if not n.inputs] == ["arange"]


def test_tensors_among_the_arguments_count_by_their_values():
    for _ in range(2 * plans.HOT):
        assert dg.full((2,), dg.asarray(3.0)).tolist() == [3.0, 3.0]
    assert dg.full((2,), dg.asarray(4.0)).tolist() == [4.0, 4.0]
    assert dg.arange(dg.asarray(3)).tolist() == [0, 1, 2]
