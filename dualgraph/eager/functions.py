"""Functions of the Array API standard that are not ops themselves: parameters checked, ops composed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod as product
from typing import Any

from ..core import dtypes as dt
from ..core.errors import ArgumentError, ShapeError, describe
from ..core.types import broadcast_shapes
from ..ops import arithmetic as ar
from ..ops import movement as mv
from ..ops import reduce as rd
from ..ops.axes import normalize_axes, normalize_axis
from ..ops.contraction import matmul_op, swap_last
from ..ops.cumulative import cumprod_along, cumsum_along, reduce_prod
from ..ops.indexing import index, take_along
from ..ops.sorting import sort_along
from ..ops.transcendental import pow as power
from .creation import arange, asarray, eye, full, linspace, ones, ones_like, zeros
from .tensor import Tensor

Axis = int | Sequence[int] | None
where = ar.where
isfinite = ar.isfinite


def as_operand(x: Any) -> Tensor:
    """A tensor of whatever has asarray semantics."""
    return x if isinstance(x, Tensor) else asarray(x)


# --- dtypes ------------------------------------------------------------------------------------


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another dtype; a copy unless `copy` is False and nothing changes."""
    x = as_operand(x)
    target = dt.as_dtype(dtype)
    if device is not None:
        x = x.to(device)  # type: ignore[attr-defined]
    if target is x.dtype:
        return mv.copy(x) if copy else x  # type: ignore[no-any-return]
    return ar.cast(x, dtype=target.name)  # type: ignore[no-any-return]


def result_type(*operands: Any) -> dt.DType:
    """The dtype that operands (tensors, dtypes, numbers) promote to."""
    strong = [o.dtype if isinstance(o, Tensor) else dt.as_dtype(o) for o in operands if not isinstance(o, (bool, int, float, complex))]
    if not strong:
        return dt.promote(*(dt.of_scalar(o) for o in operands))
    out = dt.promote(*strong)
    for o in operands:
        if isinstance(o, (bool, int, float, complex)):
            out = dt.promote_scalar(out, o)
    return out


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion can turn `from_` (a dtype or tensor) into `to`."""
    source = from_.dtype if isinstance(from_, Tensor) else dt.as_dtype(from_)
    return dt.promote(source, dt.as_dtype(to)) is dt.as_dtype(to)


# --- reductions --------------------------------------------------------------------------------


def _totalled(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else astype(x, dtype, copy=False)


def sum(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (all axes by default), in the canonical order."""
    x = _totalled(as_operand(x), dtype)
    out = rd.reduce_sum(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))
    return out if dtype is None else astype(out, dtype, copy=False)


def prod(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Product over `axis` (all axes by default), in the canonical order."""
    x = _totalled(as_operand(x), dtype)
    out = reduce_prod(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))
    return out if dtype is None else astype(out, dtype, copy=False)


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element over `axis`; NaN if there is one."""
    x = as_operand(x)
    return rd.reduce_max(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))  # type: ignore[no-any-return]


def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element over `axis`; NaN if there is one."""
    x = as_operand(x)
    return rd.reduce_min(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))  # type: ignore[no-any-return]


def any(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` is true."""
    x = as_operand(x)
    return rd.reduce_any(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))  # type: ignore[no-any-return]


