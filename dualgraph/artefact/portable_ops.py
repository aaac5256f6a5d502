"""Ops as calls of NumPy: what each one is for a reader that has NumPy and a few functions of its own.

A rule takes what stands for NumPy, then the op's operands (shapes and dtypes are known) and parameters. An op without a
rule is the reader's function of its name, with its operands and parameters; an elementwise one that the reader has none
for is written out (`expanded`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log, prod
from typing import Any

import numpy

from ..core.dtypes import as_dtype, bfloat16
from ..core.kinds import ELEMENTWISE
from ..core.prim import Prim
from ..core.types import broadcast_shapes
from ..ops.contraction import conv_extent
from ..ops.movement import as_slices
from ..ops.windows import window_counts
from ..reader import FUNCTIONS
from .expanded import expanded
from .portable_loops import LOOPS

Ints = tuple[int, ...]
ALL = slice(None)
RULES: dict[str, Callable[..., Any]] = {rule.__name__: rule for rule in LOOPS}


def rule_of(prim: Prim) -> Callable[..., Any]:
    """``rule(np, *operands, **params)``: one value, or one for each result."""
    if prim.name in RULES:
        return RULES[prim.name]
    if prim.kind is ELEMENTWISE and prim.name not in FUNCTIONS:
        return expanded(prim)
    return lambda np, *xs, **how: getattr(np, prim.name)(*xs, **how)


def portable(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the rule of the op of this name (less a trailing underscore)."""
    RULES[rule.__name__.rstrip("_")] = rule
    return rule


def _same(np: Any, x: Any, *_operands: Any, **_: Any) -> Any:
    return np.asarray(x)


@portable
def complex_(np: Any, x: Any, y: Any) -> Any:
    shape = broadcast_shapes(x.shape, y.shape)
    parts = np.stack([np.broadcast_to(v, shape) for v in (x, y)], -1)
    return np.reshape(
        np.view(parts, "complex64" if x.dtype.name == "float32" else "complex128"), shape
    )


def _reduction(name: str) -> Callable[..., Any]:
    return lambda np, x, axes, keepdims: getattr(np, name)(x, axis=axes, keepdims=keepdims)


def _along(name: str) -> Callable[..., Any]:
    return lambda np, x, axis: getattr(np, name)(x, axis=axis)


RULES |= dict.fromkeys(("alias", "copy", "stop_gradient", "written", "transfer"), _same)
RULES |= {f"reduce_{n}": _reduction(n) for n in ("sum", "prod", "max", "min", "any", "all")}
RULES |= {f"{n}_along": _along(n) for n in ("cumsum", "cumprod", "rfft")}
RULES |= {
    "cube": lambda np, x: np.multiply(np.square(x), x),
    "rsqrt": lambda np, x: np.divide(1, np.sqrt(x)),
    "sigmoid": lambda np, x: np.divide(1, np.add(1, np.exp(np.negative(x)))),
    "exp2": lambda np, x: (
        np.exp(np.multiply(x, log(2))) if x.dtype.kind == "complex" else np.exp2(x)
    ),
    "sign": lambda np, x: _same(np, x) if x.dtype.kind == "bool" else np.sign(x),
    "pow_float": lambda np, x, y: np.power(x, y),
    "conj_parts": lambda np, x: np.conj(x),
    "real_part": lambda np, x: np.real(x),
    "imag_part": lambda np, x: np.imag(x),
    "permute": lambda np, x, axes: np.transpose(x, axes),
    "flip": lambda np, x, axes: np.flip(x, axes),
    "concat_along": lambda np, *xs, axis: np.concatenate(xs, axis),
    "pad": lambda np, x, widths, value: np.pad(x, widths, constant_values=value),
    "slice": lambda np, x, **at: np.getitem(x, as_slices(**at)),
    "slice_update": lambda np, x, new, **at: np.put(x, as_slices(**at), new, "set"),
    "constant": lambda np, data, device: np.asarray(data),
    "full": lambda np, shape, value, dtype, device: np.full(shape, value),
    "advance": lambda np, state, blocks: np.add(state, np.astype((0, blocks), "uint64")),
    "cholesky": lambda np, x, **_: np.cholesky(_hermitian(np, x)),
    "eigh": lambda np, x: np.eigh(_hermitian(np, x)),
    "qr": lambda np, x, full: np.qr(x, "complete" if full else "reduced"),
    "svd": lambda np, x, full: np.svd(x, full),
    "irfft_along": lambda np, x, axis, n: np.irfft(x, n, axis, "forward"),
}


