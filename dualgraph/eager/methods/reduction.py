"""Reductions as methods: ``x.sum(dim)``, ``x.max(1)`` with its indices, ``x.std()`` unbiased.

``dim`` and ``keepdim`` are PyTorch's names; ``axis`` and ``keepdims`` are taken as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...core.composite import together
from ...core.dtypes import int64
from ...core.errors import ArgumentError, describe
from ...ops import composites
from ...ops.arithmetic import cast, maximum, minimum, subtract, where
from ...ops.axes import normalize_axes, normalize_axis
from ...ops.comparison import equal, greater, isnan, less, logical_and, logical_or, not_equal
from ...ops.indexing import put_along, take_along
from ...ops.linalg import svd
from ...ops.sorting import sort_along
from .. import functions as fn
from .. import shapes as sh
from ..attach import method
from ..creation import arange, ones_like, zeros_like
from ..operands import astype
from ..tensor import Tensor

Dim = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """Chosen elements and where they stood along the axis."""

    values: Tensor
    indices: Tensor


def _named(dim: Any, axis: Any) -> Any:
    """`dim` or its other name `axis`; an empty sequence of dims means all."""
    chosen = dim if axis is None else axis
    if isinstance(chosen, (tuple, list)):
        return tuple(chosen) or None
    return chosen


def _total_dtype(x: Tensor, dtype: Any) -> Any:
    """PyTorch's dtype of totals: int64 for unsigned integers too, where the standard says uint64."""
    return "int64" if dtype is None and x.dtype.kind == "uint" else dtype


