"""Attention under PyTorch's names and signatures."""

from __future__ import annotations

from ...core.errors import ShapeError
from ...eager import Tensor
from ...eager.functions import matmul
from ...ops.nn.attention import attention, attention_weights
from .dropout import dropout


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale) @ value`` with a mask, causality, and dropout of the weights.

    Shapes (..., L, E), (..., S, E), (..., S, V) to (..., L, V). A bool mask is True where a query
    may look. With `enable_gqa` each head of key and value (axis -3) serves several of the query.

    >>> q = dg.ones(1, 2, 3, 4)
    >>> dg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    (1, 2, 3, 4)
    """
    if enable_gqa:
        key, value = (_for_each_head(x, query.shape[-3]) for x in (key, value))
    if dropout_p == 0:
        return attention(query, key, value, attn_mask, is_causal, scale)
    weights = attention_weights(query, key, attn_mask, is_causal, scale)
    return matmul(dropout(weights, dropout_p), value)


def _for_each_head(x: Tensor, heads: int) -> Tensor:
    """x with each of its heads repeated so that there are `heads`."""
    if heads % x.shape[-3]:
        raise ShapeError(
            f"scaled_dot_product_attention: {heads} heads do not divide among {x.shape[-3]}"
        )
    return x.repeat_interleave(heads // x.shape[-3], dim=-3)