def _hermitian(np: Any, x: Any) -> Any:
    return np.divide(np.add(x, np.conj(np.swapaxes(x, -1, -2))), 2)


@portable
def pinv(np: Any, x: Any, rtol: Any, atol: Any) -> Any:
    largest = np.max(np.svd(x, False, False), -1)
    return np.pinv(x, np.maximum(rtol, np.divide(atol, largest)))


@portable
def fft_along(np: Any, x: Any, axis: int, inverse: bool) -> Any:
    return np.ifft(x, None, axis, "forward") if inverse else np.fft(x, None, axis)


@portable
def pow_int(np: Any, x: Any, y: Any) -> Any:
    none = np.logical_and(np.less(y, 0), np.not_equal(np.abs(x), 1))
    return np.where(none, 0, np.power(x, np.abs(y)))


@portable
def binary_cross_entropy_terms(np: Any, x: Any, y: Any) -> Any:
    one, other = (np.maximum(log, -100) for log in (np.log(x), np.log1p(np.negative(x))))
    return np.subtract(np.multiply(np.subtract(y, 1), other), np.multiply(y, one))


@portable
def cast(np: Any, x: Any, dtype: str) -> Any:
    """Floats that an integer cannot hold become the nearest, NaN becomes 0."""
    to = as_dtype(dtype)
    if x.dtype.kind == "complex":
        return np.asarray(x) if to.kind in ("complex", "bool") else np.real(x)
    if x.dtype.kind != "float" or not to.is_integer:
        return np.asarray(x)
    low, high = numpy.iinfo(to.numpy).min, numpy.iinfo(to.numpy).max
    below, beyond = np.less_equal(x, low - 1.0), np.greater_equal(x, high + 1.0)
    outside = np.logical_or(np.logical_or(below, beyond), np.isnan(x))
    inside = np.astype(np.where(outside, 0, x), to.name)
    return np.where(below, low, np.where(beyond, high, inside))


@portable
def reinterpret(np: Any, x: Any, dtype: str) -> Any:
    """bfloat16 is held as float32: its bits are the upper half."""
    if x.dtype is bfloat16:
        x = np.astype(np.bitwise_right_shift(np.view(x, "uint32"), 16), "uint16")
    if as_dtype(dtype) is not bfloat16:
        return np.view(x, as_dtype(dtype).name)
    wide = np.bitwise_left_shift(np.astype(np.view(x, "uint16"), "uint32"), 16)
    return np.view(wide, "float32")


@portable
def as_pairs(np: Any, x: Any) -> Any:
    return np.stack([np.real(x), np.imag(x)], -1)


@portable
def of_pairs(np: Any, x: Any) -> Any:
    whole = np.view(x, "complex64" if x.dtype.name == "float32" else "complex128")
    return np.reshape(whole, x.shape[:-1])


# --- movement and indexing ---------------------------------------------------------------------


@portable
def unslice(np: Any, x: Any, shape: Ints, **at: Any) -> Any:
    return np.put(np.zeros(shape, x.dtype), as_slices(**at), x, "set")


@portable
def lattice(np: Any, x: Any, shape: Ints, starts: Ints, steps: Any) -> Any:
    def line(axis: int, step: int) -> Any:
        sizes = [n if i == axis else 1 for i, n in enumerate(shape)]
        return np.reshape(np.multiply(np.arange(shape[axis]), step), sizes)

    at = list(starts)
    for axis, step in enumerate(steps):
        at = [np.add(a, line(axis, s)) if s else a for a, s in zip(at, step, strict=True)]
    return np.broadcast_to(np.getitem(x, at), shape)


@portable
def arange(np: Any, start: Any, step: Any, size: int, dtype: str, device: str) -> Any:
    return np.add(start, np.multiply(np.arange(size), step))


def _grid(np: Any, at: Any, axis: int) -> list[Any]:
    """Index arrays that pick `at` along one axis, and the own place along the others."""
    return [
        at if i == axis else np.reshape(np.arange(n), [n if i == j else 1 for j in range(at.ndim)])
        for i, n in enumerate(at.shape)
    ]


def _places(at: Sequence[Any], dims: Ints) -> list[Any]:
    return [at[dims.index(i)] if i in dims else ALL for i in range(max(dims) + 1)]


