"""vmap: a function of one example becomes a function of a batch, without a loop."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import AxisError, ShapeError, TransformError, describe
from ..core.trees import TreeDef, flatten, unflatten
from ..eager.batch import Level, batch_of, in_batch
from ..eager.batching import level_of
from ..eager.creation import asarray
from ..eager.tensor import Tensor
from ..ops.movement import permute
from ..ops.reduce import broadcast_to

Axes = Any  # an int, None, or a tree of them that is a prefix of what it describes


def vmap(
    fn: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0, axis_size: int | None = None
) -> Callable[..., Any]:
    """`fn` over an axis of its arguments at once; inside, tensors have the shape of one example.

    `in_axes` says which axis of each argument holds the examples: an int for all arguments, or a tuple
    with one entry an argument: an int, None (the same for all examples), or a tree of them for an
    argument that is a tree. Keyword arguments are batched along axis 0. `out_axes` says where the
    axis goes in results; None asks for a result that does not differ between examples. `axis_size` is the number of
    examples: it need not be given where an argument has them.

    Works under and over `grad`, `jvp` and itself: ``vmap(grad(loss), (None, 0, 0))`` gives a gradient for
    each example. Raises AxisError, ShapeError or TransformError that name the argument.

    >>> import dualgraph as dg
    >>> dg.vmap(dg.sum)(dg.asarray([[1., 2.], [3., 4.]])).tolist()
    [3.0, 7.0]
    """

    @functools.wraps(fn, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = flatten((args, kwargs))
        axes = [*_spread(_per_argument(in_axes, len(args)), args), *(0 for _ in flatten(kwargs)[0])]
        leaves = [_operand(x, a, i) for i, (x, a) in enumerate(zip(leaves, axes, strict=True))]
        size = _common_size(leaves, axes, axis_size)
        with level_of(size) as level:
            given = [
                x if a is None or not isinstance(x, Tensor) else in_batch(_to_front(x, a), level)
                for x, a in zip(leaves, axes, strict=True)
            ]
            call_args, call_kwargs = unflatten(tree, given)
            result = fn(*call_args, **call_kwargs)
        outs, out_tree = flatten(result)
        places = _spread(out_axes, result, "out_axes")
        return unflatten(out_tree, [_leave(o, a, level) for o, a in zip(outs, places, strict=True)])

    return batched


# --- axes --------------------------------------------------------------------------------------


def _per_argument(in_axes: Axes, count: int) -> Axes:
    if in_axes is None or isinstance(in_axes, int):
        return (in_axes,) * count
    if not isinstance(in_axes, (tuple, list)) or len(in_axes) != count:
        raise TransformError(
            describe(
                "vmap",
                f"in_axes={in_axes!r}",
                f"in_axes needs one entry for each of the {count} positional arguments",
                "give a tuple of that length, or one int for all",
            )
        )
    return tuple(in_axes)


def _spread(axes: Axes, tree: Any, what: str = "in_axes") -> list[int | None]:
    """One axis a leaf of `tree`, of which `axes` is a prefix."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(flatten(tree)[0])
    given, spec = flatten(axes)
    _, shape = flatten(tree)
    out: list[int | None] = []
    left = iter(given)

    def walk(spec: TreeDef, node: TreeDef) -> None:
        if spec.kind is None:
            axis = next(left)
            if axis is not None and not isinstance(axis, int):
                raise TransformError(
                    describe("vmap", f"{what}={axes!r}", f"an axis is an int or None, not {axis!r}")
                )
            out.extend([axis] * node.num_leaves)
            return
        similar = spec.kind is node.kind or {spec.kind, node.kind} == {tuple, list}
        if not similar or len(spec.children) != len(node.children) or (spec.data != node.data):
            raise TransformError(
                describe(
                    "vmap",
                    f"{what}={axes!r}",
                    f"{what} has another structure than what it describes ({node!r})",
                )
            )
        for s, n in zip(spec.children, node.children, strict=True):
            walk(s, n)

    walk(spec, shape)
    return out


def _operand(x: Any, axis: int | None, i: int) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        x = asarray(x)
    if axis is None or not isinstance(x, (Tensor, bool, int, float, complex)):
        return x
    if not isinstance(x, Tensor) or x.ndim == 0:
        kind = str(x.type) if isinstance(x, Tensor) else type(x).__name__
        raise AxisError(
            describe(
                "vmap",
                kind,
                f"argument leaf {i} is a number and has no axis {axis} to batch over",
                "give it None in in_axes",
            )
        )
    if not -x.ndim <= axis < x.ndim:
        raise AxisError(describe("vmap", str(x.type), f"argument leaf {i} has no axis {axis}"))
    return x


def _common_size(leaves: list[Any], axes: list[int | None], declared: int | None) -> int:
    sizes = {
        i: x.shape[a]
        for i, (x, a) in enumerate(zip(leaves, axes, strict=True))
        if a is not None and isinstance(x, Tensor)
    }
    if not sizes and declared is not None:
        return operator.index(declared)
    if not sizes:
        raise TransformError(
            describe(
                "vmap",
                "",
                "no argument is batched",
                "give at least one argument an axis in in_axes, or axis_size=",
            )
        )
    first = next(iter(sizes.values()))
    if any(n != first for n in sizes.values()):
        listed = ", ".join(f"{n} (argument leaf {i}, {leaves[i].type})" for i, n in sizes.items())
        raise ShapeError(describe("vmap", "", f"the batched axes differ in size: {listed}"))
    if declared is not None and declared != first:
        problem = f"the batched axes have size {first}, not axis_size={declared}"
        raise ShapeError(describe("vmap", "", problem))
    return first


def _to_front(x: Tensor, axis: int) -> Tensor:
    axis %= x.ndim
    return x if axis == 0 else permute(x, axes=(axis, *(i for i in range(x.ndim) if i != axis)))  # type: ignore[no-any-return]


def _leave(out: Any, axis: int | None, level: Level) -> Any:
    """A result as the caller of the batched function sees it."""
    if isinstance(out, (bool, int, float, complex, np.ndarray, np.generic)):
        out = asarray(out)
    if not isinstance(out, Tensor):
        return out
    batch = batch_of(out)
    if batch is not None and batch.level is level and not batch.mapped:
        out, batch = batch.inner, None
    if batch is None or batch.level is not level:
        return (
            out
            if axis is None
            else _to_axis(broadcast_to(out, shape=(level.size, *out.shape)), axis)
        )
    if axis is None:
        raise TransformError(
            describe(
                "vmap",
                str(out.type),
                "out_axes is None for a result that differs between examples",
                "give it an axis in out_axes",
            )
        )
    return _to_axis(batch.inner, axis)


def _to_axis(x: Tensor, axis: int) -> Tensor:
    if not -x.ndim <= axis < x.ndim:
        raise AxisError(
            describe(
                "vmap",
                str(x.type),
                f"out_axes {axis} is out of range for a result of {x.ndim} axes",
            )
        )
    axis %= x.ndim
    if axis == 0:
        return x
    order = list(range(1, x.ndim))
    order.insert(axis, 0)
    return permute(x, axes=tuple(order))  # type: ignore[no-any-return]
