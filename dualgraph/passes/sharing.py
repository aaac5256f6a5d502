"""Sharing: which values may lie in the same memory, and where it shows how a value lies in memory."""

from __future__ import annotations

from ..core.kinds import CREATION, ELEMENTWISE, MOVEMENT, REDUCTION
from ..core.node import Node, Var
from ..static.graph import Graph, Operand
from ..static.region import fused_region, is_region
from .layout import Layout, row_major, same_strides, view_layout

INDIFFERENT = (ELEMENTWISE, REDUCTION, MOVEMENT, CREATION)  # kinds whose bits no layout can change


def alias_bases(graph: Graph) -> dict[Var, Var]:
    """For each var that may share the memory of an operand: that operand."""
    bases: dict[Var, Var] = {}
    for node in graph.nodes:
        for out, base in zip(node.outputs, _bases(node), strict=True):
            if isinstance(base, Var):
                bases[out] = base
    return bases


def alias_root(v: Var, bases: dict[Var, Var]) -> Var:
    """The oldest var whose memory `v` may share."""
    while v in bases:
        v = bases[v]
    return v


def _bases(node: Node) -> list[Operand | None]:
    """For each result the operand whose memory it may share."""
    if node.prim.aliases:
        return [node.inputs[0]] * len(node.outputs)
    if not is_region(node):
        return [None] * len(node.outputs)
    body: Graph = node.params["body"]
    inner, given = alias_bases(body), dict(zip(body.inputs, node.inputs, strict=True))
    return [given.get(alias_root(v, inner)) if isinstance(v, Var) else None for v in body.outputs]


def layout_shows(graph: Graph) -> set[Var]:
    """Vars whose strides somebody can see: the program hands them out, or a kernel reads them (directly
    or as a view) that may round otherwise for another layout, as library matrix products do."""
    seen = {v for v in graph.outputs if isinstance(v, Var)}
    for node in reversed(graph.nodes):
        indifferent = node.prim.kind in INDIFFERENT or node.prim is fused_region
        if not indifferent or (node.prim.aliases and not seen.isdisjoint(node.outputs)):
            seen.update(v for v in node.inputs if isinstance(v, Var))
    return seen


class Sharing:
    """What must hold when one var takes the place of another, while a pass replaces them.

    * A result that eager mode puts in memory of its own becomes neither an input nor another result:
      its new owner may write to it.
    * Where strides show, they stay as they are in eager mode.
    """

    def __init__(self, graph: Graph) -> None:
        self.bases = alias_bases(graph)
        self.inputs = set(graph.inputs)
        self.escaping = {alias_root(v, self.bases) for v in graph.outputs if isinstance(v, Var)}
        self.shows = layout_shows(graph)
        self.layouts = {v: row_major(v.type) for v in graph.inputs}
        for node in graph.nodes:
            self.note(node)

    def note(self, node: Node) -> None:
        """Takes down the layouts of a node's results."""
        if node.prim.aliases:
            self.layouts[node.outputs[0]] = self.layout_of(node)
        else:
            self.layouts.update((v, row_major(v.type)) for v in node.outputs)

    def layout_of(self, node: Node) -> Layout:
        """The layout that eager mode gives a node's result (for a view: in that of its operand)."""
        base = node.inputs[0] if node.prim.aliases else None
        found = view_layout(node, self.layouts[base]) if isinstance(base, Var) else None
        return found or row_major(node.outputs[0].type)

    def may_replace(self, old: Var, new: Var) -> bool:
        """Whether `new` may stand for `old`; a True is taken as done."""
        return self._may_take(old, new, self.layouts[new])

    def may_compute(self, out: Var, node: Node) -> bool:
        """Whether `out` may be what `node` gives, rather than what it was; a True is taken as done."""
        layout = self.layout_of(node)
        base = node.inputs[0] if node.prim.aliases else None
        if isinstance(base, Var):
            if not self._may_take(out, base, layout):
                return False
        elif out in self.bases:
            return False
        self.layouts[out] = layout
        return True

    def _may_take(self, old: Var, base: Var, layout: Layout) -> bool:
        """Whether `old` may lie where `base` does, in `layout`; a True is taken as done."""
        root, target = alias_root(old, self.bases), alias_root(base, self.bases)
        if old in self.shows and not same_strides(old.type, self.layouts[old], layout):
            return False
        if root == target:
            return True
        if old in self.shows and target in self.inputs:  # an input may have any strides
            return False
        if root in self.escaping:
            if target in self.inputs or target in self.escaping:
                return False
            self.escaping.add(target)
        self.bases[old] = base
        return True