@portable
def take_along(np: Any, x: Any, at: Any, axis: int) -> Any:
    return np.getitem(x, _grid(np, at, axis))


@portable
def scatter_along(np: Any, x: Any, at: Any, values: Any, axis: int, mode: str) -> Any:
    return np.put(x, _grid(np, at, axis), values, mode)


@portable
def scatter_extreme(np: Any, x: Any, at: Any, values: Any, axis: int, mode: str) -> Any:
    return np.put(x, _grid(np, at, axis), values, mode)


@portable
def index(np: Any, x: Any, *at: Any, dims: Ints) -> Any:
    return np.getitem(x, _places(at, dims))


@portable
def index_put(np: Any, x: Any, values: Any, *at: Any, dims: Ints, mode: str) -> Any:
    return np.put(x, _places(at, dims), values, mode)


@portable
def nonzero_places(np: Any, x: Any, count: int) -> Any:
    return np.stack(np.nonzero(x)) if x.ndim else np.zeros((0, count), "int64")


def _arg(name: str) -> Callable[..., Any]:
    def rule(np: Any, x: Any, axes: Ints, keepdims: bool) -> Any:
        kept = [i for i in range(x.ndim) if i not in axes]
        count = prod(x.shape[a] for a in axes)
        rows = np.reshape(np.transpose(x, [*kept, *axes]), [*(x.shape[i] for i in kept), count])
        found = getattr(np, name)(rows, axis=-1)
        return np.expand_dims(found, axes) if keepdims else found

    return rule


RULES |= {f"reduce_{n}": _arg(n) for n in ("argmax", "argmin")}


@portable
def running_best(np: Any, x: Any, axis: int, least: bool = False) -> Any:
    n = x.shape[axis]
    line = np.reshape(np.arange(n), [-1] + [1] * (x.ndim - axis - 1))
    best = _running(np, np.minimum if least else np.maximum, x, axis, n)
    stands = np.logical_or(np.equal(x, best), np.not_equal(x, x))
    places = _running(np, np.maximum, np.where(stands, line, 0), axis, n)
    return np.take_along_axis(x, places, axis), places


def _running(np: Any, better: Any, x: Any, axis: int, n: int) -> Any:
    """A running extreme: each turn doubles the stretch that is compared."""

    def part(x: Any, start: int, stop: int) -> Any:
        return np.getitem(x, [ALL] * axis + [slice(start, stop)])

    span = 1
    while span < n:
        rest = better(part(x, 0, n - span), part(x, span, n))
        x = np.concatenate([part(x, 0, span), rest], axis)
        span *= 2
    return x


@portable
def sort_along(
    np: Any, x: Any, axis: int, descending: bool = False, first: int | None = None, skip: int = 0
) -> Any:
    """Descending: the ascending order of the line read backwards, read backwards, so that equals keep their order."""
    if not x.ndim:
        return np.asarray(x), np.zeros((), "int64")
    order = np.argsort(np.flip(x, axis) if descending else x, axis, "stable")
    if descending:
        order = np.subtract(x.shape[axis] - 1, np.flip(order, axis))
    order = np.getitem(order, [ALL] * axis + [slice(skip, first)])
    return np.take_along_axis(x, order, axis), order


@portable
def search_sorted(np: Any, edges: Any, values: Any, side: str) -> Any:
    if edges.ndim == 1:
        return np.searchsorted(edges, values, side)
    each = np.expand_dims(edges, -2), np.expand_dims(values, -1)
    before = np.less(*each) if side == "left" else np.less_equal(*each)
    nan = np.isnan(each[1])  # NaN is the largest
    beyond = np.logical_and(nan, np.equal(each[0], each[0])) if side == "left" else nan
    return np.sum(np.logical_or(before, beyond), -1)


@portable
def scan(np: Any, *xs: Any, body: Any, carries: int, length: int, saves: bool, **how: Any) -> Any:
    rows = [(t.dtype, (length, *t.shape)) for t in body.out_types[carries:]]
    return np.scan(*xs, body=body, carries=carries, length=length, rows=rows, **how)


# --- windows -----------------------------------------------------------------------------------


