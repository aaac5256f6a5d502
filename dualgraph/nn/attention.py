"""Multi-head attention (Vaswani et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from ..core.errors import ArgumentError, ShapeError
from ..eager import Tensor, concat, empty, zeros
from ..eager.functions import matmul
from ..ops.arithmetic import where
from ..ops.nn.attention import attention_weights
from . import functional as F
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class SDPBackend(Enum):
    """Kernels of attention that PyTorch chooses from; one serves here, with the same bits whatever is asked for."""

    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3


@contextmanager
def sdpa_kernel(
    backends: SDPBackend | list[SDPBackend], set_priority: bool = False
) -> Iterator[None]:
    """Context: attention may be computed by these kernels. Here it is what it is outside.

    >>> from dualgraph.nn.attention import SDPBackend, sdpa_kernel
    >>> q = dg.ones(1, 1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     dg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    (1, 1, 2, 4)
    """
    for backend in backends if isinstance(backends, (list, tuple, set)) else [backends]:
        if not isinstance(backend, SDPBackend):
            problem = "takes members of SDPBackend, one or a list of them"
            raise ArgumentError(f"sdpa_kernel: {problem}, not {backend!r}")
    yield


class MultiheadAttention(Module):
    """Attention in `num_heads` subspaces: query (L, N, E), key and value (S, N, ...) to (L, N, E) and weights.

    With ``batch_first`` the batch axis comes first. Masks are True (or -inf, when floating) where
    a query may NOT look: ``attn_mask`` (L, S) or (N * heads, L, S), ``key_padding_mask`` (N, S).

        >>> layer = dg.nn.MultiheadAttention(8, num_heads=2, batch_first=True)
        >>> x = dg.randn(1, 5, 8)
        >>> out, weights = layer(x, x, x)
        >>> (out.shape, weights.shape)
        ((1, 5, 8), (1, 5, 5))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: embed_dim {embed_dim} must be divisible by num_heads {num_heads}"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        how = {"device": device, "dtype": dtype}
        together = self.kdim == embed_dim and self.vdim == embed_dim
        parts = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        for name, width in parts.items():
            own = None if together else Parameter(empty(embed_dim, width, **how))
            self.register_parameter(f"{name}_proj_weight", own)
        self.register_parameter(
            "in_proj_weight",
            Parameter(empty(3 * embed_dim, embed_dim, **how)) if together else None,
        )
        self.register_parameter(
            "in_proj_bias", Parameter(empty(3 * embed_dim, **how)) if bias else None
        )
        self.out_proj = Linear(embed_dim, embed_dim, bias, **how)
        for name in ("bias_k", "bias_v"):
            own = Parameter(empty(1, 1, embed_dim, **how)) if add_bias_kv else None
            self.register_parameter(name, own)
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        single = query.ndim == 2
        query, key, value = (self._batch_first(x, single) for x in (query, key, value))
        q, k, v = (self._heads(x, i) for i, x in enumerate((query, key, value)))
        if is_causal and attn_mask is None:
            raise ArgumentError(
                "MultiheadAttention: is_causal needs attn_mask, of which it is only a hint"
            )
        mask = self._mask(q, key_padding_mask, attn_mask, single)
        k, v, mask = self._further(k, v, mask)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights = F.dropout(attention_weights(q, k, mask), p, training=p > 0)
            out = matmul(weights, v)
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, p)
        n, _, length, _ = out.shape
        out = self.out_proj(out.transpose(1, 2).reshape(n, length, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if single:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return out if self.batch_first else out.transpose(0, 1), weights

    def _batch_first(self, x: Tensor, single: bool) -> Tensor:
        if x.ndim != (2 if single else 3):
            raise ShapeError(
                f"MultiheadAttention: query, key and value must all have 2 or all 3 axes, not {x.shape}"
            )
        return x.unsqueeze(0) if single else x if self.batch_first else x.transpose(0, 1)

    def _heads(self, x: Tensor, part: int) -> Tensor:
        """Projection `part` (query, key, value) of x: (N, heads, length, head_dim)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        if self.in_proj_weight is not None:
            weight = self.in_proj_weight[rows]
        else:
            weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[part]
        y = F.linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[rows])
        return y.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _further(
        self, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values with one that is trained, and one of zeros, behind them; no mask hides these."""
        n, _, length, _ = k.shape
        if self.bias_k is not None:
            shape = (1, self.num_heads, 1, self.head_dim)
            k, v = (
                concat([x, extra.reshape(shape).expand(n, -1, -1, -1)], axis=2)
                for x, extra in ((k, self.bias_k), (v, self.bias_v))
            )
        if self.add_zero_attn:
            k, v = (F.pad(x, (0, 0, 0, 1)) for x in (k, v))
        more = k.shape[2] - length
        return k, v, F.pad(mask, (0, more)) if mask is not None and more else mask

    def _mask(
        self, q: Tensor, padding: Tensor | None, mask: Tensor | None, single: bool
    ) -> Tensor | None:
        """Both masks as one to add to the scores (N, heads, L, S)."""
        parts = []
        if mask is not None:
            mask = _additive(mask, q)
            parts.append(
                mask if mask.ndim == 2 else mask.reshape(-1, self.num_heads, *mask.shape[1:])
            )
        if padding is not None:
            padding = _additive(padding.unsqueeze(0) if single else padding, q)
            parts.append(padding.reshape(padding.shape[0], 1, 1, padding.shape[1]))
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _additive(mask: Tensor, beside: Tensor) -> Tensor:
    """A mask to add: -inf where a bool mask is True."""
    if mask.dtype.kind != "bool":
        return mask
    return where(mask, float("-inf"), zeros((), dtype=beside.dtype, device=beside.device))
