"""Templates: what a tape looks like, so that a later one can be told to be the same but for its values."""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np

from ..backends.eager_loops import of_all_sizes
from ..core.constant import exact
from ..core.devices import CPU
from ..core.dtypes import bfloat16
from ..core.node import TapeNode
from ..core.numbers.symbolic import is_symbolic
from ..core.prim import Prim
from ..core.types import TensorType
from ..eager.tensor import Tensor
from ..merge.entry import MergedOp
from ..static.graph import Graph

LONGEST = 1000  # entries of a tape that may have a template
# Bytes that a tape may have saved: those of its program are let go at the end, and all at once
LARGEST = 1 << 27
NUMBERS = (bool, int, float)


class Entry(NamedTuple):
    """An entry of a tape as a later one has to be; that of a leaf has `prim` None and the rest but `outputs` empty.

    ``edges``: for each operand None, or which entry made it and the number of that one's result. ``kept``: for each
    operand ``(i,)`` where it is saved (as value `i` of the template), a number, the type of a constant that is not
    saved, or None. ``results``: the values that saved results are, or None.
    """

    prim: Prim | MergedOp | None
    params: dict[str, Any]
    outputs: tuple[TensorType, ...]
    edges: tuple[tuple[int, int] | None, ...] = ()
    kept: tuple[Any, ...] = ()
    results: tuple[int, ...] | None = None


class Template(NamedTuple):
    """A tape: its entries, latest first, and the types of the values that they saved.

    ``orders``: for each value how its axes follow each other in memory, where that is not as they stand; else None.
    """

    entries: tuple[Entry, ...]
    types: tuple[TensorType, ...]
    orders: tuple[tuple[int, ...] | None, ...]

    @property
    def nbytes(self) -> int:
        """The bytes of what is saved, and of the gradients."""
        gradients = sum(self.entries[k].outputs[0].nbytes for k in self.leaves)
        return gradients + sum(t.nbytes for t in self.types)

    @property
    def pays(self) -> bool:
        """Whether a program saves more than it costs."""
        ops = [e.prim for e in self.entries if e.prim is not None]
        several = len(ops) > 1 or any(isinstance(p, MergedOp) for p in ops)
        return several and self.nbytes <= LARGEST

    @property
    def leaves(self) -> list[int]:
        """Which entries are leaves."""
        return [k for k, e in enumerate(self.entries) if e.prim is None]


def may_have_template(prim: Any) -> bool:
    """Whether tapes with entries of this op may have templates: compiled calls and the user's functions, which may be
    made anew at each call, have none."""
    return isinstance(prim, (Prim, MergedOp))


def entries_behind(root: TapeNode) -> list[TapeNode]:
    """The entries that a sweep from `root` meets, in its order; at most one more than `LONGEST`."""
    found: list[TapeNode] = []
    heap, seen = [(-root.seq, root)], {root}
    while heap and len(found) <= LONGEST:
        _, node = heapq.heappop(heap)
        found.append(node)
        for edge in node.inputs:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                heapq.heappush(heap, (-edge[0].seq, edge[0]))
    return found


class _Values:
    """The arrays that entries of a tape saved, each numbered once."""

    def __init__(self) -> None:
        self.types: list[TensorType] = []
        self.orders: list[tuple[int, ...] | None] = []
        self._numbers: dict[int, int] = {}  # by the id of the array

    def number(self, array: Any, t: TensorType) -> int:
        """Which value an array of this type is."""
        i = self._numbers.setdefault(id(array), len(self.types))
        if i == len(self.types):
            self.types.append(t)
            self.orders.append(order_of(array))
        return i


def order_of(array: Any) -> tuple[int, ...] | None:
    """The axes of an array from the longest steps to the shortest, if it is one that lies row by row, turned."""
    if array.flags.c_contiguous:
        return None
    order = tuple(sorted(range(array.ndim), key=lambda i: -array.strides[i]))
    return order if array.transpose(order).flags.c_contiguous else None


def template_of(root: TapeNode) -> Template | None:
    """The template of the tape behind `root`; None where something on it is out of the ordinary."""
    nodes = entries_behind(root)
    if len(nodes) > LONGEST:
        return None
    places = {node: k for k, node in enumerate(nodes)}
    values = _Values()
    entries = []
    for node in nodes:
        entry = _entry_of(node, places, values)
        if entry is None:
            return None
        entries.append(entry)
    return Template(tuple(entries), tuple(values.types), tuple(values.orders))


