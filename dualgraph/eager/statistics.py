"""Statistics with the Array API's signatures: mean, variance and what is built of exponentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.errors import DTypeError, describe
from ..ops import composites
from .operands import also_dim, as_operand, astype
from .tensor import Tensor

Axis = int | Sequence[int] | None


def _inexact(op: str, x: Any) -> Tensor:
    x = as_operand(x)
    if not x.dtype.is_inexact:
        raise DTypeError(
            describe(op, str(x.tensor_type), "needs a floating tensor", "cast with .float()")
        )
    return x


@also_dim
def mean(x: Any, /, axis: Axis = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor:
    """Arithmetic mean over `axis` (all axes by default).

    >>> dg.mean(dg.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([2., 3.])
    """
    x = as_operand(x) if dtype is None else astype(x, dtype, copy=False)
    return composites.mean(_inexact("mean", x), axis=axis, keepdims=bool(keepdims))


@also_dim
def var(
    x: Any,
    /,
    *,
    axis: Axis = None,
    correction: float = 0.0,
    keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """Variance over `axis`: squares of the distance to the mean, divided by ``n - correction``.

    ``unbiased=True`` is PyTorch's way to say ``correction=1`` (and False 0).

    >>> dg.var(dg.asarray([1., 2., 3., 4.])).item()
    1.25
    """
    free = correction if unbiased is None else int(unbiased)
    return composites.var(_inexact("var", x), axis=axis, correction=free, keepdims=bool(keepdims))


@also_dim
def std(
    x: Any,
    /,
    *,
    axis: Axis = None,
    correction: float = 0.0,
    keepdims: bool = False,
    unbiased: bool | None = None,
) -> Tensor:
    """Standard deviation over `axis`: the root of `var`.

    >>> dg.std(dg.asarray([1.0, 2.0, 3.0, 4.0]), correction=1)
    tensor(1.2910)
    """
    free = correction if unbiased is None else int(unbiased)
    return composites.std(_inexact("std", x), axis=axis, correction=free, keepdims=bool(keepdims))


@also_dim
def softmax(x: Any, /, axis: int = -1, *, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `axis`.

    >>> dg.softmax(dg.asarray([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return composites.softmax(as_operand(x), axis=axis, dtype=dtype)


@also_dim
def log_softmax(x: Any, /, axis: int = -1, *, dtype: Any = None) -> Tensor:
    """``log(softmax(x))`` along `axis`.

    >>> dg.log_softmax(dg.asarray([0.0, 0.0]), 0)
    tensor([-0.6931, -0.6931])
    """
    return composites.log_softmax(as_operand(x), axis=axis, dtype=dtype)
