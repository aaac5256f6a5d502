"""Shapes: the same elements under other axes - views where memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...core.composite import together, viewing
from ...core.dtypes import as_dtype
from ...core.errors import ShapeError, describe
from ...core.numbers.sizing import to_int
from ...ops import reduce as rd
from ...ops.axes import normalize_axes, normalize_axis, own_axis
from ...ops.contraction import swap_last
from ...ops.movement import alias, expand_dims_at
from ...ops.movement import flip as flip_op
from ...ops.movement import permute as permute_op
from ...ops.movement import reshape as reshape_op
from ...ops.reinterpret import reinterpret
from .. import shapes as sh
from ..attach import method, methods
from ..filling import arange, as_shape
from ..operands import as_operand
from ..tensor import Tensor


@method
@viewing
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """x under another shape, as ``reshape(2, 3)`` or ``reshape((2, 3))``; one size may be -1.

    >>> import dualgraph.compat.torch as torch
    >>> torch.reshape(torch.tensor([1, 2, 3, 4]), (2, -1)).tolist()
    [[1, 2], [3, 4]]
    """
    return sh.reshape(x, _sizes(shape))


@method
@viewing
def view(x: Tensor, *shape: Any) -> Tensor:
    """Like `reshape`, but never a copy: raises where the memory cannot be seen under the shape.

    With a dtype in place of the shape: the bits read as that dtype, through which no gradient flows.

    >>> dg.ones(2).view(dg.int32).tolist()
    [1065353216, 1065353216]
    """
    if (
        len(shape) == 1
        and not isinstance(shape[0], (int, tuple, list))
        and not hasattr(shape[0], "__index__")
    ):
        target = as_dtype(shape[0])
        return alias(x) if target is x.dtype else seen("view", x, reinterpret(x, dtype=target.name))
    return seen("view", x, sh.reshape(x, _sizes(shape)))


def seen(op: str, x: Tensor, out: Tensor) -> Tensor:
    """What `op` made of x; an error unless it is a view."""
    if out._parent is None and out is not x and x.numel():
        raise ShapeError(
            describe(
                op,
                f"{x.tensor_type}",
                f"memory with strides {x.stride()} cannot be seen as {out.tensor_type}",
                "use .reshape(...), or .contiguous() first",
            )
        )
    return out


def _sizes(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and not hasattr(shape[0], "__index__"):
        return tuple(shape[0])
    return shape


@method
def view_as(x: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of another tensor."""
    return view(x, as_operand(other).shape)


@method
def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of another tensor."""
    return reshape(x, as_operand(other).shape)


@method
@viewing
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes `start_dim` to `end_dim` as one.

    >>> dg.flatten(dg.ones((2, 3, 4)), 1).shape
    (2, 12)
    """
    if not x.ndim:
        return reshape_op(x, shape=(1,))
    a, b = normalize_axis(start_dim, x.ndim), normalize_axis(end_dim, x.ndim)
    if a > b:
        raise ShapeError(
            describe(
                "flatten",
                str(x.tensor_type),
                f"start_dim {start_dim} comes after end_dim {end_dim}",
            )
        )
    if a == b:
        return x
    return reshape_op(x, shape=(*x.shape[:a], prod(x.shape[a : b + 1]), *x.shape[b + 1 :]))


