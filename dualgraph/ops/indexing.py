"""Indexing: reading and writing at places given by index tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import BoundsError, DTypeError, ShapeError
from ..core.kinds import check_axes, indexing, real
from ..core.types import TensorType, broadcast_shapes
from .arithmetic import cast, divide, multiply
from .comparison import equal
from .creation import arange_op, full
from .movement import permute, reshape

Ints = tuple[int, ...]


# --- along one axis: gather and scatter --------------------------------------------------------


def _check(xp: Any, at: Any, size: int) -> Any:
    """Indexes counted from 0; BoundsError names the first that is out of range."""
    if at.size:
        low, high = int(at.min()), int(at.max())
        if low < -size or high >= size:
            bad = high if high >= size else low
            raise BoundsError(f"index {bad} is out of range for an axis of {size}")
        if low < 0:
            return xp.where(at < 0, at + size, at)
    return at


def _as_given(_xp: Any, at: Any, _size: int) -> Any:
    """In the place of `_check`, for what raises IndexError itself."""
    return at


def _looked_up(xp: Any, run: Any) -> Any:
    """``run(check)``: NumPy finds indexes that are out of range by itself, and `_check` then names one."""
    if xp is np:
        try:
            return run(_as_given)
        except IndexError:
            pass
    return run(_check)


def _whole(*at: TensorType) -> None:
    """Raises DTypeError unless indexes are whole numbers."""
    for t in at:
        if not t.dtype.is_integer:
            raise DTypeError(f"indexes are whole numbers, not {t}")


def _check_dims(x: TensorType, at: tuple[TensorType, ...], dims: Ints) -> None:
    check_axes(dims, x.ndim)
    _whole(*at)
    if not dims or len(dims) != len(at):
        raise ShapeError(f"{len(at)} index arrays for axes {dims}")


def _grid(xp: Any, at: Any, axis: int) -> tuple[Any, ...]:
    """Index arrays that pick ``at`` along `axis` and the own place along the others."""
    out = []
    for i, d in enumerate(at.shape):
        shape = tuple(d if j == i else 1 for j in range(at.ndim))
        out.append(at if i == axis else xp.arange(d).reshape(shape))
    return tuple(out)


def _gather_samples(rng: Any) -> list[Any]:
    return [
        ((rng.standard_normal((3, 4)), rng.integers(0, 4, (3, 2))), {"axis": 1}),
        ((rng.standard_normal((3, 4)), rng.integers(0, 3, (5, 4))), {"axis": 0}),
    ]


@indexing(name="take_along", can_fail=True, samples=_gather_samples)
def take_along(xp, x, at, axis):
    """``out[..., i, ...] = x[..., at[..., i, ...], ...]`` along `axis`; other axes of `at` may be shorter."""
    return _looked_up(xp, lambda check: x[_grid(xp, check(xp, at, x.shape[axis]), axis)])


@take_along.type
def _(x, at, axis):
    check_axes((axis,), x.ndim)
    _whole(at)
    if x.ndim != at.ndim or any(
        i != axis and a > d for i, (d, a) in enumerate(zip(x.shape, at.shape, strict=True))
    ):
        raise ShapeError(f"indexes of shape {at.shape} do not fit {x.shape} along axis {axis}")
    return TensorType(x.dtype, at.shape, x.device)


@take_along.vjp
def _(ct, _out, _x, at, axis):
    return put_along(ct, at, shape=_x.shape, axis=axis), None


@take_along.batch
def _(lift, args, batched, axis):
    return take_along(*lift.materialize(args, batched), axis=axis + 1)


def put_along(values: Any, at: Any, shape: Ints, axis: int) -> Any:
    """Zeros of `shape` with `values` added at `at` along `axis`."""
    base = full(shape=shape, value=0, dtype=values.dtype.name, device=str(values.device))
    return scatter_along(base, at, values, axis=axis, mode="add")


def _scatter_samples(rng: Any) -> list[Any]:
    x, v = rng.standard_normal((3, 4)), rng.standard_normal((3, 2))
    at = rng.integers(0, 4, (3, 2))
    unique = rng.permutation(4)[None, :2].repeat(3, 0)
    return [((x, at, v), {"axis": 1, "mode": "add"}), ((x, unique, v), {"axis": 1, "mode": "set"})]


@indexing(name="scatter_along", can_fail=True, samples=_scatter_samples)
def scatter_along(xp, x, at, values, axis, mode):
    """A copy of x with `values` put (mode "set") or added ("add") at `at` along `axis`."""
    return _looked_up(
        xp, lambda check: _put(xp, x, _grid(xp, check(xp, at, x.shape[axis]), axis), values, mode)
    )


def _put(xp: Any, x: Any, places: tuple[Any, ...], values: Any, mode: str) -> Any:
    out = x.copy()
    if mode == "add":
        xp.add.at(out, places, values)
    else:
        out[places] = values
    return out


def _fits_along(x: TensorType, at: TensorType, values: TensorType, axis: int) -> None:
    check_axes((axis,), x.ndim)
    _whole(at)
    if values.dtype is not x.dtype:
        raise DTypeError(f"values {values} and operand {x} must have one dtype")
    if at.shape != values.shape or x.ndim != at.ndim:
        raise ShapeError(
            f"indexes {at.shape} and values {values.shape} must agree and have the axes of {x.shape}"
        )


@scatter_along.type
def _(x, at, values, axis, mode):
    _fits_along(x, at, values, axis)
    return x


@scatter_along.vjp
def _(ct, _out, _x, at, _values, axis, mode):
    def kept():
        if mode == "add":
            return ct
        hole = full(shape=at.shape, value=0, dtype=ct.dtype.name, device=str(ct.device))
        return scatter_along(ct, at, hole, axis=axis, mode="set")

    return kept, None, lambda: take_along(ct, at, axis=axis)


@scatter_along.batch
def _(lift, args, batched, axis, mode):
    return scatter_along(*lift.materialize(args, batched), axis=axis + 1, mode=mode)


def _extreme_samples(rng: Any) -> list[Any]:
    x, v = rng.standard_normal((3, 4)), rng.standard_normal((3, 6))
    at = rng.integers(0, 4, (3, 6))
    return [((x, at, v), {"axis": 1, "mode": mode}) for mode in ("maximum", "minimum")]


@indexing(name="scatter_extreme", can_fail=True, samples=_extreme_samples)
def scatter_extreme(xp, x, at, values, axis, mode):
    """The largest (mode "maximum") or smallest ("minimum") of each element of x and the `values` that meet it at `at`
    along `axis`; NaN if there is one. Ties share the gradient equally."""
    out = x.copy()
    getattr(xp, mode).at(out, _grid(xp, _check(xp, at, x.shape[axis]), axis), values)
    if out.dtype.kind == "f":
        out = out + out.dtype.type(0)  # -0.0 becomes 0.0: the order of comparison leaves no trace
    return out


@scatter_extreme.type
def _(x, at, values, axis, mode):
    _fits_along(x, at, values, axis)
    real((x.dtype,))
    return x


@scatter_extreme.vjp
def _(ct, out, x, at, values, axis, mode):
    own = cast(equal(x, out), dtype=x.dtype.name)
    met = cast(equal(values, take_along(out, at, axis=axis)), dtype=x.dtype.name)
    share = divide(ct, scatter_along(own, at, met, axis=axis, mode="add"))
    return multiply(own, share), None, lambda: multiply(met, take_along(share, at, axis=axis))


@scatter_extreme.batch
def _(lift, args, batched, axis, mode):
    return scatter_extreme(*lift.materialize(args, batched), axis=axis + 1, mode=mode)


# --- many axes: integer-array indexing ---------------------------------------------------------
# `dims` names the axes of x that are indexed, in order; the others are taken whole. As in NumPy the
# broadcast index axes stand where the indexed axes were if those are neighbours, else in front.


def _places(
    xp: Any, shape: Ints, at: tuple[Any, ...], dims: Ints, check: Any = _check
) -> tuple[Any, ...]:
    out: list[Any] = [slice(None)] * len(shape)
    for d, a in zip(dims, at, strict=True):
        out[d] = check(xp, a, shape[d])
    return tuple(out)


def index_shape(shape: Ints, at: tuple[Ints, ...], dims: Ints) -> Ints:
    """Shape of ``x[...]`` with index arrays of shapes `at` on axes `dims`."""
    common = broadcast_shapes(*at)
    rest = [d for i, d in enumerate(shape) if i not in dims]
    neighbours = list(dims) == list(range(dims[0], dims[0] + len(dims)))
    front = dims[0] if neighbours else 0
    return (*rest[:front], *common, *rest[front:])


def _index_samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((3, 4, 5))
    i, j = rng.integers(0, 3, (2, 1)), rng.integers(0, 5, (3,))
    return [
        ((x, i, j), {"dims": (0, 2)}),
        ((x, i, j % 4), {"dims": (0, 1)}),
        ((x, j % 4), {"dims": (1,)}),
    ]


@indexing(name="index", can_fail=True, samples=_index_samples)
def index(xp, x, *at, dims):
    """Elements of x at broadcast index arrays on axes `dims`."""
    return _looked_up(xp, lambda check: x[_places(xp, x.shape, at, dims, check)])


@index.type
def _(x, *at, dims):
    _check_dims(x, at, dims)
    return TensorType(x.dtype, index_shape(x.shape, tuple(a.shape for a in at), dims), x.device)


@index.vjp
def _(ct, _out, _x, *at, dims):
    base = full(shape=_x.shape, value=0, dtype=ct.dtype.name, device=str(ct.device))
    return (index_put(base, ct, *at, dims=dims, mode="add"), *(None for _ in at))


@index.batch
def _(lift, args, batched, dims):
    x, *at = args
    front = _front(dims)
    if not any(batched[1:]):  # the batch is one more axis that is taken whole
        out = index(x, *at, dims=tuple(d + 1 for d in dims))
        return out if front is not None else _axis_to(out, _common_rank(at, batched[1:]), 0)
    at = lift.align(at, batched[1:])
    rank = _common_rank(at, batched[1:])
    if not batched[0]:  # the batch is one more axis of the index arrays
        return _axis_to(index(x, *at, dims=dims), front or 0, 0)
    # example numbers index the batch; the indexed axes come first, and go where they were
    out = index(x, _numbers(x, rank), *at, dims=(0, *(d + 1 for d in dims)))
    return _axes_to(out, rank, front or 0)


def _front(dims: Ints) -> int | None:
    """Where the index axes stand if `dims` are neighbours; None if they stand in front for not being so."""
    return dims[0] if list(dims) == list(range(dims[0], dims[0] + len(dims))) else None


def _common_rank(at: list[Any], batched: tuple[bool, ...]) -> int:
    """Axes of one example's broadcast index arrays."""
    return max(int(a.ndim) - b for a, b in zip(at, batched, strict=True))


