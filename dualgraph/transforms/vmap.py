"""vmap: a function of one example becomes a function of a batch, without a loop."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..core.context import as_before
from ..core.errors import AxisError, ShapeError, TransformError, describe
from ..core.trees import TreeDef, flatten, unflatten
from ..eager.batch import Level, batch_of, in_batch
from ..eager.batching import level_of, to_front
from ..eager.creation import asarray
from ..eager.shapes import concat, cut
from ..eager.tensor import Tensor
from ..ops.movement import permute
from ..ops.reduce import broadcast_to

Axes = Any  # an int, None, or a tree of them that is a prefix of what it describes
RANDOMNESS = ("different", "same", "error")


def vmap(
    fn: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0, axis_size: int | None = None, *,
    randomness: str = "different", chunk_size: int | None = None, **dims: Axes,
) -> Callable[..., Any]:  # fmt: skip
    """`fn` over an axis of its arguments at once; inside, tensors have the shape of one example.

    `in_axes` says which axis of each argument holds the examples: an int for all arguments, or a tuple
    with one entry an argument: an int, None (the same for all examples), or a tree of them for an
    argument that is a tree. Keyword arguments are batched along axis 0. `out_axes` says where the
    axis goes in results; None asks for a result that does not differ between examples. `axis_size` is the number of
    examples: it need not be given where an argument has them. `in_dims` and `out_dims` are PyTorch's names for
    `in_axes` and `out_axes`.

    Random numbers are "different" in each example; `randomness` may also be "same", or "error". At most `chunk_size`
    examples run at once, which bounds the memory.

    Works under and over `grad`, `jvp` and itself: ``vmap(grad(loss), (None, 0, 0))`` gives a gradient for
    each example. Raises AxisError, ShapeError or TransformError that name the argument.

    >>> import dualgraph as dg
    >>> dg.vmap(dg.sum)(dg.asarray([[1., 2.], [3., 4.]])).tolist()
    [3.0, 7.0]
    """
    in_axes = _one_name("in_axes", in_axes, dims.pop("in_dims", 0))
    out_axes = _one_name("out_axes", out_axes, dims.pop("out_dims", 0))
    _check_options(dims, randomness, chunk_size)

    @functools.wraps(fn, updated=())
    def batched(*args: Any, **kwargs: Any) -> Any:
        given, size = _examples(in_axes, axis_size, args, kwargs)

        def run(examples: _Examples, count: int) -> _Results:
            with as_before(), level_of(count, randomness) as level:
                call_args, call_kwargs = examples.entering(level)
                result = fn(*call_args, **call_kwargs)
            outs, tree = flatten(result)
            places = _spread(out_axes, result, "out_axes")
            left = [_leave(o, a, level) for o, a in zip(outs, places, strict=True)]
            return _Results(left, places, tree)

        if chunk_size is None or size <= chunk_size:
            made = run(given, size)
        else:
            ends = [(i, min(i + chunk_size, size)) for i in range(0, size, chunk_size)]
            made = _joined([run(given.chunk(i, j), j - i) for i, j in ends])
        return unflatten(made.tree, made.leaves)

    return batched


def _check_options(unknown: dict[str, Any], randomness: str, chunk_size: int | None) -> None:
    """Raises for options of `vmap` that do not exist or have no meaning."""
    if unknown:
        given = f"{next(iter(unknown))}="
        raise TransformError(describe("vmap", given, "there is no such argument"))
    if randomness not in RANDOMNESS:
        problem = f"randomness is one of {', '.join(map(repr, RANDOMNESS))}"
        raise TransformError(describe("vmap", f"randomness={randomness!r}", problem))
    if chunk_size is not None and operator.index(chunk_size) < 1:
        problem = "at least one example runs at once"
        raise TransformError(describe("vmap", f"chunk_size={chunk_size}", problem))


class _Examples(NamedTuple):
    """The arguments of a batched call: leaves, which of them are `mapped` (examples along axis 0), their tree."""

    leaves: list[Any]
    mapped: list[bool]
    tree: TreeDef

    def entering(self, level: Level) -> Any:
        """The arguments as the function sees them inside of `level`: each mapped tensor in the shape of one example."""
        pairs = zip(self.leaves, self.mapped, strict=True)
        return unflatten(self.tree, [in_batch(x, level) if m else x for x, m in pairs])

    def chunk(self, start: int, stop: int) -> _Examples:
        """Some of the examples."""
        pairs = zip(self.leaves, self.mapped, strict=True)
        return self._replace(leaves=[cut(x, 0, start, stop) if m else x for x, m in pairs])


def _examples(
    in_axes: Axes, axis_size: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[_Examples, int]:
    """The arguments with their examples along axis 0, and how many examples there are."""
    leaves, tree = flatten((args, kwargs))
    axes = [*_spread(_per_argument(in_axes, len(args)), args), *(0 for _ in flatten(kwargs)[0])]
    leaves = [_operand(x, a, i) for i, (x, a) in enumerate(zip(leaves, axes, strict=True))]
    size = _common_size(leaves, axes, axis_size)
    mapped = [a is not None and isinstance(x, Tensor) for x, a in zip(leaves, axes, strict=True)]
    moved = zip(leaves, axes, mapped, strict=True)
    return _Examples([to_front(x, a) if m else x for x, a, m in moved], mapped, tree), size


class _Results(NamedTuple):
    """What a batched function gave: leaves, the axis of the examples in each, their tree."""

    leaves: list[Any]
    axes: list[int | None]
    tree: TreeDef


def _joined(parts: list[_Results]) -> _Results:
    """The results of several runs, each of some of the examples."""
    leaves = [
        column[0]
        if axis is None or not isinstance(column[0], Tensor)
        else concat(column, axis=axis)
        for column, axis in zip(
            zip(*(p.leaves for p in parts), strict=True), parts[0].axes, strict=True
        )
    ]
    return parts[0]._replace(leaves=leaves)


def _one_name(name: str, standard: Axes, other: Axes) -> Axes:
    """What was given under one of two names, of which 0 is the default."""
    if standard != 0 and other != 0:
        dims = name.replace("axes", "dims")
        raise TransformError(
            describe(
                "vmap", f"{name}={standard!r}, {dims}={other!r}", "both say the same", "give one"
            )
        )
    return other if standard == 0 else standard


# --- axes --------------------------------------------------------------------------------------


def _per_argument(in_axes: Axes, count: int) -> Axes:
    """`in_axes` as one entry an argument."""
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
    """Argument leaf `i`, as a tensor where it is an array; raises unless it has axis `axis`."""
    if isinstance(x, (np.ndarray, np.generic)):
        x = asarray(x)
    if axis is None or not isinstance(x, (Tensor, bool, int, float, complex)):
        return x
    if not isinstance(x, Tensor) or x.ndim == 0:
        kind = str(x.tensor_type) if isinstance(x, Tensor) else type(x).__name__
        raise AxisError(
            describe(
                "vmap",
                kind,
                f"argument leaf {i} is a number and has no axis {axis} to batch over",
                "give it None in in_axes",
            )
        )
    if not -x.ndim <= axis < x.ndim:
        raise AxisError(
            describe("vmap", str(x.tensor_type), f"argument leaf {i} has no axis {axis}")
        )
    return x


def _common_size(leaves: list[Any], axes: list[int | None], declared: int | None) -> int:
    """How many examples there are; raises unless all batched axes have that length."""
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
        listed = ", ".join(
            f"{n} (argument leaf {i}, {leaves[i].tensor_type})" for i, n in sizes.items()
        )
        raise ShapeError(describe("vmap", "", f"the batched axes differ in size: {listed}"))
    if declared is not None and declared != first:
        problem = f"the batched axes have size {first}, not axis_size={declared}"
        raise ShapeError(describe("vmap", "", problem))
    return first


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
                str(out.tensor_type),
                "out_axes is None for a result that differs between examples",
                "give it an axis in out_axes",
            )
        )
    return _to_axis(batch.inner, axis)


def _to_axis(x: Tensor, axis: int) -> Tensor:
    """The examples moved from axis 0 to `axis`."""
    if not -x.ndim <= axis < x.ndim:
        raise AxisError(
            describe(
                "vmap",
                str(x.tensor_type),
                f"out_axes {axis} is out of range for a result of {x.ndim} axes",
            )
        )
    axis %= x.ndim
    if axis == 0:
        return x
    order = list(range(1, x.ndim))
    order.insert(axis, 0)
    return permute(x, axes=tuple(order))  # type: ignore[no-any-return]
