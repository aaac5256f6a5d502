"""Boxes: which part of a whole an op takes out or fills, for rewrites that move ops from wholes to parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.kinds import ELEMENTWISE
from ..core.node import Literal, Node, Var
from ..core.pieces import pieces_of
from ..core.types import Shape, TensorType
from .arithmetic import add
from .creation import full
from .movement import concat_along, copy, slice_

Apply = Callable[..., Any]  # (prim, operands, params) to the operand that stands for the result


class Part(NamedTuple):
    """What lies from `start` to `stop` along one axis of a whole."""

    start: int
    stop: int
    value: Var


def placed(node: Node) -> tuple[int, Part] | None:
    """The axis and the part that a node fills with its operand, if all else of its result is 0.

    >>> from ..core.dtypes import float32
    >>> from .movement import unslice
    >>> x, y = (Var(i, TensorType(float32, s)) for i, s in enumerate([(4, 2), (4, 6)]))
    >>> params = {"shape": (4, 6), "starts": (0, 2), "stops": (4, 4), "steps": (1, 1)}
    >>> placed(Node(unslice, (x,), params, (y,)))[1][:2]
    (2, 4)
    """
    if len(node.inputs) != 1 or not isinstance(node.inputs[0], Var) or not _known(node):
        return None
    pieces = pieces_of(node)
    if pieces is None:
        return None
    filled = [p for p in pieces if p.source is not None]
    empty = [p for p in pieces if p.source is None]
    (operand,), shape = node.inputs, node.outputs[0].type.shape
    if len(filled) != 1 or filled[0].shape != operand.type.shape or any(map(_not_0, empty)):
        return None
    (piece,) = filled
    cut = [i for i, (d, e) in enumerate(zip(shape, piece.shape, strict=True)) if d != e]
    if len(cut) != 1:
        return None
    start = piece.at[cut[0]]
    return cut[0], Part(start, start + piece.shape[cut[0]], operand)


def _not_0(piece: Any) -> bool:
    return piece.value != 0 or str(piece.value).startswith("-")


def _known(node: Node) -> bool:
    """Whether all sizes are numbers."""
    types = [v.type for v in (*node.inputs, *node.outputs)]
    return all(type(d) is int for t in types for d in t.shape)


def is_sum(node: Node) -> bool:
    """Whether the node adds two operands, of its result's type each."""
    return node.prim is add and all(v.type == node.outputs[0].type for v in node.inputs)


def joined(parts: list[Part], axis: int, whole: TensorType, apply: Apply) -> Any:
    """The sum of disjoint parts that each lie in zeros: they are put side by side.

    Each part was added to 0 at least once, which matters for -0.0.
    """
    pieces, at = [], 0
    for part in sorted(parts):
        if part.start > at:
            pieces.append(_zeros(whole, axis, part.start - at, apply))
        zero = Literal(0, part.value.type.dtype)
        pieces.append(apply(add, (part.value, zero), {}))
        at = part.stop
    if at < whole.shape[axis]:
        pieces.append(_zeros(whole, axis, whole.shape[axis] - at, apply))
    return apply(concat_along, tuple(pieces), {"axis": axis})


def _zeros(whole: TensorType, axis: int, extent: int, apply: Apply) -> Any:
    shape = (*whole.shape[:axis], extent, *whole.shape[axis + 1 :])
    how = {
        "shape": shape,
        "value": 0,
        "dtype": whole.dtype.name,
        "device": str(whole.device),
    }
    return apply(full, (), how)


def of_its_own(value: Any, apply: Apply) -> Any:
    """The same value in memory of its own."""
    return apply(copy, (value,), {})


def taken(node: Node) -> tuple[range, ...] | None:
    """The places along each axis that a node takes out of its operand; None for other nodes."""
    if node.prim is not slice_ or not isinstance(node.inputs[0], Var) or not _known(node):
        return None
    p = node.params
    return tuple(map(range, p["starts"], p["stops"], p["steps"]))


def apart(one: tuple[range, ...], two: tuple[range, ...]) -> bool:
    """Whether two boxes have no element in common (True only if that is plain to see)."""

    def ends(r: range) -> tuple[int, int]:
        return min(r[0], r[-1]), max(r[0], r[-1])

    if any(not len(r) for r in (*one, *two)):
        return True
    pairs = [(ends(a), ends(b)) for a, b in zip(one, two, strict=True)]
    return any(a[1] < b[0] or b[1] < a[0] for a, b in pairs)


def is_elementwise(node: Node) -> bool:
    """Whether each element of the result depends on one element of each operand alone."""
    return node.prim.kind is ELEMENTWISE and len(node.outputs) == 1 and _known(node)


def of_part(operand: Any, shape: Shape, part: Node, apply: Apply) -> Any:
    """The part of an operand of an elementwise op of `shape` that belongs to the part of its result."""
    own = operand.type.shape
    if isinstance(operand, Literal) or not own:
        return operand
    lead = len(shape) - len(own)
    how = {k: part.params[k][lead:] for k in ("starts", "stops", "steps")}
    ones = [d == 1 and shape[lead + i] != 1 for i, d in enumerate(own)]
    cut = {
        k: tuple(fixed if one else v for one, v in zip(ones, how[k], strict=True))
        for k, fixed in (("starts", 0), ("stops", 1), ("steps", 1))
    }
    return apply(slice_, (operand,), cut)
