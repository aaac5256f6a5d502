"""Indexing: ``x[...]`` and ``x[...] = v`` with numbers, slices, None, Ellipsis, tensors and masks."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..core.backend import backend_for
from ..core.context import state
from ..core.devices import CPU
from ..core.dtypes import bfloat16, bool_, float32, float64, int64
from ..core.errors import BoundsError, DTypeError, describe
from ..core.numbers.sizing import range_length, slice_indices, to_int
from ..core.numbers.symbolic import surely_equal
from ..core.process.silence import quietly
from ..core.watch import origin_of
from ..ops.arithmetic import cast, where
from ..ops.indexing import index, index_put, index_shape, nonzero_places
from ..ops.movement import alias, expand_dims_at, reshape, slice_
from ..ops.reduce import broadcast_to, reduce_sum
from .creation import asarray
from .inplace import as_another, fit, write
from .tensor import Tensor

Ints = tuple[int, ...]
FEW = 4096  # elements that NumPy goes through, or fills, at once
WHOLE = 1 << 24  # up to it float32 has all whole numbers


class Plan:
    """An index taken apart: a strided slice, then index tensors on some axes, then a final shape.

    ``starts/stops/steps`` cover every axis of x; ``at`` are the index tensors, with the axis of x that each belongs
    to; ``layout`` says what becomes of the axes: "keep", "drop" (indexed by a number), "new" (None in the index).
    """

    def __init__(self, x: Tensor, key: Any) -> None:
        items = list(key) if isinstance(key, tuple) else [key]
        items = [self._convert(x, k) for k in items]
        consumed = sum(
            k.ndim if _is_mask(k) else 1 for k in items if k is not None and k is not Ellipsis
        )
        if sum(k is Ellipsis for k in items) > 1:
            raise BoundsError(
                describe("index", str(x.tensor_type), "an index has at most one Ellipsis")
            )
        if consumed > x.ndim:
            raise BoundsError(
                describe("index", str(x.tensor_type), f"{consumed} indexes for {x.ndim} dimensions")
            )
        if not any(k is Ellipsis for k in items):
            items.append(Ellipsis)
        at_ellipsis = next(i for i, k in enumerate(items) if k is Ellipsis)
        items[at_ellipsis : at_ellipsis + 1] = [slice(None)] * (x.ndim - consumed)
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.steps: list[int] = []
        self.layout: list[str] = []
        self.at: list[tuple[int, Tensor]] = []
        self._fill(x, items)

    @staticmethod
    def _convert(x: Tensor, k: Any) -> Any:
        """A key of one axis as an int, slice, None, Ellipsis or tensor."""
        if k is None or k is Ellipsis or isinstance(k, slice):
            return k
        if isinstance(k, Tensor):
            if not (k.dtype.is_integer or k.dtype is bool_):
                raise DTypeError(
                    describe(
                        "index",
                        f"{x.tensor_type}, {k.tensor_type}",
                        "index tensors are integer or bool",
                        "cast with .long()",
                    )
                )
            return k
        if isinstance(k, (bool, np.bool_)):
            return asarray(np.asarray(k), device=x.device)
        if isinstance(k, (list, np.ndarray)):
            array = np.asarray(origin_of(k))
            if array.size == 0 and isinstance(k, list):
                array = array.astype(np.int64)
            return Plan._convert(x, asarray(array, device=x.device))
        try:
            return to_int(k)
        except AttributeError:
            raise DTypeError(
                describe("index", str(x.tensor_type), f"a {type(k).__name__} cannot be an index")
            ) from None

    def _fill(self, x: Tensor, items: list[Any]) -> None:
        """Takes down what each key asks for; an axis with an index tensor is kept whole at first."""
        axis = 0
        for k in items:
            if k is None:
                self.layout.append("new")
                continue
            if isinstance(k, Tensor):
                if _is_mask(k):
                    for places in _mask_places(x, k, axis):
                        self.at.append((axis, places))
                        self._range(0, x.shape[axis], 1, "keep")
                        axis += 1
                    continue
                self.at.append((axis, k if k.dtype is int64 else cast(k, dtype="int64")))
                self._range(0, x.shape[axis], 1, "keep")
            elif isinstance(k, slice):
                self._slice(x, axis, k)
            else:
                n = x.shape[axis]
                if not -n <= k < n:
                    raise BoundsError(
                        describe(
                            "index",
                            str(x.tensor_type),
                            f"index {k} is out of range for axis {axis} of {n}",
                        )
                    )
                at = k + n if k < 0 else k
                self._range(at, at + 1, 1, "drop")
            axis += 1

    def _range(self, start: int, stop: int, step: int, layout: str) -> None:
        self.starts.append(start)
        self.stops.append(stop)
        self.steps.append(step)
        self.layout.append(layout)

    def _slice(self, x: Tensor, axis: int, k: slice) -> None:
        k = slice(*(None if v is None else to_int(v) for v in (k.start, k.stop, k.step)))
        if k.step == 0:
            raise BoundsError(describe("index", str(x.tensor_type), "a slice step cannot be 0"))
        start, stop, step = slice_indices(k, x.shape[axis])
        if not surely_equal((start, step), (0, 1)) and range_length(start, stop, step) == 0:
            start, stop, step = 0, 0, 1
        elif step < 0 and stop < 0:
            stop = -1
        self._range(start, stop, step, "keep")

    def sliced(self, x: Tensor) -> Tensor:
        """The strided part, with numbered axes still of length 1."""
        ranges = zip(self.starts, self.stops, self.steps, x.shape, strict=True)
        if all(surely_equal((a, b, s), (0, d, 1)) for a, b, s, d in ranges):
            return x
        starts, stops, steps = map(tuple, (self.starts, self.stops, self.steps))
        return slice_(x, starts=starts, stops=stops, steps=steps)  # type: ignore[no-any-return]

    def laid_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Result shape of the strided part alone."""
        dims = iter(shape)
        out = []
        for kind in self.layout:
            if kind == "new":
                out.append(1)
                continue
            d = next(dims)
            if kind == "keep":
                out.append(d)
        return tuple(out)

    def axis_after(self, axis: int) -> int:
        """Where axis `axis` of x is in the laid-out result."""
        seen, place = -1, -1
        for kind in self.layout:
            if kind != "new":
                seen += 1
            if kind != "drop":
                place += 1
            if seen == axis and kind == "keep":
                return place
        raise AssertionError("an indexed axis is always kept")


