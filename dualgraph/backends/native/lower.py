"""Lowering: the body of a fused group becomes a kernel of the loop IR.

Given: a body whose nodes are elementwise ops, index maps (`index_maps`) and folds of a monoid.
Result: one nest for each set of outer axes. In a nest with reductions every turn of the outer axes
makes passes over the inner ones: one for each level of reductions, then one that stores. What a
pass needs is computed again in it, so that rows never travel through memory.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...core.types import Shape
from ...static.graph import Graph
from .axes import AxisMap, Dim
from .expressions import MAX_NODES, Expr, build, check_node, contiguous
from .index_maps import Split, linear, strides_of
from .loop_ir import (
    Affine,
    Apply,
    Axis,
    Buffer,
    Constant,
    Fold,
    Kernel,
    Load,
    Loop,
    Nest,
    Reduce,
    Statement,
    Store,
    Unsupported,
)

Strides = tuple[tuple[int, ...] | None, ...]


def lower(body: Graph, in_strides: Strides | None = None) -> Kernel:
    """The kernel of a fused body; `in_strides` (in elements, None: C-contiguous) say how inputs lie.

    Buffers are the inputs, then the outputs (C-contiguous), in the order of the body.
    Raises Unsupported for bodies that no kernel can express.
    """
    if len(body.nodes) > MAX_NODES or not body.outputs:
        raise Unsupported(f"{len(body.nodes)} ops in one kernel")
    for node in body.nodes:
        check_node(node)
    strides = contiguous(body)
    if in_strides is not None:
        strides = tuple(own if s is None else s for s, own in zip(in_strides, strides, strict=True))
    splits: dict[Dim, tuple[int, ...]] = {}
    while True:
        axes = AxisMap(body, splits)
        try:
            exprs = build(body, strides, axes)
            break
        except Split as cut:
            splits = axes.split(cut.axis, cut.inner)
    outs = [_output(k, e, body, axes) for k, e in enumerate(exprs)]
    buffers = tuple(
        [Buffer(v.type.dtype, "in") for v in body.inputs] + [Buffer(v.type.dtype, "out") for v in body.outputs]
    )
    return Kernel(buffers, tuple(_nest(group, axes) for group in _groups(outs)))


class Output:
    """An output: its expression, its buffer, where it is stored, and the axes that stand outside its reductions."""

    def __init__(self, expr: Expr, buffer: int, index: Affine, order: tuple[int, ...]) -> None:
        self.expr, self.buffer, self.index, self.order = expr, buffer, index, order
        folds = [e for e in closure([expr]) if e.form == "reduce"]
        outer = {e.axes for e in folds} or {frozenset(order)}
        if len(outer) > 1:
            raise Unsupported("reductions over different axes")
        self.outer = next(iter(outer))
        if not self.outer <= set(order):
            raise Unsupported("a reduction inside another one's loop")
        self.folds = bool(folds)


def _output(k: int, expr: Expr, body: Graph, axes: AxisMap) -> Output:
    v = body.outputs[k]
    shape: Shape = v.type.shape
    if not shape:
        return Output(expr, len(body.inputs) + k, Affine(), ())
    place = axes.place(v)  # type: ignore[arg-type]
    order = tuple(a for i, d in enumerate(shape) if d != 1 for a in axes.axes((v, i)))  # type: ignore[arg-type]
    return Output(expr, len(body.inputs) + k, linear(place, strides_of(shape)), order)


def closure(roots: Iterable[Expr], stop: frozenset[int] | None = None) -> list[Expr]:
    """The expressions that `roots` need, operands first.

    With `stop`, only those that depend on other axes than these: what varies inside one outer turn.
    """
    seen: dict[int, Expr] = {}
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e.id not in seen and (stop is None or not e.axes <= stop):
            seen[e.id] = e
            stack += e.args if stop is None or e.form != "reduce" else ()
    return [seen[i] for i in sorted(seen)]


def _groups(outs: list[Output]) -> list[list[Output]]:
    """Outputs that one nest can store: same outer axes; plain ones join a reduction they can run along with."""
    groups: dict[frozenset[int], list[Output]] = {}
    for out in (o for o in outs if o.folds):
        groups.setdefault(out.outer, []).append(out)
    for out in (o for o in outs if not o.folds):
        inner = [_inner(g) for g in groups.values()]
        home = next(
            (outer for outer, ax in zip(groups, inner, strict=True) if out.outer in (outer, outer | ax)), out.outer
        )
        groups.setdefault(home, []).append(out)
    return list(groups.values())


def _inner(group: list[Output]) -> frozenset[int]:
    """Axes that the reductions of a group run over."""
    folds = [e for e in closure(o.expr for o in group) if e.form == "reduce"]
    return frozenset(a for e in folds for a in e.data[1])


def _nest(group: list[Output], axes: AxisMap) -> Nest:
    longest = max(group, key=lambda o: len(o.order))
    outer = tuple(a for a in longest.order if a in group[0].outer)
    return _Schedule(group, outer, axes).nest()


class _Schedule:
    """Places the expressions of a nest: which loop computes what, in which order."""

    def __init__(self, group: list[Output], outer: tuple[int, ...], axes: AxisMap) -> None:
        self.group = group
        self.exprs = closure(o.expr for o in group)
        self.folds = [e for e in self.exprs if e.form == "reduce"]
        inner = [tuple(a for a in o.order if a not in outer) for o in group]
        indexes = [o.index for o in group] + [e.data[1] for e in self.exprs if e.form == "load"]
        self.gone, self.extents = merge([outer, *inner, *(e.data[1] for e in self.folds)], indexes, axes.extents)
        self.outer = self.kept(outer)
        self.level = frozenset(outer)
        self.inner_stores: dict[tuple[int, ...], list[Output]] = {}
        for o, over in zip(group, inner, strict=True):
            if over:
                self.inner_stores.setdefault(self.kept(over), []).append(o)

    def kept(self, over: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(a for a in over if a not in self.gone)

    def nest(self) -> Nest:
        return Nest(self.with_passes() if self.folds or self.inner_stores else self.plain())

    def plain(self) -> tuple[Statement, ...]:
        """No reductions: vectors along the last axis, what does not vary along it computed before it."""
        rows = self.level - set(self.outer[-1:])
        if len(self.outer) <= 1:
            rows = frozenset()
        stores = tuple(self.store(o) for o in self.group)
        fixed = tuple(self.statement(e) for e in self.exprs if e.axes <= rows)
        moving = tuple(self.statement(e) for e in closure((o.expr for o in self.group), rows))
        if len(self.outer) <= 1:
            return (*fixed, self.loop(self.outer, (*moving, *stores), parallel=True, vector=True))
        inner = self.loop(self.outer[-1:], (*moving, *stores), vector=True)
        return (self.loop(self.outer[:-1], (*fixed, inner), parallel=True),)

    def with_passes(self) -> tuple[Statement, ...]:
        """Reductions level by level, what stands between them, then the stores."""
        across = self.vectors_across()
        body: list[Statement] = []
        rowwise = [e for e in self.exprs if e.axes <= self.level]
        for depth in range(max(e.depth for e in self.exprs) + 1):
            passes: dict[tuple[int, ...], list[Expr]] = {}
            for e in rowwise:
                if e.form == "reduce" and e.depth == depth:
                    passes.setdefault(e.data[1], []).append(e)
            body += [self.reduce(over, folds, not across) for over, folds in passes.items()]
            body += [self.statement(e) for e in rowwise if e.form != "reduce" and e.depth == depth]
        body += [self.store(o) for o in self.group if set(o.order) <= self.level]
        for inner, outs in self.inner_stores.items():
            moving = [self.statement(e) for e in closure((o.expr for o in outs), self.level)]
            body.append(self.loop(inner, (*moving, *map(self.store, outs)), vector=not across))
        if not across:
            return (self.loop(self.outer, tuple(body), parallel=True),)
        if len(self.outer) == 1:
            return (self.loop(self.outer, tuple(body), parallel=True, vector=True),)
        columns = self.loop(self.outer[-1:], tuple(body), vector=True)
        return (self.loop(self.outer[:-1], (columns,), parallel=True),)

    def vectors_across(self) -> bool:
        """Whether vectors lie along the last outer axis (each lane a reduction of its own)."""
        if not self.outer or self.extents[self.outer[-1]] < 8:
            return False
        along = {e.data[1][-1] for e in self.folds if e.data[1]}
        loads = [e.data[1] for e in self.exprs if e.form == "load" and len(e.axes) > 1]
        return sum(i.coefficient(self.outer[-1]) == 1 for i in loads) > sum(
            any(i.coefficient(a) == 1 for a in along) for i in loads
        )

    def reduce(self, over: tuple[int, ...], folds: list[Expr], vector: bool) -> Reduce:
        values = [e.args[0] for e in folds]
        body = tuple(self.statement(e) for e in closure(values, self.level))
        results = tuple(Fold(e.id, e.dtype, e.data[0], e.args[0].id) for e in folds)
        return Reduce(self.counters(self.kept(over)), body, results, vector)

    def loop(self, over: tuple[int, ...], body: tuple[Statement, ...], **how: bool) -> Loop:
        return Loop(self.counters(over), body, **how)

    def counters(self, over: tuple[int, ...]) -> tuple[Axis, ...]:
        return tuple(Axis(a, self.extents[a]) for a in over)

    def index(self, index: Affine) -> Affine:
        return Affine(index.const, tuple(t for t in index.terms if t[0] not in self.gone))

    def store(self, o: Output) -> Store:
        return Store(o.buffer, self.index(o.index), o.expr.id)

    def statement(self, e: Expr) -> Statement:
        """The statement that computes an expression from its operands."""
        if e.form == "load":
            return Load(e.id, e.dtype, e.data[0], self.index(e.data[1]))
        if e.form == "constant":
            return Constant(e.id, e.dtype, e.data[0])
        prim, params = e.data
        return Apply(e.id, e.dtype, prim, params, tuple(a.id for a in e.args))


def merge(
    loops: list[tuple[int, ...]], indexes: list[Affine], extents: dict[int, int]
) -> tuple[set[int], dict[int, int]]:
    """Merges neighbouring axes wherever all indexes run through both as through one.

    Result: the axes that are gone (into the next one inside), and the extents of those that stay.
    """
    gone: set[int] = set()
    extents = dict(extents)
    pairs = dict.fromkeys(p for axes in loops for p in zip(axes, axes[1:], strict=False))
    for a, b in pairs:
        together = all((a, b) in zip(axes, axes[1:], strict=False) for axes in loops if a in axes or b in axes)
        if together and all(i.coefficient(a) == i.coefficient(b) * extents[b] for i in indexes):  # type: ignore[operator]
            gone.add(a)
            extents[b] *= extents[a]
    return gone, extents
