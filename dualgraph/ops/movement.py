"""Movement: ops that rearrange elements - reshape, permute, slice, flip, pad, join, copy."""

from __future__ import annotations

from math import prod
from typing import Any

from ..core.errors import ArgumentError, DTypeError, ShapeError
from ..core.kinds import check_axes, movement
from ..core.numbers.guards import guarded
from ..core.numbers.sizing import range_length
from ..core.pieces import Piece, around, whole
from ..core.types import TensorType
from .creation import full

Ints = tuple[int, ...]


def inverse(axes: Ints) -> Ints:
    """The permutation that undoes `axes`."""
    out = [0] * len(axes)
    for i, a in enumerate(axes):
        out[a] = i
    return tuple(out)


# --- reshape -----------------------------------------------------------------------------------


@movement(aliases=True, samples=lambda rng: [((rng.standard_normal((2, 6)),), {"shape": (3, 4)})])
def reshape(xp, x, shape):
    """The same elements in row-major order under another shape; a view where memory allows."""
    return x.reshape(shape)


@reshape.type
def _(x, shape):
    if prod(shape) != x.size:
        raise ShapeError(f"cannot reshape {x.size} elements of shape {x.shape} to {shape}")
    return TensorType(x.dtype, shape, x.device)


@reshape.vjp
def _(ct, _out, _x, shape):
    return (reshape(ct, shape=_x.shape),)


@reshape.batch
def _(lift, args, batched, shape):
    return reshape(args[0], shape=(args[0].shape[0], *shape))


@reshape.put
def _(base, new, shape):
    return reshape(new, shape=base.shape)


def expand_dims_at(x: Any, axes: Ints) -> Any:
    """x with length-1 axes inserted so that they end up at `axes`."""
    shape: list[int] = []
    rest = iter(x.shape)
    for i in range(len(x.shape) + len(axes)):
        shape.append(1 if i in axes else next(rest))
    return reshape(x, shape=tuple(shape))


# --- permute -----------------------------------------------------------------------------------


@movement(
    aliases=True, samples=lambda rng: [((rng.standard_normal((2, 3, 4)),), {"axes": (2, 0, 1)})]
)
def permute(xp, x, axes):
    """Axes in another order: result axis i is axis ``axes[i]`` of x. A view."""
    return x.transpose(axes)


@permute.type
def _(x, axes):
    if sorted(axes) != list(range(x.ndim)):
        raise ArgumentError(
            f"axes {axes} are not a permutation of the {x.ndim} axes of shape {x.shape}"
        )
    return TensorType(x.dtype, tuple(x.shape[a] for a in axes), x.device)


@permute.vjp
def _(ct, _out, _x, axes):
    return (permute(ct, axes=inverse(axes)),)


@permute.batch
def _(lift, args, batched, axes):
    return permute(args[0], axes=(0, *(a + 1 for a in axes)))


@permute.put
def _(base, new, axes):
    return permute(new, axes=inverse(axes))


def swaps_last(node: Any) -> bool:
    """Whether a node exchanges the last two axes of its operand and leaves the others."""
    if node.prim is not permute:
        return False
    axes = node.params["axes"]
    n = len(axes)
    return n >= 2 and axes == (*range(n - 2), n - 1, n - 2)


# --- slice -------------------------------------------------------------------------------------


def as_slices(starts: Ints, stops: Ints, steps: Ints) -> tuple[slice, ...]:
    """Python slices for ranges (a stop of -1 under a negative step means: through element 0)."""
    return tuple(
        slice(a, None if b < 0 else b, s) for a, b, s in zip(starts, stops, steps, strict=True)
    )


def slice_shape(shape: Ints, starts: Ints, stops: Ints, steps: Ints) -> Ints:
    """The shape of a slice; ArgumentError unless it lies inside `shape`, as views and kernels rely on."""
    if not len(shape) == len(starts) == len(stops) == len(steps):
        raise ArgumentError(f"a slice of {shape} has one start, stop and step an axis")
    for d, a, b, s in zip(shape, starts, stops, steps, strict=True):
        inside = (
            0 <= a <= d and 0 <= b <= d if s > 0 else min(0, d - 1) <= a < max(d, 1) and -1 <= b < d
        )
        if s == 0 or not inside:
            raise ArgumentError(f"slice {a}:{b}:{s} does not lie in an axis of {d}")
    return tuple(range_length(a, b, s) for a, b, s in zip(starts, stops, steps, strict=True))