def _is_switch(key: Any) -> bool:
    """One truth value as the whole index: an axis of length 1 or 0 in front."""
    return isinstance(key, (bool, np.bool_)) or (_is_mask(key) and key.ndim == 0)


def _is_mask(k: Any) -> bool:
    return isinstance(k, Tensor) and k.dtype is bool_


def _mask_places(x: Tensor, mask: Tensor, axis: int) -> list[Tensor]:
    """Where a mask over the axes from `axis` on is True: index tensors, one an axis."""
    lengths = x.shape[axis : axis + mask.ndim]
    # As in NumPy a mask without elements fits, for it selects nothing.
    fits = len(lengths) == mask.ndim and all(
        m in (n, 0) for m, n in zip(mask.shape, lengths, strict=True)
    )
    if not fits:
        raise BoundsError(
            describe(
                "index",
                f"{x.tensor_type}, {mask.tensor_type}",
                f"a mask of shape {mask.shape} does not fit axes of {lengths}, from axis {axis} on",
            )
        )
    return nonzero(mask)


def unseen(x: Tensor) -> bool:
    """Whether nobody has to be told of what is done with the values of x, which NumPy has as they are."""
    plain = state.tracer is None and state.batching is None and x.device is CPU
    return plain and x.dtype is not bfloat16


def found(x: Any) -> Any:
    """For each axis of an array the places of the elements that are not zero."""
    if x.size <= FEW:
        return x.nonzero()
    mask = x if x.dtype == bool else x != 0
    params = {"count": int(np.count_nonzero(mask))}
    return backend_for(CPU).run(nonzero_places, (np.ascontiguousarray(mask),), params)


