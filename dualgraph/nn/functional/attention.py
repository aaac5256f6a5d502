"""Attention under PyTorch's names and signatures."""

from __future__ import annotations

from ...core.errors import ShapeError
from ...core.types import broadcast_shapes
from ...eager import Tensor
from ...ops.nn.attention import attention, dropped_attention
from .dropout import kept


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
    The weights (..., L, S) are never held in memory, nor kept for the gradient; with dropout, a byte for each says
    which are kept. The draws are those of ``dropout`` on the weights.

    >>> q = dg.ones(1, 2, 3, 4)
    >>> dg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    (1, 2, 3, 4)
    """
    heads = query.shape[-3] if enable_gqa else 0
    if enable_gqa:
        query, key, value, attn_mask = _grouped(query, key, value, attn_mask)
    how = attn_mask, is_causal, scale
    if dropout_p == 0:
        out = attention(query, key, value, *how)
    elif dropout_p == 1:
        out = attention(query, key, value, *how) * 0.0
    else:
        keep = kept(_weights_shape(query, key, attn_mask), dropout_p, query.device)
        out = dropped_attention(query, key, value, keep, dropout_p, *how)
    return out.reshape(*out.shape[:-4], heads, *out.shape[-2:]) if enable_gqa else out


def _weights_shape(query: Tensor, key: Tensor, mask: Tensor | None) -> tuple[int, ...]:
    leads = [x.shape[:-2] for x in (query, key)] + ([] if mask is None else [mask.shape[:-2]])
    return (*broadcast_shapes(*leads), query.shape[-2], key.shape[-2])


def _grouped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Operands with the query's heads as (heads of key, queries of each): nothing is repeated."""
    heads, own = query.shape[-3], key.shape[-3]
    for x in (key, value):
        if heads % x.shape[-3]:
            raise ShapeError(
                f"scaled_dot_product_attention: {heads} heads do not divide among {x.shape[-3]}"
            )
    if value.shape[-3] != own:
        value = value.repeat_interleave(heads // value.shape[-3], dim=-3)
        key = key.repeat_interleave(heads // own, dim=-3)
        own = heads
    query = query.reshape(*query.shape[:-3], own, heads // own, *query.shape[-2:])
    if mask is not None and mask.ndim > 2:
        split = (1, 1) if mask.shape[-3] == 1 else (own, heads // own)
        mask = mask.reshape(*mask.shape[:-3], *split, *mask.shape[-2:])
    return query, key.unsqueeze(-3), value.unsqueeze(-3), mask
