"""Tests of ``out=``: results go into tensors that are there, in both modes, and on the tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg

X = np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3)
CALLS: dict[str, Any] = {
    "op": lambda x, **to: dg.add(x, x, **to),
    "respelled": lambda x, **to: dg.sub(input=x, other=x, alpha=3, **to),
    "number": lambda x, **to: dg.mul(2, x, **to),
    "power": lambda x, **to: dg.pow(x, 2, **to),
    "method": lambda x, **to: dg.cumsum(x, axis=1, **to),
    "clamp": lambda x, **to: dg.clamp(input=x, min=2, **to),
    "reduction": lambda x, **to: dg.sum(x, dim=0, keepdim=True, **to),
    "predicate": lambda x, **to: dg.any(x, dim=0, **to),
    "product": lambda x, **to: dg.matmul(x, dg.matrix_transpose(x), **to),
    "joined": lambda x, **to: dg.cat([x, x], 1, **to),
    "stacked": lambda x, **to: dg.stack([x, x], **to),
    "rows": lambda x, **to: dg.vstack((x, x), **to),
    "filled": lambda x, **to: dg.full((2, 3), 7.0, **to),
    "steps": lambda x, **to: dg.arange(0.0, 6.0, **to),
    "factor": lambda x, **to: dg.linalg.cholesky(dg.eye(3) + dg.matrix_transpose(x) @ x, **to),
    "inverse": lambda x, **to: dg.inverse(dg.eye(3) + dg.matrix_transpose(x) @ x, **to),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_go_into_out(name: str) -> None:
    call, x = CALLS[name], dg.tensor(X)
    wanted = call(x)
    for out in (
        dg.empty(0, dtype=wanted.dtype),
        dg.ones_like(wanted),
        dg.ones(wanted.shape, dtype=dg.complex128),
    ):
        seen = out[...]
        assert call(x, out=out) is out and call(x, out=None) is not out
        np.testing.assert_array_equal(out.numpy(), wanted.numpy())
        assert seen.shape == (0,) or seen.tolist() == out.tolist(), "views see it"


def test_several_results() -> None:
    values, places = dg.empty(0), dg.empty(0, dtype=dg.int64)
    found = dg.topk(dg.tensor(X), 2, out=(values, places))
    assert found.values is values and found.indices is places
    assert values.tolist() == [[3.0, 2.0], [6.0, 5.0]] and places.tolist() == [[2, 1], [2, 1]]


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (lambda: dg.ones(3), dg.ShapeError, "dg.empty"),
        (lambda: dg.ones(2, 3, dtype=dg.int64), dg.DTypeError, "int64"),
        (lambda: X.copy(), dg.DTypeError, "ndarray"),
        (lambda: dg.ones(2, 3, requires_grad=True), dg.AutogradError, "leaf"),
    ],
)
def test_an_out_that_does_not_fit(out: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        dg.exp(dg.tensor(X), out=out())
    with pytest.raises(dg.ArgumentError, match="2 tensors"):
        dg.topk(dg.tensor(X), 2, out=out())


def test_an_out_that_does_not_fit_leaves_all_as_they_were() -> None:
    values, empty = dg.zeros(2, 2), dg.empty(0, dtype=dg.int64)
    for places in (dg.ones(5, dtype=dg.int64), [1, 2]):
        with pytest.raises((dg.ShapeError, dg.DTypeError)):
            dg.topk(dg.tensor(X), 2, out=(values, places))
    with pytest.raises(dg.DTypeError, match="int64"):
        dg.exp(dg.tensor(X), out=empty)
    assert values.tolist() == [[0.0, 0.0], [0.0, 0.0]] and empty.shape == (0,)


def test_out_is_on_the_tape_and_may_be_an_operand() -> None:
    def f(x: Any) -> Any:
        out = x * 3
        dg.mul(out, out, out=out)
        return dg.exp(out, out=dg.empty(0)).sum()

    x = dg.tensor([0.1, 0.2, -0.3])
    np.testing.assert_allclose(
        dg.grad(f)(x).numpy(), (18 * x * dg.exp(9 * x * x)).numpy(), rtol=1e-6
    )


def test_compiled_calls_write_out() -> None:
    @dg.compile(wait=True)
    def f(x: Any, out: Any) -> Any:
        dg.add(x, 1, out=out)
        dg.sum(x, 0, out=total)
        return out * 2

    out, total = dg.empty(2, 3), dg.empty(3)
    for k in range(4):
        x = dg.tensor(X * k)
        assert f(x, out).tolist() == (2 * (x + 1)).tolist()
        assert out.tolist() == (x + 1).tolist() and total.tolist() == x.sum(0).tolist()
    assert len(f.programs) == 1