def _entry_of(node: TapeNode, places: dict[TapeNode, int], values: _Values) -> Entry | None:
    """An entry of a tape as the template has it; None where it is out of the ordinary."""
    if not all(t.device is CPU and t.dtype is not bfloat16 for t in node.outputs):
        return None
    if any(is_symbolic(t.shape) for t in node.outputs):
        return None
    if node.hooks is not None or node.released:
        return None
    if node.prim is None:
        return Entry(None, {}, node.outputs)
    if not may_have_template(node.prim):
        return None
    operands, saved = node.saved
    if not all(map(_is_plain, node.params.values())) or not all(map(_is_usual, operands)):
        return None
    edges = tuple(None if e is None else (places[e[0]], e[1]) for e in node.inputs)
    kept = tuple(_kept(x, edge, values) for x, edge in zip(operands, edges, strict=True))
    results = None
    if saved is not None:
        if any(r[0] is None for r in saved):
            return None  # a capture has put it there, which keeps the tensor itself
        pairs = zip(saved, node.outputs, strict=True)
        results = tuple(values.number(r[0], t) for r, t in pairs)
    return Entry(node.prim, node.params, node.outputs, edges, kept, results)


def _is_usual(operand: Any) -> bool:
    """Whether `_kept` knows what to make of what a tape entry has of an operand."""
    if type(operand) is tuple:
        return operand[0].device is CPU and operand[0].dtype is not bfloat16
    return type(operand) in (TensorType, Tensor, *NUMBERS)


def _kept(operand: Any, edge: Any, values: _Values) -> Any:
    """What `Entry.kept` has of an operand."""
    if type(operand) is tuple:
        tensor = operand[0]
        return (values.number(tensor._data, tensor.tensor_type),)
    if type(operand) is TensorType:
        return operand if edge is None else None
    # a tensor by itself is an operand of a composite, whose gradient does not read it
    return operand if type(operand) in NUMBERS else None


def _is_plain(x: Any, inside: bool = False) -> bool:
    """Whether a parameter is one that `match` compares exactly."""
    if type(x) is tuple:
        return all(_is_plain(y, True) for y in x)
    if type(x) is Graph:
        return not of_all_sizes(x)
    return x is None or type(x) in (bool, int, str) or (type(x) is float and not inside)


def match(template: Template, root: TapeNode) -> tuple[list[TapeNode], list[Any]] | None:
    """The entries of the tape behind `root` and the arrays that they saved, if it is as `template` says; else None.

    A tape with hooks, with saved values that were written since, or that was swept, is not: its sweep has to see to
    that. The native one (`backends/native/quick/match.py`) does the same.
    """
    nodes: list[Any] = [root] + [None] * (len(template.entries) - 1)
    arrays: list[Any] = [None] * len(template.types)
    before = None
    for entry, node in zip(template.entries, nodes, strict=True):
        if node.prim is not entry.prim or node.hooks is not None or node.released:
            return None
        if before is not None and node.seq >= before:
            return None
        before = node.seq
        if node.outputs != entry.outputs:
            return None
        if entry.prim is None:
            continue
        if not _same(node.params, entry.params) or not _follow_edges(node, entry, nodes):
            return None
        if not _take_saved(node, entry, template, arrays):
            return None
    return nodes, arrays


def _follow_edges(node: TapeNode, entry: Entry, nodes: list[Any]) -> bool:
    """Notes which entries made the operands; False where they are others than `entry` says."""
    if len(node.inputs) != len(entry.edges):
        return False
    for edge, expected in zip(node.inputs, entry.edges, strict=True):
        if edge is None or expected is None:
            if edge is not expected:
                return False
            continue
        if nodes[expected[0]] is None:
            nodes[expected[0]] = edge[0]
        if nodes[expected[0]] is not edge[0] or edge[1] != expected[1]:
            return False
    return True


def _take_saved(node: TapeNode, entry: Entry, template: Template, arrays: list[Any]) -> bool:
    """Notes the arrays that an entry saved; False where they are not as `entry` says, or were written since."""

    def take(i: int, array: Any) -> bool:
        if arrays[i] is None and type(array) is np.ndarray:
            arrays[i] = array
            return bool(array.shape == template.types[i].shape)
        return arrays[i] is array

    for kept, wanted in zip(node.saved[0], entry.kept, strict=True):
        if type(wanted) is tuple:
            if type(kept) is not tuple:  # a number, where the template has a tensor
                return False
            t, version = kept
            i = wanted[0]
            if t._version != version or t.dtype is not template.types[i].dtype:
                return False
            if not isinstance(t, Tensor) or not take(i, t._data):
                return False
        elif wanted is not None and exact(kept) != exact(wanted):
            return False
    if entry.results is not None:
        for (data, cell, version, *_), i in zip(node.saved[1], entry.results, strict=True):
            if cell[0] != version or not take(i, data):
                return False
    return True


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a is b or (a.keys() == b.keys() and all(exact(a[k]) == exact(v) for k, v in b.items()))
