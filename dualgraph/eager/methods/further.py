"""Further functions of PyTorch, made of others: parts of complex numbers, sums in the log domain, shapes of sums."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.composite import together, viewing
from ...core.errors import DTypeError, ShapeError, describe
from ...core.types import broadcast_shapes as common_shape
from ...ops import arithmetic as ar
from ...ops import comparison as cp
from ...ops import transcendental as tr
from ...ops.axes import normalize_axis
from ...ops.reduce import sum_to
from ...ops.reinterpret import as_pairs, of_pairs
from .. import functions as fn
from .. import shapes as sh
from ..attach import method
from ..filling import arange
from ..operands import as_operand, astype
from ..tensor import Tensor
from .ordering import shared
from .parts import diag, even_split
from .reduction import ValuesIndices
from .selection import masked_fill
from .shape import seen

# --- complex numbers -----------------------------------------------------------------------------


@method
def positive(x: Tensor) -> Tensor:
    """``+x``: x itself."""
    return x


@method
def sgn(x: Tensor) -> Tensor:
    """`sign`; of a complex number ``x / |x|``.

    >>> dg.sgn(dg.asarray([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return ar.sign(x)


@method
def isreal(x: Tensor) -> Tensor:
    """Where there is no imaginary part.

    >>> dg.isreal(dg.asarray([1 + 0j, 1 + 2j]))
    tensor([ True, False])
    """
    return cp.equal(ar.imag_part(x), 0) if x.dtype.is_complex else cp.equal(ar.abs(x) < 0, False)


@method
def angle(x: Tensor) -> Tensor:
    """The angle of a number in the plane: ``atan2(imag, real)``, so 0 or pi for a real one; NaN stays.

    >>> dg.angle(dg.tensor([1.0, -1.0])).tolist()
    [0.0, 3.1415927410125732]
    """
    if x.dtype.is_complex:
        return tr.atan2(ar.imag_part(x), ar.real_part(x))
    x = x if x.dtype.is_inexact else astype(x, dt.get_default_dtype())
    return ar.where(cp.isnan(x), x, ar.where(cp.less(x, 0), np.pi, 0.0))


@together
def complex(real: Any, imag: Any) -> Tensor:
    """The complex numbers of these parts: complex64 of float32, complex128 of float64.

    >>> dg.complex(dg.asarray([1.0]), dg.asarray([2.0])).tolist()
    [(1+2j)]
    """
    return ar.complex_of(as_operand(real), as_operand(imag))


@together
def polar(abs: Any, angle: Any) -> Tensor:
    """The complex numbers of these sizes and angles.

    >>> dg.polar(dg.asarray([2.0]), dg.asarray([0.0])).tolist()
    [(2+0j)]
    """
    size, turn = as_operand(abs), as_operand(angle)
    return complex(ar.multiply(size, tr.cos(turn)), ar.multiply(size, tr.sin(turn)))


@viewing
def view_as_real(x: Tensor) -> Tensor:
    """Real and imaginary parts along a new last axis; a view.

    >>> dg.view_as_real(dg.asarray([1 + 2j])).tolist()
    [[1.0, 2.0]]
    """
    if not x.dtype.is_complex:
        raise DTypeError(describe("view_as_real", str(x.tensor_type), "the tensor is not complex"))
    return as_pairs(x)  # type: ignore[no-any-return]


@viewing
def view_as_complex(x: Tensor) -> Tensor:
    """The complex numbers whose parts lie along the last axis, which has length 2; a view.

    >>> dg.view_as_complex(dg.asarray([[1.0, 2.0]])).tolist()
    [(1+2j)]
    """
    if not x.ndim or x.shape[-1] != 2:
        raise ShapeError(
            describe("view_as_complex", str(x.tensor_type), "the last axis must have length 2")
        )
    return seen("view_as_complex", x, of_pairs(x))


# --- sums in the log domain ----------------------------------------------------------------------


@method
def logaddexp2(x: Tensor, other: Any) -> Tensor:
    """``log2(2**x + 2**other)``.

    >>> dg.logaddexp2(dg.asarray([1.0]), dg.asarray([1.0]))
    tensor([2.])
    """
    return ar.divide(tr.logaddexp(ar.multiply(x, log(2)), ar.multiply(other, log(2))), log(2))


@method
@together
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """The logarithm of the running sum of ``exp(x)`` along `dim`, without overflow.

    >>> dg.logcumsumexp(dg.asarray([0.0, 0.0, 0.0]), 0)
    tensor([0.0000, 0.6931, 1.0986])
    """
    a = normalize_axis(dim, x.ndim)
    if not x.ndim:
        return x
    out, span, n = x, 1, x.shape[a]
    while span < n:  # each step doubles the stretch that is summed
        later = tr.logaddexp(sh.cut(out, a, span, n), sh.cut(out, a, 0, n - span))
        out = sh.concat([sh.cut(out, a, 0, span), later], axis=a)
        span *= 2
    return out


# --- shapes --------------------------------------------------------------------------------------


@method
def sum_to_size(x: Tensor, *size: Any) -> Tensor:
    """x summed to a shape that broadcasts to its own."""
    shape = tuple(size[0]) if len(size) == 1 and not hasattr(size[0], "__index__") else size
    if common_shape(x.shape, shape) != x.shape:
        raise ShapeError(
            describe("sum_to_size", str(x.tensor_type), f"cannot be summed to {shape}")
        )
    return sum_to(x, shape)  # type: ignore[no-any-return]


@method
@together
def diagflat(x: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements of x along a diagonal.

    >>> dg.diagflat(dg.asarray([[1, 2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    return diag(sh.reshape(x, (-1,)), offset)


@method
def dsplit(x: Tensor, indices_or_sections: Any) -> Any:
    """Parts along axis 2.

    >>> [part.shape for part in dg.dsplit(dg.ones((2, 2, 4)), 2)]
    [(2, 2, 2), (2, 2, 2)]
    """
    return even_split(x, indices_or_sections, 2, "dsplit")


@method
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x with `source` at places of the flattened x; added there with `accumulate`.

    >>> dg.put(dg.zeros(2, 2), dg.tensor([3]), dg.tensor([5.0]))
    tensor([[0., 0.],
            [0., 5.]])
    """
    flat = sh.reshape(x, (-1,))
    values = sh.reshape(as_operand(source), (-1,))
    out = flat.index_put((sh.reshape(index, (-1,)),), values, accumulate=accumulate)  # type: ignore[attr-defined]
    return sh.reshape(out, x.shape)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that shapes broadcast to.

    >>> dg.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    return common_shape(*((s,) if isinstance(s, int) else tuple(s) for s in shapes))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of the elements of a vector, a row each: falling ones unless `increasing`.

    >>> dg.vander(dg.asarray([1.0, 2.0]), 3)
    tensor([[1., 1., 1.],
            [4., 2., 1.]])
    """
    x = as_operand(x)
    if x.ndim != 1:
        raise ShapeError(describe("vander", str(x.tensor_type), "needs a vector"))
    n = x.shape[0] if N is None else N
    powers = arange(n, device=x.device) if increasing else arange(n - 1, -1, -1, device=x.device)
    return tr.pow(sh.expand_dims(x, axis=1), powers)


def promote_types(type1: Any, type2: Any) -> dt.DType:
    """The dtype that two dtypes promote to.

    >>> dg.promote_types(dg.uint8, dg.int8)
    dualgraph.int16
    """
    return dt.promote(dt.as_dtype(type1), dt.as_dtype(type2))


# --- what passes over NaN ------------------------------------------------------------------------


@method
def nanmedian(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of what is no NaN; NaN where there is nothing else.

    >>> dg.nanmedian(dg.asarray([3.0, float("nan"), 1.0, 2.0]))
    tensor(2.)
    """
    high = masked_fill(x, cp.isnan(x), float("inf")) if x.dtype.is_inexact else x
    a = 0 if dim is None else normalize_axis(dim, x.ndim)
    flat, marks = (sh.reshape(v, (-1,)) if dim is None else v for v in (high, cp.isnan(x)))
    if not flat.ndim:
        return x if dim is None else x.median(dim, keepdim)  # type: ignore[attr-defined]
    order = fn.argsort(flat, axis=a)
    count = ar.subtract(flat.shape[a], fn.sum(marks, axis=a, keepdims=True))
    middle = ar.maximum(ar.floor_divide(ar.subtract(count, 1), 2), 0)
    place = fn.take_along_axis(order, middle, axis=a)
    line = sh.reshape(x, (-1,)) if dim is None else x
    values = fn.take_along_axis(line, place, axis=a)
    if dim is None:
        return shared(x, sh.reshape(values, ()))
    pair = (values, place) if keepdim else (sh.squeeze(values, a), sh.squeeze(place, a))
    return ValuesIndices(*pair)