def _windows(np: Any, x: Any, ndim: int, sizes: Ints, steps: Ints, dilations: Ints) -> Any:
    """All patches of the last of `ndim` axes: (..., counts..., sizes...)."""
    k = len(sizes)
    spans = [(n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True)]
    view = np.sliding_window_view(x, spans, tuple(range(ndim - k, ndim)))
    every = [slice(None, None, s) for s in (*steps, *dilations)]
    return np.getitem(view, [ALL] * (ndim - k) + every)


def _folded(
    np: Any, x: Any, shape: Ints, dtype: Any, extent: Ints, sizes: Ints, **how: Ints
) -> Any:
    """Patches added up where they overlap; `shape`: the leading axes of x (..., counts..., sizes...)."""
    size = prod(extent)
    own = np.reshape(np.arange(size), extent)
    at = _windows(np, own, len(extent), sizes, **how)
    out = np.put(np.zeros((*shape, size), dtype), [ALL] * len(shape) + [at], x, "add")
    return np.reshape(out, (*shape, *extent))


def _lines(np: Any, x: Any, sizes: Ints, **how: Ints) -> Any:
    """Patches with the places inside of them as one last axis."""
    counts = window_counts(x.shape, sizes, **how)
    found = _windows(np, x, x.ndim, sizes, **how)
    return np.reshape(found, (*x.shape[: x.ndim - len(sizes)], *counts, prod(sizes)))


@portable
def windows(np: Any, x: Any, **how: Ints) -> Any:
    return _windows(np, x, x.ndim, **how)


@portable
def fold_windows(np: Any, x: Any, extent: Ints, **how: Ints) -> Any:
    k = len(extent)
    return _folded(np, x, x.shape[: x.ndim - 2 * k], x.dtype, extent, x.shape[x.ndim - k :], **how)


@portable
def window_sum(np: Any, x: Any, **how: Ints) -> Any:
    return np.sum(_lines(np, x, **how), -1)


@portable
def window_spread(np: Any, x: Any, extent: Ints, sizes: Ints, **how: Ints) -> Any:
    each = np.reshape(x, (*x.shape, *(1 for _ in sizes)))
    lead = x.shape[: x.ndim - len(sizes)]
    return _folded(np, each, lead, x.dtype, extent, sizes, **how)


@portable
def max_pool(np: Any, x: Any, **how: Ints) -> Any:
    lines = _lines(np, x, **how)
    return np.max(lines, -1), np.argmax(lines, -1)


@portable
def pool_pick(np: Any, x: Any, at: Any, **how: Ints) -> Any:
    return np.squeeze(np.take_along_axis(_lines(np, x, **how), np.expand_dims(at, -1), -1), -1)


@portable
def pool_put(np: Any, ct: Any, at: Any, extent: Ints, sizes: Ints, **how: Ints) -> Any:
    here = np.equal(np.expand_dims(at, -1), np.arange(prod(sizes)))
    each = np.reshape(np.where(here, np.expand_dims(ct, -1), 0), (*at.shape, *sizes))
    lead = at.shape[: at.ndim - len(sizes)]
    return _folded(np, each, lead, ct.dtype, extent, sizes, **how)


# --- convolutions: products of patches -----------------------------------------------------------


def _patches(
    np: Any, x: Any, kernel: Ints, stride: Ints, padding: Any, dilation: Ints, groups: int
) -> Any:
    """(n, groups, channels of a group and places in the kernel, places)."""
    k = len(kernel)
    wide = np.pad(x, ((0, 0), (0, 0), *padding))
    view = _windows(np, wide, x.ndim, kernel, stride, dilation)
    moved = np.transpose(view, (0, 1, *range(2 + k, 2 + 2 * k), *range(2, 2 + k)))
    count = prod(conv_extent(x.shape[2:], kernel, stride, padding, dilation))
    rows = x.shape[1] // groups * prod(kernel)
    return np.reshape(moved, (x.shape[0], groups, rows, count))


