"""Parts: some of the elements of a tensor - slices, pieces, windows, diagonals; views where they can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ...core.composite import together, viewing
from ...core.dtypes import bool_
from ...core.errors import ArgumentError, ShapeError, describe
from ...core.numbers.sizing import fixed, range_length, slice_indices, to_int
from ...ops.arithmetic import where
from ...ops.axes import normalize_axis, own_axis
from ...ops.lattice import lattice
from ...ops.movement import copy as copy_op
from ...ops.movement import permute as permute_op
from ...ops.movement import reshape as reshape_op
from .. import shapes as sh
from ..attach import method, methods
from ..filling import arange
from ..tensor import Tensor
from .shape import unsqueeze


@method
def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` places along `dim` from `start` on; a view.

    >>> dg.narrow(dg.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    a = own_axis(dim, x.ndim)
    if isinstance(start, Tensor) and (start.ndim or not start.dtype.is_integer):
        problem = f"start is one whole number, not {start.tensor_type}"
        raise ArgumentError(describe("narrow", str(x.tensor_type), problem))
    first = to_int(start) + x.shape[a] if start < 0 else to_int(start)
    if length < 0 or first < 0 or first + length > x.shape[a]:
        raise ShapeError(
            describe(
                "narrow",
                str(x.tensor_type),
                f"{start} to {start + length} does not lie in axis {a} of {x.shape[a]}",
            )
        )
    return sh.cut(x, a, first, first + length)


@method
def narrow_copy(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` in memory of its own."""
    return copy_op(narrow(x, dim, start, length))


@method
def select(x: Tensor, dim: int, index: int) -> Tensor:
    """The slice at `index` of an axis, without the axis; a view.

    >>> dg.select(dg.asarray([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    a = normalize_axis(dim, x.ndim)
    return x[(slice(None),) * a + (index,)]


@method
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it.

    >>> [row.tolist() for row in dg.unbind(dg.asarray([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4]]
    """
    return sh.unstack(x, axis=dim)