@method
@viewing
def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several.

    >>> dg.unflatten(dg.arange(6), 0, (2, 3)).shape
    (2, 3)
    """
    a = normalize_axis(dim, x.ndim)
    return sh.reshape(
        reshape_op(x, shape=x.shape), (*x.shape[:a], *_filled(sizes, x.shape[a]), *x.shape[a + 1 :])
    )


def _filled(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    rest = prod(s for s in sizes if s != -1)
    return tuple(total // rest if s == -1 and rest else s for s in sizes)


@method
@viewing
def ravel(x: Tensor) -> Tensor:
    """All elements along one axis.

    >>> dg.ravel(dg.ones((2, 3))).shape
    (6,)
    """
    return reshape_op(x, shape=(prod(x.shape),))


@method
@viewing
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """An axis of length 1 put in at `dim`.

    >>> dg.unsqueeze(dg.ones(3), 0).shape
    (1, 3)
    """
    return expand_dims_at(x, (normalize_axis(dim, x.ndim + 1),))


@method
@viewing
def squeeze(x: Tensor, dim: int | Sequence[int] | None = None, *, axis: Any = None) -> Tensor:
    """Without axes of length 1: all of them, or those of `dim` that have length 1.

    >>> import dualgraph.compat.torch as torch
    >>> torch.squeeze(torch.zeros(1, 2, 1)).shape
    (2,)
    """
    axes = normalize_axes(dim if axis is None else axis, x.ndim)
    shape = tuple(d for i, d in enumerate(x.shape) if d != 1 or i not in axes)
    return reshape_op(x, shape=shape) if shape != x.shape else alias(x)


@method
@viewing
def permute(x: Tensor, *dims: Any) -> Tensor:
    """Axes in another order, as ``permute(2, 0, 1)`` or ``permute((2, 0, 1))``.

    >>> dg.permute(dg.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return sh.permute_dims(x, _sizes(dims))


@method
@viewing
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged.

    >>> dg.transpose(dg.ones((2, 3)), 0, 1).shape
    (3, 2)
    """
    a, b = normalize_axis(dim0, x.ndim), normalize_axis(dim1, x.ndim)
    order = list(range(x.ndim))
    if x.ndim:
        order[a], order[b] = order[b], order[a]
    return permute_op(x, axes=tuple(order))


@method
@viewing
def t(x: Tensor) -> Tensor:
    """The transpose of a matrix; tensors of fewer axes as they are.

    >>> dg.t(dg.ones((2, 3))).shape
    (3, 2)
    """
    if x.ndim > 2:
        raise ShapeError(
            describe(
                "t",
                str(x.tensor_type),
                "needs at most two axes",
                "use .mT or .transpose(dim0, dim1)",
            )
        )
    return permute_op(x, axes=tuple(reversed(range(x.ndim))))


def _reversed_axes(x: Tensor) -> Tensor:
    return permute_op(x, axes=tuple(reversed(range(x.ndim))))


def _matrix_transposed(x: Tensor) -> Tensor:
    if x.ndim < 2:
        raise ShapeError(describe("mT", str(x.tensor_type), "needs at least two axes"))
    return swap_last(x)


def _adjoint(x: Tensor) -> Tensor:
    return x.conj().mT


methods(
    T=property(_reversed_axes, doc="Axes in reverse order."),
    mT=property(_matrix_transposed, doc="The last two axes exchanged."),
    H=property(lambda x: x.conj().t(), doc="Conjugate transpose of a matrix."),
    mH=property(_adjoint, doc="Conjugate, the last two axes exchanged."),
    adjoint=_adjoint,
    swapaxes=transpose,
    swapdims=transpose,
)


@method
@viewing
def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the rest in order.

    >>> dg.movedim(dg.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return sh.moveaxis(x, source, destination)


methods(moveaxis=movedim)


@method
@viewing
def expand(x: Tensor, *sizes: Any) -> Tensor:
    """Repeated along new or length-1 axes without copying; -1 keeps a size."""
    wanted = _sizes(sizes)
    offset = len(wanted) - x.ndim
    if offset < 0:
        raise ShapeError(
            describe(
                "expand", f"{x.tensor_type}, {wanted}", f"{len(wanted)} sizes for {x.ndim} axes"
            )
        )
    shape = tuple(
        x.shape[i - offset] if d == -1 and i >= offset else to_int(d) for i, d in enumerate(wanted)
    )
    return rd.broadcast_to(x, shape=shape)


@method
@viewing
def broadcast_to(x: Tensor, size: Any) -> Tensor:
    """`expand` to a shape.

    >>> import dualgraph.compat.torch as torch
    >>> torch.broadcast_to(torch.tensor([1, 2]), (2, 2)).tolist()
    [[1, 2], [1, 2]]
    """
    return expand(x, size)


@method
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor."""
    return rd.broadcast_to(x, shape=as_operand(other).shape)


@method
def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """x repeated as a whole along each axis (NumPy's ``tile``)."""
    reps = as_shape(repeats)
    if len(reps) < x.ndim:
        raise ShapeError(
            describe("repeat", f"{x.tensor_type}, {reps}", f"{len(reps)} repeats for {x.ndim} axes")
        )
    return sh.tile(x, reps)


@method
def tile(x: Tensor, *repeats: Any) -> Tensor:
    """x repeated as a whole along the last axes.

    >>> import dualgraph.compat.torch as torch
    >>> torch.tile(torch.tensor([1, 2]), (2,))
    tensor([1, 2, 1, 2])
    """
    return sh.tile(x, as_shape(repeats))


@method
@together
def repeat_interleave(
    x: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element repeated along `dim` (in the flattened x by default).

    Without `repeats` x has them: the numbers 0, 1, 2, ..., each as often as x says.

    >>> dg.repeat_interleave(dg.asarray([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        x, repeats = arange(x.shape[0], dtype=x.dtype, device=x.device), x
    return sh.repeat(x, repeats, axis=dim)


@method
def flip(x: Tensor, *places: Any, dims: Any = None) -> Tensor:
    """Elements in reverse order along axes.

    >>> import dualgraph.compat.torch as torch
    >>> torch.flip(torch.tensor([1, 2, 3]), [0])
    tensor([3, 2, 1])
    """
    axes = normalize_axes(_sizes(places) if dims is None else dims, x.ndim)
    return sh.unshared(flip_op(x, axes=axes), x)


@method
def fliplr(x: Tensor) -> Tensor:
    """Columns in reverse order.

    >>> dg.fliplr(dg.asarray([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    return flip(x, 1)


@method
def flipud(x: Tensor) -> Tensor:
    """Rows in reverse order.

    >>> dg.flipud(dg.asarray([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    own_axis(0, x.ndim)
    return flip(x, 0)


@method
def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved on by `shifts` places, those that fall off coming in again.

    >>> import dualgraph.compat.torch as torch
    >>> torch.roll(torch.tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    return sh.roll(x, shifts, axis=dims)


@method
@together
def rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned `k` times by a quarter, from the first axis of `dims` towards the second.

    >>> dg.rot90(dg.asarray([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    if len(dims) != 2 or x.ndim < 2:
        problem = f"turns in a plane of two axes, not {tuple(dims)}"
        raise ShapeError(describe("rot90", str(x.tensor_type), problem))
    a, b = (normalize_axis(d, x.ndim) for d in dims)
    normalize_axes(tuple(dims), x.ndim)  # refuses one axis named twice
    back = flip_op(x, axes=(b,))
    turned = [
        x,
        transpose(back, a, b),
        flip_op(back, axes=(a,)),
        flip_op(transpose(x, a, b), axes=(b,)),
    ]
    return sh.unshared(turned[k % 4], x)
