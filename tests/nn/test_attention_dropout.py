"""Attention with dropout: the weights of dropout on the weights, without holding them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dualgraph as dg
import dualgraph.nn.functional as F
from dualgraph.backends.native import api
from dualgraph.ops.nn.attention import attention_weights

RNG = np.random.default_rng(4)


def tensors(dtype: str, *shapes: tuple[int, ...]) -> list[Any]:
    return [dg.from_numpy(RNG.standard_normal(s).astype(dtype)) for s in shapes]


def plain(q: Any, k: Any, v: Any, mask: Any, p: float, causal: bool) -> Any:
    return dg.matmul(F.dropout(attention_weights(q, k, mask, causal), p), v)


def results(fn: Any, q: Any, k: Any, v: Any, mask: Any, p: float, causal: bool) -> list[Any]:
    wanted = [x for x in (q, k, v, mask) if x is not None and x.dtype is not dg.bool]
    for x in wanted:
        x.requires_grad_(True)
        x.grad = None
    dg.manual_seed(3)
    out = fn(q, k, v, mask, p, causal)
    (out * out).sum().backward()
    return [out.detach().numpy(), *(x.grad.numpy().copy() for x in wanted)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", [None, "bool", "float", "row"])
def test_it_is_dropout_of_the_weights(dtype: str, causal: bool, kind: str | None) -> None:
    q, k, v = tensors(dtype, (2, 3, 37, 8), (2, 1, 41, 8), (1, 3, 41, 5))
    mask = None
    if kind == "bool":
        mask = dg.from_numpy(RNG.random((37, 41)) > 0.3)
    elif kind is not None:
        (mask,) = tensors(dtype, (2, 1, 37, 41) if kind == "float" else (41,))
    given = q, k, v, mask, 0.4, causal
    exact = 3e-6 if dtype == "float32" else 1e-14
    for got, want in zip(
        results(F.scaled_dot_product_attention, *given), results(plain, *given), strict=True
    ):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, atol=exact * np.abs(want).max(), rtol=0)


@pytest.mark.parametrize("p", [0.97, 0.999])
def test_queries_that_keep_nothing_get_zeros_and_no_gradient(p: float) -> None:
    q, k, v = tensors("float32", (2, 9, 4), (2, 3, 4), (2, 3, 4))
    out, *grads = results(F.scaled_dot_product_attention, q, k, v, None, p, True)
    assert (out == 0).any() and all(np.isfinite(x).all() for x in (out, *grads))


def test_limits_of_p() -> None:
    q, k, v = tensors("float32", (2, 5, 4), (2, 6, 4), (2, 6, 3))
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=1.0) == 0).all()
    assert dg.equal(
        F.scaled_dot_product_attention(q, k, v, dropout_p=0.0),
        F.scaled_dot_product_attention(q, k, v),
    ).all()
    with pytest.raises(ValueError, match="probability"):
        F.scaled_dot_product_attention(q, k, v, dropout_p=1.5)


def test_a_captured_training_step_has_the_bits_of_eager_mode() -> None:
    def step(q: Any, k: Any, v: Any) -> Any:
        f = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, None, 0.3, True).sum()  # noqa: E731
        return dg.grad(f, argnums=(0, 1, 2))(q, k, v)

    given = tensors("float32", (2, 2, 70, 8), (2, 2, 70, 8), (2, 2, 70, 8))
    compiled = dg.compile(step, wait=True, memory="1GB")
    dg.manual_seed(0)
    want = [[x.numpy().tobytes() for x in step(*given)] for _ in range(3)]
    dg.manual_seed(0)
    got = [[x.numpy().tobytes() for x in compiled(*given)] for _ in range(3)]
    assert got == want and got[0] != got[1]
    floats = [
        v.type
        for n in compiled.programs[0].graph.nodes
        for v in n.outputs
        if v.type.shape[-2:] == (70, 70) and v.type.dtype.is_floating_point
    ]
    assert not floats or not api.available()  # no scores, no weights; NumPy alone holds the draws


def test_heads_that_share_keys() -> None:
    q, k, v = tensors("float64", (1, 6, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4))
    wide = [x.repeat_interleave(3, dim=1) for x in (k, v)]
    outs = []
    for key, value, shared in ((k, v, True), (*wide, False)):
        dg.manual_seed(5)
        outs.append(
            F.scaled_dot_product_attention(q, key, value, dropout_p=0.5, enable_gqa=shared).numpy()
        )
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-14)
