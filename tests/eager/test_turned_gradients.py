"""The gradient of a transposed matrix is made in the order of the matrix itself, to the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.backends.native import api


def gradients(w: Any, x: Any, turned: bool) -> Any:
    w = w.detach().clone().requires_grad_()
    ((x @ (w.T if turned else w)) ** 2).sum().backward()
    return w.grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lead", [(9,), (4, 9)])
def test_both_ways_agree(dtype: str, lead: tuple[int, ...]) -> None:
    dg.manual_seed(0)
    kind = getattr(dg, dtype)
    w, x = dg.randn(5, 7, dtype=kind), dg.randn(*lead, 7, dtype=kind)
    a = gradients(w, x, True).numpy()
    b = gradients(w.T.contiguous(), x, False).numpy().T
    assert a.strides == w.numpy().strides
    if api.available():
        assert a.tobytes() == np.ascontiguousarray(b).tobytes()
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_second_order_and_captures() -> None:
    dg.manual_seed(0)
    w, x = dg.randn(5, 7), dg.randn(9, 7)

    def second(w: Any) -> Any:
        return dg.grad(lambda w: (dg.grad(lambda w: ((x @ w.T) ** 3).sum())(w) ** 2).sum())(w)

    expected = second(w).numpy().tobytes()
    compiled = dg.compile(second, wait=True)
    assert [compiled(w).numpy().tobytes() for _ in range(2)] == [expected] * 2


@pytest.mark.skipif(not api.available(), reason="no native code")
def test_the_product_is_made_in_that_order() -> None:
    seen: list[Any] = []
    w = dg.randn(5, 7).requires_grad_()
    turned = w.T
    turned.register_hook(lambda ct: seen.append(ct.detach().numpy().strides))
    (dg.randn(9, 7) @ turned).sum().backward()
    assert seen == [(4, 28)]
