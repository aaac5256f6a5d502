"""Sets and searching: unique elements and their counts, histograms, places in sorted order."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ..core import dtypes as dt
from ..core.composite import together
from ..core.errors import ArgumentError, describe
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops.axes import normalize_axis
from ..ops.indexing import index_put, put_along
from ..ops.searching import search_sorted
from ..ops.sorting import sort_along
from . import functions as fn
from . import shapes as sh
from .attach import method
from .filling import arange, full, linspace, ones, ones_like, zeros
from .indexing import nonzero as nonzero_places
from .operands import as_operand, astype
from .tensor import Tensor

FEW = 16  # test elements that each element is compared with, one by one


class UniqueAll(NamedTuple):
    """Unique values in order, where each stands first, which one each element is, how often each stands."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """Unique values in order, and how often each stands in x."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """Unique values in order, and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any, /) -> UniqueAll:
    """Unique values with all that is known of them; every NaN counts as a value of its own.

    >>> dg.unique_all(dg.asarray([3, 1, 3])).counts
    tensor([1, 2])
    """
    x = as_operand(x)
    ordered, order = sort_along(sh.reshape(x, (-1,)), axis=0)
    n = ordered.shape[0]
    head = sh.cut(ordered, 0, 0, min(n, 1))
    new = (
        sh.concat(
            [
                ones_like(head, dtype=dt.bool_),
                cp.not_equal(sh.cut(ordered, 0, 1, n), sh.cut(ordered, 0, 0, n - 1)),
            ]
        )
        if n
        else ar.cast(head, dtype="bool")
    )
    return _grouped(ordered, order, new, x.shape)


def _grouped(ordered: Tensor, order: Tensor, new: Tensor, shape: tuple[int, ...]) -> UniqueAll:
    """From sorted slices and marks where a new value begins."""
    n = order.shape[0]
    (starts,) = nonzero_places(new)
    ends = sh.concat(
        [
            sh.cut(starts, 0, min(starts.shape[0], 1), starts.shape[0]),
            full((min(starts.shape[0], 1),), n, dtype=dt.int64, device=order.device),
        ]
    )
    group = ar.subtract(fn.cumulative_sum(ar.cast(new, dtype="int64"), axis=0), 1)
    inverse = put_along(group, order, shape=(n,), axis=0)
    return UniqueAll(
        fn.take(ordered, starts, axis=0),
        fn.take(order, starts, axis=0),
        sh.reshape(inverse, shape),
        ar.subtract(ends, starts),
    )


def unique_counts(x: Any, /) -> UniqueCounts:
    """Unique values, and how often each stands in x.

    >>> values, counts = dg.unique_counts(dg.asarray([2, 1, 2]))
    >>> counts
    tensor([1, 2])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any, /) -> UniqueInverse:
    """Unique values, and which one each element of x is.

    >>> values, inverse = dg.unique_inverse(dg.asarray([2, 1, 2]))
    >>> inverse
    tensor([1, 0, 1])
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Any, /) -> Tensor:
    """Unique values in ascending order.

    >>> dg.unique_values(dg.asarray([2, 1, 2]))
    tensor([1, 2])
    """
    return unique_all(x).values


@method
def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Unique values in ascending order (slices along `dim` if given), PyTorch's form of `unique_all`.

    >>> dg.unique(dg.asarray([2, 1, 2]))
    tensor([1, 2])
    """
    found = unique_all(x) if dim is None else _unique_slices(x, normalize_axis(dim, x.ndim))
    return _asked(found, return_inverse, return_counts)


def _asked(found: UniqueAll, inverse: bool, counts: bool) -> Any:
    """The values, and what else was asked for."""
    extras = [found.inverse_indices] * inverse + [found.counts] * counts
    return (found.values, *extras) if extras else found.values


def _begins(rows: Tensor) -> Tensor:
    """Which rows differ from the one before; the first counts as such."""
    n = rows.shape[0]
    first = min(n, 1)
    later, before = sh.cut(rows, 0, first, n), sh.cut(rows, 0, 0, n - first)
    differs = fn.any(cp.not_equal(later, before), axis=1)
    return sh.concat([ones(first, dtype=dt.bool_, device=rows.device), differs])


def _unique_slices(x: Tensor, axis: int) -> UniqueAll:
    """The distinct slices along an axis, in the order of their elements."""
    moved = sh.moveaxis(x, axis, 0)
    n = moved.shape[0]
    rows = sh.reshape(moved, (n, prod(moved.shape[1:])))
    order = arange(n, device=x.device)
    # Stable sorts from the least column on: row order.
    for column in reversed(range(rows.shape[1])):
        keys = fn.take(sh.reshape(sh.cut(rows, 1, column, column + 1), (-1,)), order)
        order = fn.take(order, fn.argsort(keys))
    ordered = fn.take(rows, order, axis=0)
    found = _grouped(ordered, order, _begins(ordered), (n,))
    values = sh.reshape(found.values, (found.values.shape[0], *moved.shape[1:]))
    return found._replace(values=sh.moveaxis(values, 0, axis))


@method
def unique_consecutive(
    x: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The first of each run of equal elements of the flattened x (slices along `dim` if given).

    >>> dg.unique_consecutive(dg.asarray([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    axis = 0 if dim is None else normalize_axis(dim, x.ndim)
    moved = sh.reshape(x, (-1,)) if dim is None or not x.ndim else sh.moveaxis(x, axis, 0)
    n = moved.shape[0]
    rows = sh.reshape(moved, (n, prod(moved.shape[1:])))
    shape = x.shape if dim is None else (n,)
    found = _grouped(moved, arange(n, device=x.device), _begins(rows), shape)
    if x.ndim:
        found = found._replace(values=sh.moveaxis(found.values, 0, axis))
    return _asked(found, return_inverse, return_counts)


def searchsorted(
    x1: Any,
    x2: Any,
    /,
    *,
    side: str = "left",
    sorter: Any = None,
    right: bool = False,
    out_int32: bool = False,
) -> Tensor:
    """For each value of x2 the place among the ascending x1 that keeps the order, before or after equals.

    >>> dg.searchsorted(dg.asarray([1.0, 3.0, 5.0]), dg.asarray([2.0, 5.0]))
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise ArgumentError(describe("searchsorted", repr(side), "side is 'left' or 'right'"))
    edges, values = as_operand(x1), as_operand(x2)
    if sorter is not None:
        edges = fn.take_along_axis(edges, sorter, axis=-1)
    common = dt.promote(edges.dtype, values.dtype)
    at = search_sorted(
        astype(edges, common, copy=False),
        astype(values, common, copy=False),
        side="right" if right else side,
    )
    at = sh.reshape(at, values.shape)
    return ar.cast(at, dtype="int32") if out_int32 else at


