"""Layout: where in a buffer the elements of a value lie, and which results are views."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.node import Node
from ..core.numbers.symbolic import is_one, is_symbolic
from ..core.numbers.symbols import generic
from ..core.numbers.worked import Unfollowed, working
from ..core.types import Shape, TensorType, contiguous_strides
from .strided import Namespace, Strided

Strides = tuple[int, ...]


class Layout(NamedTuple):
    """Byte offset and byte strides inside a buffer."""

    offset: int
    strides: Strides


def row_major(type: TensorType) -> Layout:
    """The layout of a value that fills its buffer (for symbolic sizes, at `generic` ones)."""
    shape = tuple(map(generic, type.shape))
    return Layout(0, contiguous_strides(shape, type.dtype.itemsize))


def same_strides(type: TensorType, a: Layout, b: Layout) -> bool:
    """Whether steps along the axes are the same (along axes of length 1 there are none)."""
    pairs = zip(type.shape, a.strides, b.strides, strict=True)
    return type.size == 0 or all(is_one(d) or x == y or d == 1 for d, x, y in pairs)


def fills(type: TensorType, layout: Layout) -> bool:
    """Whether a value lies row-major from the start of its buffer."""
    return layout.offset == 0 and same_strides(type, layout, row_major(type))


_KNOWN: dict[Any, Layout | None] = {}
_LIMIT = 4096


def view_layout(node: Node, base: Layout) -> Layout | None:
    """The layout of a view op's result in the buffer of its operand; None where the op has to copy.

    The op's own kernel says so, on an array of the operand's shape and strides.
    """
    type = node.inputs[0].type
    if type.dtype is not node.outputs[0].type.dtype:
        return None  # steps in bytes say nothing of elements of another width
    if is_symbolic(type.shape) or is_symbolic(node.params):
        type = type._replace(shape=generic(type.shape))
        params = {k: generic(v) for k, v in node.params.items()}
        try:
            return _probe(Node(node.prim, node.inputs, params), type, base)
        except (ValueError, IndexError, MemoryError):
            return None
    if working(type.shape, base, tuple(node.params.values())) is not None:
        return _followed(node, type, base)
    name, _, params = node.key()
    key = name, params, type, base
    if key not in _KNOWN:
        if len(_KNOWN) >= _LIMIT:
            _KNOWN.clear()
        _KNOWN[key] = _probe(node, type, base)
    return _KNOWN[key]


def _probe(node: Node, type: TensorType, base: Layout) -> Layout | None:
    """What the kernel of a view op gives for an array of this layout; None where it copies."""
    if type.size == 0:
        return None
    unit = type.dtype.itemsize  # elements are shrunk to bytes, as a copy would touch the memory
    strides = tuple(s // unit for s in base.strides)
    low, high = _extent(type.shape, strides)
    memory = np.empty(high - low + 1, dtype=np.uint8)
    array: Any = np.ndarray(type.shape, np.uint8, memory, -low, strides)
    result = node.prim.kernel(np, array, **node.params)
    if not np.may_share_memory(result, memory):
        return None
    start = result.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    return Layout(base.offset + start * unit, tuple(s * unit for s in result.strides))


def _followed(node: Node, type: TensorType, base: Layout) -> Layout | None:
    try:
        found: Any = node.prim.kernel(Namespace, Strided(type.shape, base.strides), **node.params)
    except Unfollowed:
        return None
    return Layout(base.offset + found.offset, found.strides) if type.size else None


def _extent(shape: Shape, strides: Strides) -> tuple[int, int]:
    """Lowest and highest offset of an element."""
    reach = [(d - 1) * s for d, s in zip(shape, strides, strict=True)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
