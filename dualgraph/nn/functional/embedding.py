"""Embeddings: rows of a table by index, and one-hot vectors."""

from __future__ import annotations

from ...core.errors import ArgumentError, DTypeError
from ...eager import Tensor, arange, no_grad
from ...ops.arithmetic import cast, minimum, where
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
    place, to that norm first. `sparse` is accepted; gradients are dense.

    >>> table = dg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> dg.nn.functional.embedding(dg.tensor([1, 0]), table).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    if scale_grad_by_freq:
        raise ArgumentError("embedding: scale_grad_by_freq is not supported")
    at = _indices("embedding", input, weight.shape[0])
    if max_norm is not None:
        _limit(weight, at, max_norm, norm_type)
    rows = index(weight, at, dims=(0,))
    if padding_idx is None:
        return rows
    padding_idx = padding_idx + weight.shape[0] if padding_idx < 0 else padding_idx
    padding = reshape(equal(input, padding_idx), shape=(*input.shape, 1))
    return where(padding, stop_gradient(rows), rows)


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
    """
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    at = reshape(_indices("one_hot", tensor, num_classes), shape=(tensor.size, 1))
    at = at.astype("int64")
    places = reshape(arange(num_classes, device=tensor.device), shape=(1, num_classes))
    zeros = cast((places + at * 0) < 0, dtype="int64")
    ones = at * 0 + 1
    return reshape(
        scatter_along(zeros, at, ones, axis=1, mode="set"), shape=(*tensor.shape, num_classes)
    )
