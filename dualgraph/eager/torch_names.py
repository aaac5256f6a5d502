"""PyTorch's functions that are neither methods nor in the standard: joining, building, other names of ops.

Functions that are methods as well stand in `eager.methods`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import combinations as choices
from itertools import combinations_with_replacement
from math import prod
from typing import Any

import numpy as np

from ..core.composite import creating, together
from ..core.dtypes import get_default_dtype
from ..core.errors import ShapeError, describe
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import transcendental as tr
from ..ops.movement import copy as copy_op
from ..ops.nn import activations
from . import functions as fn
from . import shapes as sh
from .attach import methods
from .creation import asarray
from .filling import linspace
from .methods.products import outer
from .methods.shape import transpose
from .operands import also_out, as_operand, astype, result_type
from .tensor import Tensor

Tensors = Sequence[Any]


@also_out
def cat(tensors: Tensors, dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors one after the other along an existing axis.

    A vector of no elements (``dg.tensor([])``) fits beside anything, as in PyTorch: it is passed over.

    >>> dg.cat([dg.tensor([]), dg.ones(1, 2), dg.zeros(1, 2)]).shape
    (2, 2)
    """
    return _cat(*tensors, axis=dim if axis is None else axis)


@together
def _cat(*tensors: Any, axis: int) -> Tensor:
    parts = [as_operand(x) for x in tensors]
    some = [x for x in parts if x.shape != (0,)]
    if some and len(some) < len(parts) and some[0].ndim != 1:
        dtype = result_type(*parts)
        parts = [astype(x, dtype, copy=False) for x in some]
    return sh.concat(parts, axis=axis)


@also_out
def hstack(tensors: Tensors) -> Tensor:
    """Tensors side by side: along axis 1, along axis 0 if they have one axis.

    >>> dg.hstack([dg.asarray([1, 2]), dg.asarray([3])])
    tensor([1, 2, 3])
    """
    return _hstack(*tensors)


