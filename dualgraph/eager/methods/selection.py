"""Selection: elements read and written at places given by index tensors, masks and order."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from ...core.composite import together
from ...core.dtypes import bool_, int64
from ...core.errors import ArgumentError, DTypeError, ShapeError, describe
from ...ops.arithmetic import cast, maximum
from ...ops.arithmetic import where as where_op
from ...ops.axes import normalize_axis
from ...ops.indexing import index_put as index_put_op
from ...ops.indexing import scatter_along, scatter_extreme, take_along
from ...ops.movement import reshape
from ...ops.reduce import broadcast_to
from .. import functions as fn
from .. import indexing
from .. import shapes as sh
from ..attach import method
from ..creation import asarray
from ..dtype_info import iinfo
from ..filling import arange, full, ones_like, zeros
from ..tensor import Tensor


def _places(op: str, at: Any) -> Tensor:
    if not isinstance(at, Tensor):
        at = asarray(at)
    if not at.dtype.is_integer:
        raise DTypeError(
            describe(op, str(at.tensor_type), "indices are integers", "cast with .long()")
        )
    return at if at.dtype is int64 else cast(at, dtype="int64")


def _values(x: Tensor, src: Any, shape: tuple[int, ...]) -> Tensor:
    """What is to be written: a tensor in the dtype of x, or one number for all places."""
    if not isinstance(src, Tensor):
        return full(shape, src, dtype=x.dtype, device=x.device)
    return src if src.dtype is x.dtype else cast(src, dtype=x.dtype.name)


def _line(x: Any) -> Any:
    """A number as a vector of one: it has one axis to PyTorch's functions that take one."""
    return reshape(x, shape=(1,)) if isinstance(x, Tensor) and not x.ndim else x


def _unlined(x: Tensor, whole: Tensor) -> Tensor:
    """What was made of `_line(x)`, as a number where x is one."""
    return whole if x.ndim else reshape(whole, shape=())


# --- along an axis -----------------------------------------------------------------------------


@method
@together
def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """``out[i][j] = x[index[i][j]][j]`` for `dim` 0, and alike for the others.

    >>> dg.gather(dg.asarray([[3, 1], [5, 9]]), 1, dg.asarray([[1], [0]]))
    tensor([[1],
            [5]])
    """
    at = _places("gather", index)
    return _unlined(at, take_along(_line(x), _line(at), axis=normalize_axis(dim, x.ndim)))


@method
@together
def take_along_dim(x: Tensor, indices: Any, dim: int | None = None) -> Tensor:
    """Along `dim`, the element at each index; the other axes broadcast.

    >>> dg.take_along_dim(dg.asarray([[3, 1], [5, 9]]), dg.asarray([[1], [0]]), 1)
    tensor([[1],
            [5]])
    """
    if dim is None:
        return take_along(
            sh.reshape(x, (-1,)), sh.reshape(_places("take_along_dim", indices), (-1,)), axis=0
        )
    return fn.take_along_axis(x, _places("take_along_dim", indices), axis=dim)


