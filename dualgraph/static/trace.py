"""Traces: what a capture has found out, as records - where inputs come from, the graph, what the call writes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core.constant import exact
from ..core.devices import CPU, Device
from ..core.errors import Location
from ..core.node import Node
from ..core.numbers.draws import Draw, Reading, Whole
from ..core.types import TensorType
from .code.flow import Flow
from .graph import Graph, Operand


class Slot(NamedTuple):
    """Where an input comes from on each call, by its `kind`:

    "leaf"       leaf number ``key[0]`` of the arguments
    "leaf grad"  the ``.grad`` of such a leaf
    "tensor"     the tensor `key`, read afresh
    "grad"       the ``.grad`` of the tensor `key`
    "array"      the NumPy array `key`, read afresh
    "place"      the tensor that ``key.read()`` gives
    "number"     the Python float in a dict, which are `key`: the dict and its key
    "computed"   the Python number that the formulas in `key` give
    "worked"     the array that NumPy works out by the recipe in `key`

    ``required``: the call makes it a leaf that requires gradients, before it uses it.
    """

    kind: str
    key: Any
    type: TensorType
    requires_grad: bool = False
    required: bool = False


class Concrete(NamedTuple):
    """A value that Python took out of a tensor during capture: equal on each call, or the path differs; or a random
    number that it drew, which is another on each call. The operand of such a one says no more than its type. A tensor's
    array as a whole (`Whole`) is another on each call, too."""

    operand: Operand
    value: Any
    where: Location
    at: int = 0  # nodes recorded before it
    flow: Flow | None = None  # where it goes, if nowhere but into the result
    draw: Draw | Reading | Whole | None = None

    @property
    def outcome(self) -> Any:
        """What leads the way: the number, exactly. An array does not, whatever is in it."""
        return None if isinstance(self.value, np.ndarray) else exact(self.value)

    @property
    def name(self) -> str:
        """What users know it by."""
        return str(self.operand) if self.draw is None else self.draw.name

    def alike(self, other: Concrete) -> bool:
        """Whether another capture took its number out of the same tensor, or drew it in the same way."""
        like = other.draw is None if self.draw is None else self.draw.same(other.draw)
        return like and self.operand == other.operand


class Inside(NamedTuple):
    """A value in a body: where the ops stand whose bodies lead to it, outermost first, and what makes it there -
    result `output` of op number `number` among those of one kind and line."""

    at: tuple[Location, ...]
    prim: str
    where: Location
    number: int
    output: int


class Mark(NamedTuple):
    """A value that has a name: leaf number `leaf` of what `owner` (a module, or a text) gave."""

    owner: Any
    leaf: int
    operand: Operand | Inside


class Store(NamedTuple):
    """When a call ends, output `output` is copied into the memory of input `input`."""

    input: int
    output: int


class GradEffect(NamedTuple):
    """When a call ends, the ``.grad`` of slot `owner` becomes output `output` (None: no gradient), or, where it has a
    history, result `result`. ``released``: the history is there, but was swept."""

    owner: Any
    output: int | None
    result: int | None = None
    released: bool = False


class Recording(NamedTuple):
    """What a tracer wrote down, op by op: nodes, composites, and the nodes that gave views."""

    nodes: tuple[Node, ...]
    scopes: tuple[tuple[int, int, str], ...]
    views: frozenset[int]


class Trace(NamedTuple):
    """A finished capture: the graph and what its inputs and outputs mean.

    Outputs are, in order: results, gradients, stored values, numbers of the result, concrete values.
    """

    graph: Graph
    slots: tuple[Slot, ...]
    stores: tuple[Store, ...]
    grads: tuple[GradEffect, ...]
    entry_grads: tuple[tuple[Any, bool], ...]  # (tensor, had a gradient at entry), if that was read
    concrete: tuple[Concrete, ...]
    results: int
    recording: Recording | None = None  # of a path that may be cut
    numbers: tuple[Concrete, ...] = ()

    @property
    def draws(self) -> list[tuple[Draw, Any]]:
        """The random numbers that Python drew, and how."""
        return [(c.draw, c.value) for c in self.concrete if type(c.draw) is Draw]

    @property
    def device(self) -> Device:
        """The device that it runs on: the CPU only where all of it is there."""
        return next((t.device for t in self.graph.all_types() if t.device is not CPU), CPU)
