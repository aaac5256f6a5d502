"""Attention: values averaged with weights from the likeness of queries and keys (Vaswani et al., 2017)."""

from __future__ import annotations

from math import sqrt
from typing import Any

from ...core.composite import composite
from ...core.errors import ShapeError
from ..arithmetic import divide, multiply, subtract, where
from ..comparison import equal, greater_equal, isfinite
from ..composites import accumulating
from ..contraction import matmul_op, swap_last
from ..creation import arange_op
from ..movement import reshape, stop_gradient
from ..reduce import reduce_max, reduce_sum
from ..transcendental import exp


@composite
def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """``softmax(query @ key.T * scale) @ value``: (..., L, E), (..., S, E), (..., S, V) to (..., L, V).

    A bool mask is True where a query may look; another mask is added to the scores. Causal: query i
    sees keys up to i. A query that may look nowhere gets zeros.
    """
    return matmul_op(attention_weights(query, key, mask, is_causal, scale), value)


def attention_weights(
    query: Any, key: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    """The weights of `attention`: each row sums to 1, or is 0 where the query may look nowhere."""
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"attention: query {query.shape} and key {key.shape} must agree in their last axis"
        )
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul_op(multiply(query, factor), swap_last(key))
    if is_causal:
        scores = where(_causal(scores.shape[-2], scores.shape[-1], query), scores, float("-inf"))
    if mask is not None:
        scores = where(mask, scores, float("-inf")) if mask.dtype.kind == "bool" else scores + mask
    return _safe_softmax(scores)


def _causal(rows: int, columns: int, beside: Any) -> Any:
    """True at (i, j) where j <= i."""
    how = {"start": 0, "step": 1, "dtype": "int64", "device": str(beside.device)}
    i = reshape(arange_op(size=rows, **how), shape=(rows, 1))
    return greater_equal(i, reshape(arange_op(size=columns, **how), shape=(1, columns)))


@accumulating
def _safe_softmax(x: Any) -> Any:
    """Softmax along the last axis, with zeros where all elements are -inf."""
    axes = (x.ndim - 1,)
    top = reduce_max(stop_gradient(x), axes=axes, keepdims=True)
    grown = exp(subtract(x, where(isfinite(top), top, 0)))
    total = reduce_sum(grown, axes=axes, keepdims=True)
    return divide(grown, where(equal(total, 0), 1, total))