@method
def split(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of `split_size` places along `dim` (the last may be shorter), or of the sizes in a list.

    >>> [part.tolist() for part in dg.split(dg.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    a = own_axis(dim, x.ndim)
    n = x.shape[a]
    if isinstance(split_size, int):
        if split_size < 1:
            raise ShapeError(
                describe(
                    "split", str(x.tensor_type), f"parts need at least one place, not {split_size}"
                )
            )
        count = fixed(range_length(0, n, split_size))
        starts = [i * split_size for i in range(count)] or [0]
        return tuple(sh.cut(x, a, i, min(i + split_size, n)) for i in starts)
    sizes = [to_int(s) for s in split_size]
    if sum(sizes) != n:
        raise ShapeError(
            describe("split", str(x.tensor_type), f"sizes {sizes} do not add up to {n}")
        )
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return tuple(sh.cut(x, a, e - s, e) for s, e in zip(sizes, ends, strict=True))


@method
def hsplit(x: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` along axis 1, along axis 0 if it is the only one.

    >>> [part.shape for part in dg.hsplit(dg.ones((2, 4)), 2)]
    [(2, 2), (2, 2)]
    """
    return even_split(x, indices_or_sections, 0 if x.ndim == 1 else 1, "hsplit")


@method
def vsplit(x: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` along axis 0.

    >>> [part.shape for part in dg.vsplit(dg.ones((4, 2)), 2)]
    [(2, 2), (2, 2)]
    """
    if x.ndim < 2:
        raise ShapeError(describe("vsplit", str(x.tensor_type), "needs at least two axes"))
    return even_split(x, indices_or_sections, 0, "vsplit")


def even_split(x: Tensor, places: Any, axis: int, op: str) -> tuple[Tensor, ...]:
    """`tensor_split` for a number of parts that divides the axis, or for a list of places."""
    if isinstance(places, int):
        n = x.shape[own_axis(axis, x.ndim)]
        if places < 1 or n % places:
            problem = f"an axis of {n} cannot be cut into {places} equal parts"
            raise ShapeError(describe(op, str(x.tensor_type), problem, "use tensor_split"))
    elif not isinstance(places, (list, tuple)):
        problem = f"takes a number of parts or a list of places, not {places!r}"
        raise ArgumentError(describe(op, str(x.tensor_type), problem))
    return tensor_split(x, places, axis)


@method
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of one size (the last may be shorter) along `dim`.

    >>> [part.tolist() for part in dg.chunk(dg.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    if chunks < 1:
        raise ArgumentError(describe("chunk", str(x.tensor_type), f"cannot make {chunks} parts"))
    n = x.shape[own_axis(dim, x.ndim)]
    return split(x, max(1, -(-n // chunks)), dim)


@method
def tensor_split(
    x: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0
) -> tuple[Tensor, ...]:
    """Parts of nearly one size, or cut before the given places.

    >>> [part.tolist() for part in dg.tensor_split(dg.arange(5), 3)]
    [[0, 1], [2, 3], [4]]
    """
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    a = own_axis(dim, x.ndim)
    n = x.shape[a]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1:
            problem = f"cannot make {indices_or_sections} parts"
            raise ArgumentError(describe("tensor_split", str(x.tensor_type), problem))
        k, extra = divmod(n, indices_or_sections)
        sizes = [k + (i < extra) for i in range(indices_or_sections)]
        return split(x, sizes, a)
    edges = [0, *(slice_indices(slice(i), n)[1] for i in indices_or_sections), n]
    return tuple(sh.cut(x, a, s, max(s, e)) for s, e in pairwise(edges))


@method
@viewing
def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` places along an axis, every `step` places, as a new last axis; a view.

    Windows that have places in common cannot be written.

        >>> dg.arange(4).unfold(0, 2, 1)
        tensor([[0, 1],
                [1, 2],
                [2, 3]])
    """
    a = normalize_axis(dimension, x.ndim)
    if not x.ndim:
        return unfold(reshape_op(x, shape=(1,)), 0, size, step)[0]
    if step < 1 or not 0 <= size <= x.shape[a]:
        problem = f"no window of {size} places every {step} fits an axis of {x.shape[a]}"
        raise ShapeError(describe("unfold", str(x.tensor_type), problem))
    n = (x.shape[a] - size) // step + 1
    steps = [_unit(i, x.ndim, step if i == a else 1) for i in range(x.ndim)]
    return lattice(  # type: ignore[no-any-return]
        x,
        shape=(*x.shape[:a], n, *x.shape[a + 1 :], size),
        starts=(0,) * x.ndim,
        steps=(*steps, _unit(a, x.ndim, 1)),
    )


def _unit(axis: int, ndim: int, step: int) -> tuple[int, ...]:
    """A step along one axis."""
    return tuple(step if i == axis else 0 for i in range(ndim))


methods(split_with_sizes=split)


# --- diagonals ---------------------------------------------------------------------------------


@method
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Elements whose places on two axes differ by `offset`, along a new last axis; a view.

    >>> dg.diagonal(dg.asarray([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    a, b = normalize_axis(dim1, x.ndim), normalize_axis(dim2, x.ndim)
    if a == b:
        raise ShapeError(describe("diagonal", str(x.tensor_type), "needs two different axes"))
    rest = [i for i in range(x.ndim) if i not in (a, b)]
    rows, cols = x.shape[a], x.shape[b]
    n = max(0, min(rows + min(offset, 0), cols - max(offset, 0)))
    if n and x._data.strides[a] != x._data.strides[b] * cols:  # no axis goes through both
        starts = tuple(
            max(-offset, 0) * (i == a) + max(offset, 0) * (i == b) for i in range(x.ndim)
        )
        along = tuple(int(i in (a, b)) for i in range(x.ndim))
        return lattice(  # type: ignore[no-any-return]
            x,
            shape=(*(x.shape[i] for i in rest), n),
            starts=starts,
            steps=(*(_unit(i, x.ndim, 1) for i in rest), along),
        )
    flat = sh.reshape(permute_op(x, axes=(*rest, a, b)), (*(x.shape[i] for i in rest), rows * cols))
    start = max(offset, 0) if offset >= 0 else -offset * cols
    key = (Ellipsis, slice(start, start + n * (cols + 1) - cols if n else start, cols + 1))
    return flat[key]


_diagonal = diagonal


@method
@together
def diag(x: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with this diagonal and zeros elsewhere.

    >>> dg.diag(dg.asarray([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if x.ndim == 2:
        return sh.unshared(_diagonal(x, diagonal), x)
    if x.ndim != 1:
        raise ShapeError(describe("diag", str(x.tensor_type), "needs one axis or two"))
    return diag_embed(x, diagonal)


@method
def diag_embed(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis of x as diagonal and zeros elsewhere; their axes are `dim1` and `dim2`.

    >>> dg.diag_embed(dg.asarray([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    n = x.shape[-1] + abs(offset)
    rows = reshape_op(arange(n, device=x.device), shape=(n, 1))
    on = rows + offset == arange(n, device=x.device)
    low, high = max(-offset, 0), max(offset, 0)
    # column j of a row holds x[j - max(offset, 0)]
    spread = sh.pad(x, ((0, 0),) * (x.ndim - 1) + ((high, low),))
    out = where(on, unsqueeze(spread, -2), False if x.dtype is bool_ else 0)
    a, b = normalize_axis(dim1, out.ndim), normalize_axis(dim2, out.ndim)
    if a == b:
        raise ShapeError(describe("diag_embed", str(x.tensor_type), "needs two different axes"))
    return out if (a, b) == (out.ndim - 2, out.ndim - 1) else sh.moveaxis(out, (-2, -1), (a, b))


@method
@together
def trace(x: Tensor) -> Tensor:
    """Sum of the diagonal of a matrix.

    >>> dg.trace(dg.asarray([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if x.ndim != 2:
        raise ShapeError(
            describe("trace", str(x.tensor_type), "needs a matrix", "use dg.linalg.trace")
        )
    return diagonal(x).sum()  # the method: totals of unsigned integers are int64


@method
@together
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """The part on and below a diagonal, zeros above.

    >>> import dualgraph.compat.torch as torch
    >>> torch.tril(torch.ones(2, 2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return sh.tril(x, k=diagonal)


@method
@together
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """The part on and above a diagonal, zeros below.

    >>> import dualgraph.compat.torch as torch
    >>> torch.triu(torch.ones(2, 2)).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return sh.triu(x, k=diagonal)
