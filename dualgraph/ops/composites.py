"""Composites: means, spreads and softmax, written as plain functions of other ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any, TypeVar

from ..core.composite import composite
from ..core.dtypes import get_default_dtype
from ..core.numbers.sizing import at_least, to_float
from ..core.types import broadcast_shapes
from .arithmetic import (
    abs,
    cast,
    conj,
    divide,
    multiply,
    real_part,
    sign,
    sqrt,
    square,
    subtract,
    where,
)
from .axes import normalize_axes
from .comparison import isfinite
from .creation import full
from .movement import stop_gradient
from .reduce import broadcast_to, reduce_max, reduce_sum
from .transcendental import exp, log

Axis = int | tuple[int, ...] | None
F = TypeVar("F", bound=Callable[..., Any])


def accumulating(fn: F) -> F:
    """Decorator: 16-bit floats are computed in float32 and the result rounded once, as in PyTorch."""

    @wraps(fn)
    def call(x: Any, *args: Any, **params: Any) -> Any:
        if x.dtype.itemsize != 2 or not x.dtype.is_floating_point:
            return fn(x, *args, **params)
        out = fn(cast(x, dtype="float32"), *args, **params)
        return cast(out, dtype=x.dtype.name) if out.dtype.name == "float32" else out

    return call  # type: ignore[return-value]


def _count(x: Any, axes: tuple[int, ...]) -> int:
    return prod(x.shape[a] for a in axes)


@composite
@accumulating
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over `axis`: ``sum(x) / n``; integers give the default floating dtype.

    >>> import dualgraph as dg
    >>> dg.mean(dg.asarray([[1., 2.], [3., 4.]]), axis=0).tolist()
    [2.0, 3.0]
    """
    axes = normalize_axes(axis, x.ndim)
    return divide(reduce_sum(x, axes=axes, keepdims=keepdims), to_float(_count(x, axes)))