def _slice_samples(rng: Any) -> list[Any]:
    x = rng.standard_normal((5, 6))
    return [
        ((x,), {"starts": (1, 0), "stops": (4, 6), "steps": (1, 2)}),
        ((x,), {"starts": (4, 5), "stops": (-1, 0), "steps": (-1, -2)}),
    ]


@movement(aliases=True, name="slice", samples=_slice_samples)
def slice_(xp, x, starts, stops, steps):
    """Elements ``range(start, stop, step)`` of each axis. A view."""
    return x[as_slices(starts, stops, steps)]


@slice_.type
def _(x, starts, stops, steps):
    return TensorType(x.dtype, slice_shape(x.shape, starts, stops, steps), x.device)


@slice_.vjp
def _(ct, _out, _x, starts, stops, steps):
    return (unslice(ct, shape=_x.shape, starts=starts, stops=stops, steps=steps),)


@slice_.batch
def _(lift, args, batched, starts, stops, steps):
    n = args[0].shape[0]
    return slice_(args[0], starts=(0, *starts), stops=(n, *stops), steps=(1, *steps))


@slice_.put
def _(base, new, starts, stops, steps):
    with guarded(proving=True):  # of sizes that differ from call to call, one is no special case
        everything = new.shape == base.shape
    if everything and min(steps, default=1) > 0:
        # how the place was spelled (`x[:]`, `x`) is not to be seen in derivatives
        return alias(new)
    return slice_update(base, new, starts=starts, stops=stops, steps=steps)


def _unslice_samples(rng: Any) -> list[Any]:
    return [
        (
            (rng.standard_normal((3, 3)),),
            {"shape": (5, 6), "starts": (1, 0), "stops": (4, 6), "steps": (1, 2)},
        )
    ]


def _unslice_pieces(x: Any, shape: Any, starts: Any, stops: Any, steps: Any) -> Any:
    if any(step != 1 for step in steps):
        return None
    rest = around(shape, starts, stops)
    return [whole(0, x, starts), *(Piece(at, extents, value=0) for at, extents in rest)]


@movement(name="unslice", samples=_unslice_samples, pieces=_unslice_pieces)
def unslice(xp, x, shape, starts, stops, steps):
    """Zeros of `shape` with x written at the sliced places: the transpose of `slice`."""
    out = xp.zeros(shape, dtype=x.dtype)
    out[as_slices(starts, stops, steps)] = x
    return out


@unslice.type
def _(x, shape, starts, stops, steps):
    if slice_shape(shape, starts, stops, steps) != x.shape:
        raise ShapeError(f"cannot put {x} into a slice of {shape}")
    return TensorType(x.dtype, shape, x.device)


@unslice.vjp
def _(ct, _out, _x, shape, starts, stops, steps):
    return (slice_(ct, starts=starts, stops=stops, steps=steps),)


@unslice.batch
def _(lift, args, batched, shape, starts, stops, steps):
    n = args[0].shape[0]
    return unslice(
        args[0], shape=(n, *shape), starts=(0, *starts), stops=(n, *stops), steps=(1, *steps)
    )


def _update_samples(rng: Any) -> list[Any]:
    params = {"starts": (1, 0), "stops": (4, 6), "steps": (1, 2)}
    return [((rng.standard_normal((5, 6)), rng.standard_normal((3, 3))), params)]


def _update_pieces(x: Any, new: Any, starts: Any, stops: Any, steps: Any) -> Any:
    if any(step != 1 for step in steps) or 2 * new.size < x.size:
        return None  # a small part is rather written in place
    rest = around(x.shape, starts, stops)
    return [whole(1, new, starts), *(Piece(at, extents, 0, at) for at, extents in rest)]


