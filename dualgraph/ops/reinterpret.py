"""Reinterpretation: the memory of a tensor read as another dtype, and complex numbers as pairs of real ones."""

from __future__ import annotations

from typing import Any

from ..core.dtypes import PARTS, as_dtype, from_numpy
from ..core.errors import DTypeError, ShapeError
from ..core.kinds import movement
from ..core.types import TensorType

WHOLES = {part: whole for whole, part in PARTS.items()}


def _read_as(xp: Any, x: Any, dtype: Any) -> Any:
    """The memory of x as another NumPy dtype; that of a copy where the last axis has gaps."""
    unit = x.dtype.itemsize
    dense = unit == dtype.itemsize or x.shape[-1] == 1 or x.strides[-1] == unit
    return (x if dense else xp.ascontiguousarray(x)).view(dtype)


def _samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((2, 4)).astype("float32")
    return [((x,), {"dtype": dtype}) for dtype in ("int32", "uint8", "int64")]


@movement(aliases=True, samples=_samples)
def reinterpret(xp, x, dtype):
    """The memory of x read as another dtype; the last axis grows or shrinks where its width differs.

    A view where memory allows, through which no gradient flows.
    """
    return _read_as(xp, x, as_dtype(dtype).numpy)


@reinterpret.type
def _(x, dtype):
    target = as_dtype(dtype)
    if target.itemsize == x.dtype.itemsize:
        return TensorType(target, x.shape, x.device)
    if not x.shape or x.shape[-1] * x.dtype.itemsize % target.itemsize:
        raise DTypeError(f"the bytes of the last axis are no whole number of {target.name}")
    last = x.shape[-1] * x.dtype.itemsize // target.itemsize
    return TensorType(target, (*x.shape[:-1], last), x.device)


@reinterpret.batch
def _(lift, args, batched, dtype):
    x = args[0]
    alone = x.ndim == 1  # an axis of length 1 that may change, rather than the batch
    out = reinterpret(x.reshape((*x.shape, 1)) if alone else x, dtype=dtype)
    return out.reshape(x.shape) if alone else out


@reinterpret.put
def _(base, new, dtype):
    return reinterpret(new, dtype=base.dtype.name)


# --- complex numbers as pairs --------------------------------------------------------------------


def _complex_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((3, 2)) + 1j * rng.standard_normal((3, 2)),), {})]


@movement(aliases=True, samples=_complex_samples)
def as_pairs(xp, x):
    """Real and imaginary parts of a complex x along a new last axis. A view."""
    return x[..., None].view(x.real.dtype)


@as_pairs.type
def _(x):
    if x.dtype not in PARTS:
        raise DTypeError(f"needs a complex operand, not {x.dtype.name}")
    return TensorType(PARTS[x.dtype], (*x.shape, 2), x.device)


@as_pairs.vjp
def _(ct, _out, _x):
    return (of_pairs(ct),)


@as_pairs.batch
def _(lift, args, batched):
    return as_pairs(args[0])


@as_pairs.put
def _(base, new):
    return of_pairs(new)


@movement(aliases=True, samples=lambda rng: [((rng.standard_normal((3, 2)),), {})])
def of_pairs(xp, x):
    """The complex numbers whose parts lie along the last axis; a view where memory allows."""
    return _read_as(xp, x, WHOLES[from_numpy(x.dtype)].numpy)[..., 0]


@of_pairs.type
def _(x):
    if x.dtype not in WHOLES:
        raise DTypeError(f"the parts are float32 or float64, not {x.dtype.name}")
    if not x.ndim or x.shape[-1] != 2:
        raise ShapeError(f"the last axis of {x} must have length 2")
    return TensorType(WHOLES[x.dtype], x.shape[:-1], x.device)


@of_pairs.vjp
def _(ct, _out, _x):
    return (as_pairs(ct),)


@of_pairs.batch
def _(lift, args, batched):
    return of_pairs(args[0])


@of_pairs.put
def _(base, new):
    return as_pairs(new)
