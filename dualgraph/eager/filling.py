"""Filling: tensors from a shape - of one value, in even steps, or with ones on a diagonal."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.composite import creating
from ..core.errors import ArgumentError, DTypeError, describe
from ..core.numbers.sizing import range_length, to_int
from ..ops.arithmetic import cast, multiply, where
from ..ops.comparison import greater_equal
from ..ops.creation import arange_op
from ..ops.movement import copy as copy_op
from ..ops.movement import reshape
from ..ops.reduce import broadcast_to
from .creation import chosen_device, filled
from .tensor import Tensor


def as_shape(size: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """``(2, 3)`` for arguments ``2, 3`` and ``(2, 3)`` alike, or given by name."""
    if named is not None:
        if size not in ((), ((),)):
            raise ArgumentError(describe("", "", f"two shapes: {size} and size={named}"))
        size = (named,)
    try:
        if len(size) == 1 and not hasattr(size[0], "__index__"):
            size = tuple(size[0])
        shape = tuple(to_int(d) for d in size)
    except (TypeError, AttributeError):
        raise DTypeError(f"a shape is whole numbers, not {', '.join(map(repr, size))}") from None
    if any(d < 0 for d in shape):
        raise ArgumentError(describe("", "", f"a shape cannot have negative sizes: {shape}"))
    return shape


@creating
def zeros(
    shape: Any = (),
    *more: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of a shape given as ``zeros(2, 3)``, ``zeros((2, 3))``, ``zeros(shape=(2, 3))`` or by ``size=``.

    >>> dg.zeros((2, 2), dtype=dg.int32)
    tensor([[0, 0],
            [0, 0]], dtype=dualgraph.int32)
    """
    return filled(
        as_shape((shape, *more), size), 0.0, dtype or dt.get_default_dtype(), device, requires_grad
    )


@creating
def ones(
    shape: Any = (),
    *more: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of a shape given as ``ones(2, 3)``, ``ones((2, 3))``, ``ones(shape=(2, 3))`` or by ``size=``.

    >>> dg.ones(2, 3)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    return filled(
        as_shape((shape, *more), size), 1.0, dtype or dt.get_default_dtype(), device, requires_grad
    )


@creating
def empty(
    shape: Any = (),
    *more: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Memory of a shape; its values are zeros here, so that eager and captured runs agree.

    >>> dg.empty((2, 3)).shape
    (2, 3)
    """
    return zeros(shape, *more, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


@creating
def full(
    shape: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A shape filled with one value.

    >>> dg.full((2,), 7.0)
    tensor([7., 7.])
    """
    size = as_shape((shape,))
    if isinstance(fill_value, Tensor):
        chosen = fill_value if dtype is None else cast(fill_value, dtype=dt.as_dtype(dtype).name)
        return copy_op(broadcast_to(chosen, shape=size))  # type: ignore[no-any-return]
    value = fill_value.item() if isinstance(fill_value, np.generic) else fill_value
    return filled(size, value, dtype, device, requires_grad)


def _like(x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    return filled(
        x.shape, value, dtype or x.dtype, device if device is not None else x.device, requires_grad
    )


def zeros_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the type of x.

    >>> dg.zeros_like(dg.asarray([1, 2]))
    tensor([0, 0])
    """
    return _like(x, 0, dtype, device, requires_grad)


def ones_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the type of x.

    >>> dg.ones_like(dg.asarray([1, 2]), dtype=dg.float32)
    tensor([1., 1.])
    """
    return _like(x, 1, dtype, device, requires_grad)


def empty_like(
    x: Tensor, /, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Memory of the type of x (zeros).

    >>> dg.empty_like(dg.ones((2, 3))).shape
    (2, 3)
    """
    return _like(x, 0, dtype, device, requires_grad)


def full_like(
    x: Tensor,
    /,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in the type of x.

    >>> dg.full_like(dg.asarray([1.0, 2.0]), 5.0)
    tensor([5., 5.])
    """
    return _like(x, fill_value, dtype, device, requires_grad)


@creating
def arange(
    start: Any = 0,
    stop: Any = None,
    step: Any = 1,
    *,
    end: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` up to (not including) `stop`, or `end`, in steps; one argument is the stop.

    >>> arange(2, 8, 3).tolist()
    [2, 5]
    """
    start, stop, step = (_number(v) for v in (start, stop if end is None else end, step))
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ArgumentError(describe("arange", f"{start}, {stop}, {step}", "the step cannot be 0"))
    whole = isinstance(start, int) and isinstance(stop, int) and isinstance(step, int)
    size = range_length(start, stop, step) if whole else max(ceil((stop - start) / step), 0)
    chosen = dt.as_dtype(dtype) if dtype is not None else dt.default_of("int" if whole else "float")
    compute = dt.float32 if chosen in (dt.bfloat16, dt.float16) else chosen
    out = arange_op(
        start=start, step=step, size=size, dtype=compute.name, device=str(chosen_device(device))
    )
    out = cast(out, dtype=chosen.name) if compute is not chosen else out
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


def _number(v: Any) -> Any:
    return v.item() if isinstance(v, (Tensor, np.generic)) else v


@creating
def linspace(
    start: Any, stop: Any = None, num: int | None = None, *, end: Any = None, steps: int | None = None,
    dtype: Any = None, device: Any = None, endpoint: bool = True, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`num` (or `steps`) evenly spaced numbers from `start` to `stop` (or `end`; left out when `endpoint` is False).

    >>> dg.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    stop = end if stop is None else stop
    if stop is None:
        raise ArgumentError(
            describe("linspace", f"{start}", "the last number is missing", "pass stop=")
        )
    n = num if num is not None else steps
    if n is None:
        raise ArgumentError(
            describe("linspace", f"{start}, {stop}", "the number of points is missing", "pass num=")
        )
    if n < 0:
        raise ArgumentError(describe("linspace", f"{start}, {stop}", f"there are no {n} numbers"))
    start, stop = _number(start), _number(stop)
    chosen = dt.as_dtype(dtype) if dtype is not None else dt.default_of("float")
    gaps = n - 1 if endpoint else n
    places = arange_op(start=0, step=1, size=n, dtype="float64", device=str(chosen_device(device)))
    out = multiply(places, (stop - start) / gaps if gaps else 0.0) + start
    if endpoint and n > 1:
        out = where(greater_equal(places, n - 1), stop, out)
    out = cast(out, dtype=chosen.name) if chosen is not dt.float64 else out
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]


@creating
def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal `k`, zeros elsewhere.

    >>> dg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    columns = n_rows if n_cols is None else n_cols
    k = k and max(-n_rows, min(k, columns))  # no diagonal lies beyond the corners
    rows = reshape(arange(n_rows, device=device), shape=(n_rows, 1))
    chosen = dt.as_dtype(dtype) if dtype is not None else dt.get_default_dtype()
    out = cast(rows + k == arange(columns, device=device), dtype=chosen.name)
    return out.requires_grad_() if requires_grad else out  # type: ignore[no-any-return]
