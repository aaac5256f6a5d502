"""Masked: reductions over the elements that a mask keeps, under the names of ``torch.masked``.

`mask` is a bool tensor that stretches to the input's shape: True keeps an element. Without one all are kept. Where none
is kept, a sum is 0, a product 1, a mean NaN, and the largest is the least number of the dtype (-inf of floats).
"""

from __future__ import annotations

from math import inf
from typing import Any

from .eager import Tensor
from .eager.dtype_info import iinfo
from .eager.methods import reduction as full
from .eager.operands import as_operand, astype
from .eager.shapes import broadcast_to
from .ops.arithmetic import divide, maximum, sqrt, square, subtract, where

Dims = int | tuple[int, ...] | None


def _kept(input: Any, mask: Any, otherwise: Any, dtype: Any = None) -> Tensor:
    """The input, with `otherwise` where the mask does not keep it."""
    x = as_operand(input) if dtype is None else astype(input, dtype)
    return x if mask is None else where(as_operand(mask), x, otherwise)  # type: ignore[no-any-return]


def _least(x: Tensor, sign: int) -> Any:
    """What every element of the dtype is at least (at most: `sign` -1)."""
    if x.dtype.is_inexact:
        return -inf * sign
    if x.dtype.kind == "bool":
        return sign < 0
    return iinfo(x.dtype).min if sign > 0 else iinfo(x.dtype).max


def _count(x: Tensor, mask: Any, dim: Dims, keepdim: bool) -> Tensor:
    kept = broadcast_to(as_operand(True if mask is None else mask), x.shape)
    return full.sum(kept, dim, keepdim)


def sum(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Sum of what is kept.

    >>> x = dg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> dg.masked.sum(x, dim=1, mask=x > 1)
    tensor([2., 7.])
    """
    return full.sum(_kept(input, mask, 0, dtype), dim, keepdim)


def prod(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Product of what is kept.

    >>> dg.masked.prod(dg.tensor([2, 3, 4]), mask=dg.tensor([True, False, True]))
    tensor(8)
    """
    return full.prod(_kept(input, mask, 1, dtype), dim, keepdim)


def mean(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """Mean of what is kept.

    >>> dg.masked.mean(dg.tensor([1.0, 2.0, 9.0]), mask=dg.tensor([True, True, False]))
    tensor(1.5000)
    """
    x = _kept(input, mask, 0, dtype)
    return divide(full.sum(x, dim, keepdim), _count(x, mask, dim, keepdim))  # type: ignore[no-any-return]


def var(
    input: Any,
    dim: Dims = None,
    unbiased: bool = True,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Variance of what is kept; `unbiased` divides by one less than the count.

    >>> dg.masked.var(dg.tensor([1.0, 3.0, 9.0]), mask=dg.tensor([True, True, False]))
    tensor(2.)
    """
    x = _kept(input, mask, 0, dtype)
    away = _kept(subtract(x, mean(x, dim, keepdim=True, mask=mask)), mask, 0)
    count = _count(x, mask, dim, keepdim)
    over = maximum(count - 1, 0) if unbiased else count
    return divide(full.sum(square(away), dim, keepdim), over)  # type: ignore[no-any-return]


def std(
    input: Any,
    dim: Dims = None,
    unbiased: bool = True,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Standard deviation of what is kept: the root of `var`.

    >>> dg.masked.std(dg.tensor([1.0, 3.0, 9.0]), unbiased=False, mask=dg.tensor([True, True, False]))
    tensor(1.)
    """
    return sqrt(var(input, dim, unbiased, keepdim=keepdim, dtype=dtype, mask=mask))  # type: ignore[no-any-return]


def amax(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The largest of what is kept.

    >>> dg.masked.amax(dg.tensor([1, 5, 3]), mask=dg.tensor([True, False, True]))
    tensor(3)
    """
    least = _least(as_operand(input), 1)
    return full.amax(_kept(input, mask, least, dtype), () if dim is None else dim, keepdim)


def amin(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """The smallest of what is kept.

    >>> dg.masked.amin(dg.tensor([1, 5, 3]), mask=dg.tensor([False, True, True]))
    tensor(3)
    """
    most = _least(as_operand(input), -1)
    return full.amin(_kept(input, mask, most, dtype), () if dim is None else dim, keepdim)


def argmax(
    input: Any,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Where the largest of what is kept stands.

    >>> dg.masked.argmax(dg.tensor([1, 5, 3]), mask=dg.tensor([True, False, True]))
    tensor(2)
    """
    return full.argmax(_kept(input, mask, _least(as_operand(input), 1), dtype), dim, keepdim)


def argmin(
    input: Any,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Tensor:
    """Where the smallest of what is kept stands.

    >>> dg.masked.argmin(dg.tensor([1, 5, 3]), mask=dg.tensor([False, True, True]))
    tensor(2)
    """
    return full.argmin(_kept(input, mask, _least(as_operand(input), -1), dtype), dim, keepdim)


def logsumexp(
    input: Any, dim: Dims = None, *, keepdim: bool = False, dtype: Any = None, mask: Any = None
) -> Tensor:
    """``log(sum(exp(x)))`` of what is kept.

    >>> dg.masked.logsumexp(dg.tensor([0.0, 0.0, 9.0]), 0, mask=dg.tensor([True, True, False]))
    tensor(0.6931)
    """
    return full.logsumexp(_kept(input, mask, -inf, dtype), dim, keepdim)


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Softmax over what is kept; elsewhere 0 (NaN where none is kept).

    >>> dg.masked.softmax(dg.tensor([0.0, 0.0, 9.0]), 0, mask=dg.tensor([True, True, False])).tolist()
    [0.5, 0.5, 0.0]
    """
    return full.softmax(_kept(input, mask, -inf, dtype), dim)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Logarithm of `softmax`; elsewhere -inf.

    >>> dg.masked.log_softmax(dg.tensor([0.0, 9.0]), 0, mask=dg.tensor([True, False])).tolist()
    [0.0, -inf]
    """
    return full.log_softmax(_kept(input, mask, -inf, dtype), dim)


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Running sums of what is kept.

    >>> dg.masked.cumsum(dg.tensor([1, 2, 3]), 0, mask=dg.tensor([True, False, True]))
    tensor([1, 1, 4])
    """
    return full.cumsum(_kept(input, mask, 0, dtype), dim)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Tensor:
    """Running products of what is kept.

    >>> dg.masked.cumprod(dg.tensor([2, 3, 4]), 0, mask=dg.tensor([True, False, True]))
    tensor([2, 2, 8])
    """
    return full.cumprod(_kept(input, mask, 1, dtype), dim)


__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logsumexp", "mean", "prod", "softmax",
    "std", "sum", "var",
]  # fmt: skip