def _cropped(src: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The front part of `src` that index tensors of `shape` refer to."""
    if src.shape == shape:
        return src
    if src.ndim != len(shape) or any(a < b for a, b in zip(src.shape, shape, strict=True)):
        raise ShapeError(
            describe(
                "scatter", str(src.tensor_type), f"values do not cover indices of shape {shape}"
            )
        )
    return src[tuple(slice(0, d) for d in shape)]


@method
@together
def scatter(
    x: Tensor,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy of x with ``out[index[i][j]][j] = src[i][j]`` for `dim` 0, and alike for the others.

    `src` may be a number; ``reduce="add"`` or ``"multiply"`` combines with what is there.

        >>> dg.scatter(dg.zeros(4), 0, dg.asarray([1, 3]), dg.asarray([5.0, 7.0]))
        tensor([0., 5., 0., 7.])
    """
    at = _line(_places("scatter", index))
    a = normalize_axis(dim, x.ndim)
    values = _cropped(_line(_values(x, value if src is None else src, at.shape)), at.shape)
    if reduce == "multiply":
        return x * scatter_reduce(ones_like(x), dim, at, values, "prod")
    if reduce not in (None, "add"):
        raise ArgumentError(
            describe(
                "scatter",
                str(x.tensor_type),
                f"reduce is 'add', 'multiply' or None, not {reduce!r}",
            )
        )
    mode = "add" if reduce == "add" else "set"
    return _unlined(x, scatter_along(_line(x), at, values, axis=a, mode=mode))


@method
@together
def scatter_add(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """A copy of x with ``out[index[i][j]][j] += src[i][j]`` for `dim` 0, and alike for the others.

    >>> dg.scatter_add(dg.zeros(3), 0, dg.asarray([0, 0, 2]), dg.ones(3))
    tensor([2., 0., 1.])
    """
    return scatter(x, dim, index, src, reduce="add")


@method
@together
def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """Slices along `dim` at a 1-d tensor of indices.

    >>> dg.index_select(dg.asarray([[1, 2], [3, 4], [5, 6]]), 0, dg.asarray([2, 0]))
    tensor([[5, 6],
            [1, 2]])
    """
    at = _places("index_select", index)
    if at.ndim > 1:
        raise ShapeError(
            describe("index_select", f"{x.tensor_type}, {at.tensor_type}", "indices have one axis")
        )
    out = fn.take(
        x if x.ndim else reshape(x, shape=(1,)), reshape(at, shape=(at.numel(),)), axis=dim
    )
    return out if x.ndim else reshape(out, shape=())


def _put(x: Tensor, dim: int, at: Any, src: Any, mode: str, op: str) -> Tensor:
    a = normalize_axis(dim, x.ndim)
    at = sh.reshape(_places(op, at), (-1,))
    shape = (*x.shape[:a], at.shape[0], *x.shape[a + 1 :])
    values = _values(x, src, shape)
    values = broadcast_to(values, shape=shape) if values.shape != shape else values
    return _unlined(x, index_put_op(_line(x), values, at, dims=(a,), mode=mode))


@method
@together
def index_add(x: Tensor, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
    """A copy of x with ``alpha * source`` added to the slices at `index` along `dim`.

    >>> dg.index_add(dg.zeros(3), 0, dg.asarray([0, 0, 2]), dg.ones(3))
    tensor([2., 0., 1.])
    """
    if isinstance(source, Tensor) and source.ndim not in (0, x.ndim or 1):
        problem = f"the source has {source.ndim} axes, not {x.ndim}"
        raise ShapeError(describe("index_add", f"{x.tensor_type}, {source.tensor_type}", problem))
    return _put(x, dim, index, source if alpha == 1 else source * alpha, "add", "index_add")


@method
@together
def index_copy(x: Tensor, dim: int, index: Any, source: Any) -> Tensor:
    """A copy of x with `source` written to the slices at `index` along `dim`.

    >>> dg.index_copy(dg.zeros(3), 0, dg.asarray([2, 0]), dg.asarray([5.0, 7.0]))
    tensor([7., 0., 5.])
    """
    return _put(x, dim, index, source, "set", "index_copy")


@method
@together
def index_fill(x: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """A copy of x with one value written to the slices at `index` along `dim`.

    >>> dg.index_fill(dg.zeros(3), 0, dg.asarray([0, 2]), 9.0)
    tensor([9., 0., 9.])
    """
    a, line = normalize_axis(dim, x.ndim), _line(x)
    at = sh.reshape(_places("index_fill", index), (-1,))
    hit = _put(zeros(line.shape[a], dtype=bool_, device=x.device), 0, at, True, "set", "index_fill")
    return where_op(
        sh.reshape(hit, (-1,) + (1,) * (line.ndim - a - 1)), _values(x, value, ()), line
    ).reshape(x.shape)  # type: ignore[attr-defined]


@method
def index_put(x: Tensor, indices: Any, values: Any, accumulate: bool = False) -> Tensor:
    """A copy of x with ``out[indices] = values`` (added when `accumulate`); indices are integers or masks.

    >>> dg.index_put(dg.zeros(3), (dg.asarray([1]),), dg.asarray([4.0]))
    tensor([0., 4., 0.])
    """
    masks = (isinstance(i, Tensor) and i.dtype is bool_ for i in indices)
    each = (indexing.nonzero(i) if m else (i,) for i, m in zip(indices, masks, strict=True))
    at = tuple(_places("index_put", i) for some in each for i in some)
    dims = tuple(range(len(at)))
    shape = indexing.index_shape(x.shape, tuple(a.shape for a in at), dims)
    new = _values(x, values, shape)
    new = broadcast_to(new, shape=shape) if new.shape != shape else new
    return index_put_op(x, new, *at, dims=dims, mode="add" if accumulate else "set")


@method
@together
def take(x: Tensor, index: Any) -> Tensor:
    """Elements of the flattened x.

    >>> import dualgraph.compat.torch as torch
    >>> torch.take(torch.tensor([[1, 2], [3, 4]]), torch.tensor([3, 0]))
    tensor([4, 1])
    """
    return fn.take(x, _places("take", index))


# --- masks -------------------------------------------------------------------------------------


@method
@together
def masked_fill(x: Tensor, mask: Any, value: Any) -> Tensor:
    """x with one value where the mask holds.

    >>> dg.masked_fill(dg.asarray([1.0, 2.0]), dg.asarray([True, False]), 0.0)
    tensor([0., 2.])
    """
    if isinstance(mask, Tensor) and mask.dtype is not bool_:
        raise DTypeError(
            describe(
                "masked_fill",
                f"{x.tensor_type}, {mask.tensor_type}",
                "a mask is bool",
                "compare first: x > 0",
            )
        )
    if isinstance(value, Tensor) and value.ndim:
        problem = f"fills with one number, not {value.tensor_type}"
        raise ShapeError(describe("masked_fill", str(x.tensor_type), problem, "use dg.where"))
    given = (
        value.dtype if isinstance(value, Tensor) else complex if type(value) is complex else None
    )
    if getattr(given, "is_complex", given is complex) and not x.dtype.is_complex:
        problem = f"{value!r} does not fit {x.dtype}"
        raise DTypeError(describe("masked_fill", str(x.tensor_type), problem, "cast x first"))
    out = where_op(mask, value, x)
    return out if out.dtype is x.dtype else cast(out, dtype=x.dtype.name)


@method
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, along one axis.

    >>> dg.masked_select(dg.asarray([1.0, 2.0, 3.0]), dg.asarray([True, False, True]))
    tensor([1., 3.])
    """
    if not isinstance(mask, Tensor) or x.shape != mask.shape:
        x, mask = sh.broadcast_arrays(x, mask)
    return indexing.getitem(x, mask)


@method
def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """x with the elements of `source` in order where the mask holds.

    >>> dg.masked_scatter(dg.zeros(3), dg.asarray([True, False, True]), dg.asarray([5.0, 7.0]))
    tensor([5., 0., 7.])
    """
    if mask.dtype is not bool_:
        problem, remedy = "a mask is bool", "compare first: x > 0"
        raise DTypeError(
            describe("masked_scatter", f"{x.tensor_type}, {mask.tensor_type}", problem, remedy)
        )
    x, mask = sh.broadcast_arrays(x, mask)
    at = indexing.nonzero(mask)
    values = sh.reshape(source, (-1,))[: at[0].shape[0]]
    return index_put(x, at, values)


@method
def where(x: Tensor, condition: Any, other: Any) -> Tensor:
    """x where the condition holds, else `other`."""
    return where_op(condition, x, other)


@method
def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """Places of the elements that are not zero: a row each, or a tensor an axis with `as_tuple`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.nonzero(torch.tensor([0, 1, 1])).tolist()
    [[1], [2]]
    """
    if not as_tuple and x.ndim and indexing.unseen(x):
        return Tensor(np.ascontiguousarray(np.array(indexing.found(x._data)).T), int64)
    at = indexing.nonzero(_line(x) if as_tuple else x)
    return (
        tuple(at)
        if as_tuple
        else sh.stack(at, axis=1)
        if at
        else zeros((int(bool(x)), 0), dtype=int64)
    )


@method
def argwhere(x: Tensor) -> Tensor:
    """Places of the elements that are not zero, a row each.

    >>> dg.argwhere(dg.asarray([[0, 1], [1, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    return nonzero(x)


@method
def scatter_reduce(
    x: Tensor, dim: int, index: Any, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Values of `src` combined with what they meet at `index`: "sum", "mean", "prod", "amax" or "amin".

    >>> dg.scatter_reduce(dg.zeros(2), 0, dg.asarray([0, 0, 1]), dg.asarray([3.0, 5.0, 1.0]), "amax")
    tensor([5., 1.])
    """
    at = _line(_places("scatter_reduce", index))
    src = _cropped(_line(_values(x, src, at.shape)), at.shape)
    a = normalize_axis(dim, x.ndim)
    return _unlined(x, _scatter_reduce(_line(x), a, at, src, reduce, include_self))


def _neutral(x: Tensor, reduce: str) -> Any:
    """What changes nothing where it meets others."""
    if reduce not in ("sum", "mean", "prod", "amax", "amin"):
        problem = f"reduce is 'sum', 'mean', 'prod', 'amax' or 'amin', not {reduce!r}"
        raise ArgumentError(describe("scatter_reduce", str(x.tensor_type), problem))
    if reduce[0] != "a":
        return int(reduce == "prod")
    low, high = (-inf, inf) if x.dtype.is_floating_point else (False, True)
    if x.dtype.is_integer:
        low, high = iinfo(x.dtype).min, iinfo(x.dtype).max
    return low if reduce == "amax" else high


def _scatter_reduce(
    x: Tensor, a: int, at: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    """x with the values of `src` folded into the places `at` along axis a."""
    neutral = _neutral(x, reduce)
    if not include_self:
        x = scatter(x, a, at, neutral)
    if reduce == "sum":
        return scatter(x, a, at, src, reduce="add")
    if reduce == "mean":
        start = ones_like(x) if include_self else scatter(ones_like(x), a, at, 0)
        count = scatter(start, a, at, 1, reduce="add")
        total = scatter(x, a, at, src, reduce="add")
        if x.dtype.is_inexact:
            return total / maximum(count, 1)
        return total // maximum(count, 1)
    if reduce == "prod":
        return _scatter_product(x, a, at, src)
    mode = {"amax": "maximum", "amin": "minimum"}[reduce]
    return scatter_extreme(x, at, src, axis=a, mode=mode)


def _scatter_product(x: Tensor, a: int, at: Tensor, src: Tensor) -> Tensor:
    """The values that meet at a place, put side by side along a new axis (one a source place), and multiplied."""
    places = arange(x.shape[a], device=x.device)
    line = (1,) * a + (x.shape[a],) + (1,) * (x.ndim - a)
    hit = sh.reshape(places, line) == sh.expand_dims(at, axis=a)
    candidates = where_op(hit, sh.expand_dims(src, axis=a), full((), 1, dtype=x.dtype))
    crop = tuple(slice(0, d) if i != a else slice(None) for i, d in enumerate(at.shape))
    part = x[crop]
    both = sh.concat([sh.expand_dims(part, axis=a + 1), candidates], axis=a + 1)
    folded = fn.prod(both, axis=a + 1)
    folded = folded if folded.dtype is x.dtype else cast(folded, dtype=x.dtype.name)
    if folded.shape == x.shape:
        return folded
    out = x.clone()
    out[crop] = folded
    return out