@method
@together
def sum(
    x: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:
    """Sum over `dim` (all axes by default)."""
    dtype = _total_dtype(x, dtype)
    return fn.sum(x, axis=_named(dim, axis), keepdims=keepdim or keepdims, dtype=dtype)


@method
@together
def prod(
    x: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:
    """Product over `dim` (all axes by default)."""
    dtype = _total_dtype(x, dtype)
    return fn.prod(x, axis=_named(dim, axis), keepdims=keepdim or keepdims, dtype=dtype)


@method
def mean(
    x: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:
    """Arithmetic mean over `dim` (all axes by default)."""
    x = x if dtype is None else astype(x, dtype, copy=False)
    return composites.mean(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


def _correction(dim: Any, unbiased: bool | None, correction: float | None) -> tuple[Any, float]:
    """PyTorch's two ways to say it: ``std(unbiased)`` and ``std(dim, correction=...)``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


@method
@together
def var(
    x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None, axis: Dim = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Variance over `dim`, divided by ``n - 1`` unless `correction` or `unbiased` say otherwise."""
    dim, correction = _correction(dim, unbiased, correction)
    return composites.var(
        x, axis=_named(dim, axis), correction=correction, keepdims=keepdim or keepdims
    )


@method
@together
def std(
    x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *,
    correction: float | None = None, axis: Dim = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Standard deviation: the root of `var`."""
    dim, correction = _correction(dim, unbiased, correction)
    return composites.std(
        x, axis=_named(dim, axis), correction=correction, keepdims=keepdim or keepdims
    )


@method
def var_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean."""
    return var(x, dim, unbiased, keepdim, correction=correction), mean(
        x, None if isinstance(dim, bool) else dim, keepdim
    )


@method
def std_mean(
    x: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean."""
    return std(x, dim, unbiased, keepdim, correction=correction), mean(
        x, None if isinstance(dim, bool) else dim, keepdim
    )


# --- largest and smallest ------------------------------------------------------------------------


def _chosen(x: Tensor, place: Tensor, axis: int, keepdim: bool) -> ValuesIndices:
    """Elements at indices that keep the axis with length 1."""
    values = take_along(x, place, axis=axis) if x.ndim else x
    if keepdim or not x.ndim:
        return ValuesIndices(values, place)
    return ValuesIndices(sh.squeeze(values, axis), sh.squeeze(place, axis))


@method
@together
def max(
    x: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The largest element; along `dim` the values and indices; with a tensor the elementwise maximum.

    >>> values, indices = dg.tensor([[1., 5.], [7., 2.]]).max(1)
    >>> values, indices
    (tensor([5., 7.]), tensor([1, 0]))
    """
    if isinstance(dim, Tensor):
        return maximum(x, dim)
    dim = dim if axis is None else axis
    if dim is None:
        return fn.max(x)
    a = normalize_axis(dim, x.ndim)
    return _chosen(x, fn.argmax(x, axis=a, keepdims=True), a, keepdim or keepdims)


@method
@together
def min(
    x: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool = False,
) -> Any:
    """The smallest element; along `dim` the values and indices; with a tensor the elementwise minimum."""
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    dim = dim if axis is None else axis
    if dim is None:
        return fn.min(x)
    a = normalize_axis(dim, x.ndim)
    return _chosen(x, fn.argmin(x, axis=a, keepdims=True), a, keepdim or keepdims)


@method
@together
def amax(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Largest element over `dim`; ties share the gradient."""
    return fn.max(x, axis=_named(dim, None), keepdims=keepdim)


@method
@together
def amin(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Smallest element over `dim`; ties share the gradient."""
    return fn.min(x, axis=_named(dim, None), keepdims=keepdim)


@method
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Smallest and largest element."""
    return amin(x, dim, keepdim), amax(x, dim, keepdim)


@method
@together
def argmax(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor:
    """Index of the first largest element along `dim`, or in the flattened x."""
    return fn.argmax(x, axis=dim if axis is None else axis, keepdims=keepdim)


@method
@together
def argmin(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor:
    """Index of the first smallest element along `dim`, or in the flattened x."""
    return fn.argmin(x, axis=dim if axis is None else axis, keepdims=keepdim)


@method
@together
def any(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Whether any element over `dim` is true."""
    return fn.any(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
@together
def all(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Whether all elements over `dim` are true."""
    return fn.all(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
@together
def count_nonzero(x: Tensor, dim: Dim = None) -> Tensor:
    """How many elements are not zero."""
    return fn.count_nonzero(x, axis=_named(dim, None))


# --- norms, running totals -----------------------------------------------------------------------


@method
@together
def norm(
    x: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Vector norm over `dim`; "fro" is ``p=2``, "nuc" the sum of the singular values of a matrix."""
    x = x if dtype is None else astype(x, dtype, copy=False)
    if p == "nuc":
        axes = normalize_axes(_named(dim, None), x.ndim)
        if len(axes) != 2:
            problem = f"the nuclear norm is one of matrices: of two axes, not {len(axes)}"
            raise ArgumentError(describe("norm", str(x.type), problem))
        values = svd(sh.moveaxis(x, axes, (-2, -1)), full=False)[1]
        out = fn.sum(values, axis=-1)
        return sh.expand_dims(out, axis=tuple(sorted(axes))) if keepdim else out
    return composites.norm(x, 2.0 if p == "fro" else float(p), _named(dim, None), keepdims=keepdim)


@method
@together
def logsumexp(x: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over `dim` without overflow."""
    return composites.logsumexp(x, axis=_named(dim, None), keepdims=keepdim)


@method
@together
def cumsum(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sum along `dim`."""
    return fn.cumulative_sum(x, axis=dim, dtype=_total_dtype(x, dtype))


@method
@together
def cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running product along `dim`."""
    return fn.cumulative_prod(x, axis=dim, dtype=_total_dtype(x, dtype))


@method
def softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `dim`."""
    return composites.softmax(x, axis=dim, dtype=dtype)


@method
def log_softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """``log(softmax(x))`` along `dim`."""
    return composites.log_softmax(x, axis=dim, dtype=dtype)


# --- by order ------------------------------------------------------------------------------------


@method
def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesIndices:
    """Values in order along `dim`, and where they stood."""
    return ValuesIndices(
        *sort_along(x, axis=normalize_axis(dim, x.ndim), descending=bool(descending))
    )


@method
def msort(x: Tensor) -> Tensor:
    """Values in order along axis 0."""
    return fn.sort(x, axis=0)


@method
@together
def diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along `dim`, `n` times, with values put in front or behind first."""
    return fn.diff(x, axis=dim, n=n, prepend=prepend, append=append)


@method
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that put x in order along `dim`."""
    return fn.argsort(x, axis=dim, descending=descending)


@method
def topk(
    x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """The `k` largest (or smallest) elements along `dim` in order, and where they stood."""
    a = normalize_axis(dim, x.ndim)
    n = x.shape[a] if x.ndim else 1
    if not 0 <= k <= n:
        raise ArgumentError(describe("topk", str(x.type), f"cannot take {k} of {n} elements"))
    return ValuesIndices(*sort_along(x, axis=a, descending=bool(largest), first=k))


@method
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The k-th smallest element along `dim` (counted from 1), and where it stood."""
    a = normalize_axis(dim, x.ndim)
    values, indices = sort(x, a)
    parts = [sh.cut(v, a, k - 1, k) for v in (values, indices)]
    return ValuesIndices(*(parts if keepdim else [sh.squeeze(p, a) for p in parts]))


@method
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two: of all, or along `dim` with its index. NaN if there is one."""
    if 0 in x.shape if dim is None else x.ndim and not x.shape[dim]:
        raise ArgumentError(describe("median", str(x.type), "there is no element to choose"))
    if dim is None:
        return _middle(sh.reshape(x, (-1,)), 0, False).values
    return _middle(x, normalize_axis(dim, x.ndim), keepdim)


def _middle(x: Tensor, axis: int, keepdim: bool) -> ValuesIndices:
    order = fn.argsort(x, axis=axis)
    n = x.shape[axis] if x.ndim else 1
    place = sh.cut(order, axis, (n - 1) // 2, (n + 1) // 2) if x.ndim else order
    if x.dtype.is_inexact and x.ndim:
        nan = isnan(x)
        first = fn.argmax(nan, axis=axis, keepdims=True)
        place = where(fn.any(nan, axis=axis, keepdims=True), first, place)
    return _chosen(x, place, axis, keepdim)


@method
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent element along `dim` (the smallest of several), and where it stands last."""
    a = normalize_axis(dim, x.ndim)
    if not x.ndim:
        return _chosen(x, fn.argmax(x), a, keepdim)
    n = x.shape[a]
    ordered, _ = sort_along(x, axis=a)
    differs = not_equal(sh.cut(ordered, a, 1, n), sh.cut(ordered, a, 0, n - 1))
    first = zeros_like(sh.cut(ordered, a, 0, 1), dtype=int64)
    run = sh.concat([first, fn.cumulative_sum(cast(differs, dtype="int64"), axis=a)], axis=a)
    counts = take_along(put_along(ones_like(run), run, shape=x.shape, axis=a), run, axis=a)
    value = take_along(ordered, fn.argmax(counts, axis=a, keepdims=True), axis=a)
    backwards = fn.argmax(sh.flip(equal(x, value), axis=a), axis=a, keepdims=True)
    return _chosen(x, subtract(x.shape[a] - 1, backwards), a, keepdim)


def _running(x: Tensor, dim: int, better: Any) -> ValuesIndices:
    """Running extremes: place i holds the last best of the places up to i (NaN once one was met)."""
    a = normalize_axis(dim, x.ndim)
    if not x.ndim:
        return ValuesIndices(x, subtract(fn.argmax(x), 0))
    n = x.shape[a]
    line = (n,) + (1,) * (x.ndim - a - 1)
    places = arange(n, device=x.device)
    here = sh.broadcast_to(sh.reshape(places, line), x.shape)
    at, span = here, 1
    while span < n:  # each step doubles the stretch that is compared
        behind = sh.concat([sh.cut(at, a, 0, span), sh.cut(at, a, 0, n - span)], axis=a)
        old, new = take_along(x, behind, axis=a), take_along(x, at, axis=a)
        keep = logical_and(better(old, new), not_equal(behind, at))
        at = where(keep, behind, at)
        span *= 2
    return ValuesIndices(take_along(x, at, axis=a), at)


@method
def cummax(x: Tensor, dim: int) -> ValuesIndices:
    """Running maximum along `dim`, and where it stands last."""
    return _running(
        x,
        dim,
        lambda old, new: logical_or(greater(old, new), logical_and(isnan(old), equal(new, new))),
    )


@method
def cummin(x: Tensor, dim: int) -> ValuesIndices:
    """Running minimum along `dim`, and where it stands last."""
    return _running(
        x,
        dim,
        lambda old, new: logical_or(less(old, new), logical_and(isnan(old), equal(new, new))),
    )