@together
def _hstack(*tensors: Any) -> Tensor:
    parts = atleast_1d(list(tensors))
    return sh.concat(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@also_out
def vstack(tensors: Tensors) -> Tensor:
    """Tensors as rows, one below the other.

    >>> dg.vstack([dg.asarray([1, 2]), dg.asarray([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return _vstack(*tensors)


@together
def _vstack(*tensors: Any) -> Tensor:
    return sh.concat(atleast_2d(list(tensors)), axis=0)


concatenate, row_stack, pow = cat, vstack, also_out(tr.pow)


@also_out
def dstack(tensors: Tensors) -> Tensor:
    """Tensors along axis 2.

    >>> dg.dstack([dg.ones(2), dg.zeros(2)]).shape
    (1, 2, 2)
    """
    return sh.concat(atleast_3d(list(tensors)), axis=2)


@also_out
def column_stack(tensors: Tensors) -> Tensor:
    """Vectors as columns of a matrix; matrices side by side.

    >>> dg.column_stack([dg.asarray([1, 2]), dg.asarray([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    parts = [as_operand(x) for x in tensors]
    return sh.concat([sh.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], axis=1)


def _at_least(tensors: tuple[Any, ...], shape_of: Any) -> Any:
    alone = len(tensors) == 1 and not isinstance(tensors[0], (tuple, list))
    given = tensors if alone or len(tensors) != 1 else tensors[0]
    out = tuple(sh.reshape(x, shape_of(x.shape)) for x in map(as_operand, given))
    return out[0] if alone else out


def atleast_1d(*tensors: Any) -> Any:
    """Tensors of at least one axis.

    >>> dg.atleast_1d(dg.asarray(3.0)).shape
    (1,)
    """
    return _at_least(tensors, lambda s: s or (1,))


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of at least two axes: vectors become rows.

    >>> dg.atleast_2d(dg.ones(3)).shape
    (1, 3)
    """
    return _at_least(tensors, _as_row)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of at least three axes: matrices get a last axis, vectors stand in the middle.

    >>> dg.atleast_3d(dg.ones(3)).shape
    (1, 3, 1)
    """
    return _at_least(tensors, lambda s: s if len(s) > 2 else (*_as_row(s), 1))


def _as_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (2 - len(shape)) + shape


def broadcast_tensors(*tensors: Any) -> list[Tensor]:
    """Operands at their common shape.

    >>> [x.shape for x in dg.broadcast_tensors(dg.ones((2, 1)), dg.ones(3))]
    [(2, 3), (2, 3)]
    """
    return sh.broadcast_arrays(*tensors)


def absolute(x: Any) -> Tensor:
    """Absolute value.

    >>> dg.absolute(dg.asarray([-1.0, 2.0]))
    tensor([1., 2.])
    """
    return ar.abs(x)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``.

    >>> dg.rsub(dg.asarray([1.0, 2.0]), 5)
    tensor([4., 3.])
    """
    return ar.subtract(other, input if alpha == 1 else ar.multiply(input, alpha))


def fill(input: Any, value: Any) -> Tensor:
    """A tensor like this one with one value everywhere.

    >>> dg.fill(dg.ones(2), 3.0)
    tensor([3., 3.])
    """
    return copy_op(as_operand(input)).fill_(value)  # type: ignore[attr-defined, no-any-return]


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A number as a tensor of no axes, floating unless `dtype` says otherwise.

    >>> dg.scalar_tensor(3)
    tensor(3.)
    """
    out = asarray(s, dtype=dtype or get_default_dtype(), device=device)
    return out.requires_grad_() if requires_grad else out


class memory_format(Enum):
    """PyTorch's orders of axes in memory. Here tensors lie in rows whatever is asked for; what it computes is the same.

    >>> dg.ones(1, 2, 2, 2).contiguous(memory_format=dg.channels_last).shape
    (1, 2, 2, 2)
    """

    contiguous_format, channels_last, channels_last_3d, preserve_format = range(4)


class layout(Enum):
    """How a tensor has its elements: all of them, in strides; there is no other.

    >>> dg.ones(2).layout is dg.strided
    True
    """

    strided = 0


strided = layout.strided
methods(layout=property(lambda x: strided, doc="How x has its elements: `strided`, always."))
contiguous_format, channels_last = memory_format.contiguous_format, memory_format.channels_last
channels_last_3d, preserve_format = memory_format.channels_last_3d, memory_format.preserve_format
conj_physical = ar.conj
mul, neg, ger = ar.multiply, ar.negative, outer
true_divide = ar.divide
eq, ne = cp.equal, cp.not_equal
lt, le, gt, ge = cp.less, cp.less_equal, cp.greater, cp.greater_equal
swapaxes = swapdims = transpose
arccos, arcsin, arctan, arctan2 = tr.acos, tr.asin, tr.atan, tr.atan2
arccosh, arcsinh, arctanh = tr.acosh, tr.asinh, tr.atanh
bitwise_not, fix = cp.bitwise_invert, ar.trunc
relu = activations.relu


def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor.

    >>> dg.is_tensor(dg.ones(2)), dg.is_tensor([1.0])
    (True, False)
    """
    return isinstance(obj, Tensor)


@creating
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = "int64", device: Any = None
) -> Tensor:
    """Places on and below a diagonal: integers of shape (2, n), row by row.

    >>> dg.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return asarray(np.stack(np.tril_indices(row, offset, col)), dtype=dtype, device=device)


@creating
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = "int64", device: Any = None
) -> Tensor:
    """Places on and above a diagonal: integers of shape (2, n), row by row.

    >>> dg.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return asarray(np.stack(np.triu_indices(row, offset, col)), dtype=dtype, device=device)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """`steps` numbers from ``base**start`` to ``base**end``, evenly spaced in their logarithm.

    >>> dg.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    exponents = linspace(start, end, steps, dtype="float64", device=device)
    return astype(tr.pow(float(base), exponents), dtype or get_default_dtype())


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All choices of one element of each vector, a row each.

    >>> dg.cartesian_prod(dg.asarray([1, 2]), dg.asarray([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    grids = sh.meshgrid(*tensors, indexing="ij")
    return sh.stack([sh.reshape(g, (-1,)) for g in grids], axis=1) if len(grids) > 1 else grids[0]


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of one, zeros elsewhere.

    >>> dg.block_diag(dg.ones((1, 1)), dg.ones((1, 2)))
    tensor([[1., 0., 0.],
            [0., 1., 1.]])
    """
    blocks = atleast_2d(list(tensors))
    width, rows, left = sum(b.shape[1] for b in blocks), [], 0
    for b in blocks:
        rows.append(sh.pad(b, ((0, 0), (left, width - left - b.shape[1]))))
        left += b.shape[1]
    return sh.concat(rows, axis=0)


def combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector, a row each; an element may come again `with_replacement`.

    >>> dg.combinations(dg.asarray([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if x.ndim != 1 or r < 0:
        problem = f"needs a vector and r of 0 or more, not {r}"
        raise ShapeError(describe("combinations", str(x.tensor_type), problem))
    choose = combinations_with_replacement if with_replacement else choices
    if not r:
        return sh.cut(x, 0, 0, 0)
    at = np.array(list(choose(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return fn.take(x, asarray(at, device=x.device))


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Places along each axis of a tensor of `shape`, of places in the flattened one.

    >>> [int(i) for i in dg.unravel_index(dg.tensor(5), (2, 3))]
    [1, 2]
    """
    at, found = astype(indices, "int64"), list[Tensor]()
    for size in reversed((shape,) if isinstance(shape, int) else tuple(shape)):
        found.append(ar.remainder(at, size))
        at = ar.floor_divide(at, size)
    return tuple(reversed(found))
