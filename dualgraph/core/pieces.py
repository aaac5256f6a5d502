"""Pieces: results put together from boxes of operands, as by padding, joining and writing slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .node import Node
from .types import Shape, TensorType


@dataclass(frozen=True, slots=True)
class Piece:
    """The box of a result that begins at `at` and has `shape`.

    It holds the box of operand `source` that begins at `begin`, or, where `source` is None, `value`.
    The pieces of a result do not overlap and leave nothing out.
    """

    at: Shape
    shape: Shape
    source: int | None = None
    begin: Shape = ()
    value: Any = None


Rule = Callable[..., list[Piece] | None]


def whole(position: int, operand: TensorType, at: Shape) -> Piece:
    """All of an operand, placed at `at`."""
    return Piece(at, operand.shape, position, (0,) * operand.ndim)


def around(shape: Shape, starts: Shape, stops: Shape) -> list[tuple[Shape, Shape]]:
    """What lies outside of a box: disjoint boxes as (start, extents), none of them empty.

    >>> around((4, 4), (1, 0), (4, 4))
    [((0, 0), (1, 4))]
    """
    boxes = []
    for i in range(len(shape)):
        for low, high in ((0, starts[i]), (stops[i], shape[i])):
            begin = (*starts[:i], low, *(0,) * (len(shape) - i - 1))
            end = (*stops[:i], high, *shape[i + 1 :])
            extents = tuple(e - b for b, e in zip(begin, end, strict=True))
            if all(e > 0 for e in extents):
                boxes.append((begin, extents))
    return boxes


def pieces_of(node: Node) -> list[Piece] | None:
    """The pieces of a node's result; None where its op has none, or is better left to itself."""
    rule: Rule | None = node.prim.details.get("pieces")
    if rule is None or any(0 in v.type.shape for v in node.outputs):
        return None
    return rule(*(v.type for v in node.inputs), **node.params)