@composite
@accumulating
def var(x: Any, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Any:
    """Variance over `axis`: ``sum((x - mean(x))**2) / (n - correction)``, in two passes.

    With fewer than `correction` elements the result is inf or NaN, as a division by zero.

    >>> import dualgraph as dg
    >>> dg.var(dg.asarray([1., 2., 3., 4.])).item()
    1.25
    """
    axes = normalize_axes(axis, x.ndim)
    centred = subtract(x, mean(x, axis=axes, keepdims=True))
    freedom = to_float(at_least(_count(x, axes) - correction, 0))
    return divide(reduce_sum(_squares(centred), axes=axes, keepdims=keepdims), freedom)


@composite
@accumulating
def std(x: Any, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Any:
    """Standard deviation over `axis`: ``sqrt(var(x))``; its gradient is 0 where all elements are equal."""
    return root(var(x, axis=axis, correction=correction, keepdims=keepdims))


def _shift(x: Any, axes: tuple[int, ...]) -> Any:
    """The largest element, kept off the tape: what softmax subtracts cancels in exact arithmetic.

    0 where there is no element: the sum of none is 0, and softmax has nothing to give.
    """
    if not _count(x, axes):
        shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
        return full(shape=shape, value=0, dtype=x.dtype.name, device=str(x.device))
    return reduce_max(stop_gradient(x), axes=axes, keepdims=True)


@composite
def softmax(x: Any, axis: int = -1, dtype: Any = None) -> Any:
    """``exp(x) / sum(exp(x))`` along `axis`, shifted by the maximum so that nothing overflows.

    >>> import dualgraph as dg
    >>> dg.softmax(dg.asarray([0., 0.]), axis=0).tolist()
    [0.5, 0.5]
    """
    return _softmax(_as(x, dtype), normalize_axes(axis, x.ndim))


@accumulating
def _softmax(x: Any, axes: tuple[int, ...]) -> Any:
    grown = exp(subtract(x, _shift(x, axes)))
    return divide(grown, reduce_sum(grown, axes=axes, keepdims=True))


@composite
def log_softmax(x: Any, axis: int = -1, dtype: Any = None) -> Any:
    """``log(softmax(x))`` along `axis`, without the loss of small probabilities."""
    return _log_softmax(_as(x, dtype), normalize_axes(axis, x.ndim))


@accumulating
def _log_softmax(x: Any, axes: tuple[int, ...]) -> Any:
    shifted = subtract(x, _shift(x, axes))
    return subtract(shifted, log(reduce_sum(exp(shifted), axes=axes, keepdims=True)))


@composite
def softmin(x: Any, axis: int = -1, dtype: Any = None) -> Any:
    """``softmax(-x)``."""
    return softmax(-_floating(x), axis=axis, dtype=dtype)


@composite
@accumulating
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` over `axis` without overflow; -inf where every element is -inf."""
    x = _floating(x)
    axes = normalize_axes(axis, x.ndim)
    top = _shift(real_part(x) if x.dtype.is_complex else x, axes)
    top = where(isfinite(top), top, 0)  # inf - inf would be NaN
    total = reduce_sum(exp(subtract(x, top)), axes=axes, keepdims=keepdims)
    return log(total) + (top if keepdims else reduce_sum(top, axes=axes, keepdims=False))


@composite
def normalize(x: Any, p: float = 2.0, axis: Axis = 1, eps: float = 1e-12) -> Any:
    """``x / max(norm(x), eps)`` along `axis`."""
    from_below = norm(x, p, axis, keepdims=True)
    return divide(x, where(from_below > eps, from_below, eps))


@composite
@accumulating
def norm(x: Any, p: float = 2.0, axis: Axis = None, keepdims: bool = False) -> Any:
    """Vector norm ``sum(|x|**p)**(1/p)`` over `axis`; its gradient at 0 is 0.

    `p` may be ``inf`` (largest), ``-inf`` (smallest) or 0 (number of elements that are not zero).
    """
    axes = normalize_axes(axis, x.ndim)
    x = _floating(x)
    if p == 2:
        return root(reduce_sum(_squares(x), axes=axes, keepdims=keepdims))
    size = abs(x)
    if p == float("inf"):
        return reduce_max(size, axes=axes, keepdims=keepdims)
    if p == float("-inf"):
        return -reduce_max(-size, axes=axes, keepdims=keepdims)
    if p == 0:
        counts = where(size != size, 1.0, sign(size))  # NaN is one, too
        return reduce_sum(counts, axes=axes, keepdims=keepdims)
    if p == 1:
        return reduce_sum(size, axes=axes, keepdims=keepdims)
    if p < 1:  # infinitely steep at 0
        none = size == 0
        size = where(none, 0.0 if p > 0 else float("inf"), where(none, 1.0, size) ** p)
    else:
        size = size**p
    total = reduce_sum(size, axes=axes, keepdims=keepdims)
    zero = total == 0
    return where(zero, 0.0 if p > 0 else float("inf"), where(zero, 1.0, total) ** (1 / p))


def _squares(x: Any) -> Any:
    """``|x|**2``, not of `abs`, which is not smooth at 0."""
    return real_part(multiply(x, conj(x))) if x.dtype.is_complex else square(x)


def root(total: Any) -> Any:
    """Square root whose gradient at 0 is 0 rather than infinite."""
    zero = total == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, total)))


@composite
def cosine_similarity(x: Any, y: Any, axis: int = 1, eps: float = 1e-8) -> Any:
    """``x . y / (|x| |y|)`` along `axis`, each norm at least `eps`."""
    if x.shape != y.shape:
        whole = broadcast_shapes(x.shape, y.shape)
        x, y = broadcast_to(x, shape=whole), broadcast_to(y, shape=whole)
    sizes = [norm(v, 2.0, axis, keepdims=True) for v in (x, y)]
    unit_x, unit_y = (divide(v, where(n > eps, n, eps)) for v, n in zip((x, y), sizes, strict=True))
    product = multiply(unit_x, unit_y)
    return reduce_sum(product, axes=normalize_axes(axis, product.ndim), keepdims=False)


@composite
def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Any:
    """Norm of ``x - y + eps`` along the last axis."""
    return norm(subtract(x, y) + eps, p, -1, keepdims=keepdims)


def _as(x: Any, dtype: Any) -> Any:
    return _floating(x) if dtype is None else x.astype(dtype)


def _floating(x: Any) -> Any:
    """Integers in the default floating dtype: their differences and squares may not fit their own."""
    return x if x.dtype.is_inexact else cast(x, dtype=get_default_dtype().name)
