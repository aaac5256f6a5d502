"""Saved values: writes in place are refused exactly where a wanted gradient would read what they spoilt."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dualgraph as dg
from dualgraph.core.errors import AutogradError
from dualgraph.core.kinds import movement
from dualgraph.core.prim import REGISTRY


def gradient(f: Callable[[Any], Any]) -> list[float]:
    x = dg.tensor([1.0, 2.0], requires_grad=True)
    f(x).sum().backward()
    return x.grad.tolist()  # type: ignore[no-any-return]


def test_scaling_in_place_needs_no_saved_operand() -> None:
    def f(x: Any) -> Any:
        h = x * 3.0
        h *= 2.0
        h /= 4.0
        h += 1.0
        h -= x
        return h

    assert gradient(f) == [0.5, 0.5]


def test_a_product_reads_only_the_other_operand() -> None:
    def f(x: Any) -> Any:
        h, mask = x * 3.0, dg.asarray([1.0, 0.0])
        y = h * mask
        h += 1.0  # only the gradient of the mask would read it
        return y

    assert gradient(f) == [3.0, 0.0]


def test_what_a_wanted_gradient_reads_is_guarded() -> None:
    def product(x: Any) -> Any:
        h = x * 3.0
        y = h * x
        h += 1.0
        return y

    def operand(x: Any) -> Any:
        h = x * 3.0
        y = dg.sin(h)
        h += 1.0
        return y

    def result(x: Any) -> Any:
        y = dg.exp(x)
        y += 1.0
        return y

    for f in (product, operand, result):
        with pytest.raises(AutogradError, match=r"changed in place(.|\n)*test_saved_values"):
            gradient(f)


def test_a_spoiled_operand_has_a_type_but_no_values() -> None:
    seen = []

    def rule(ct: Any, out: Any, x: Any) -> Any:
        seen.append((x.shape, x.ndim, x.dtype, x.tensor_type))
        return (ct if peek is None else peek(x) * ct,)

    op = movement(lambda xp, x: x.copy(), name="test_copy")
    op.type(lambda x: x)
    op.vjp(rule)

    def f(x: Any) -> Any:
        h = x * 3.0
        y = op(h)
        h += 1.0
        return y

    peek: Any = None
    try:
        assert gradient(f) == [3.0, 3.0]
        for reader in (dg.exp, np.asarray, lambda x: x + 1.0, lambda x: 1.0 - x, dg.sum, dg.clone):
            peek = reader
            with pytest.raises(AutogradError, match=r"test_copy.*operand 0 was changed in place"):
                gradient(f)
    finally:
        del REGISTRY["test_copy"]
    assert set(seen) == {((2,), 1, dg.float32, dg.ones(2).tensor_type)}


def test_a_sweep_lets_go_of_what_it_is_past() -> None:
    def gone_before_the_end(retain: bool) -> bool:
        x = dg.tensor([1.0, 2.0], requires_grad=True)
        late = dg.sin(x * 2.0)
        saved = weakref.ref(late)
        y = dg.cos(late).sum()
        seen: list[bool] = []
        x.register_hook(lambda _: seen.append(saved() is None))
        del late
        y.backward(retain_graph=retain)
        return seen[0]

    assert gone_before_the_end(retain=False)
    assert not gone_before_the_end(retain=True)


def test_a_written_result_that_the_gradient_does_not_need_does_no_harm() -> None:
    def shares(x: dg.Tensor) -> dg.Tensor:
        best, _ = dg.topk(x, 2)
        best /= best.sum(dim=-1, keepdim=True)
        return (best * dg.arange(2.0)).sum()

    def apart(x: dg.Tensor) -> dg.Tensor:
        best, _ = dg.topk(x, 2)
        return (best / best.sum(dim=-1, keepdim=True) * dg.arange(2.0)).sum()

    x = dg.rand(5, 4) + 0.5
    expected = dg.grad(apart)(x).numpy().tobytes()
    assert dg.grad(shares)(x).numpy().tobytes() == expected
    compiled = dg.compile(dg.grad(shares), wait=True)
    for _ in range(3):
        assert compiled(x).numpy().tobytes() == expected
    q, r = dg.linalg.qr(dg.rand(4, 3, requires_grad=True))
    r += 1
    with pytest.raises(AutogradError, match=r"qr.*the result of this op .* was changed in place"):
        (q.sum() + r.sum()).backward()
