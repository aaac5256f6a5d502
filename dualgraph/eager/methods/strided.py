"""Strided: views that say themselves where in memory their elements lie."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ...core.context import state
from ...core.errors import ArgumentError, BoundsError, describe
from ...ops.lattice import lattice
from ...ops.movement import permute, reshape
from ..attach import method
from ..batch import batch_of
from ..tensor import Tensor
from .conversion import offset


@method
def as_strided(
    x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A view of the memory of x: places ``storage_offset + i * stride[0] + j * stride[1] + ...``.

    Without `storage_offset`, from the first element of x on. Places outside of x are in the tensor that x is a view
    of; gradients flow to x, so then there are none. A view that has places in common with itself cannot be written.

        >>> dg.as_strided(dg.arange(4), (3, 2), (1, 1))
        tensor([[0, 1],
                [1, 2],
                [2, 3]])
    """
    size, stride, own = tuple(size), tuple(stride), _in_order(x)
    before = 0 if batch_of(x) is not None else offset(x)
    first = before if storage_offset is None else storage_offset
    last = last_place("as_strided", x, size, stride, first)
    inside = own is not None and (last < 0 or (before <= first and last - before < prod(x.shape)))
    if storage_offset is not None or not inside:
        _tell(x)
    if not inside:
        own, before = _whole(x), 0
    check_inside("as_strided", x, last - before, prod(own.shape))
    starts = (0 if last < 0 else first - before,)
    return lattice(own, shape=size, starts=starts, steps=tuple((s,) for s in stride))  # type: ignore[no-any-return]


def last_place(
    op: str, x: Tensor, size: tuple[int, ...], stride: tuple[int, ...], first: int
) -> int:
    """The last place of what has these strides; -1 of no elements."""
    if len(size) != len(stride) or first < 0 or min((*stride, *size, 0)) < 0:
        problem = f"sizes {size}, strides {stride} from {first} on are no places"
        raise ArgumentError(describe(op, str(x.tensor_type), problem))
    return -1 if 0 in size else first + sum((d - 1) * s for d, s in zip(size, stride, strict=True))


def check_inside(op: str, x: Tensor, place: int, count: int) -> None:
    """Raises where a place lies behind the end."""
    if place >= count:
        problem = f"place {place} does not lie in a tensor of {count} elements"
        raise BoundsError(describe(op, str(x.tensor_type), problem))


def _in_order(x: Tensor) -> Tensor | None:
    """The elements of x in the order of memory, as a view; None where there are gaps between them."""
    strides, unit = x._data.strides, x.dtype.itemsize
    axes = tuple(sorted(range(x.ndim), key=lambda a: -strides[a]))
    for a in reversed(axes):
        if x.shape[a] != 1 and strides[a] != unit:
            return None
        unit = unit * x.shape[a]
    inner = x if axes == tuple(range(x.ndim)) else permute(x, axes=axes)
    return reshape(inner, shape=(prod(x.shape),))  # type: ignore[no-any-return]


def _tell(x: Tensor) -> None:
    """Leaves a capture that knows nothing of the tensor that x is a view of."""
    root, tracer = x._root(), state.tracer
    if tracer is not None and (tracer.is_root(root) or not tracer.knows(root)):
        tracer.escape(x, "as_strided")


def _whole(x: Tensor) -> Tensor:
    """All elements of what x is a view of, in the order of memory."""
    own = _in_order(x._root())
    if own is None or (state.grad and x.requires_grad):
        problem = (
            "the memory has gaps" if own is None else "gradients flow to the elements of x alone"
        )
        remedy = "take it of .contiguous(), or of the tensor that this is a view of"
        raise ArgumentError(describe("as_strided", str(x.tensor_type), problem, remedy))
    return own
