"""Reductions as methods: ``x.sum(dim)``, ``x.max(1)`` with its indices, ``x.std()`` unbiased.

``dim`` and ``keepdim`` are PyTorch's names; ``axis`` and ``keepdims`` are taken as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...core.composite import together
from ...core.errors import ArgumentError, describe
from ...ops import composites
from ...ops.arithmetic import maximum, minimum
from ...ops.axes import normalize_axes, normalize_axis
from ...ops.indexing import take_along
from ...ops.linalg import svd
from .. import functions as fn
from .. import shapes as sh
from ..attach import method
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


def one_axis(op: str, x: Tensor, dim: int | None, axis: int | None) -> int:
    """`dim` or its other name `axis`, of which one must be given."""
    chosen = dim if axis is None else axis
    if chosen is None:
        raise ArgumentError(describe(op, str(x.tensor_type), "needs an axis", "name one: dim=..."))
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
    """Sum over `dim` (all axes by default).

    >>> import dualgraph.compat.torch as torch
    >>> torch.sum(torch.tensor([[1, 2], [3, 4]]), dim=1)
    tensor([3, 7])
    """
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
    """Product over `dim` (all axes by default).

    >>> import dualgraph.compat.torch as torch
    >>> torch.prod(torch.tensor([[1, 2], [3, 4]]), dim=1)
    tensor([ 2, 12])
    """
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
    """Arithmetic mean over `dim` (all axes by default).

    >>> import dualgraph.compat.torch as torch
    >>> torch.mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    tensor([1.5000, 3.5000])
    """
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
    """Variance over `dim`, divided by ``n - 1`` unless `correction` or `unbiased` say otherwise.

    >>> import dualgraph.compat.torch as torch
    >>> torch.var(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
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
    """Standard deviation: the root of `var`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.std(torch.tensor([1.0, 3.0]))
    tensor(1.4142)
    """
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
    """Variance and mean.

    >>> v, m = dg.var_mean(dg.asarray([1.0, 2.0, 3.0]))
    >>> (v.item(), m.item())
    (1.0, 2.0)
    """
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
    """Standard deviation and mean.

    >>> s, m = dg.std_mean(dg.asarray([1.0, 2.0, 3.0]))
    >>> (s.item(), m.item())
    (1.0, 2.0)
    """
    return std(x, dim, unbiased, keepdim, correction=correction), mean(
        x, None if isinstance(dim, bool) else dim, keepdim
    )


# --- largest and smallest ------------------------------------------------------------------------


def at_place(x: Tensor, place: Tensor, axis: int, keepdim: bool) -> ValuesIndices:
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
    return at_place(x, fn.argmax(x, axis=a, keepdims=True), a, keepdim or keepdims)


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
    """The smallest element; along `dim` the values and indices; with a tensor the elementwise minimum.

    >>> import dualgraph.compat.torch as torch
    >>> torch.min(torch.tensor([[1, 5], [4, 3]]), dim=1).values
    tensor([1, 3])
    """
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    dim = dim if axis is None else axis
    if dim is None:
        return fn.min(x)
    a = normalize_axis(dim, x.ndim)
    return at_place(x, fn.argmin(x, axis=a, keepdims=True), a, keepdim or keepdims)


@method
@together
def amax(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Largest element over `dim`; ties share the gradient.

    >>> dg.amax(dg.asarray([[1.0, 5.0], [3.0, 4.0]]), 1)
    tensor([5., 4.])
    """
    return fn.max(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
@together
def amin(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Smallest element over `dim`; ties share the gradient.

    >>> dg.amin(dg.asarray([[1.0, 5.0], [3.0, 4.0]]), 1)
    tensor([1., 3.])
    """
    return fn.min(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Smallest and largest element.

    >>> low, high = dg.aminmax(dg.asarray([3.0, 1.0, 2.0]))
    >>> (low.item(), high.item())
    (1.0, 3.0)
    """
    return amin(x, dim, keepdim), amax(x, dim, keepdim)


@method
@together
def argmax(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor:
    """Index of the first largest element along `dim`, or in the flattened x.

    >>> import dualgraph.compat.torch as torch
    >>> torch.argmax(torch.tensor([[1, 5], [4, 3]]), dim=1)
    tensor([1, 0])
    """
    return fn.argmax(x, axis=dim if axis is None else axis, keepdims=keepdim)


@method
@together
def argmin(
    x: Tensor, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None
) -> Tensor:
    """Index of the first smallest element along `dim`, or in the flattened x.

    >>> import dualgraph.compat.torch as torch
    >>> torch.argmin(torch.tensor([[1, 5], [4, 3]]), dim=1)
    tensor([0, 1])
    """
    return fn.argmin(x, axis=dim if axis is None else axis, keepdims=keepdim)


@method
@together
def any(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Whether any element over `dim` is true.

    >>> import dualgraph.compat.torch as torch
    >>> torch.any(torch.tensor([[1, 0], [0, 0]]), dim=1)
    tensor([ True, False])
    """
    return fn.any(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
@together
def all(
    x: Tensor, dim: Dim = None, keepdim: bool = False, *, axis: Dim = None, keepdims: bool = False
) -> Tensor:
    """Whether all elements over `dim` are true.

    >>> import dualgraph.compat.torch as torch
    >>> torch.all(torch.tensor([[1, 0], [1, 1]]), dim=1)
    tensor([False,  True])
    """
    return fn.all(x, axis=_named(dim, axis), keepdims=keepdim or keepdims)


@method
@together
def count_nonzero(x: Tensor, dim: Dim = None, *, axis: Dim = None) -> Tensor:
    """How many elements are not zero.

    >>> import dualgraph.compat.torch as torch
    >>> torch.count_nonzero(torch.tensor([[1, 0], [1, 1]]), dim=1)
    tensor([1, 2])
    """
    return fn.count_nonzero(x, axis=_named(dim, axis))


# --- norms, running totals -----------------------------------------------------------------------


@method
@together
def norm(
    x: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None, *,
    axis: Dim = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Vector norm over `dim`; "fro" is ``p=2``, "nuc" the sum of the singular values of a matrix.

    >>> dg.norm(dg.asarray([3.0, 4.0]))
    tensor(5.)
    """
    x = x if dtype is None else astype(x, dtype, copy=False)
    dim, keepdim = _named(dim, axis), keepdim or keepdims
    if p == "nuc":
        axes = normalize_axes(dim, x.ndim)
        if len(axes) != 2:
            problem = f"the nuclear norm is one of matrices: of two axes, not {len(axes)}"
            raise ArgumentError(describe("norm", str(x.tensor_type), problem))
        values = svd(sh.moveaxis(x, axes, (-2, -1)), full=False)[1]
        out = fn.sum(values, axis=-1)
        return sh.expand_dims(out, axis=tuple(sorted(axes))) if keepdim else out
    return composites.norm(x, 2.0 if p == "fro" else float(p), dim, keepdims=keepdim)


@method
@together
def logsumexp(x: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over `dim` without overflow.

    >>> dg.logsumexp(dg.asarray([[0.0, 0.0], [1.0, -1000.0]]), 1)
    tensor([0.6931, 1.0000])
    """
    return composites.logsumexp(x, axis=_named(dim, None), keepdims=keepdim)


@method
@together
def cumsum(
    x: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Running sum along `dim`.

    >>> dg.cumsum(dg.asarray([1, 2, 3]), 0)
    tensor([1, 3, 6])
    """
    chosen = one_axis("cumsum", x, dim, axis)
    return fn.cumulative_sum(x, axis=chosen, dtype=_total_dtype(x, dtype))


@method
@together
def cumprod(
    x: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Running product along `dim`.

    >>> dg.cumprod(dg.asarray([1, 2, 3]), 0)
    tensor([1, 2, 6])
    """
    chosen = one_axis("cumprod", x, dim, axis)
    return fn.cumulative_prod(x, axis=chosen, dtype=_total_dtype(x, dtype))


@method
def softmax(
    x: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `dim`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.softmax(torch.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return composites.softmax(x, axis=one_axis("softmax", x, dim, axis), dtype=dtype)


@method
def log_softmax(
    x: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """``log(softmax(x))`` along `dim`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.log_softmax(torch.tensor([0.0, 0.0]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    return composites.log_softmax(x, axis=one_axis("log_softmax", x, dim, axis), dtype=dtype)
