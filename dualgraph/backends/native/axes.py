"""Axes: which dimensions of a body's vars run together under one loop counter.

Dimensions that elementwise ops, reductions (kept ones), permutations and trivial reshapes carry over
unchanged form a class (union-find); each class is one loop axis, or several where a reshape splits it.
"""

from __future__ import annotations

from ...core.kinds import ELEMENTWISE, REDUCTION
from ...core.node import Node, Var
from ...core.types import Shape
from ...static.graph import Graph
from .index_maps import ZERO, Place
from .loop_ir import Affine

Dim = tuple[Var, int]


class AxisMap:
    """Loop axes of every dimension of every var. `splits` gives the extents of a class's axes."""

    def __init__(self, body: Graph, splits: dict[Dim, tuple[int, ...]]) -> None:
        self._parent: dict[Dim, Dim] = {}
        self._members: dict[Dim, dict[Var, int]] = {}
        self._splits = splits
        self._axes: dict[Dim, tuple[int, ...]] = {}
        self.extents: dict[int, int] = {}
        self.owner: dict[int, Dim] = {}
        for node in body.nodes:
            for a, b in _carried(node):
                self._join(self.root(a), self.root(b))

    def _join(self, a: Dim, b: Dim) -> None:
        """Makes two classes one, unless that would give two dimensions of one var the same counter."""
        ours, theirs = self._members.get(a, dict([a])), self._members.get(b, dict([b]))
        if a != b and not any(v in theirs and theirs[v] != i for v, i in ours.items()):
            self._parent[a] = b
            self._members[b] = theirs | ours

    def root(self, dim: Dim) -> Dim:
        while (parent := self._parent.get(dim, dim)) != dim:
            dim = parent
        return dim

    def axes(self, dim: Dim) -> tuple[int, ...]:
        """Ids of the axes of a dimension, outermost first."""
        root = self.root(dim)
        if root not in self._axes:
            extents = self._splits.get(root, (root[0].type.shape[root[1]],))
            first = len(self.extents)
            self._axes[root] = tuple(range(first, first + len(extents)))
            self.extents.update(zip(self._axes[root], extents, strict=True))
            self.owner.update((a, root) for a in self._axes[root])
        return self._axes[root]

    def fresh(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """New axes that belong to no dimension."""
        first = len(self.extents)
        ids = tuple(range(first, first + len(extents)))
        self.extents.update(zip(ids, extents, strict=True))
        return ids

    def index(self, dim: Dim) -> Affine:
        """The counter of a dimension."""
        out = ZERO
        for axis in self.axes(dim):
            out = out * self.extents[axis] + Affine(0, ((axis, 1),))
        return out

    def place(self, v: Var) -> Place:
        """The place of `v` that the loops stand at."""
        return tuple(ZERO if d == 1 else self.index((v, i)) for i, d in enumerate(v.type.shape))

    def reduced(self, node: Node) -> tuple[int, ...]:
        """Ids of the axes that a reduction folds, outermost first."""
        x = node.inputs[0]
        kept = [i for i in node.params["axes"] if x.type.shape[i] != 1]
        return tuple(axis for i in kept for axis in self.axes((x, i)))

    def split(self, axis: int, inner: int) -> dict[Dim, tuple[int, ...]]:
        """The splits with `axis` cut into an outer and an inner one."""
        root = self.owner[axis]
        cut = (self.extents[axis] // inner, inner)
        parts = [cut if a == axis else (self.extents[a],) for a in self._axes[root]]
        return {**self._splits, root: tuple(e for part in parts for e in part)}


def _carried(node: Node) -> list[tuple[Dim, Dim]]:
    """Pairs of operand and result dimensions that are one counter."""
    out, shape = node.outputs[0], node.outputs[0].type.shape
    pairs: list[tuple[Dim, Dim]] = []
    for v in node.inputs:
        if not isinstance(v, Var):
            continue
        source = v.type.shape
        if node.prim.kind is ELEMENTWISE or node.prim.name == "broadcast_to":
            offset = len(shape) - len(source)
            dims = [(i, i + offset) for i in range(len(source))]
        elif node.prim.kind is REDUCTION:
            kept = [i for i in range(len(source)) if i not in node.params["axes"]]
            dims = [(i, i if node.params["keepdims"] else kept.index(i)) for i in kept]
        elif node.prim.name == "permute":
            dims = [(axis, i) for i, axis in enumerate(node.params["axes"])]
        elif node.prim.name == "reshape":
            dims = _same_digits(source, shape)
        elif node.prim.name == "lattice":
            dims = _stepped(**node.params)
        else:
            dims = [(i, i) for i in range(len(source)) if _untouched(node, i)]
        pairs += [((v, i), (out, j)) for i, j in dims if source[i] == shape[j] != 1]
    return pairs


def _untouched(node: Node, i: int) -> bool:
    """Whether a slice, flip or copy leaves dimension `i` as it is."""
    params = node.params
    if not params:
        return True
    if "starts" in params:
        return bool(params["starts"][i] == 0 and params["steps"][i] == 1)
    return i not in params.get("axes", (i,))


def _stepped(shape: Shape, starts: Shape, steps: tuple[Shape, ...]) -> list[tuple[int, int]]:
    """Dimensions that one axis of a lattice, and no other, goes along from the first place on, place by place."""
    along = [[i for i, step in enumerate(steps) if step[axis] != 0] for axis in range(len(starts))]
    return [
        (axis, who[0])
        for axis, who in enumerate(along)
        if len(who) == 1
        and starts[axis] == 0
        and steps[who[0]][axis] == sum(map(abs, steps[who[0]])) == 1
    ]


def _same_digits(source: Shape, shape: Shape) -> list[tuple[int, int]]:
    """Dimensions that a reshape keeps: equal, with equal products of what stands before them."""
    before: dict[tuple[int, int], int] = {}
    product = 1
    for i, d in enumerate(source):
        if d != 1:
            before[product, d] = i
        product *= d
    pairs, product = [], 1
    for j, d in enumerate(shape):
        if (product, d) in before and d != 1:
            pairs.append((before[product, d], j))
        product *= d
    return pairs
