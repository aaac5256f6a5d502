"""Embeddings: rows of a table by index, and one-hot vectors."""

from __future__ import annotations

from typing import Any

from ...core.composite import together
from ...core.errors import ArgumentError, DTypeError
from ...eager import Tensor, arange, no_grad, zeros
from ...eager.custom import Function
from ...eager.sets import searchsorted
from ...ops.arithmetic import cast, maximum, minimum, where
from ...ops.comparison import equal
from ...ops.composites import norm
from ...ops.indexing import index, scatter_along
from ...ops.movement import reshape, stop_gradient


def _indices(op: str, input: Tensor, count: int) -> Tensor:
    """Indices of which a negative one cannot pass for one counted from the end."""
    if not input.dtype.is_integer:
        raise DTypeError(
            f"{op}: indices must be integers, not {input.dtype.name}; cast with .long()"
        )
    return where(input < 0, input - count, input)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Row ``weight[i]`` for each index i: shape (*input.shape, D).

    The row `padding_idx` gets no gradient. With `max_norm` the rows in use are scaled down, in
    place, to that norm first. `scale_grad_by_freq` divides the gradient of a row by how often it is used. `sparse` is
    accepted; gradients are dense.

    >>> table = dg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> dg.nn.functional.embedding(dg.tensor([1, 0]), table).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    at = _indices("embedding", input, weight.shape[0])
    if max_norm is not None:
        _limit(weight, at, max_norm, norm_type)
    if scale_grad_by_freq:
        weight = _ByFrequency.apply(weight, at)
    rows = index(weight, at, dims=(0,))
    if padding_idx is None:
        return rows
    padding_idx = padding_idx + weight.shape[0] if padding_idx < 0 else padding_idx
    padding = reshape(equal(input, padding_idx), shape=(*input.shape, 1))
    return where(padding, stop_gradient(rows), rows)


class _ByFrequency(Function):
    """A table whose gradient is divided, row by row, by how often a row is used."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, at: Tensor) -> Tensor:
        ctx.save_for_backward(at)
        return weight

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> Any:
        (at,) = ctx.saved_tensors
        flat = reshape(at, shape=(at.size,))
        none = cast(arange(ct.shape[0], device=ct.device) < 0, dtype="int64")
        uses = scatter_along(none, flat, (flat * 0 + 1).astype("int64"), axis=0, mode="add")
        return ct / reshape(maximum(uses, 1), shape=(ct.shape[0], 1)), None


def _limit(weight: Tensor, at: Tensor, max_norm: float, p: float) -> None:
    """Scales the rows in use down to `max_norm`, in place."""
    with no_grad():
        used = scatter_along(
            cast(arange(weight.shape[0], device=weight.device) < 0, dtype="int64"),
            reshape(at, shape=(at.size,)),
            reshape(at * 0 + 1, shape=(at.size,)).astype("int64"),
            axis=0,
            mode="set",
        )
        sizes = norm(weight, p, 1, keepdims=True)
        factor = where(sizes > max_norm, minimum(max_norm / (sizes + 1e-7), 1.0), 1.0)
        weight.copy_(where(reshape(used, shape=(weight.shape[0], 1)) != 0, weight * factor, weight))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 vectors of `num_classes` zeros with a 1 at each index: shape (*tensor.shape, num_classes).

    Without `num_classes` it is the largest index plus 1.

        >>> dg.nn.functional.one_hot(dg.asarray([0, 2]), 3)
        tensor([[1, 0, 0],
                [0, 0, 1]])
    """
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    return _one_hot(_indices("one_hot", tensor, num_classes), num_classes)


@together
def _one_hot(tensor: Tensor, num_classes: int) -> Tensor:
    at = reshape(tensor, shape=(tensor.size, 1))
    at = at.astype("int64")
    places = reshape(arange(num_classes, device=tensor.device), shape=(1, num_classes))
    blank = cast((places + at * 0) < 0, dtype="int64")
    ones = at * 0 + 1
    return reshape(
        scatter_along(blank, at, ones, axis=1, mode="set"), shape=(*tensor.shape, num_classes)
    )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Rows of a table summed, averaged or maximised by bag: (bags, n) indices, or all in a line with `offsets`.

    An empty bag gives zeros. `padding_idx` counts in no bag; `per_sample_weights` weigh a sum.

    >>> table = dg.tensor([[1.0], [2.0], [4.0]])
    >>> dg.nn.functional.embedding_bag(dg.tensor([0, 2, 1]), table, dg.tensor([0, 2])).tolist()
    [[2.5], [2.0]]
    """
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode is 'sum', 'mean' or 'max', not {mode!r}")
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError("embedding_bag: per_sample_weights need mode='sum'")
    if (input.ndim == 1) != (offsets is not None) or input.ndim not in (1, 2):
        raise ArgumentError("embedding_bag: takes indices of 2 axes, or of 1 axis with offsets")
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * reshape(per_sample_weights, shape=(*input.shape, 1))
    if offsets is None:
        bags, count = arange(input.shape[0], device=input.device), input.shape[0]
        bags = reshape(bags, shape=(count, 1)).expand(*input.shape).reshape(-1)
    else:
        count = offsets.shape[0] - bool(include_last_offset)
        places = arange(input.shape[0], device=input.device)
        bags = searchsorted(offsets[:count], places, side="right") - 1
    rows, flat = rows.reshape(-1, weight.shape[1]), input.reshape(-1)
    if padding_idx is not None:
        padding_idx = padding_idx + weight.shape[0] if padding_idx < 0 else padding_idx
    counted = flat >= 0 if padding_idx is None else flat != padding_idx
    ones = cast(counted, dtype=rows.dtype.name).reshape(-1, 1)
    sizes = zeros(count, 1, dtype=rows.dtype, device=rows.device).index_add(0, bags, ones)
    start = zeros(count, weight.shape[1], dtype=rows.dtype, device=rows.device)
    if mode == "max":
        held = where(ones != 0, rows, float("-inf"))
        at = bags.reshape(-1, 1).expand(*rows.shape)
        most = (start + float("-inf")).scatter_reduce(0, at, held, "amax")
        return where(sizes > 0, most, 0.0)
    total = start.index_add(0, bags, rows * ones)
    return total if mode == "sum" else total / maximum(sizes, 1.0)
