"""Discrete Fourier transforms along an axis, without scaling, by the array namespace's FFT."""

from __future__ import annotations

from typing import Any

from ..core import dtypes as dt
from ..core.errors import DTypeError, ShapeError
from ..core.kinds import check_axes, opaque
from ..core.types import TensorType
from .arithmetic import multiply, where
from .comparison import equal, logical_or
from .creation import arange_op
from .movement import reshape

COMPLEX = {dt.float32: dt.complex64, dt.float64: dt.complex128}
PARTS = {wide: part for part, wide in COMPLEX.items()}


def _samples(rng: Any) -> list[Any]:
    z = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    return [((z,), {"axis": 0, "inverse": False}), ((z,), {"axis": 1, "inverse": True})]


def _real_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((5, 4)),), {"axis": axis}) for axis in (0, 1)]


def _half_samples(rng: Any) -> list[Any]:
    z = rng.standard_normal((3, 2)) + 1j * rng.standard_normal((3, 2))
    return [((z,), {"axis": 0, "n": 5}), ((z,), {"axis": 0, "n": 4}), ((z,), {"axis": 1, "n": 2})]


def _check(x: TensorType, axis: int, wanted: dict[Any, Any]) -> None:
    check_axes((axis,), x.ndim)
    if x.dtype not in wanted:
        raise DTypeError(f"{x} is not one of {', '.join(d.name for d in wanted)}; cast it first")
    if x.shape[axis] < 1:
        raise ShapeError(f"axis {axis} of {x} has no elements to transform")


@opaque(name="fft_along", samples=_samples)
def fft_along(xp, x, axis, inverse):
    """``sum over j of x[j] e**(-+2 pi i j k / n)``; the sign is + if `inverse`."""
    transform = xp.fft.ifft if inverse else xp.fft.fft
    return transform(xp.ascontiguousarray(x), axis=axis, norm="forward" if inverse else "backward")


@fft_along.type
def _(x, axis, inverse):
    _check(x, axis, PARTS)
    return x


@fft_along.vjp
def _(ct, _out, _x, axis, inverse):
    return (fft_along(ct, axis=axis, inverse=not inverse),)


@fft_along.batch
def _(lift, args, batched, axis, inverse):
    return fft_along(args[0], axis=axis + 1, inverse=inverse)


@opaque(name="rfft_along", samples=_real_samples)
def rfft_along(xp, x, axis):
    """The first ``n // 2 + 1`` elements of the transform of a real x; the others mirror them."""
    return xp.fft.rfft(xp.ascontiguousarray(x), axis=axis)


@rfft_along.type
def _(x, axis):
    _check(x, axis, COMPLEX)
    shape = (*x.shape[:axis], x.shape[axis] // 2 + 1, *x.shape[axis + 1 :])
    return TensorType(COMPLEX[x.dtype], shape, x.device)


def _mirrored(x: Any, axis: int, n: int, weight: float) -> Any:
    """x with the elements that have a mirror image in a transform of length n times `weight`."""
    k = arange_op(start=0, step=1, size=x.shape[axis], dtype="int64", device=str(x.device))
    alone = logical_or(equal(k, 0), equal(multiply(k, 2), n))
    shape = tuple(d if i == axis else 1 for i, d in enumerate(x.shape))
    return where(reshape(alone, shape=shape), x, multiply(x, weight))


@rfft_along.vjp
def _(ct, _out, x, axis):
    n = x.shape[axis]
    return (irfft_along(_mirrored(ct, axis, n, 0.5), axis=axis, n=n),)


@rfft_along.batch
def _(lift, args, batched, axis):
    return rfft_along(args[0], axis=axis + 1)


@opaque(name="irfft_along", samples=_half_samples)
def irfft_along(xp, x, axis, n):
    """The n real numbers, times n, whose transform begins with x (``n // 2 + 1`` elements along `axis`)."""
    return xp.fft.irfft(xp.ascontiguousarray(x), n, axis=axis, norm="forward")


@irfft_along.type
def _(x, axis, n):
    _check(x, axis, PARTS)
    if x.shape[axis] != n // 2 + 1:
        raise ShapeError(f"axis {axis} of {x} needs {n // 2 + 1} elements for {n} numbers")
    return TensorType(PARTS[x.dtype], (*x.shape[:axis], n, *x.shape[axis + 1 :]), x.device)


@irfft_along.vjp
def _(ct, _out, _x, axis, n):
    return (_mirrored(rfft_along(ct, axis=axis), axis, n, 2.0),)


@irfft_along.batch
def _(lift, args, batched, axis, n):
    return irfft_along(args[0], axis=axis + 1, n=n)