def _numbers(x: Any, rank: int) -> Any:
    """0, 1, ... along the batch, with `rank` axes of length 1 after it."""
    count = arange_op(start=0, step=1, size=x.shape[0], dtype="int64", device=str(x.device))
    return reshape(count, shape=(x.shape[0], *(1,) * rank))


def _axis_to(x: Any, source: int, target: int) -> Any:
    """x with one axis moved."""
    order = [i for i in range(x.ndim) if i != source]
    order.insert(target, source)
    return permute(x, axes=tuple(order)) if source != target else x


def _axes_to(x: Any, rank: int, front: int) -> Any:
    """(B, index axes, rest) -> (B, rest[:front], index axes, rest[front:])."""
    rest = list(range(1 + rank, x.ndim))
    order = (0, *rest[:front], *range(1, 1 + rank), *rest[front:])
    return permute(x, axes=order) if front else x


def _axes_from(x: Any, rank: int, front: int) -> Any:
    """Inverse of `_axes_to`."""
    order = (
        0,
        *range(1 + front, 1 + front + rank),
        *range(1, 1 + front),
        *range(1 + front + rank, x.ndim),
    )
    return permute(x, axes=order) if front else x


def _put_samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((3, 4))
    at = rng.integers(0, 3, (5,))
    unique = rng.permutation(3)[:2]
    return [
        ((x, rng.standard_normal((5, 4)), at), {"dims": (0,), "mode": "add"}),
        ((x, rng.standard_normal((2, 4)), unique), {"dims": (0,), "mode": "set"}),
    ]