def bucketize(
    x: Any, boundaries: Tensor, *, right: bool = False, out_int32: bool = False
) -> Tensor:
    """`searchsorted` with the operands exchanged.

    >>> dg.bucketize(dg.asarray([0.5, 2.0]), dg.asarray([1.0, 2.0, 3.0]))
    tensor([0, 1])
    """
    return searchsorted(boundaries, x, right=right, out_int32=out_int32)


@method
def bincount(x: Tensor, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on stands in a vector of integers, or the sum of its weights.

    >>> dg.bincount(dg.asarray([0, 1, 1, 3]))
    tensor([1, 2, 0, 1])
    """
    if x.ndim != 1 or not x.dtype.is_integer:
        raise ArgumentError(describe("bincount", str(x.tensor_type), "needs a vector of integers"))
    bins = _bins(x, minlength) if x.shape[0] else minlength
    values = ones_like(x, dtype=dt.int64) if weights is None else as_operand(weights)
    if weights is not None and values.dtype is not dt.float32:
        values = astype(values, dt.float64, copy=False)
    return put_along(values, ar.cast(x, dtype="int64"), shape=(bins,), axis=0)


def _bins(x: Tensor, least: int) -> int:
    """How many bins the numbers of `x` take; which they are leads a capture only where there are more than `least`."""
    low, high = fn.min(x), fn.max(x)
    if not bool(cp.logical_or(cp.less(low, 0), cp.greater_equal(high, least))):
        return least
    if int(low) < 0:
        raise ArgumentError(
            describe("bincount", str(x.tensor_type), "negative numbers have no bin")
        )
    return int(high) + 1


@method
def histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall in each of `bins` equal parts of [min, max] (of x itself when both are 0).

    >>> dg.histc(dg.asarray([0.1, 0.4, 0.9]), bins=2, min=0, max=1)
    tensor([2., 1.])
    """
    flat = sh.reshape(x, (-1,))
    low, high = (
        (fn.min(flat), fn.max(flat))
        if min == max == 0 and flat.shape[0]
        else (float(min), float(max))
    )
    one_value = cp.equal(low, high)
    low, high = (
        ar.where(one_value, ar.subtract(low, 1), low),
        ar.where(one_value, ar.add(high, 1), high),
    )
    inside = cp.logical_and(cp.greater_equal(flat, low), cp.less_equal(flat, high))
    part = ar.multiply(
        ar.subtract(ar.where(inside, flat, low), low), ar.divide(bins, ar.subtract(high, low))
    )
    at = fn.clip(ar.cast(ar.floor(part), dtype="int64"), 0, bins - 1)
    counts = zeros(bins, dtype=x.dtype, device=x.device)
    return index_put(counts, ar.cast(inside, dtype=x.dtype.name), at, dims=(0,), mode="add")


class Histogram(NamedTuple):
    """How much falls in each bin, and the edges of the bins: one more than there are bins."""

    hist: Tensor
    bin_edges: Tensor


@method
def histogram(
    x: Tensor, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """How many elements (what `weight` of them) fall in each bin; the last bin takes its upper edge, too.

    `bins`: how many equal parts of `range` (of what x spans, if it is not given), or all edges in order.
    `density` divides by the sum and the widths.

        >>> dg.histogram(dg.asarray([1.0, 2.0, 1.0]), 2, range=(0.0, 4.0)).hist
        tensor([2., 1.])
    """
    flat = sh.reshape(x, (-1,))
    edges = _edges("histogram", flat, bins, range)
    at, inside = _bin_of(flat, edges)
    found = _weighed(x, at, inside, weight, edges.shape[0] - 1)
    return Histogram(_dense(found, _widths(edges)) if density else found, edges)


def _edges(op: str, x: Tensor, bins: Any, range: Any) -> Tensor:
    """The edges of bins over the numbers of a vector, as `bins` and `range` say."""
    if not isinstance(bins, int):
        return as_operand(bins)
    low, high = range or ((float(fn.min(x)), float(fn.max(x))) if x.size else (0.0, 0.0))
    if bins < 1 or low > high:
        problem = f"{bins} bins from {low} to {high}"
        raise ArgumentError(describe(op, str(x.tensor_type), problem))
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    return linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)


def _bin_of(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of each number of a vector, and whether it is in any; the last bin takes its upper edge, too."""
    n = edges.shape[0] - 1
    at = ar.subtract(searchsorted(edges, x, side="right"), 1)
    at = ar.where(cp.equal(x, sh.cut(edges, 0, n, n + 1)), n - 1, at)
    return at, cp.logical_and(cp.greater_equal(at, 0), cp.less(at, n))


def _weighed(x: Tensor, at: Tensor, inside: Tensor, weight: Any, n: int) -> Tensor:
    """What falls in each of n bins, in the dtype of x."""
    counted = ones_like(at) if weight is None else sh.reshape(as_operand(weight), (-1,))
    values = ar.where(inside, astype(counted, x.dtype, copy=False), 0)
    return put_along(values, ar.where(inside, at, 0), shape=(n,), axis=0)


def _widths(edges: Tensor) -> Tensor:
    n = edges.shape[0]
    return ar.subtract(sh.cut(edges, 0, 1, n), sh.cut(edges, 0, 0, n - 1))


def _dense(found: Tensor, widths: Tensor) -> Tensor:
    return ar.divide(ar.divide(found, fn.sum(found)), widths)


class HistogramND(NamedTuple):
    """How much falls in each bin, an axis for each coordinate, and the edges along each."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


@method
def histogramdd(
    x: Tensor, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False
) -> HistogramND:
    """`histogram` of points, whose coordinates lie along the last axis of x.

    `bins`: a number for all coordinates, or for each a number or edges; `range`: two numbers for each, one after the
    other.

        >>> dg.histogramdd(dg.asarray([[0.0, 1.0], [1.0, 1.0]]), 2, range=[0, 2, 0, 2]).hist
        tensor([[0., 1.],
                [0., 1.]])
    """
    count = x.shape[-1] if x.ndim else 0
    each = [bins] * count if isinstance(bins, int) else list(bins)
    if x.ndim < 2 or len(each) != count or (range is not None and len(range) != 2 * count):
        problem = f"bins={bins!r} and range={range!r} for points of {count} coordinates"
        raise ArgumentError(describe("histogramdd", str(x.tensor_type), problem))
    points = sh.reshape(x, (-1, count))
    edges, place, within = [], None, None
    for i, wanted in enumerate(each):
        line = sh.reshape(sh.cut(points, 1, i, i + 1), (-1,))
        edges.append(_edges("histogramdd", line, wanted, range and range[2 * i : 2 * i + 2]))
        at, inside = _bin_of(line, edges[-1])
        n = edges[-1].shape[0] - 1
        place = at if place is None else ar.add(ar.multiply(place, n), at)
        within = inside if within is None else cp.logical_and(within, inside)
    shape = tuple(e.shape[0] - 1 for e in edges)
    found = sh.reshape(_weighed(x, place, within, weight, prod(shape)), shape)  # type: ignore[arg-type]
    for i, e in enumerate(edges if density else ()):
        widths = sh.reshape(_widths(e), (-1, *(1,) * (count - 1 - i)))
        found = _dense(found, widths) if i == 0 else ar.divide(found, widths)
    return HistogramND(found, tuple(edges))


@together
def isin(elements: Any, test_elements: Any) -> Tensor:
    """Which elements are among the test elements, by value: NaN is among none.

    More than `FEW` test elements are sorted and searched, in memory of the size of the operands.

        >>> dg.isin(dg.asarray([1, 2, 3]), dg.asarray([2, 5]))
        tensor([False,  True, False])
    """
    x, among = as_operand(elements), sh.reshape(as_operand(test_elements), (-1,))
    n = among.shape[0]
    if n <= FEW:
        return fn.any(cp.equal(sh.expand_dims(x, axis=-1), among), axis=-1)
    common = dt.promote(x.dtype, among.dtype)
    x, ordered = astype(x, common, copy=False), fn.sort(astype(among, common, copy=False))
    at = ar.minimum(searchsorted(ordered, x), n - 1)
    return cp.equal(fn.take(ordered, at), x)