def nonzero(x: Tensor) -> list[Tensor]:
    """One int64 tensor an axis: the places of the elements that are not zero, in row-major order."""
    if x.ndim and unseen(x):
        return [Tensor(np.ascontiguousarray(at), int64) for at in found(x._data)]
    mask = x if x.dtype is bool_ else x != 0
    count = int(reduce_sum(cast(mask, dtype="int64"), axes=tuple(range(mask.ndim)), keepdims=False))
    places = nonzero_places(mask, count=count)
    return [places[i] for i in range(mask.ndim)]


def _basic(shape: Ints, key: Any) -> tuple[Ints, Ints, Ints, Ints] | None:
    """Starts, stops, steps and result shape of a key of numbers and rising slices; None leaves it to `Plan`."""
    keys = key if type(key) is tuple else (key,)
    if len(keys) > len(shape) or not shape:  # a number's part is an alias: NumPy would copy it out
        return None
    starts, stops, steps, out = [], [], [], []
    for k, n in zip(keys, shape):  # noqa: B905 (axes without a key are taken whole)
        if type(k) is int and -n <= k < n:
            start = k % n
            stop, step = start + 1, 1
        elif type(k) is slice and (k.step is None or type(k.step) is int) and k.step != 0:
            start, stop, step = slice_indices(k, n)
            count = range_length(start, stop, step)
            if step < 1 or (type(count) is int and not count):
                return None
            out.append(count)
        else:
            return None
        starts.append(start)
        stops.append(stop)
        steps.append(step)
    rest = shape[len(keys) :]
    zeros, ones = (0,) * len(rest), (1,) * len(rest)
    return (*starts, *zeros), (*stops, *rest), (*steps, *ones), (*out, *rest)


def _whole_numbers(x: Tensor, key: Any) -> tuple[Tensor, ...] | None:
    """A key of int64 tensors alone, for the first axes; None leaves it to `Plan`."""
    keys = key if type(key) is tuple else (key,)
    for k in keys:
        if not isinstance(k, Tensor) or k.dtype is not int64:
            return None
    return keys if 0 < len(keys) <= x.ndim else None


def _picked(x: Tensor, mask: Any) -> Tensor | None:
    """``x[mask]`` of few elements that are on no tape; None leaves it to `Plan`."""
    if not isinstance(mask, Tensor) or mask.dtype is not bool_ or mask.device is not CPU:
        return None
    chosen = mask._data
    fits = chosen.ndim > 0 and chosen.shape == x._data.shape[: chosen.ndim]
    if not fits or chosen.size > FEW or not unseen(x) or (state.grad and x._edge() is not None):
        return None
    return Tensor(x._data[chosen], x.dtype)


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for numbers, slices, None and Ellipsis; a copy with index tensors."""
    quick = _basic(x.shape, key)
    if quick is not None:
        starts, stops, steps, shape = quick
        part = slice_(x, starts=starts, stops=stops, steps=steps)
        return part if part.shape == shape else reshape(part, shape=shape)  # type: ignore[no-any-return]
    at = _whole_numbers(x, key)
    if at is not None:
        return index(x, *at, dims=tuple(range(len(at))))  # type: ignore[no-any-return]
    picked = _picked(x, key)
    if picked is not None:
        return picked
    if _is_mask(key) and key.ndim > 1 and surely_equal(key.shape, x.shape[: key.ndim]):
        rows = reshape(x, shape=(prod(key.shape), *x.shape[key.ndim :]))
        return getitem(rows, reshape(key, shape=(prod(key.shape),)))
    if _is_switch(key):
        return getitem(expand_dims_at(x, (0,)), reshape(asarray(key, device=x.device), shape=(1,)))
    plan = Plan(x, key)
    out = plan.sliced(x)
    shape = plan.laid_out(out.shape)
    if shape != out.shape:
        out = reshape(out, shape=shape)
    elif out is x and not plan.at:
        return alias(x)  # type: ignore[no-any-return]
    if plan.at:
        dims = tuple(plan.axis_after(axis) for axis, _ in plan.at)
        out = index(out, *(t for _, t in plan.at), dims=dims)
    return out


def setitem(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``, in place."""
    whole_mask = isinstance(key, Tensor) and key.dtype is bool_ and key.shape == x.shape
    if whole_mask and not _array_like(value):
        _assign(x, _in_dtype(where(key, value, x), x), derived=True)
    elif state.tracer is None and state.batching is None and _makes_view(key):
        target = x[key]
        new = _numbers_like(target, value)
        _assign(target, _tensor_for(x, value) if new is None else new)
    elif _is_switch(key):
        setitem(expand_dims_at(x, (0,)), reshape(asarray(key, device=x.device), shape=(1,)), value)
    else:
        _assign_at(x, key, _tensor_for(x, value))


