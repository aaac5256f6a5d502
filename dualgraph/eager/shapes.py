"""Shapes: the standard's functions that move elements without computing on them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ..core import dtypes as dt
from ..core.composite import together, viewing
from ..core.errors import ArgumentError, AxisError, ShapeError, describe
from ..core.numbers.sizing import fixed, to_int
from ..core.types import broadcast_shapes
from ..ops import arithmetic as ar
from ..ops import movement as mv
from ..ops import reduce as rd
from ..ops.axes import normalize_axes, normalize_axis, own_axis
from ..ops.contraction import swap_last
from ..ops.indexing import index
from .creation import asarray
from .filling import arange
from .operands import also_dim, as_operand, astype
from .tensor import Tensor

Axis = int | Sequence[int] | None


def unshared(out: Tensor, x: Tensor) -> Tensor:
    """`out`, which was made of x, in new memory, as PyTorch gives it: a copy where it is x or a view of x."""
    return mv.copy(out) if out._root() is x._root() else out


@viewing
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """x under another shape; one size may be -1 and is then worked out.

    >>> dg.reshape(dg.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = as_operand(x)
    wanted = tuple(to_int(d) for d in ((shape,) if hasattr(shape, "__index__") else shape))
    if wanted.count(-1) > 1:
        raise ShapeError(
            describe("reshape", f"{x.tensor_type}, {wanted}", "only one size can be -1")
        )
    if -1 in wanted:
        rest = prod(d for d in wanted if d != -1)
        total = prod(x.shape)
        if rest == 0 or total % rest:
            raise ShapeError(
                describe(
                    "reshape",
                    f"{x.tensor_type}, {wanted}",
                    f"{total} elements do not divide into {wanted}",
                )
            )
        wanted = tuple(total // rest if d == -1 else d for d in wanted)
    out = mv.reshape(x, shape=wanted)
    return mv.copy(out) if copy and out._parent is not None else out


@viewing
def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """Axes in another order.

    >>> dg.permute_dims(dg.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = as_operand(x)
    return mv.permute(x, axes=tuple(normalize_axis(a, x.ndim) for a in axes))


def matrix_transpose(x: Any, /) -> Tensor:
    """The last two axes exchanged.

    >>> dg.matrix_transpose(dg.ones((4, 2, 3))).shape
    (4, 3, 2)
    """
    x = as_operand(x)
    if x.ndim < 2:
        raise ShapeError(
            describe("matrix_transpose", str(x.tensor_type), "needs at least two axes")
        )
    return swap_last(x)


@also_dim
@viewing
def expand_dims(x: Any, /, axis: Axis = 0) -> Tensor:
    """Axes of length 1 inserted so that they end up at `axis`.

    >>> dg.expand_dims(dg.ones(3), axis=-1).shape
    (3, 1)
    """
    x = as_operand(x)
    count = 1 if isinstance(axis, int) else len(axis or ())
    return mv.expand_dims_at(x, normalize_axes(axis, x.ndim + count))


@also_dim
@viewing
def squeeze(x: Any, /, axis: Axis = None) -> Tensor:
    """Axes of length 1 removed: those named, which must be of length 1, or all.

    >>> dg.squeeze(dg.ones((2, 1, 3)), 1).shape
    (2, 3)
    """
    x = as_operand(x)
    if axis is None:
        return mv.reshape(x, shape=tuple(d for d in x.shape if d != 1))
    axes = normalize_axes(axis, x.ndim)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(
                describe("squeeze", str(x.tensor_type), f"axis {a} has length {x.shape[a]}, not 1")
            )
    return mv.reshape(x, shape=tuple(d for i, d in enumerate(x.shape) if i not in axes))


@viewing
def broadcast_to(x: Any, /, shape: Sequence[int]) -> Tensor:
    """x repeated along new or length-1 axes.

    >>> dg.broadcast_to(dg.asarray([1, 2]), (3, 2)).shape
    (3, 2)
    """
    return rd.broadcast_to(as_operand(x), shape=tuple(shape))


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """Operands at their common shape.

    >>> [x.shape for x in dg.broadcast_arrays(dg.ones((2, 1)), dg.ones(3))]
    [(2, 3), (2, 3)]
    """
    tensors = [as_operand(a) for a in arrays]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return [broadcast_to(t, shape) for t in tensors]


@also_dim
def flip(x: Any, /, axis: Axis = None) -> Tensor:
    """Elements in reverse order along `axis`.

    >>> dg.flip(dg.asarray([1, 2, 3]), axis=0)
    tensor([3, 2, 1])
    """
    x = as_operand(x)
    return unshared(mv.flip(x, axes=normalize_axes(axis, x.ndim)), x)


@also_dim
def roll(x: Any, /, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """Elements moved on by `shift` places, those that fall off coming in again.

    >>> dg.roll(dg.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    x = as_operand(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    shifts = (shift,) if isinstance(shift, int) else tuple(shift)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    if len(shifts) != len(axes) or not shifts:
        problem = f"{len(shifts)} shifts for {len(axes)} axes"
        raise ArgumentError(describe("roll", str(x.tensor_type), problem, "give one shift an axis"))
    return _rolled(x, shifts, tuple(own_axis(a, x.ndim) for a in axes))


@together
def _rolled(x: Tensor, shifts: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    out = x
    for s, place in zip(shifts, axes, strict=True):
        n = x.shape[place]
        edge = n - s % n if n else 0
        if 0 < edge < n:
            parts = [cut(out, place, edge, n), cut(out, place, 0, edge)]
            out = mv.concat_along(*parts, axis=place)
    return unshared(out, x)


def cut(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """Places `start` to `stop` of one axis (counted from 0); a view."""
    shape = x.shape
    before, behind = shape[:axis], shape[axis + 1 :]
    starts = (*(0,) * len(before), start, *(0,) * len(behind))
    stops = (*before, stop, *behind)
    return mv.slice_(x, starts=starts, stops=stops, steps=(1,) * len(shape))


@also_dim
def concat(arrays: Sequence[Any], /, axis: int | None = 0) -> Tensor:
    """Tensors one after the other along an existing axis (flattened first if it is None).

    >>> dg.concat([dg.zeros((1, 2)), dg.ones((1, 2))])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return _joined(*arrays, axis=axis)


@together
def _joined(*arrays: Any, axis: int | None) -> Tensor:
    """`concat` of operands brought to one dtype."""
    tensors = [as_operand(a) for a in arrays]
    if not tensors:
        raise ArgumentError(describe("concat", "", "there is nothing to join"))
    if axis is None:
        tensors, axis = [reshape(t, (-1,)) for t in tensors], 0
    dtypes = [t.dtype for t in tensors]
    if len(set(dtypes)) > 1:
        common = dt.promote(*dtypes)
        tensors = [astype(t, common, copy=False) for t in tensors]
    return mv.concat_along(*tensors, axis=normalize_axis(axis, tensors[0].ndim))


@also_dim
def stack(arrays: Sequence[Any], /, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    >>> dg.stack([dg.asarray([1, 2]), dg.asarray([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    tensors = [as_operand(a) for a in arrays]
    for t in tensors[1:]:
        if t.shape != tensors[0].shape:
            raise ShapeError(
                describe(
                    "stack",
                    f"{tensors[0].tensor_type}, {t.tensor_type}",
                    "all tensors need the same shape",
                )
            )
    if not tensors:
        raise ArgumentError(describe("stack", "", "there is nothing to join"))
    place = normalize_axis(axis, tensors[0].ndim + 1)
    return _stacked(*tensors, axis=place)


@together
def _stacked(*tensors: Tensor, axis: int) -> Tensor:
    return concat([mv.expand_dims_at(t, (axis,)) for t in tensors], axis=axis)


@also_dim
def unstack(x: Any, /, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it.

    >>> [row.tolist() for row in dg.unstack(dg.asarray([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4]]
    """
    x = as_operand(x)
    before = (slice(None),) * own_axis(axis, x.ndim)
    return tuple([x[(*before, i)] for i in range(fixed(x.shape[len(before)]))])


@viewing
def moveaxis(x: Any, source: Axis, destination: Axis, /) -> Tensor:
    """Axes moved to other places, the rest in order.

    >>> dg.moveaxis(dg.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = as_operand(x)
    src = [
        normalize_axis(a, x.ndim) for a in ([source] if isinstance(source, int) else source or ())
    ]
    dst = [
        normalize_axis(a, x.ndim)
        for a in ([destination] if isinstance(destination, int) else destination or ())
    ]
    if len(src) != len(dst) or len(set(src)) < len(src) or len(set(dst)) < len(dst):
        problem = f"axes {source} cannot move to {destination}: one place for each axis, none twice"
        raise AxisError(describe("moveaxis", str(x.tensor_type), problem))
    order = [i for i in range(x.ndim) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return mv.permute(x, axes=tuple(order))


def tile(x: Any, repetitions: Sequence[int], /) -> Tensor:
    """x repeated as a whole along each axis.

    >>> dg.tile(dg.asarray([1, 2]), (2,))
    tensor([1, 2, 1, 2])
    """
    x = as_operand(x)
    reps = tuple(repetitions)
    rank = len(reps) if len(reps) > x.ndim else x.ndim
    reps = (1,) * (rank - len(reps)) + reps
    shape = (1,) * (rank - x.ndim) + x.shape
    wide = mv.reshape(x, shape=tuple(v for d in shape for v in (1, d)))
    spread = rd.broadcast_to(
        wide, shape=tuple(v for r, d in zip(reps, shape, strict=True) for v in (r, d))
    )
    out = mv.reshape(spread, shape=tuple(r * d for r, d in zip(reps, shape, strict=True)))
    return unshared(out, x)


@also_dim
def repeat(x: Any, repeats: Any, /, axis: int | None = None) -> Tensor:
    """Each element repeated: `repeats` is a number, or one number an element of the axis.

    >>> dg.repeat(dg.asarray([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    x = as_operand(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = normalize_axis(axis, x.ndim)
    if isinstance(repeats, int):
        _check_repeats(x, repeats)
        wide = mv.expand_dims_at(x, (place + 1,))
        shape = (*x.shape[: place + 1], repeats, *x.shape[place + 1 :])
        out = reshape(
            rd.broadcast_to(wide, shape=shape),
            (*x.shape[:place], x.shape[place] * repeats, *x.shape[place + 1 :]),
        )
        return unshared(out, x)
    counts = as_operand(repeats).tolist()
    counts = counts * x.shape[place] if len(counts) == 1 else counts
    _check_repeats(x, min(counts, default=0))
    places = [i for i, n in enumerate(counts) for _ in range(int(n))]
    return index(x, asarray(places, dtype=dt.int64, device=x.device), dims=(place,))


def _check_repeats(x: Tensor, least: int) -> None:
    if least < 0:
        raise ArgumentError(describe("repeat", str(x.tensor_type), f"cannot repeat {least} times"))


def pad(x: Any, widths: Any, value: Any = 0) -> Tensor:
    """x surrounded by `value`: one (before, after) pair an axis; negative widths cut.

    >>> dg.pad(dg.ones(2), ((1, 2),))
    tensor([0., 1., 1., 0., 0.])
    """
    x = as_operand(x)
    pairs = tuple((to_int(a), to_int(b)) for a, b in widths)
    if any(a < 0 or b < 0 for a, b in pairs):
        starts = tuple(0 if a >= 0 else -a for a, _ in pairs)
        stops = tuple(d if b >= 0 else d + b for d, (_, b) in zip(x.shape, pairs, strict=True))
        x = mv.slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim)
        pairs = tuple((a if a > 0 else 0, b if b > 0 else 0) for a, b in pairs)
    return mv.pad(x, widths=pairs, value=value)


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids of 1-d tensors (or of a list of them), "xy" (second axis first) or "ij".

    >>> [g.tolist() for g in dg.meshgrid(dg.arange(2), dg.arange(2), indexing="ij")]
    [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    given = arrays[0] if len(arrays) == 1 and isinstance(arrays[0], (tuple, list)) else arrays
    tensors = [reshape(a, (-1,)) for a in map(as_operand, given)]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[0], order[1] = 1, 0
    full_shape = [0] * len(tensors)
    for t, place in zip(tensors, order, strict=True):
        full_shape[place] = t.shape[0]
    return [
        broadcast_to(
            reshape(t, tuple(t.shape[0] if i == place else 1 for i in range(len(tensors)))),
            full_shape,
        )
        for t, place in zip(tensors, order, strict=True)
    ]


def _places(x: Tensor, op: str) -> tuple[Tensor, Tensor]:
    """Row and column numbers of matrices, ready to be compared."""
    if x.ndim < 2:
        raise ShapeError(describe(op, str(x.tensor_type), "needs at least two axes"))
    rows, columns = (arange(d, device=x.device) for d in x.shape[-2:])
    return mv.reshape(rows, shape=(x.shape[-2], 1)), columns


@also_dim
def tril(x: Any, /, k: int = 0) -> Tensor:
    """The part on and below diagonal `k`, zeros above.

    >>> dg.tril(dg.ones((2, 2)))
    tensor([[1., 0.],
            [1., 1.]])
    """
    x = as_operand(x)
    rows, columns = _places(x, "tril")
    return ar.where(rows + k >= columns, x, False if x.dtype is dt.bool_ else 0)


@also_dim
def triu(x: Any, /, k: int = 0) -> Tensor:
    """The part on and above diagonal `k`, zeros below.

    >>> dg.triu(dg.ones((2, 2)))
    tensor([[1., 1.],
            [0., 1.]])
    """
    x = as_operand(x)
    rows, columns = _places(x, "triu")
    return ar.where(rows + k <= columns, x, False if x.dtype is dt.bool_ else 0)
