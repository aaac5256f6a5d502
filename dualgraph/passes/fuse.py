"""Fusion: groups of elementwise ops, index maps and reductions become regions that one kernel computes.

A group is convex: no path leads out of it and back in. Views (ops that alias) belong to no group: each
group that reads through them gets copies, where they are nothing but index arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import NamedTuple

from ..core.kinds import REDUCTION
from ..core.node import Node, Var
from ..core.pieces import pieces_of
from ..static.graph import Graph
from .fuel import FUEL
from .layout import Layout, row_major, view_layout
from .reach import Reach, bits
from .regions import Extractor, replace_groups

CanFuse = Callable[[Node], bool]
Accept = Callable[[Graph], bool]

MAX_NODES = 120  # in one group
PIECES = 32  # that a group may put together at most
READ_TURNED = 2  # arrays that a group may read against the order in which they lie, to spare the result in between
# How freely a node may join; see `Grower.fits`.
ALL, REDUCE_LAST, NO_MAPS, SAME_SHAPE, ALONE = range(5)


class Space(NamedTuple):
    """What a group loops over: `full` places, and `kept` of them after its reductions (None without any)."""

    full: int
    kept: int | None
    nodes: int
    strictness: int

    def join(self, other: Space) -> Space:
        kept = other.kept if self.kept is None else self.kept
        strictness = max(self.strictness, other.strictness)
        return Space(max(self.full, other.full), kept, self.nodes + other.nodes, strictness)


def fuse(graph: Graph, can_fuse: CanFuse, accept: Accept, singles: bool = False) -> Graph:
    """Given: ``can_fuse(node)``, whether the backend can put an op into a kernel, and ``accept(body)``,
    whether it can make a kernel of a whole body.

    Result: accepted groups are `fused` regions (with ``singles``, also lone nodes). A group that is not
    accepted is tried again in smaller pieces. Bodies are numbered canonically, so equal kernels are equal.
    """
    strictness = dict.fromkeys(range(len(graph.nodes)), ALL)
    extractor = Extractor(graph, lambda n: n.prim.aliases and can_fuse(n))
    accepted: dict[int, bool] = {}
    while True:
        groups = list(Grower(graph, extractor, can_fuse, strictness).groups(1 if singles else 2))
        refused = []
        for members in groups:
            if members not in accepted:
                accepted[members] = accept(extractor.extract(list(bits(members))).body)
            if not accepted[members]:
                refused.append(members)
        if not refused:
            return replace_groups(graph, extractor, [list(bits(m)) for m in groups])
        for i in (i for members in refused for i in bits(members)):
            strictness[i] += 1


class Grower:
    """Merges nodes into groups along the values that flow between them."""

    def __init__(
        self, graph: Graph, extractor: Extractor, can_fuse: CanFuse, strictness: dict[int, int]
    ) -> None:
        self.nodes = graph.nodes
        self.extractor = extractor
        self.reach = Reach([extractor.reads(i) for i in range(len(graph.nodes))])
        self.turned = turned_views(graph, extractor)
        self.spaces: dict[int, Space] = {}  # by group
        for i, node in enumerate(graph.nodes):
            if strictness[i] <= ALONE and not extractor.is_free(i) and can_fuse(node):
                self.spaces[i] = self.space_of(node, strictness[i])

    def space_of(self, node: Node, strictness: int) -> Space:
        size = node.outputs[0].type.size
        if node.prim.kind is REDUCTION:
            return Space(node.inputs[0].type.size, size, 1, strictness)
        pieces = pieces_of(node)
        if pieces is not None:  # at the end of whatever makes its largest operand
            taken = [(node.inputs[p.source].type, p) for p in pieces if p.source is not None]
            size = max((t.size for t, p in taken if t.shape == p.shape), default=0)
            return Space(size, None, 0, strictness)
        return Space(size, None, 1, strictness)

    def groups(self, least: int) -> Iterator[int]:
        """Bit sets of nodes, each a group of at least `least` nodes."""
        for i in range(len(self.nodes)):
            for v in self.nodes[i].inputs:
                if isinstance(v, Var):
                    self.try_edge(v, i)
        self.join_siblings()
        for g in self.spaces:
            if self.reach.group[g] == g and self.spaces[g].nodes >= least:
                yield self.reach.members[g]

    def try_edge(self, v: Var, consumer: int) -> None:
        """Merges the group that makes `v` with the group of a node that reads it, if they make one kernel."""
        base = self.extractor.base(v)
        producer = self.extractor.producer(base)
        if producer is None:
            return
        a, b = self.reach.group[producer], self.reach.group[consumer]
        if a == b or a not in self.spaces or b not in self.spaces:
            return
        pieced = pieces_of(self.nodes[producer]) is not None
        if self.nests(a, b, v, base, consumer) if pieced else self.fits(a, b, v, base):
            self.try_merge(a, b)

    def nests(self, a: int, b: int, v: Var, base: Var, consumer: int) -> bool:
        """Whether what producer `a` puts together is the largest piece of what `consumer`, in `b`, does."""
        one, two = self.spaces[a], self.spaces[b]
        if max(one.strictness, two.strictness) >= NO_MAPS or v != base or v.type.size != two.full:
            return False
        if two.nodes or pieces_of(self.nodes[consumer]) is None:
            return False
        members = list(bits(self.reach.members[a] | self.reach.members[b]))
        counts = [len(p) for i in members if (p := pieces_of(self.nodes[i])) is not None]
        return prod(counts) <= PIECES

    def fits(self, a: int, b: int, v: Var, base: Var) -> bool:
        """Whether the loops of producer `a` and consumer `b` are those of one kernel, where b reads `base` as `v`."""
        one, two = self.spaces[a], self.spaces[b]
        strictness = max(one.strictness, two.strictness)
        if strictness >= ALONE or (strictness >= NO_MAPS and v != base):
            return False
        if v in self.turned and self.reads(a, one.full) > READ_TURNED:
            return False
        if strictness >= SAME_SHAPE and (one.kept is not None or two.kept is not None):
            return False
        if one.kept is None:  # elementwise into anything that walks all of it
            return one.full == two.full and v.type.size == base.type.size
        if strictness >= REDUCE_LAST:
            return False
        # A reduction, then places kept (an epilogue) or all places (to normalise).
        if two.kept is None:
            return two.full in (one.full, one.kept)
        return one.full == two.full and one.kept == two.kept

    def reads(self, group: int, size: int) -> int:
        """How many arrays of so many elements a group reads."""
        members = list(bits(self.reach.members[group]))
        made = {v for i in members for v in self.nodes[i].outputs}
        read = {v for i in members for v in self.nodes[i].inputs if isinstance(v, Var)}
        bases = {self.extractor.base(v) for v in read} - made
        return sum(v.type.size == size for v in bases)

    def join_siblings(self) -> None:
        """Merges groups that read one value in the same way, so that it is read once."""
        readers: dict[Var, int] = {}
        for i, node in enumerate(self.nodes):
            if self.reach.group[i] not in self.spaces:
                continue
            for v in node.inputs:
                if not isinstance(v, Var):
                    continue
                first = readers.setdefault(v, i)
                a, b = self.reach.group[first], self.reach.group[i]
                if a != b and self.alike(a, b) and v.type.size == self.spaces[b].full:
                    self.try_merge(a, b)

    def alike(self, a: int, b: int) -> bool:
        one, two = self.spaces[a], self.spaces[b]
        if max(one.strictness, two.strictness) >= NO_MAPS or one.full != two.full:
            return False
        return one.kept is None or two.kept is None or one.kept == two.kept

    def try_merge(self, a: int, b: int) -> None:
        one, two = self.spaces[a], self.spaces[b]
        if one.nodes + two.nodes > MAX_NODES or not self.reach.can_merge(a, b):
            return
        if not FUEL.merge(self.nodes[a], self.nodes[b]):
            return
        self.reach.merge(a, b)
        self.spaces[a] = one.join(two)
        del self.spaces[b]


def turned_views(graph: Graph, extractor: Extractor) -> set[Var]:
    """Views whose last axis does not run along memory, if what they are views of lies row by row."""
    layouts: dict[Var, Layout | None] = {}
    for i, node in enumerate(graph.nodes):
        if extractor.is_free(i) and isinstance(node.inputs[0], Var):
            base = layouts.get(node.inputs[0], row_major(node.inputs[0].type))
            layouts[node.outputs[0]] = None if base is None else view_layout(node, base)
    return {v for v, layout in layouts.items() if layout is not None and _is_turned(v, layout)}


def _is_turned(v: Var, layout: Layout) -> bool:
    steps = [s for d, s in zip(v.type.shape, layout.strides, strict=True) if d != 1]
    return bool(steps) and abs(steps[-1]) > v.type.dtype.itemsize and min(map(abs, steps)) > 0
