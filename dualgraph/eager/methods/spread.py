"""Spread: how values lie - quantiles, distances, covariance, and means that pass over NaN."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ...core.composite import composite, together, working
from ...core.dtypes import float32, float64, get_default_dtype
from ...core.errors import ArgumentError, ShapeError, describe
from ...core.numbers.sizing import to_float
from ...ops import composites
from ...ops.arithmetic import (
    add,
    cast,
    ceil,
    conj,
    divide,
    floor,
    maximum,
    multiply,
    round,
    sqrt,
    square,
    subtract,
    where,
)
from ...ops.axes import normalize_axis
from ...ops.comparison import greater, isnan, logical_not
from .. import functions as fn
from .. import shapes as sh
from ..attach import method
from ..creation import asarray
from ..operands import as_operand
from ..tensor import Tensor
from .elementwise import lerp
from .parts import diagonal


@method
@together
def nansum(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Sum over `dim` of what is not NaN.

    >>> dg.nansum(dg.asarray([1.0, float("nan"), 3.0]))
    tensor(4.)
    """
    return where(isnan(x), 0, x).sum(dim, keepdim)


@method
@together
def nanmean(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Mean over `dim` of what is not NaN.

    >>> dg.nanmean(dg.asarray([1.0, float("nan"), 3.0]))
    tensor(2.)
    """
    count = fn.sum(logical_not(isnan(x)), axis=dim, keepdims=keepdim)
    return divide(nansum(x, dim, keepdim), count)


FEW = 8  # coordinates whose squares `cdist` adds one after the other
_NEIGHBOURS = {"lower": floor, "higher": ceil, "nearest": round}


def _quantile(
    op: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Tensor:
    """`quantile`; of what is no NaN in each line, to `skip` them."""
    if not isinstance(q, Tensor):
        q = asarray(q, dtype=x.dtype)
    elif q.dtype is not x.dtype:
        q = cast(q, dtype=x.dtype.name)
    whole = dim is None or not x.ndim
    flat = sh.reshape(x, (-1,)) if whole else sh.moveaxis(x, dim, -1)
    ordered, ratios = fn.sort(flat), sh.reshape(q, (-1,))
    if skip:  # they are last; the count of the others differs from line to line
        count = fn.sum(logical_not(isnan(flat)), axis=-1, keepdims=True)
        place = multiply(ratios, maximum(subtract(cast(count, dtype=x.dtype.name), 1), 0))
    else:
        place = multiply(ratios, to_float(flat.shape[-1] - 1))

    def at(to: Any) -> Tensor:
        index = cast(to(place), dtype="int64")
        take = fn.take_along_axis if skip else fn.take
        return take(ordered, index, axis=-1)

    if interpolation in _NEIGHBOURS:
        out = at(_NEIGHBOURS[interpolation])
    elif interpolation in ("linear", "midpoint"):
        below, above = at(floor), at(ceil)
        out = lerp(
            below, above, 0.5 if interpolation == "midpoint" else subtract(place, floor(place))
        )
    else:
        raise ArgumentError(
            describe(op, str(x.tensor_type), f"{interpolation!r} is not a way to interpolate")
        )
    if not skip:
        out = where(fn.any(isnan(flat), axis=-1, keepdims=True), float("nan"), out)
    out = sh.moveaxis(out, -1, 0)
    if keepdim:
        folded = range(x.ndim) if whole else (normalize_axis(dim, x.ndim),)
        kept = (1 if i in folded else d for i, d in enumerate(x.shape))
        return sh.reshape(out, (*(q.shape or ()), *kept))
    return out if q.ndim else sh.squeeze(out, 0)


@method
def quantile(
    x: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:  # fmt: skip
    """The value below which a part `q` of the elements along `dim` lies; NaN if there is one.

    `interpolation` between neighbours is "linear", "lower", "higher", "midpoint" or "nearest".

        >>> dg.quantile(dg.asarray([1.0, 2.0, 3.0, 5.0]), 0.5)
        tensor(2.5000)
    """
    return _quantile("quantile", x, q, dim, keepdim, interpolation, False)


@method
def nanquantile(
    x: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:  # fmt: skip
    """`quantile` of what is no NaN; NaN where there is nothing else.

    >>> dg.nanquantile(dg.asarray([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", x, q, dim, keepdim, interpolation, True)


@method
@together
def renorm(x: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """x with each slice along `dim` whose `p` norm is above `maxnorm` scaled down to that.

    >>> dg.renorm(dg.asarray([[3.0, 4.0], [0.6, 0.8]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.6000, 0.8000]])
    """
    a = normalize_axis(dim, x.ndim)
    others = tuple(i for i in range(x.ndim) if i != a)
    size = composites.norm(x, float(p), others, keepdims=True)
    return multiply(x, where(greater(size, maxnorm), divide(maxnorm, add(size, 1e-7)), 1.0))


@method
@together
def dist(x: Tensor, other: Any, p: float = 2.0) -> Tensor:
    """Norm of the difference.

    >>> dg.dist(dg.asarray([0.0, 0.0]), dg.asarray([3.0, 4.0]))
    tensor(5.)
    """
    return composites.norm(subtract(x, other), float(p))


def pdist(x: Tensor, p: float = 2.0) -> Tensor:
    """Distances of all pairs of rows of a matrix, the first with each later one, and so on: n (n - 1) / 2.

    >>> dg.pdist(dg.asarray([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if x.ndim != 2:
        raise ShapeError(describe("pdist", str(x.tensor_type), "needs a matrix"))
    rows, others = np.triu_indices(x.shape[0], 1)
    gap = subtract(fn.take(x, asarray(rows), axis=0), fn.take(x, asarray(others), axis=0))
    return composites.norm(gap, float(p), -1)


@composite
@working(lambda x1, x2, *_: prod(x1.shape) * x2.shape[-2])
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Distances of all pairs of rows: (..., n, k) and (..., m, k) give (..., n, m).

    `compute_mode`, PyTorch's choice between two ways to compute them, changes nothing here.

        >>> dg.cdist(dg.zeros((1, 2)), dg.asarray([[3.0, 4.0]]))
        tensor([[5.]])
    """
    if (
        p == 2
        and 0 < x1.shape[-1] <= FEW
        and x1.dtype is x2.dtype
        and x1.dtype in (float32, float64)
    ):
        turned, total = sh.matrix_transpose(x2), None
        for i in range(x1.shape[-1]):
            column, row = sh.cut(x1, x1.ndim - 1, i, i + 1), sh.cut(turned, x2.ndim - 2, i, i + 1)
            off = square(subtract(column, row))
            total = off if total is None else add(total, off)
        return composites.root(total)  # type: ignore[no-any-return]
    return composites.norm(
        subtract(sh.expand_dims(x1, axis=-2), sh.expand_dims(x2, axis=-3)), float(p), -1
    )


@method
@together
def cov(x: Tensor, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """Covariance of the rows of x, whose columns are observations.

    `fweights`: how often each observation was made (integers); `aweights`: how much each counts.

        >>> dg.cov(dg.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    rows = sh.reshape(x, (1, -1)) if x.ndim < 2 else x
    rows = rows if rows.dtype.is_inexact else cast(rows, dtype=get_default_dtype().name)
    given = [w for w in (fweights, aweights) if w is not None]
    if x.ndim > 2:
        raise ShapeError(describe("cov", str(x.tensor_type), "needs a matrix, or one row of it"))
    for w in map(as_operand, given):
        if w.shape != rows.shape[1:]:
            problem = f"weights of shape {w.shape} for {rows.shape[1]} observations"
            raise ShapeError(
                describe("cov", f"{x.tensor_type}, {w.tensor_type}", problem, "give one each")
            )
    if not given:
        centred = subtract(rows, composites.mean(rows, axis=1, keepdims=True))
        out = fn.matmul(centred, conj(sh.matrix_transpose(centred)))
        out = divide(out, to_float(rows.shape[1] - correction))
    else:
        weights = given[0] if len(given) == 1 else multiply(*given)
        real = {"complex64": "float32", "complex128": "float64"}.get(rows.dtype.name)
        weights = cast(as_operand(weights), dtype=real or rows.dtype.name)
        total = fn.sum(weights)
        centred = subtract(
            rows, divide(fn.sum(multiply(rows, weights), axis=1, keepdims=True), total)
        )
        out = fn.matmul(multiply(centred, weights), conj(sh.matrix_transpose(centred)))
        counted = 1 if aweights is None else divide(fn.sum(multiply(weights, aweights)), total)
        out = divide(out, maximum(subtract(total, multiply(counted, correction)), 0))
    return out if rows.shape[0] != 1 else sh.reshape(out, ())


@method
@together
def corrcoef(x: Tensor) -> Tensor:
    """Correlation of the rows of x, whose columns are observations.

    >>> dg.corrcoef(dg.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    both = cov(x)
    if not both.ndim:
        return divide(both, both)
    size = sqrt(diagonal(both))
    return divide(divide(both, sh.expand_dims(size, axis=1)), size)
