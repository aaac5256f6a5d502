"""Fractional pooling: largest elements of windows whose places are drawn (Graham, Fractional max-pooling, 2015)."""

from __future__ import annotations

from math import prod
from typing import Any

from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, arange, rand
from ...eager.functions import argmax
from ...ops.arithmetic import where
from ...ops.indexing import take_along
from ...ops.movement import reshape
from .convolution import each_axis


def _starts(draws: Tensor, dim: int, size: int, wanted: int) -> Tensor:
    """Where the windows along an axis begin: (N, C) draws give (N, C, wanted); the last is at the very end."""
    last = dim - size
    if wanted == 1:
        return (draws.unsqueeze(-1) * 0 + last).long()
    step = last / (wanted - 1)
    u, i = draws.unsqueeze(-1), arange(wanted, device=draws.device)
    found = ((u + i) * step).long() - (u * step).long()
    return where(i < wanted - 1, found, last)  # type: ignore[no-any-return]


def _places(draws: Tensor, dims: Any, sizes: Any, wanted: Any) -> Any:
    """The place in the flattened axes of each element of each window: (N, C, *wanted, *sizes)."""
    n = len(dims)
    flat: Any = 0
    for axis, (dim, size, count) in enumerate(zip(dims, sizes, wanted, strict=True)):
        # PyTorch draws for the last of two axes first.
        starts = _starts(draws[..., n - 1 - axis if n == 2 else axis], dim, size, count)
        at = starts.unsqueeze(-1) + arange(size, device=draws.device)
        shape = [1] * (2 * n)
        shape[axis], shape[n + axis] = count, size
        flat = flat * dim + reshape(at, shape=(*draws.shape[:2], *shape))
    return flat


def _fractional(
    n: int, input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Fractional max pooling of `n` spatial axes."""
    name = f"fractional_max_pool{n}d"
    if input.ndim not in (n + 1, n + 2):
        problem = f"input must have {n + 1} or {n + 2} axes, not shape {input.shape}"
        raise ShapeError(f"{name}: {problem}")
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(f"{name}: takes one of output_size and output_ratio")
    x = input if input.ndim == n + 2 else input.unsqueeze(0)
    sizes, dims = each_axis(kernel_size, n, "kernel_size"), x.shape[2:]
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * n
        wanted = tuple(int(d * r) for d, r in zip(dims, ratios, strict=True))
    else:
        wanted = each_axis(output_size, n, "output_size")
    if any(w < 1 or w + k - 1 > d for w, k, d in zip(wanted, sizes, dims, strict=True)):
        problem = f"{wanted} windows of {sizes} do not fit axes of {dims}"
        raise ArgumentError(f"{name}: {problem}")
    draws = _random_samples
    if draws is None:
        draws = rand(*x.shape[:2], n, dtype=x.dtype, device=x.device)
    count, inside = prod(wanted), prod(sizes)
    flat = reshape(_places(draws, dims, sizes, wanted), shape=(*x.shape[:2], count * inside))
    values = take_along(reshape(x, shape=(*x.shape[:2], prod(dims))), flat, axis=2)
    values, flat = (reshape(v, shape=(*x.shape[:2], count, inside)) for v in (values, flat))
    best = argmax(values.detach(), axis=-1, keepdims=True)
    shape = (*input.shape[: input.ndim - n], *wanted)
    out = reshape(take_along(values, best, axis=3), shape=shape)
    return (out, reshape(take_along(flat, best, axis=3), shape=shape)) if return_indices else out


def fractional_max_pool2d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Largest elements of `output_size` windows (`output_ratio` of each axis), drawn so as to cover (N, C, H, W).

    >>> dg.nn.functional.fractional_max_pool2d(dg.ones(1, 1, 8, 8), 2, output_size=5).shape
    (1, 1, 5, 5)
    """
    how = output_size, output_ratio, return_indices, _random_samples
    return _fractional(2, input, kernel_size, *how)


def fractional_max_pool3d(
    input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Largest elements of `output_size` windows (`output_ratio` of each axis), drawn so as to cover (N, C, D, H, W).

    >>> dg.nn.functional.fractional_max_pool3d(dg.ones(1, 1, 8, 8, 8), 2, output_size=5).shape
    (1, 1, 5, 5, 5)
    """
    how = output_size, output_ratio, return_indices, _random_samples
    return _fractional(3, input, kernel_size, *how)