def _weights(np: Any, w: Any, groups: int) -> Any:
    return np.reshape(w, (groups, w.shape[0] // groups, prod(w.shape[1:])))


def _channels(np: Any, ct: Any, groups: int) -> Any:
    return np.reshape(ct, (ct.shape[0], groups, ct.shape[1] // groups, prod(ct.shape[2:])))


@portable
def conv(np: Any, x: Any, w: Any, groups: int, **how: Any) -> Any:
    kernel = w.shape[2:]
    found = np.matmul(_weights(np, w, groups), _patches(np, x, kernel, groups=groups, **how))
    return np.reshape(found, (x.shape[0], w.shape[0], *conv_extent(x.shape[2:], kernel, **how)))


@portable
def conv_weight(np: Any, x: Any, ct: Any, kernel: Ints, groups: int, **how: Any) -> Any:
    patches = np.swapaxes(_patches(np, x, kernel, groups=groups, **how), -1, -2)
    found = np.sum(np.matmul(_channels(np, ct, groups), patches), 0)
    return np.reshape(found, (ct.shape[1], x.shape[1] // groups, *kernel))


@portable
def conv_input(
    np: Any, ct: Any, w: Any, extent: Ints, stride: Ints, padding: Any, dilation: Ints, groups: int
) -> Any:
    k, kernel, lead = len(extent), w.shape[2:], (ct.shape[0], w.shape[1] * groups)
    back = np.matmul(np.swapaxes(_weights(np, w, groups), -1, -2), _channels(np, ct, groups))
    back = np.reshape(back, (*lead, *kernel, *ct.shape[2:]))
    back = np.transpose(back, (0, 1, *range(2 + k, 2 + 2 * k), *range(2, 2 + k)))
    full = [d + a + b for d, (a, b) in zip(extent, padding, strict=True)]
    how = {"steps": stride, "dilations": dilation}
    out = _folded(np, back, lead, ct.dtype, tuple(full), kernel, **how)
    inner = [slice(a, a + d) for d, (a, _) in zip(extent, padding, strict=True)]
    return np.getitem(out, [ALL, ALL, *inner])


# --- attention -------------------------------------------------------------------------------------


def _single(np: Any, x: Any) -> Any:
    """16-bit floats are computed in float32."""
    return np.astype(x, "float32") if x.dtype.itemsize == 2 else x


def _scores(np: Any, query: Any, key: Any, mask: Sequence[Any], causal: bool, scale: float) -> Any:
    turned = np.swapaxes(_single(np, key), -1, -2)
    scores = np.multiply(np.matmul(_single(np, query), turned), scale)
    if causal:
        seen = np.tri(query.shape[-2], key.shape[-2], 0, "bool")
        scores = np.where(seen, scores, -inf)
    for m in mask:
        seen = m.dtype.kind == "bool"
        scores = np.where(m, scores, -inf) if seen else np.add(scores, _single(np, m))
    return scores


@portable
def attention(np: Any, query: Any, key: Any, value: Any, *mask: Any, **how: Any) -> Any:
    scores = _scores(np, query, key, mask, **how)
    top = np.max(scores, -1, keepdims=True, initial=-inf)
    top = np.where(np.isfinite(top), top, 0)
    grown = np.exp(np.subtract(scores, top))
    total = np.sum(grown, -1, keepdims=True)
    none = np.equal(total, 0)
    total = np.where(none, 1, total)
    out = np.divide(np.matmul(grown, _single(np, value)), total)
    sums = np.where(none, inf, np.add(top, np.log(total)))
    lead = broadcast_shapes(*(x.shape[:-2] for x in (query, key, value, *mask)))
    return out, np.broadcast_to(np.squeeze(sums, -1), (*lead, query.shape[-2]))


@portable
def attention_grad(
    np: Any, ct: Any, query: Any, key: Any, value: Any, lse: Any, delta: Any, *mask: Any,
    causal: bool, scale: float,
) -> Any:  # fmt: skip
    scores = _scores(np, query, key, mask, causal, scale)
    p = np.exp(np.subtract(scores, np.expand_dims(lse, -1)))
    wide = _single(np, ct)
    slope = np.matmul(wide, np.swapaxes(_single(np, value), -1, -2))
    ds = np.multiply(np.multiply(p, np.subtract(slope, np.expand_dims(delta, -1))), scale)
    found = (
        np.matmul(ds, _single(np, key)),
        np.matmul(np.swapaxes(ds, -1, -2), _single(np, query)),
        np.matmul(np.swapaxes(p, -1, -2), wide),
    )
    shapes = [x.shape[:-2] for x in (ct, query, key, value, *mask)]
    lead = broadcast_shapes(*shapes, lse.shape[:-1], delta.shape[:-1])
    ends = [x.shape[-2:] for x in (query, key, value)]
    return [np.broadcast_to(g, (*lead, *e)) for g, e in zip(found, ends, strict=True)]