@indexing(name="index_put", can_fail=True, samples=_put_samples)
def index_put(xp, x, values, *at, dims, mode):
    """A copy of x with `values` put (mode "set") or added ("add") at the index arrays on axes `dims`."""
    return _looked_up(
        xp, lambda check: _put(xp, x, _places(xp, x.shape, at, dims, check), values, mode)
    )


@index_put.type
def _(x, values, *at, dims, mode):
    _check_dims(x, at, dims)
    shape = index_shape(x.shape, tuple(a.shape for a in at), dims)
    if values.dtype is not x.dtype:
        raise DTypeError(f"values {values} and operand {x} must have one dtype")
    if values.shape != shape:
        raise ShapeError(f"values of shape {values.shape} do not fit the indexed shape {shape}")
    return x


@index_put.vjp
def _(ct, _out, _x, _values, *at, dims, mode):
    def kept():
        if mode == "add":
            return ct
        hole = full(shape=_values.shape, value=0, dtype=ct.dtype.name, device=str(ct.device))
        return index_put(ct, hole, *at, dims=dims, mode="set")

    return (kept, lambda: index(ct, *at, dims=dims), *(None for _ in at))


@index_put.batch
def _(lift, args, batched, dims, mode):
    x, values = lift.materialize(args[:2], batched[:2])
    at = args[2:]
    rank, front = _common_rank(at, batched[2:]), _front(dims)
    if not any(batched[2:]):
        values = values if front is not None else _axis_to(values, 0, rank)
        return index_put(x, values, *at, dims=tuple(d + 1 for d in dims), mode=mode)
    at = lift.align(at, batched[2:])
    values = _axes_from(values, rank, front or 0)
    return index_put(x, values, _numbers(x, rank), *at, dims=(0, *(d + 1 for d in dims)), mode=mode)


def _nonzero_samples(rng: Any) -> list[Any]:
    return [((np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]),), {"count": 3})]


@indexing(name="nonzero_places", can_fail=True, samples=_nonzero_samples)
def nonzero_places(xp, x, count):
    """Places of the elements that are not zero, in row-major order: int64 of shape (ndim, count)."""
    found = xp.stack(xp.nonzero(x)) if x.ndim else xp.zeros((0, int(bool(x))), dtype="int64")
    if found.shape[1] != count:
        raise ShapeError(f"{found.shape[1]} elements are not zero, {count} were expected")
    return found.astype("int64")


@nonzero_places.type
def _(x, count):
    return TensorType(dt.int64, (x.ndim, count), x.device)


@nonzero_places.vjp
def _(ct, _out, _x, count):
    return (None,)