@movement(name="slice_update", samples=_update_samples, pieces=_update_pieces)
def slice_update(xp, x, new, starts, stops, steps):
    """A copy of x with `new` written at the sliced places."""
    out = x.copy()
    out[as_slices(starts, stops, steps)] = new
    return out


@slice_update.type
def _(x, new, starts, stops, steps):
    expected = slice_shape(x.shape, starts, stops, steps)
    if new.shape != expected or new.dtype is not x.dtype:
        raise ShapeError(f"cannot write {new} into a slice of type {x.dtype.short}{list(expected)}")
    return x


@slice_update.vjp
def _(ct, _out, _x, _new, starts, stops, steps):
    params = {"starts": starts, "stops": stops, "steps": steps}

    def hole():
        zeros = full(shape=_new.shape, value=0, dtype=ct.dtype.name, device=str(ct.device))
        return slice_update(ct, zeros, **params)

    return hole, lambda: slice_(ct, **params)


@slice_update.batch
def _(lift, args, batched, starts, stops, steps):
    x, new = lift.materialize(args, batched)
    n = x.shape[0]
    return slice_update(x, new, starts=(0, *starts), stops=(n, *stops), steps=(1, *steps))


# --- flip, pad, concat -------------------------------------------------------------------------


def _pad_samples(rng: Any) -> list[Any]:
    return [((rng.standard_normal((3, 4)),), {"widths": ((1, 0), (2, 1)), "value": 0.5})]


@movement(aliases=True, samples=lambda rng: [((rng.standard_normal((3, 4)),), {"axes": (1,)})])
def flip(xp, x, axes):
    """Elements in reverse order along `axes`. A view."""
    return x[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))]


@flip.type
def _(x, axes):
    check_axes(axes, x.ndim)
    return x


@flip.vjp
def _(ct, _out, _x, axes):
    return (flip(ct, axes=axes),)


@flip.batch
def _(lift, args, batched, axes):
    return flip(args[0], axes=tuple(a + 1 for a in axes))


@flip.put
def _(base, new, axes):
    return flip(new, axes=axes)


def _pad_pieces(x: Any, widths: Any, value: Any) -> Any:
    starts = tuple(before for before, _ in widths)
    stops = tuple(a + d for a, d in zip(starts, x.shape, strict=True))
    shape = tuple(d + a + b for d, (a, b) in zip(x.shape, widths, strict=True))
    rest = around(shape, starts, stops)
    return [whole(0, x, starts), *(Piece(at, extents, value=value) for at, extents in rest)]


@movement(computes=True, samples=_pad_samples, pieces=_pad_pieces)
def pad(xp, x, widths, value):
    """x surrounded by `value`: ``widths[i]`` elements (before, after) on axis i."""
    shape = tuple(d + a + b for d, (a, b) in zip(x.shape, widths, strict=True))
    out = xp.full(shape, value, dtype=x.dtype)
    out[tuple(slice(a, a + d) for d, (a, _) in zip(x.shape, widths, strict=True))] = x
    return out


@pad.type
def _(x, widths, value):
    if len(widths) != x.ndim or any(a < 0 or b < 0 for a, b in widths):
        raise ArgumentError(
            f"widths {widths} do not fit shape {x.shape}: one (before, after) >= 0 an axis"
        )
    return TensorType(
        x.dtype, tuple(d + a + b for d, (a, b) in zip(x.shape, widths, strict=True)), x.device
    )


@pad.vjp
def _(ct, _out, _x, widths, value):
    starts = tuple(a for a, _ in widths)
    stops = tuple(a + d for d, (a, _) in zip(_x.shape, widths, strict=True))
    return (slice_(ct, starts=starts, stops=stops, steps=(1,) * len(starts)),)


@pad.batch
def _(lift, args, batched, widths, value):
    return pad(args[0], widths=((0, 0), *widths), value=value)


def _concat_samples(rng: Any) -> list[Any]:
    return [
        (
            (rng.standard_normal((2, 3)), rng.standard_normal((2, 1)), rng.standard_normal((2, 2))),
            {"axis": 1},
        )
    ]