def _assign_at(x: Tensor, key: Any, value: Tensor) -> None:
    """``x[key] = value`` for any key, op by op."""
    places = _whole_numbers(x, key)
    if places is not None:
        _put(x, places, tuple(range(len(places))), value)
        return
    plan = Plan(x, key)
    part = plan.sliced(x)
    shape = plan.laid_out(part.shape)
    target = reshape(part, shape=shape) if shape != part.shape else part
    if plan.at:
        dims = tuple(plan.axis_after(axis) for axis, _ in plan.at)
        _put(target, tuple(t for _, t in plan.at), dims, value)
    else:
        _assign(target, as_another(value) if target is x else value)


def _tensor_for(x: Tensor, value: Any) -> Tensor:
    """What is assigned, as a tensor of x's dtype (and device, unless it is a tensor already)."""
    if not isinstance(value, Tensor):
        value = asarray(value, device=x.device, dtype=x.dtype)
    return _in_dtype(value, x)


def _in_dtype(value: Tensor, x: Tensor) -> Tensor:
    return value if value.dtype is x.dtype else cast(value, dtype=x.dtype.name)  # type: ignore[no-any-return]


def _assign(target: Tensor, value: Tensor, derived: bool = False) -> None:
    """Writes `value`, broadcast, over all of `target`."""
    write("setitem", target, fit("setitem", target, _trim(value, target.shape)), derived)


def _put(target: Tensor, at: tuple[Tensor, ...], dims: Ints, value: Tensor) -> None:
    """Writes values at index tensors on axes `dims`."""
    shape = index_shape(target.shape, tuple(a.shape for a in at), dims)
    value = _trim(value, shape)
    value = broadcast_to(value, shape=shape) if value.shape != shape else value
    write("setitem", target, index_put(target, value, *at, dims=dims, mode="set"), derived=True)


_PLAIN_KEYS = frozenset((int, slice, type(None), type(Ellipsis)))


def _makes_view(key: Any) -> bool:
    """Whether a key is of whole numbers, slices, None and Ellipsis."""
    if type(key) is tuple:
        return all(type(k) in _PLAIN_KEYS for k in key)
    return type(key) in _PLAIN_KEYS


def _numbers_like(x: Tensor, value: Any) -> Tensor | None:
    """A Python number that the dtype of x holds as such, as a 0-d tensor or, where x is small, in all places."""
    kind, dtype = type(value), x.dtype
    exact = (kind is float and dtype in (float32, float64)) or (kind is bool and dtype is bool_)
    if kind is int and abs(value) <= WHOLE:
        exact = dtype in (float32, float64, int64)
    if x.device is not CPU or not exact:
        return None
    array = np.empty(x.shape if x._data.size <= FEW else (), dtype.numpy)
    quietly(array.fill, value)
    return Tensor(array, dtype)


def _trim(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Drops leading axes of length 1 that the target lacks, as NumPy's assignment does."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = reshape(value, shape=value.shape[1:])
    return value


def _array_like(value: Any) -> bool:
    return (isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0) or isinstance(
        value, (list, tuple)
    )
