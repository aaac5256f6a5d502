"""Methods by order: ``x.sort()``, ``x.topk(k)``, ``x.median(1)``, each with the indices of what it gives."""

from __future__ import annotations

from typing import Any

from ...core.composite import together
from ...core.dtypes import int64
from ...core.errors import ArgumentError, describe
from ...ops.arithmetic import cast, subtract, where
from ...ops.axes import normalize_axis
from ...ops.comparison import (
    equal,
    isnan,
    less_equal,
    not_equal,
)
from ...ops.cumulative import running_best
from ...ops.indexing import put_along, take_along
from ...ops.movement import stop_gradient
from ...ops.sorting import sort_along
from .. import functions as fn
from .. import shapes as sh
from ..attach import method
from ..filling import ones_like, zeros, zeros_like
from ..tensor import Tensor
from .reduction import ValuesIndices, at_place


@method
def sort(
    x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None
) -> ValuesIndices:  # fmt: skip
    """Values in order along `dim`, and where they stood.

    >>> import dualgraph.compat.torch as torch
    >>> torch.sort(torch.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    a = normalize_axis(dim if axis is None else axis, x.ndim)
    return ValuesIndices(*sort_along(x, axis=a, descending=bool(descending)))


@method
def msort(x: Tensor) -> Tensor:
    """Values in order along axis 0.

    >>> dg.msort(dg.asarray([[3, 1], [2, 5]]))
    tensor([[2, 1],
            [3, 5]])
    """
    return fn.sort(x, axis=0)


@method
@together
def diff(
    x: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, axis: int | None = None
) -> Tensor:  # fmt: skip
    """Differences of neighbours along `dim`, `n` times, with values put in front or behind first.

    >>> import dualgraph.compat.torch as torch
    >>> torch.diff(torch.tensor([1, 3, 6]))
    tensor([2, 3])
    """
    return fn.diff(x, axis=dim if axis is None else axis, n=n, prepend=prepend, append=append)


@method
def argsort(
    x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None
) -> Tensor:  # fmt: skip
    """The indices that put x in order along `dim`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.argsort(torch.tensor([3, 1, 2]), descending=True)
    tensor([0, 2, 1])
    """
    return fn.argsort(x, axis=dim if axis is None else axis, descending=descending)


@method
def topk(
    x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """The `k` largest (or smallest) elements along `dim` in order, and where they stood.

    >>> values, places = dg.topk(dg.asarray([1.0, 4.0, 3.0]), 2)
    >>> values
    tensor([4., 3.])
    >>> places
    tensor([1, 2])
    """
    a = normalize_axis(dim, x.ndim)
    n = x.shape[a] if x.ndim else 1
    if not 0 <= k <= n:
        raise ArgumentError(
            describe("topk", str(x.tensor_type), f"cannot take {k} of {n} elements")
        )
    return ValuesIndices(*sort_along(x, axis=a, descending=bool(largest), first=k))


@method
def kthvalue(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The k-th smallest element along `dim` (counted from 1), and where it stood.

    >>> value, place = dg.kthvalue(dg.asarray([3.0, 1.0, 2.0]), 2)
    >>> value
    tensor(2.)
    """
    a = normalize_axis(dim, x.ndim)
    n = x.shape[a] if x.ndim else 1
    if not 1 <= k <= n:
        problem = f"k is {k}, and axis {dim} has {n} elements"
        raise ArgumentError(describe("kthvalue", str(x.tensor_type), problem))
    if not x.ndim:
        return ValuesIndices(x, zeros((), dtype="int64", device=x.device))
    parts = sort_along(x, axis=a, first=k, skip=k - 1)
    return ValuesIndices(*(parts if keepdim else [sh.squeeze(p, a) for p in parts]))


@method
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower of two: of all, or along `dim` with its index. NaN if there is one.

    Without `dim` elements that equal the median share its gradient.

    >>> dg.median(dg.asarray([3.0, 1.0, 2.0]))
    tensor(2.)
    """
    if 0 in x.shape if dim is None else x.ndim and not x.shape[dim]:
        raise ArgumentError(describe("median", str(x.tensor_type), "there is no element to choose"))
    if dim is None:
        return shared(x, _middle(sh.reshape(x, (-1,)), 0, False).values)
    return _middle(x, normalize_axis(dim, x.ndim), keepdim)


def shared(x: Tensor, chosen: Tensor) -> Tensor:
    """`chosen`, an element of x, whose gradient all elements equal to it share."""
    if not x.dtype.is_floating_point:
        return chosen
    equals = fn.max(where(less_equal(x, stop_gradient(chosen)), x, float("-inf")))
    return where(isnan(chosen), chosen, equals)  # type: ignore[no-any-return]


def _middle(x: Tensor, axis: int, keepdim: bool) -> ValuesIndices:
    n = x.shape[axis] if x.ndim else 1
    _, place = sort_along(x, axis=axis, first=(n + 1) // 2, skip=(n - 1) // 2)
    if x.dtype.is_inexact and x.ndim:
        nan = isnan(x)
        first = fn.argmax(nan, axis=axis, keepdims=True)
        place = where(fn.any(nan, axis=axis, keepdims=True), first, place)
    return at_place(x, place, axis, keepdim)


@method
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent element along `dim` (the smallest of several), and where it stands last.

    >>> values, places = dg.mode(dg.asarray([2, 1, 2, 3]))
    >>> values
    tensor(2)
    """
    a = normalize_axis(dim, x.ndim)
    if not x.ndim:
        return at_place(x, fn.argmax(x), a, keepdim)
    n = x.shape[a]
    ordered, _ = sort_along(x, axis=a)
    differs = not_equal(sh.cut(ordered, a, 1, n), sh.cut(ordered, a, 0, n - 1))
    first = zeros_like(sh.cut(ordered, a, 0, 1), dtype=int64)
    run = sh.concat([first, fn.cumulative_sum(cast(differs, dtype="int64"), axis=a)], axis=a)
    counts = take_along(put_along(ones_like(run), run, shape=x.shape, axis=a), run, axis=a)
    value = take_along(ordered, fn.argmax(counts, axis=a, keepdims=True), axis=a)
    backwards = fn.argmax(sh.flip(equal(x, value), axis=a), axis=a, keepdims=True)
    return at_place(x, subtract(x.shape[a] - 1, backwards), a, keepdim)


def _running(x: Tensor, dim: int, least: bool) -> ValuesIndices:
    a = normalize_axis(dim, x.ndim)
    if not x.ndim:
        return ValuesIndices(x, subtract(fn.argmax(x), 0))
    return ValuesIndices(*running_best(x, axis=a, least=least))


@method
def cummax(x: Tensor, dim: int) -> ValuesIndices:
    """Running maximum along `dim`, and where it stands last.

    >>> values, places = dg.cummax(dg.asarray([1.0, 3.0, 2.0]), 0)
    >>> values
    tensor([1., 3., 3.])
    """
    return _running(x, dim, False)


@method
def cummin(x: Tensor, dim: int) -> ValuesIndices:
    """Running minimum along `dim`, and where it stands last.

    >>> values, places = dg.cummin(dg.asarray([3.0, 1.0, 2.0]), 0)
    >>> values
    tensor([3., 1., 1.])
    """
    return _running(x, dim, True)
