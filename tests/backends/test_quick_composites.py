"""Composites called often on few elements run as one program each, to the bits of their ops."""

import os

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api
from dualgraph.core.composite import Merge
from dualgraph.nn import functional as F

if not api.available() or os.environ.get("DUALGRAPH_QUICK") == "0":
    pytest.skip("there is no quick path", allow_module_level=True)

from dualgraph.backends.native.quick import composing, install, programs, recipes
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
    assert got.type == expected.type
    assert got.numpy().tobytes() == expected.numpy().tobytes()
    assert made_by_programs()


def test_gradients_are_recorded_op_by_op():
    warmed(lambda: X.softmax(1))
    x = dg.tensor(X.numpy(), requires_grad=True)
    x.softmax(1).square().sum().backward()
    y = dg.tensor(X.numpy(), requires_grad=True)
    z = (y - y.amax(1, keepdim=True).detach()).exp()
    (z / z.sum(1, keepdim=True)).square().sum().backward()
    assert np.allclose(x.grad.numpy(), y.grad.numpy(), atol=1e-6)
    assert "softmax" in str(dg.capture(lambda t: t.softmax(1), X))


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
