"""Oracles of ops: what each computes, said in NumPy or by definition, one element at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from dualgraph.core.kinds import ELEMENTWISE
from dualgraph.core.prim import Prim


def _each(fn: Callable[[float], float]) -> Callable[..., np.ndarray]:
    return np.vectorize(fn, otypes=[np.float64])


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except ValueError:  # a pole
        return math.inf


def _erfinv(x: float) -> float:
    if abs(x) >= 1 or x == 0:
        return math.copysign(math.inf, x) if abs(x) == 1 else x if x == 0 else math.nan
    y = (
        math.copysign(NormalDist().inv_cdf((1 + abs(x)) / 2) / math.sqrt(2), x)
        if abs(x) > 1e-3
        else x
    )
    for _ in range(6):  # Newton
        y -= (math.erf(y) - x) * math.sqrt(math.pi) / 2 * math.exp(y * y)
    return y


def _reduced(fn: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axes, keepdims: fn(x, axis=axes, keepdims=keepdims)


def _place(fn: Callable[..., Any]) -> Callable[..., Any]:
    def oracle(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        kept = [d for i, d in enumerate(x.shape) if i not in axes]
        moved = np.moveaxis(x, axes, range(-len(axes), 0)).reshape((*kept, -1))
        shape = [1 if i in axes else d for i, d in enumerate(x.shape)] if keepdims else kept
        return fn(moved, axis=-1).reshape(shape)

    return oracle


def _conv(
    x: np.ndarray, w: np.ndarray, stride: Any, padding: Any, dilation: Any, groups: int
) -> np.ndarray:
    """Convolution by its definition, one output element at a time."""
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    counts = [(n - s) // st + 1 for n, s, st in zip(x.shape[2:], spans, stride, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *counts), x.dtype)
    per_group, channels = w.shape[0] // groups, w.shape[1]
    for n, o, *at in np.ndindex(out.shape):
        first = o // per_group * channels
        window = tuple(
            slice(p * st, p * st + s, d)
            for p, st, s, d in zip(at, stride, spans, dilation, strict=True)
        )
        out[(n, o, *at)] = np.sum(x[(n, slice(first, first + channels), *window)] * w[o])
    return out


def _recurrence(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    y = np.moveaxis(b.copy(), axis, 0)
    for i, factor in enumerate(np.moveaxis(a, axis, 0)):
        y[i] += factor * y[i - 1] if i else 0
    return np.moveaxis(y, 0, axis)


def _max_pool(
    x: np.ndarray, sizes: Any, steps: Any, dilations: Any
) -> tuple[np.ndarray, np.ndarray]:
    windows = _windows(x, sizes, steps, dilations)
    flat = windows.reshape((*windows.shape[: -len(sizes)], -1))
    return flat.max(-1), flat.argmax(-1)


def _windows(x: np.ndarray, sizes: Any, steps: Any, dilations: Any) -> np.ndarray:
    k = len(sizes)
    spans = tuple((n - 1) * d + 1 for n, d in zip(sizes, dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, spans, axis=tuple(range(-k, 0)))
    at = tuple(slice(None, None, s) for s in steps) + tuple(slice(None, None, d) for d in dilations)
    return view[(..., *at)]


def _sorted(x: np.ndarray, axis: int, descending: bool = False) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-x if descending else x, axis=axis, kind="stable")
    return np.take_along_axis(x, order, axis), order


def _take_along(x: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    return np.take_along_axis(
        x[tuple(slice(None) if i == axis else slice(d) for i, d in enumerate(at.shape))], at, axis
    )


def _scatter(x: np.ndarray, at: np.ndarray, values: np.ndarray, axis: int, mode: str) -> np.ndarray:
    out = x.copy()
    for place in np.ndindex(at.shape):
        to = (*place[:axis], at[place], *place[axis + 1 :])
        out[to] = values[place] if mode == "set" else getattr(np, mode)(out[to], values[place])
    return out


def _slices(starts: Any, stops: Any, steps: Any) -> tuple[slice, ...]:
    return tuple(
        slice(a, None if b < 0 else b, s) for a, b, s in zip(starts, stops, steps, strict=True)
    )


def _index_put(
    x: np.ndarray, values: np.ndarray, *at: np.ndarray, dims: Any, mode: str
) -> np.ndarray:
    out = x.copy()
    places = [at[dims.index(i)] if i in dims else slice(None) for i in range(x.ndim)]
    if mode == "add":
        np.add.at(out, tuple(places), values)
    else:
        out[tuple(places)] = values
    return out


ORACLES: dict[str, Callable[..., Any]] = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atan2": np.arctan2, "atanh": np.arctanh, "pow_float": np.power, "pow_int": np.power,
    "i0": lambda x: np.where(np.isinf(x), np.inf, np.i0(np.where(np.isinf(x), 0, x))),
    "round": np.rint, "erf": _each(math.erf), "erfc": _each(math.erfc),
    "lgamma": _each(_lgamma), "erfinv": _each(_erfinv), "bitwise_invert": np.invert,
    "bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x, "cast": lambda x, dtype: (x if dtype.startswith("c") else x.real).astype(dtype),
    "conj_parts": np.conj, "real_part": np.real, "imag_part": np.imag,
    "reduce_sum": _reduced(np.sum), "reduce_prod": _reduced(np.prod), "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min), "reduce_any": _reduced(np.any), "reduce_all": _reduced(np.all),
    "reduce_argmax": _place(np.argmax), "reduce_argmin": _place(np.argmin),
    "pinv": lambda x, rtol, _: np.linalg.pinv(x, rtol),
    "cumsum_along": np.cumsum, "cumprod_along": np.cumprod, "sort_along": _sorted,
    "recurrence_along": _recurrence, "exp2": lambda x: 2**x,
    "cofactors": lambda x: np.conj(np.linalg.det(x)[..., None, None] * np.swapaxes(np.linalg.inv(x), -1, -2)),
    "matmul": lambda x, y: np.einsum("...ik,...kj->...ij", x, y), "conv": _conv, "max_pool": _max_pool,
    "reshape": np.reshape, "permute": np.transpose, "broadcast_to": np.broadcast_to, "copy": np.array,
    "flip": lambda x, axes: np.flip(x, axis=axes), "alias": np.array, "stop_gradient": np.array,
    "written": lambda new, _old, taped: np.array(new),
    "pad": lambda x, widths, value: np.pad(x, widths, constant_values=value),
    "concat_along": lambda *xs, axis: np.concatenate(xs, axis), "windows": _windows,
    "slice": lambda x, starts, stops, steps: x[_slices(starts, stops, steps)],
    "take_along": _take_along, "scatter_along": _scatter, "scatter_extreme": _scatter, "index_put": _index_put,
    "index": lambda x, *at, dims: x[tuple(at[dims.index(i)] if i in dims else slice(None) for i in range(x.ndim))],
    "nonzero_places": lambda x, count: np.stack(np.nonzero(x)),
    "full": lambda shape, value, dtype, device: np.full(shape, value, dtype),
    "arange": lambda start, step, size, dtype, device: np.arange(start, start + step * size, step, dtype),
}  # fmt: skip


def oracle_of(prim: Prim) -> Callable[..., Any] | None:
    """The op's own oracle, the one listed here, or NumPy's function of that name."""
    found = prim.oracle or ORACLES.get(prim.name)
    if found is None and prim.kind is ELEMENTWISE:
        found = getattr(np, prim.name, None)
    return found
