"""PyTorch's functions that are neither methods nor in the standard: joining, building, other names of ops.

Functions that are methods as well stand in `eager.methods`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..core.dtypes import get_default_dtype
from ..core.errors import ShapeError, describe
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops import transcendental as tr
from ..ops.axes import normalize_axis
from ..ops.movement import copy as copy_op
from ..ops.movement import stop_gradient
from ..ops.nn import activations
from . import functions as fn
from . import shapes as sh
from .creation import asarray, linspace
from .methods.products import outer
from .methods.shape import transpose
from .operands import as_operand, astype
from .tensor import Tensor

Tensors = Sequence[Any]


def cat(tensors: Tensors, dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors one after the other along an existing axis."""
    return sh.concat(tensors, axis=dim if axis is None else axis)


def hstack(tensors: Tensors) -> Tensor:
    """Tensors side by side: along axis 1, along axis 0 if they have one axis."""
    parts = atleast_1d(list(tensors))
    return sh.concat(parts, axis=0 if parts[0].ndim == 1 else 1)


def vstack(tensors: Tensors) -> Tensor:
    """Tensors as rows, one below the other."""
    return sh.concat(atleast_2d(list(tensors)), axis=0)


concatenate, row_stack = cat, vstack


def dstack(tensors: Tensors) -> Tensor:
    """Tensors along axis 2."""
    return sh.concat(atleast_3d(list(tensors)), axis=2)


def column_stack(tensors: Tensors) -> Tensor:
    """Vectors as columns of a matrix; matrices side by side."""
    parts = [as_operand(x) for x in tensors]
    return sh.concat([sh.reshape(x, (-1, 1)) if x.ndim < 2 else x for x in parts], axis=1)


def _at_least(tensors: tuple[Any, ...], shape_of: Any) -> Any:
    alone = len(tensors) == 1 and not isinstance(tensors[0], (tuple, list))
    given = tensors if alone or len(tensors) != 1 else tensors[0]
    out = tuple(sh.reshape(x, shape_of(x.shape)) for x in map(as_operand, given))
    return out[0] if alone else out


def atleast_1d(*tensors: Any) -> Any:
    """Tensors of at least one axis."""
    return _at_least(tensors, lambda s: s or (1,))


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of at least two axes: vectors become rows."""
    return _at_least(tensors, _as_row)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of at least three axes: matrices get a last axis, vectors stand in the middle."""
    return _at_least(tensors, lambda s: s if len(s) > 2 else (*_as_row(s), 1))


def _as_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (2 - len(shape)) + shape


def broadcast_tensors(*tensors: Any) -> list[Tensor]:
    """Operands at their common shape."""
    return sh.broadcast_arrays(*tensors)


def absolute(x: Any) -> Tensor:
    """Absolute value."""
    return ar.abs(x)


mul, neg, ger = ar.multiply, ar.negative, outer
true_divide = ar.divide
eq, ne = cp.equal, cp.not_equal
lt, le, gt, ge = cp.less, cp.less_equal, cp.greater, cp.greater_equal
swapaxes = swapdims = transpose
arccos, arcsin, arctan, arctan2 = tr.acos, tr.asin, tr.atan, tr.atan2
arccosh, arcsinh, arctanh = tr.acosh, tr.asinh, tr.atanh
bitwise_not, fix = cp.bitwise_invert, ar.trunc
relu = activations.relu


def numel(x: Tensor) -> int:
    """The number of elements."""
    return prod(x.shape)


def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(x: Tensor) -> bool:
    """Whether the dtype of x is a floating one."""
    return x.dtype.is_floating_point


def is_complex(x: Tensor) -> bool:
    """Whether the dtype of x is a complex one."""
    return x.dtype.is_complex


def clone(x: Tensor) -> Tensor:
    """The same values in memory of their own."""
    return copy_op(x)


def detach(x: Tensor) -> Tensor:
    """The same memory, off the tape."""
    return stop_gradient(x)


def tril_indices(row: int, col: int, offset: int = 0, *, device: Any = None) -> Tensor:
    """Places on and below a diagonal: int64 of shape (2, n), row by row."""
    places = [(i, j) for i in range(row) for j in range(col) if j - i <= offset]
    return sh.reshape(asarray(places, dtype="int64", device=device), (-1, 2)).T


def triu_indices(row: int, col: int, offset: int = 0, *, device: Any = None) -> Tensor:
    """Places on and above a diagonal: int64 of shape (2, n), row by row."""
    places = [(i, j) for i in range(row) for j in range(col) if j - i >= offset]
    return sh.reshape(asarray(places, dtype="int64", device=device), (-1, 2)).T


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """`steps` numbers from ``base**start`` to ``base**end``, evenly spaced in their logarithm."""
    exponents = linspace(start, end, steps, dtype="float64", device=device)
    return astype(tr.pow(float(base), exponents), dtype or get_default_dtype())


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All choices of one element of each vector, a row each."""
    grids = sh.meshgrid(*tensors, indexing="ij")
    return sh.stack([sh.reshape(g, (-1,)) for g in grids], axis=1) if len(grids) > 1 else grids[0]


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of one, zeros elsewhere."""
    blocks = atleast_2d(list(tensors))
    width, rows, left = sum(b.shape[1] for b in blocks), [], 0
    for b in blocks:
        rows.append(sh.pad(b, ((0, 0), (left, width - left - b.shape[1]))))
        left += b.shape[1]
    return sh.concat(rows, axis=0)


def trapezoid(y: Any, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral of y along `dim` by the trapezoidal rule, at places x or `dx` apart."""
    y = as_operand(y)
    a = normalize_axis(dim, y.ndim)
    n = y.shape[a]
    pairs = ar.add(sh.cut(y, a, 1, n), sh.cut(y, a, 0, n - 1))
    width = dx
    if x is not None:
        steps = fn.diff(x)
        width = sh.reshape(steps, (-1,) + (1,) * (y.ndim - a - 1)) if steps.ndim == 1 else steps
    return fn.sum(
        ar.multiply(pairs, ar.multiply(width, 0.5) if x is not None else width / 2), axis=a
    )


trapz = trapezoid


def combinations(x: Tensor, r: int = 2) -> Tensor:
    """All choices of `r` elements of a vector, a row each."""
    if r != 2:
        raise ShapeError(describe("combinations", str(x.type), "choices of two only"))
    at = triu_indices(x.shape[0], x.shape[0], 1)
    return fn.take(x, sh.matrix_transpose(at))
