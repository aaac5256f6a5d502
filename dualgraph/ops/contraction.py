"""Contractions: batched matrix product, convolution and its two gradients."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..core.errors import ArgumentError, DTypeError, ShapeError
from ..core.kinds import contraction
from ..core.prim import Dispatch
from ..core.types import TensorType, broadcast_shapes
from . import canonical
from .arithmetic import conj
from .movement import permute, reshape
from .windows import each_offset, place, strided_windows

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def swap_last(x: Any) -> Any:
    """x with its last two axes exchanged."""
    n = len(x.shape)
    return permute(x, axes=(*range(n - 2), n - 1, n - 2))


def _matmul_samples(rng: Any) -> list[Any]:
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
    return [((a, b), {}), ((rng.standard_normal((3, 4)), rng.standard_normal((4, 2))), {})]


def _turned(x: Any, y: Any, apply: Any) -> tuple[Any, Any]:
    """``(x @ y)`` with its last two axes exchanged is the product of these."""
    return _swapped(y, apply), _swapped(x, apply)


def _swapped(x: Any, apply: Any) -> Any:
    n = len(x.type.shape)
    return apply(permute, (x,), {"axes": (*range(n - 2), n - 1, n - 2)})


@contraction(name="matmul", samples=_matmul_samples, turned=_turned)
def matmul_op(xp, x, y):
    """``out[..., i, j] = sum over k of x[..., i, k] * y[..., k, j]``; leading axes broadcast."""
    # row-major operands: libraries order their sums by layout, and then bits would depend on it
    return xp.matmul(xp.ascontiguousarray(x), xp.ascontiguousarray(y))


@matmul_op.writes
def _(out, x, y):
    np.matmul(np.ascontiguousarray(x), np.ascontiguousarray(y), out=out)


@matmul_op.type
def _(x, y):
    _one_dtype(x, y)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"inner sizes differ: {x.shape} @ {y.shape}")
    lead = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return TensorType(x.dtype, (*lead, x.shape[-2], y.shape[-1]), x.device)


@matmul_op.vjp
def _(ct, _out, x, y):
    def along_x():
        return matmul_op(ct, swap_last(conj(y)))

    def along_y():
        one, two = conj(x), ct
        if y.ndim == 2 and x.ndim > 2 and x.shape[:-2] == ct.shape[:-2]:
            one, two = as_matrix(one), as_matrix(two)  # one product, not a sum of many
        if Dispatch.lies_turned(matmul_op, y):  # as its gradient will then
            return swap_last(matmul_op(swap_last(two), one))
        return matmul_op(swap_last(one), two)

    return along_x, along_y


def _one_dtype(x: TensorType, y: TensorType) -> None:
    if x.dtype is not y.dtype:
        raise DTypeError(f"operands {x} and {y} must have one dtype")


def as_matrix(x: Any) -> Any:
    """All axes but the last made one."""
    return reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1]))


@matmul_op.batch
def _(lift, args, batched):
    x, y = args
    if batched == (True, False) and y.ndim == 2:  # one product of all rows
        out = matmul_op(as_matrix(x), y)
        return reshape(out, shape=(*x.shape[:-1], y.shape[-1]))
    rank = max(a.ndim - b for a, b in zip(args, batched, strict=True))
    return matmul_op(*lift.align_to(args, batched, rank))


# --- convolution -------------------------------------------------------------------------------


def columns(xp: Any, x: Any, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> Any:
    """View (N, C, out..., kernel...) of the windows of the zero-padded x."""
    if any(a or b for a, b in padding):
        shape = (*x.shape[:2], *(d + a + b for d, (a, b) in zip(x.shape[2:], padding, strict=True)))
        padded = xp.zeros(shape, dtype=x.dtype)
        inner = tuple(slice(a, a + d) for d, (a, _) in zip(x.shape[2:], padding, strict=True))
        padded[(..., *inner)] = x
        x = padded
    return strided_windows(xp, x, kernel, stride, dilation)


def conv_extent(spatial: Ints, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints) -> Ints:
    """Output size of each spatial axis."""
    out = []
    if any(n < 1 for n in (*kernel, *stride, *dilation)) or any(
        n < 0 for pair in padding for n in pair
    ):
        raise ArgumentError(
            f"kernel {kernel}, stride {stride} and dilation {dilation} are at least 1, padding {padding} at least 0"
        )
    for d, k, s, (a, b), dil in zip(spatial, kernel, stride, padding, dilation, strict=True):
        span = (k - 1) * dil + 1
        if d + a + b < span:
            raise ShapeError(
                f"a kernel of span {span} does not fit an axis of {d} padded by {a} and {b}"
            )
        out.append((d + a + b - span) // s + 1)
    return tuple(out)


def _conv_samples(rng: Any) -> list[Any]:
    two = {"stride": (2, 1), "padding": ((1, 0), (1, 1)), "dilation": (1, 2), "groups": 2}
    one = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "groups": 1}
    return [
        ((rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((6, 2, 3, 2))), two),
        ((rng.standard_normal((1, 2, 5)), rng.standard_normal((3, 2, 3))), one),
    ]


def _split(x: Any, groups: int) -> Any:
    """(N, C, *S) -> (N, groups, C / groups, prod(S))."""
    return x.reshape((x.shape[0], groups, x.shape[1] // groups, prod(x.shape[2:])))


def _gather(
    xp: Any, x: Any, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Any:
    """im2col: (N, groups, C / groups * prod(kernel), prod(out))."""
    k = len(kernel)
    view = columns(xp, x, kernel, stride, padding, dilation)
    moved = view.transpose((0, 1, *range(2 + k, 2 + 2 * k), *range(2, 2 + k)))
    n, c = x.shape[:2]
    return moved.reshape((n, groups, c // groups * prod(kernel), prod(view.shape[2 : 2 + k])))


@contraction(name="conv", samples=_conv_samples)
def conv(xp, x, w, stride, padding, dilation, groups):
    """Cross-correlation of x (N, C, *S) with w (O, C / groups, *K), zero-padded."""
    out = conv_extent(x.shape[2:], w.shape[2:], stride, padding, dilation)
    cols = _gather(xp, x, w.shape[2:], stride, padding, dilation, groups)
    weight = w.reshape((groups, w.shape[0] // groups, prod(w.shape[1:])))
    return xp.matmul(weight, cols).reshape((x.shape[0], w.shape[0], *out))


@conv.type
def _(x, w, stride, padding, dilation, groups):
    _one_dtype(x, w)
    _check_conv(x.shape, w.shape, groups)
    out = conv_extent(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return TensorType(x.dtype, (x.shape[0], w.shape[0], *out), x.device)


def _check_conv(x: Ints, w: Ints, groups: int) -> None:
    if len(x) != len(w):
        raise ShapeError(f"input {x} and weight {w} must have as many axes")
    if groups < 1 or w[0] % groups or x[1] != w[1] * groups:
        raise ShapeError(
            f"weight {w} with groups={groups} takes {w[1] * groups} input channels and an output "
            f"channel count divisible by {groups}; the input has shape {x}"
        )


@conv.vjp
def _(ct, _out, x, w, **how):
    extent, kernel = x.shape[2:], w.shape[2:]
    from_x = lambda: conv_input(ct, conj(w), extent=extent, **how)  # noqa: E731
    return from_x, lambda: conv_weight(conj(x), ct, kernel=kernel, **how)


@conv.batch
def _(lift, args, batched, groups, **how):
    x, w = args
    if not batched[1]:
        return lift.split(conv(lift.merge(x), w, groups=groups, **how), x.shape[0])
    x, w = lift.materialize(args, batched)
    out = conv(_into_channels(x), lift.merge(w), groups=len(w) * groups, **how)
    return _out_of_channels(out, len(w))


# With a weight (or a cotangent) for each example, examples become groups of channels.


def _into_channels(x: Any) -> Any:
    """(B, N, C, *S) -> (N, B * C, *S)."""
    b, n, c, *rest = x.shape
    return reshape(permute(x, axes=(1, 0, *range(2, x.ndim))), shape=(n, b * c, *rest))


def _out_of_channels(y: Any, b: int) -> Any:
    """(N, B * C, *S) -> (B, N, C, *S)."""
    n, channels, *rest = y.shape
    apart = reshape(y, shape=(n, b, channels // b if b else 0, *rest))
    return permute(apart, axes=(1, 0, *range(2, apart.ndim)))


def _input_samples(rng: Any) -> list[Any]:
    two = {
        "stride": (2, 1),
        "padding": ((1, 0), (1, 1)),
        "dilation": (1, 2),
        "groups": 2,
        "extent": (5, 6),
    }
    return [((rng.standard_normal((2, 6, 2, 6)), rng.standard_normal((6, 2, 3, 2))), two)]


@contraction(name="conv_input", samples=_input_samples)
def conv_input(xp, ct, w, extent, stride, padding, dilation, groups):
    """Gradient of `conv` for its input, which is the transposed convolution: shape (N, C, *extent)."""
    n, kernel, counts = ct.shape[0], w.shape[2:], ct.shape[2:]
    weight = w.reshape((groups, w.shape[0] // groups, prod(w.shape[1:])))
    cols = xp.matmul(weight.transpose((0, 2, 1)), _split(ct, groups))
    channels = w.shape[1] * groups
    cols = cols.reshape((n, channels, *kernel, *counts))
    full = tuple(d + a + b for d, (a, b) in zip(extent, padding, strict=True))
    out = xp.zeros((n, channels, *full), dtype=ct.dtype)
    for offset in each_offset(kernel):
        at = tuple(
            place(o * d, c, s) for o, d, c, s in zip(offset, dilation, counts, stride, strict=True)
        )
        out[(..., *at)] += cols[(slice(None), slice(None), *offset)]
    return out[(..., *(slice(a, a + d) for d, (a, _) in zip(extent, padding, strict=True)))]


@conv_input.type
def _(ct, w, extent, stride, padding, dilation, groups):
    if ct.shape[1] != w.shape[0]:
        raise ShapeError(
            f"weight {w.shape} takes {w.shape[0]} channels; the input has shape {ct.shape}"
        )
    _one_dtype(ct, w)
    x = (ct.shape[0], w.shape[1] * groups, *extent)
    _check_conv(x, w.shape, groups)
    expected = conv_extent(extent, w.shape[2:], stride, padding, dilation)
    if expected != ct.shape[2:]:
        raise ArgumentError(
            f"an output of size {extent} needs an input of size {expected}, not {ct.shape[2:]}"
        )
    return TensorType(ct.dtype, x, ct.device)


@conv_input.vjp
def _(g, _out, ct, w, extent, **how):
    kernel = w.shape[2:]
    return lambda: conv(g, conj(w), **how), lambda: conv_weight(g, conj(ct), kernel=kernel, **how)


@conv_input.batch
def _(lift, args, batched, groups, **how):
    x, w = args
    if not batched[1]:
        return lift.split(conv_input(lift.merge(x), w, groups=groups, **how), x.shape[0])
    x, w = lift.materialize(args, batched)
    out = conv_input(_into_channels(x), lift.merge(w), groups=len(w) * groups, **how)
    return _out_of_channels(out, len(w))


def _weight_samples(rng: Any) -> list[Any]:
    two = {
        "stride": (2, 1),
        "padding": ((1, 0), (1, 1)),
        "dilation": (1, 2),
        "groups": 2,
        "kernel": (3, 2),
    }
    return [((rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((2, 6, 2, 6))), two)]


@contraction(name="conv_weight", samples=_weight_samples)
def conv_weight(xp, x, ct, kernel, stride, padding, dilation, groups):
    """Gradient of `conv` for its weight: shape (O, C / groups, *kernel)."""
    n, channels = ct.shape[:2]
    cols = _gather(xp, x, kernel, stride, padding, dilation, groups)
    parts = xp.matmul(_split(ct, groups), cols.transpose((0, 1, 3, 2)))
    total = canonical.fold(xp, canonical.rows(parts, (0,)), xp.add, -0.0 if n else 0.0)
    return total.reshape((channels, x.shape[1] // groups, *kernel))


@conv_weight.type
def _(x, ct, kernel, stride, padding, dilation, groups):
    _one_dtype(x, ct)
    w = (ct.shape[1], x.shape[1] // max(groups, 1), *kernel)
    _check_conv(x.shape, w, groups)
    expected = (x.shape[0], *conv_extent(x.shape[2:], kernel, stride, padding, dilation))
    if expected != (ct.shape[0], *ct.shape[2:]):
        raise ShapeError(
            f"outputs {ct.shape} are not those of an input {x.shape} and kernel {kernel}"
        )
    return TensorType(x.dtype, w, x.device)


@conv_weight.vjp
def _(g, _out, x, ct, kernel, **how):
    extent = x.shape[2:]
    return lambda: conv_input(conj(ct), g, extent=extent, **how), lambda: conv(conj(x), g, **how)


@conv_weight.batch
def _(lift, args, batched, groups, **how):
    x, ct = lift.materialize(args, batched)
    out = conv_weight(_into_channels(x), _into_channels(ct), groups=len(x) * groups, **how)
    return lift.split(out, len(x))
