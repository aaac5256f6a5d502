"""Lying: an array that does not lie row by row, as a part of one that does, with its axes turned."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ....core.node import Var
from ....core.types import TensorType
from ....ops.movement import permute, reshape, slice_
from ....static.graph import GraphBuilder


def operand_of(builder: GraphBuilder, type: TensorType, array: Any) -> Var | None:
    """The value of an operand whose input begins where `array` does and lies row by row.

    Of the input no more is read than what the array has. None where the array lies otherwise: one element in several
    places, an axis backwards, steps that are no multiples of each other.
    """
    if array.flags.c_contiguous:
        return builder.input(type)
    single = [i for i, d in enumerate(array.shape) if d == 1]
    long = sorted((i for i, d in enumerate(array.shape) if d > 1), key=lambda i: -array.strides[i])
    lengths = [array.shape[i] for i in long] + [1]
    steps = [array.strides[i] for i in long] + [array.itemsize]
    sizes = [lengths[0]]  # of the input, from its first axis on; the last one is within a step
    for length, (outer, inner) in zip(lengths[1:], pairwise(steps), strict=True):
        if inner <= 0 or outer % inner or outer // inner < length:
            return None
        sizes.append(outer // inner)
    x = builder.input(type._replace(shape=tuple(sizes)))
    if sizes != lengths:
        some = {"starts": (0,) * len(sizes), "stops": tuple(lengths), "steps": (1,) * len(sizes)}
        (x,) = builder.add(slice_, (x,), some)
    order = single + long
    (x,) = builder.add(reshape, (x,), {"shape": tuple(array.shape[i] for i in order)})
    axes = tuple(order.index(i) for i in range(array.ndim))
    (x,) = builder.add(permute, (x,), {"axes": axes})
    return x
