"""Reinterpretation: the bits of a tensor read as another dtype."""

from __future__ import annotations

from typing import Any

from ..core.dtypes import as_dtype
from ..core.errors import DTypeError
from ..core.kinds import movement
from ..core.types import TensorType


def _samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((2, 4)).astype("float32")
    return [((x,), {"dtype": dtype}) for dtype in ("int32", "uint8", "int64")]


@movement(samples=_samples)
def reinterpret(xp, x, dtype):
    """The memory of x read as another dtype; the last axis grows or shrinks where its width differs."""
    return xp.ascontiguousarray(x).view(as_dtype(dtype).numpy).copy()


@reinterpret.type
def _(x, dtype):
    target = as_dtype(dtype)
    if target.itemsize == x.dtype.itemsize:
        return TensorType(target, x.shape, x.device)
    if not x.shape or x.shape[-1] * x.dtype.itemsize % target.itemsize:
        raise DTypeError(f"the bytes of the last axis are no whole number of {target.name}")
    last = x.shape[-1] * x.dtype.itemsize // target.itemsize
    return TensorType(target, (*x.shape[:-1], last), x.device)


@reinterpret.vjp
def _(ct, _out, _x, dtype):
    return (None,)


@reinterpret.batch
def _(lift, args, batched, dtype):
    x = args[0]
    alone = x.ndim == 1  # an axis of length 1 that may change, rather than the batch
    out = reinterpret(x.reshape((*x.shape, 1)) if alone else x, dtype=dtype)
    return out.reshape(x.shape) if alone else out
