"""Lattices: elements whose places go up by fixed steps - windows, diagonals, whatever strides can say."""

from __future__ import annotations

from math import prod
from typing import Any

from ..core.errors import ArgumentError
from ..core.kinds import movement
from ..core.types import TensorType, contiguous_strides
from .creation import arange_op, full
from .indexing import index_put
from .movement import reshape

Ints = tuple[int, ...]


def meets_itself(shape: Ints, strides: Ints) -> bool:
    """Whether two places may lie at one; False only where strides rule that out."""
    reach = 0
    for stride, d in sorted((abs(s), d) for s, d in zip(strides, shape, strict=True) if d != 1):
        if stride <= reach:
            return True
        reach = reach + (d - 1) * stride
    return False


def _samples(rng: Any) -> list[Any]:
    x, line = rng.standard_normal((3, 4)), rng.standard_normal(7)
    return [
        ((line,), {"shape": (3, 3), "starts": (0,), "steps": ((2,), (1,))}),
        ((x,), {"shape": (3,), "starts": (0, 1), "steps": ((1, 1),)}),
    ]


@movement(aliases=True, samples=_samples)
def lattice(xp, x, shape, starts, steps):
    """Element ``i`` of `shape` is that of x at ``starts + sum(i[a] * steps[a])``; a view.

    One that has an element of x at several places cannot be written.
    """
    if 0 in shape:
        return xp.empty(shape, x.dtype)
    strides = tuple(sum(m * s for m, s in zip(step, x.strides, strict=True)) for step in steps)
    first = x[tuple(slice(a, None) for a in starts)]
    return xp.lib.stride_tricks.as_strided(
        first, shape, strides, writeable=not meets_itself(shape, strides)
    )


@lattice.type
def _(x, shape, starts, steps):
    fits = len(starts) == x.ndim and len(steps) == len(shape)
    if not fits or any(len(step) != x.ndim for step in steps):
        raise ArgumentError(
            f"steps {steps} from {starts} are not those of {len(shape)} axes in {x}"
        )
    if 0 not in shape:
        for axis, d in enumerate(x.shape):
            low = high = starts[axis]
            for n, step in zip(shape, steps, strict=True):
                if step[axis] < 0:
                    low = low + (n - 1) * step[axis]
                else:
                    high = high + (n - 1) * step[axis]
            if low < 0 or high >= d:
                raise ArgumentError(f"places {low} to {high} do not lie in an axis of {d}")
    return TensorType(x.dtype, shape, x.device)


def _strides(x: Any, steps: Any) -> Ints:
    """The steps of a lattice in the elements of x one after the other."""
    rows = contiguous_strides(x.shape)
    return tuple(sum(m * s for m, s in zip(step, rows, strict=True)) for step in steps)


def _places(x: Any, shape: Ints, starts: Ints, steps: Any) -> Any:
    """Which of the elements of x, one after the other, each element of a lattice is."""
    kind = {"dtype": "int64", "device": str(x.device)}
    first = sum(a * s for a, s in zip(starts, contiguous_strides(x.shape), strict=True))
    places = reshape(arange_op(start=first, step=1, size=1, **kind), shape=(1,) * len(shape))
    for axis, (n, stride) in enumerate(zip(shape, _strides(x, steps), strict=True)):
        along = arange_op(start=0, step=stride, size=n, **kind)
        places = places + reshape(along, shape=(n, *(1,) * (len(shape) - axis - 1)))
    return places


def _put(x: Any, new: Any, mode: str, shape: Ints, starts: Ints, steps: Any) -> Any:
    flat, places = reshape(x, shape=(prod(x.shape),)), _places(x, shape, starts, steps)
    return reshape(index_put(flat, new, places, dims=(0,), mode=mode), shape=x.shape)


@lattice.vjp
def _(ct, _out, _x, shape, starts, steps):
    zeros = full(shape=_x.shape, value=0, dtype=ct.dtype.name, device=str(ct.device))
    mode = "add" if meets_itself(shape, _strides(_x, steps)) else "set"
    return (_put(zeros, ct, mode, shape, starts, steps),)


@lattice.batch
def _(lift, args, batched, shape, starts, steps):
    n, more = args[0].shape[0], (1, *(0,) * len(starts))
    return lattice(
        args[0], shape=(n, *shape), starts=(0, *starts), steps=(more, *((0, *s) for s in steps))
    )


@lattice.put
def _(base, new, shape, starts, steps):
    return _put(base, new, "set", shape, starts, steps)
