"""Unpooling: the elements that max pooling chose, put back where they stood, zeros elsewhere."""

from __future__ import annotations

from math import prod
from typing import Any

from ...core.errors import ArgumentError, ShapeError
from ...eager import Tensor, zeros
from ...ops.indexing import scatter_along
from ...ops.movement import reshape
from .convolution import each_axis


def _unpool(
    n: int, x: Tensor, at: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    """Max unpooling of `n` spatial axes; `at` are the places in the flattened ones."""
    name = f"max_unpool{n}d"
    if x.ndim not in (n + 1, n + 2) or at.shape != x.shape:
        raise ShapeError(
            f"{name}: input of {n + 1} or {n + 2} axes and indices of its shape are needed, "
            f"not {x.shape} and {at.shape}"
        )
    sizes = each_axis(kernel_size, n, "kernel_size")
    steps = sizes if stride is None else each_axis(stride, n, "stride")
    margins = each_axis(padding, n, "padding")
    lead, inner = x.shape[: x.ndim - n], x.shape[x.ndim - n :]
    usual = tuple(
        (d - 1) * s - 2 * m + k for d, s, m, k in zip(inner, steps, margins, sizes, strict=True)
    )
    whole = usual if output_size is None else tuple(output_size)[-n:]
    if len(whole) != n or any(abs(w - u) >= s for w, u, s in zip(whole, usual, steps, strict=True)):
        raise ArgumentError(
            f"{name}: output_size {whole} is not within a stride {steps} of {usual}"
        )
    blank = zeros((*lead, prod(whole)), dtype=x.dtype, device=x.device)
    values, places = (reshape(v, shape=(*lead, prod(inner))) for v in (x, at))
    out = scatter_along(blank, places, values, axis=blank.ndim - 1, mode="set")
    return reshape(out, shape=(*lead, *whole))


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:  # fmt: skip
    """What ``max_pool1d(..., return_indices=True)`` chose, put back into (N, C, L).

    >>> from dualgraph.nn import functional as F
    >>> values, places = F.max_pool1d(dg.tensor([[[1.0, 3.0, 4.0, 2.0]]]), 2, return_indices=True)
    >>> F.max_unpool1d(values, places, 2).tolist()
    [[[0.0, 3.0, 4.0, 0.0]]]
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:  # fmt: skip
    """What ``max_pool2d(..., return_indices=True)`` chose, put back into (N, C, H, W).

    >>> x = dg.tensor([[[1.0, 2.0], [4.0, 3.0]]])
    >>> dg.nn.functional.max_unpool2d(*dg.nn.functional.max_pool2d(x, 2, return_indices=True), 2).tolist()
    [[[0.0, 0.0], [4.0, 0.0]]]
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:  # fmt: skip
    """What ``max_pool3d(..., return_indices=True)`` chose, put back into (N, C, D, H, W).

    >>> from dualgraph.nn import functional as F
    >>> values, places = F.max_pool3d(dg.ones(1, 1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(values, places, 2).sum().item()
    1.0
    """
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