def _concat_pieces(*xs: Any, axis: int) -> Any:
    pieces, start = [], 0
    for i, x in enumerate(xs):
        if 0 not in x.shape:
            pieces.append(whole(i, x, tuple(start if a == axis else 0 for a in range(x.ndim))))
        start += x.shape[axis]
    return pieces


@movement(name="concat_along", samples=_concat_samples, pieces=_concat_pieces)
def concat_along(xp, *xs, axis):
    """Operands one after the other along `axis`."""
    return xp.concatenate(xs, axis=axis)


@concat_along.type
def _(*xs, axis):
    first = xs[0]
    check_axes((axis,), first.ndim)
    rest = first.shape[:axis] + first.shape[axis + 1 :]
    for x in xs[1:]:
        if x.dtype is not first.dtype:
            raise DTypeError(f"operands {first} and {x} must have one dtype")
        if x.ndim != first.ndim or x.shape[:axis] + x.shape[axis + 1 :] != rest:
            raise ShapeError(
                f"shapes {', '.join(str(t.shape) for t in xs)} differ in more than axis {axis}"
            )
    total = sum(x.shape[axis] for x in xs)
    return TensorType(
        first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]), first.device
    )


@concat_along.vjp
def _(ct, _out, *_xs, axis):
    def part(start, x):
        starts = tuple(start if i == axis else 0 for i in range(x.ndim))
        stops = tuple(start + d if i == axis else d for i, d in enumerate(x.shape))
        return lambda: slice_(ct, starts=starts, stops=stops, steps=(1,) * x.ndim)

    cts, start = [], 0
    for x in _xs:
        cts.append(part(start, x))
        start += x.shape[axis]
    return tuple(cts)


@concat_along.batch
def _(lift, args, batched, axis):
    return concat_along(*lift.materialize(args, batched), axis=axis + 1)


# --- copies and boundaries ---------------------------------------------------------------------


@movement(samples=lambda rng: [((rng.standard_normal((3, 2)),), {})])
def copy(xp, x):
    """The same values in fresh memory, row-major."""
    return xp.array(x, order="C")


@copy.type
def _(x):
    return x


@copy.vjp
def _(ct, _out, _x):
    return (ct,)


@copy.batch
def _(lift, args, batched):
    return copy(args[0])


@movement(aliases=True, samples=lambda rng: [((rng.standard_normal((3, 2)),), {})])
def alias(xp, x):
    """The same values in the same memory, as a tensor of its own."""
    return x.view()


@alias.type
def _(x):
    return x


@alias.vjp
def _(ct, _out, _x):
    return (ct,)


@alias.batch
def _(lift, args, batched):
    return alias(args[0])


@alias.put
def _(base, new):
    return alias(new)  # an entry of its own on the tape: hooks of `new` are not those of the base


@movement(aliases=True, samples=lambda rng: [((rng.standard_normal((3, 2)),), {})])
def stop_gradient(xp, x):
    """The same values in the same memory, through which no gradient flows."""
    return x.view()


@stop_gradient.type
def _(x):
    return x


@stop_gradient.batch
def _(lift, args, batched):
    return stop_gradient(args[0])


@stop_gradient.put
def _(base, new):
    return new


def _written_samples(rng: Any) -> list[Any]:
    x, y = rng.standard_normal((2, 3, 2))
    return [((x, y), {"taped": True})]


@movement(samples=_written_samples)
def written(xp, new, old, taped):
    """The values of `new`, which were written over `old`: `taped`, gradients flow to `new` (that of `old` is zero);
    else they flow to `old`, as if nothing were written."""
    return xp.array(new, order="C")


@written.type
def _(new, old, taped):
    if new != old:
        raise ShapeError(f"{new} cannot be written over {old}")
    return new


@written.vjp
def _(ct, _out, _new, _old, taped):
    if not taped:
        return None, ct
    zeros = {"shape": _old.shape, "value": 0, "dtype": ct.dtype.name, "device": str(ct.device)}
    return ct, lambda: full(**zeros)


@written.batch
def _(lift, args, batched, taped):
    return written(*lift.materialize(args, batched), taped=taped)