def all(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over `axis` are true."""
    x = as_operand(x)
    return rd.reduce_all(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims))  # type: ignore[no-any-return]


def _place(op: Any, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_operand(x)
    axes = normalize_axes(axis, x.ndim) if axis is None else (normalize_axis(axis, x.ndim),)
    return op(x, axes=axes if x.ndim else (), keepdims=bool(keepdims))  # type: ignore[no-any-return]


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the first largest element along `axis`, or in the flattened x."""
    return _place(rd.reduce_argmax, x, axis, keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the first smallest element along `axis`, or in the flattened x."""
    return _place(rd.reduce_argmin, x, axis, keepdims)


def count_nonzero(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not zero."""
    return sum(ar.cast(as_operand(x), dtype="bool"), axis=axis, keepdims=keepdims)


def _cumulative(op: Any, x: Any, axis: int | None, dtype: Any, include_initial: bool, initial: int) -> Tensor:
    x = _totalled(as_operand(x), dtype)
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(describe(op.name, str(x.type), "axis may be left out only for 1-d tensors"))
        axis = 0
    a = normalize_axis(axis, x.ndim)
    out = op(x, axis=a) if x.ndim else x
    if include_initial:
        shape = tuple(1 if i == a else d for i, d in enumerate(x.shape))
        first = ones(shape, dtype=out.dtype, device=x.device) if initial else out.new_zeros(shape)
        out = mv.concat_along(first, out, axis=a)
    return out if dtype is None else astype(out, dtype, copy=False)


def cumulative_sum(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Running sum along `axis`."""
    return _cumulative(cumsum_along, x, axis, dtype, include_initial, 0)


def cumulative_prod(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Running product along `axis`."""
    return _cumulative(cumprod_along, x, axis, dtype, include_initial, 1)


# --- shapes ------------------------------------------------------------------------------------


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Tensor:
    """x under another shape; one size may be -1 and is then worked out."""
    x = as_operand(x)
    wanted = tuple(int(d) for d in ((shape,) if hasattr(shape, "__index__") else shape))
    if wanted.count(-1) > 1:
        raise ShapeError(describe("reshape", f"{x.type}, {wanted}", "only one size can be -1"))
    if -1 in wanted:
        rest = product(d for d in wanted if d != -1)
        total = product(x.shape)
        if rest == 0 or total % rest:
            raise ShapeError(describe("reshape", f"{x.type}, {wanted}", f"{total} elements do not divide into {wanted}"))
        wanted = tuple(total // rest if d == -1 else d for d in wanted)
    out = mv.reshape(x, shape=wanted)
    return mv.copy(out) if copy and out._parent is not None else out  # type: ignore[no-any-return]


def permute_dims(x: Any, /, axes: Sequence[int]) -> Tensor:
    """Axes in another order."""
    x = as_operand(x)
    return mv.permute(x, axes=tuple(normalize_axis(a, x.ndim) for a in axes))  # type: ignore[no-any-return]


def matrix_transpose(x: Any, /) -> Tensor:
    """The last two axes exchanged."""
    x = as_operand(x)
    if x.ndim < 2:
        raise ShapeError(describe("matrix_transpose", str(x.type), "needs at least two axes"))
    return swap_last(x)  # type: ignore[no-any-return]


def expand_dims(x: Any, /, *, axis: Axis = 0) -> Tensor:
    """Axes of length 1 inserted so that they end up at `axis`."""
    x = as_operand(x)
    count = 1 if isinstance(axis, int) else len(axis or ())
    return mv.expand_dims_at(x, normalize_axes(axis, x.ndim + count))  # type: ignore[no-any-return]


def squeeze(x: Any, /, axis: Axis) -> Tensor:
    """Axes of length 1 removed."""
    x = as_operand(x)
    axes = normalize_axes(axis, x.ndim)
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(describe("squeeze", str(x.type), f"axis {a} has length {x.shape[a]}, not 1"))
    return mv.reshape(x, shape=tuple(d for i, d in enumerate(x.shape) if i not in axes))  # type: ignore[no-any-return]


def broadcast_to(x: Any, /, shape: Sequence[int]) -> Tensor:
    """x repeated along new or length-1 axes."""
    return rd.broadcast_to(as_operand(x), shape=tuple(shape))  # type: ignore[no-any-return]


def broadcast_arrays(*arrays: Any) -> list[Tensor]:
    """Operands at their common shape."""
    tensors = [as_operand(a) for a in arrays]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return [broadcast_to(t, shape) for t in tensors]


def flip(x: Any, /, *, axis: Axis = None) -> Tensor:
    """Elements in reverse order along `axis`."""
    x = as_operand(x)
    return mv.flip(x, axes=normalize_axes(axis, x.ndim))  # type: ignore[no-any-return]


def roll(x: Any, /, shift: int | Sequence[int], *, axis: Axis = None) -> Tensor:
    """Elements moved on by `shift` places, those that fall off coming in again."""
    x = as_operand(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    shifts = [shift] if isinstance(shift, int) else list(shift)
    axes = [axis] if isinstance(axis, int) else list(axis)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    for s, a in zip(shifts, axes, strict=True):
        place = normalize_axis(a, x.ndim)
        n = x.shape[place]
        cut = n - s % n if n else 0
        if 0 < cut < n:
            parts = [cut(x, place, cut, n), cut(x, place, 0, cut)]
            x = mv.concat_along(*parts, axis=place)
    return x


def cut(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """Places `start` to `stop` of one axis (counted from 0); a view."""
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    stops = tuple(stop if i == axis else d for i, d in enumerate(x.shape))
    return mv.slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim)  # type: ignore[no-any-return]


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """Tensors one after the other along an existing axis (flattened first if it is None)."""
    tensors = [as_operand(a) for a in arrays]
    if not tensors:
        raise ArgumentError(describe("concat", "", "there is nothing to join"))
    if axis is None:
        tensors, axis = [reshape(t, (-1,)) for t in tensors], 0
    common = dt.promote(*(t.dtype for t in tensors))
    tensors = [astype(t, common, copy=False) for t in tensors]
    return mv.concat_along(*tensors, axis=normalize_axis(axis, tensors[0].ndim))  # type: ignore[no-any-return]


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    tensors = [as_operand(a) for a in arrays]
    for t in tensors[1:]:
        if t.shape != tensors[0].shape:
            raise ShapeError(describe("stack", f"{tensors[0].type}, {t.type}", "all tensors need the same shape"))
    if not tensors:
        raise ArgumentError(describe("stack", "", "there is nothing to join"))
    place = normalize_axis(axis, tensors[0].ndim + 1)
    return concat([mv.expand_dims_at(t, (place,)) for t in tensors], axis=place)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it."""
    x = as_operand(x)
    place = normalize_axis(axis, x.ndim)
    return tuple(squeeze(cut(x, place, i, i + 1), place) for i in range(x.shape[place]))


def moveaxis(x: Any, source: Axis, destination: Axis, /) -> Tensor:
    """Axes moved to other places, the rest in order."""
    x = as_operand(x)
    src = [normalize_axis(a, x.ndim) for a in ([source] if isinstance(source, int) else source or ())]
    dst = [normalize_axis(a, x.ndim) for a in ([destination] if isinstance(destination, int) else destination or ())]
    order = [i for i in range(x.ndim) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return mv.permute(x, axes=tuple(order))  # type: ignore[no-any-return]


def tile(x: Any, repetitions: Sequence[int], /) -> Tensor:
    """x repeated as a whole along each axis."""
    x = as_operand(x)
    reps = tuple(repetitions)
    rank = len(reps) if len(reps) > x.ndim else x.ndim
    reps = (1,) * (rank - len(reps)) + reps
    shape = (1,) * (rank - x.ndim) + x.shape
    wide = mv.reshape(x, shape=tuple(v for d in shape for v in (1, d)))
    spread = rd.broadcast_to(wide, shape=tuple(v for r, d in zip(reps, shape, strict=True) for v in (r, d)))
    return mv.reshape(spread, shape=tuple(r * d for r, d in zip(reps, shape, strict=True)))  # type: ignore[no-any-return]


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element repeated: `repeats` is a number, or one number an element of the axis."""
    x = as_operand(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = normalize_axis(axis, x.ndim)
    if isinstance(repeats, int):
        wide = mv.expand_dims_at(x, (place + 1,))
        shape = (*x.shape[: place + 1], repeats, *x.shape[place + 1 :])
        return reshape(rd.broadcast_to(wide, shape=shape), (*x.shape[:place], x.shape[place] * repeats, *x.shape[place + 1 :]))
    counts = as_operand(repeats).tolist()  # type: ignore[attr-defined]
    counts = counts * x.shape[place] if len(counts) == 1 else counts
    places = [i for i, n in enumerate(counts) for _ in range(n)]
    return take(x, asarray(places, dtype=dt.int64, device=x.device), axis=place)


def pad(x: Any, widths: Any, value: Any = 0) -> Tensor:
    """x surrounded by `value`: one (before, after) pair an axis; negative widths cut."""
    x = as_operand(x)
    pairs = tuple((int(a), int(b)) for a, b in widths)
    if any_negative(pairs):
        starts = tuple(0 if a >= 0 else -a for a, _ in pairs)
        stops = tuple(d if b >= 0 else d + b for d, (_, b) in zip(x.shape, pairs, strict=True))
        x = mv.slice_(x, starts=starts, stops=stops, steps=(1,) * x.ndim)
        pairs = tuple((a if a > 0 else 0, b if b > 0 else 0) for a, b in pairs)
    return mv.pad(x, widths=pairs, value=value)  # type: ignore[no-any-return]


def any_negative(pairs: tuple[tuple[int, int], ...]) -> bool:
    """Whether a width is negative."""
    for a, b in pairs:
        if a < 0 or b < 0:
            return True
    return False


def meshgrid(*arrays: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids of 1-d tensors, "xy" (second axis first) or "ij"."""
    tensors = [as_operand(a) for a in arrays]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[0], order[1] = 1, 0
    full_shape = [0] * len(tensors)
    for t, place in zip(tensors, order, strict=True):
        full_shape[place] = t.shape[0]
    return [
        broadcast_to(reshape(t, tuple(t.shape[0] if i == place else 1 for i in range(len(tensors)))), full_shape)
        for t, place in zip(tensors, order, strict=True)
    ]


def tril(x: Any, /, *, k: int = 0) -> Tensor:
    """The part on and below diagonal `k`, zeros above."""
    x = as_operand(x)
    rows, cols = (arange(d, device=x.device) for d in x.shape[-2:])
    return ar.where(mv.reshape(rows, shape=(x.shape[-2], 1)) + k >= cols, x, 0)  # type: ignore[no-any-return]


def triu(x: Any, /, *, k: int = 0) -> Tensor:
    """The part on and above diagonal `k`, zeros below."""
    x = as_operand(x)
    rows, cols = (arange(d, device=x.device) for d in x.shape[-2:])
    return ar.where(mv.reshape(rows, shape=(x.shape[-2], 1)) + k <= cols, x, 0)  # type: ignore[no-any-return]


# --- contractions ------------------------------------------------------------------------------


def matmul(x1: Any, x2: Any, /) -> Tensor:
    """Matrix product; 1-d operands are rows (left) or columns (right), leading axes broadcast."""
    x, y = as_operand(x1), as_operand(x2)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(describe("matmul", f"{x.type}, {y.type}", "operands need at least one axis", "use * for numbers"))
    if x.shape[-1] != y.shape[-1 if y.ndim == 1 else -2]:
        raise ShapeError(describe("matmul", f"{x.type}, {y.type}", f"inner sizes differ: {x.shape} @ {y.shape}"))
    common = dt.promote(x.dtype, y.dtype)
    x, y = astype(x, common, copy=False), astype(y, common, copy=False)
    left = mv.reshape(x, shape=(1, *x.shape)) if x.ndim == 1 else x
    right = mv.reshape(y, shape=(*y.shape, 1)) if y.ndim == 1 else y
    out = matmul_op(left, right)
    drop = ((out.ndim - 2,) if x.ndim == 1 else ()) + ((out.ndim - 1,) if y.ndim == 1 else ())
    return mv.reshape(out, shape=tuple(d for i, d in enumerate(out.shape) if i not in drop)) if drop else out  # type: ignore[no-any-return]


def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Tensor:
    """Sum of products over the last axes of x1 and first of x2 (a number), or over named axes."""
    x, y = as_operand(x1), as_operand(x2)
    if isinstance(axes, int):
        left, right = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        left, right = ([a] if isinstance(a, int) else list(a) for a in axes)
        left = [normalize_axis(a, x.ndim) for a in left]
        right = [normalize_axis(a, y.ndim) for a in right]
    if [x.shape[a] for a in left] != [y.shape[a] for a in right]:
        raise ShapeError(describe("tensordot", f"{x.type}, {y.type}", f"axes {left} and {right} differ in size"))
    keep_x = [i for i in range(x.ndim) if i not in left]
    keep_y = [i for i in range(y.ndim) if i not in right]
    inner = product(x.shape[a] for a in left)
    a = reshape(mv.permute(x, axes=(*keep_x, *left)), (product(x.shape[i] for i in keep_x), inner))
    b = reshape(mv.permute(y, axes=(*right, *keep_y)), (inner, product(y.shape[i] for i in keep_y)))
    return reshape(matmul(a, b), (*(x.shape[i] for i in keep_x), *(y.shape[i] for i in keep_y)))


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Tensor:
    """Sum of ``conj(x1) * x2`` along an axis."""
    x, y = as_operand(x1), as_operand(x2)
    return sum(ar.multiply(ar.conj(x), y), axis=axis)


# --- indexing and sorting ------------------------------------------------------------------------


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """Elements at `indices` along `axis`."""
    x = as_operand(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return index(x, astype(as_operand(indices), dt.int64, copy=False), dims=(normalize_axis(axis, x.ndim),))  # type: ignore[no-any-return]


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Tensor:
    """Along `axis`, the element at each index; the other axes broadcast."""
    x, at = as_operand(x), astype(as_operand(indices), dt.int64, copy=False)
    place = normalize_axis(axis, x.ndim)
    lead = broadcast_shapes(*(tuple(1 if i == place else d for i, d in enumerate(s)) for s in (x.shape, at.shape)))
    wide = [broadcast_to(t, tuple(t.shape[i] if i == place else d for i, d in enumerate(lead))) for t in (x, at)]
    return take_along(wide[0], wide[1], axis=place)  # type: ignore[no-any-return]


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Values in order along `axis`."""
    x = as_operand(x)
    return sort_along(x, axis=normalize_axis(axis, x.ndim), descending=bool(descending))[0]  # type: ignore[no-any-return]


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indexes that put x in order along `axis`; stable."""
    x = as_operand(x)
    return sort_along(x, axis=normalize_axis(axis, x.ndim), descending=bool(descending))[1]  # type: ignore[no-any-return]


def clip(x: Any, /, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]; None leaves a side open. At a bound the gradient passes, as in PyTorch."""
    out = as_operand(x)
    if min is not None:
        out = ar.where(ar.less(out, min), min, out)
    if max is not None:
        out = ar.where(ar.greater(out, max), max, out)
    return out


def diff(x: Any, /, *, axis: int = -1, n: int = 1) -> Tensor:
    """Differences of neighbours along `axis`, `n` times."""
    x = as_operand(x)
    place = normalize_axis(axis, x.ndim)
    for _ in range(n):
        size = x.shape[place]
        x = ar.subtract(cut(x, place, 1, size), cut(x, place, 0, size - 1))
    return x

