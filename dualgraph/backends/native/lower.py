"""Lowering: the body of a fused group becomes a kernel of the loop IR.

Given: a body whose nodes are elementwise ops, index maps (`index_maps`) and folds of a monoid.
Result: one nest for each set of outer axes. In a nest with reductions every turn of the outer axes
makes passes over the inner ones: one for each level of reductions, then one that stores. What a
pass needs is computed again in it, or kept in a row of scratch memory where that costs less.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

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
Weigh = Callable[[Expr], int]
INT32 = 2**31  # counters of lanes that run across the ends of rows are 32 bits wide
SHORT = 12  # elements; vectors run across the ends of rows shorter than that
KEEP_COST = (
    12  # instructions from which a value is rather kept from pass to pass than computed again
)
KEEP_BYTES = 2**18  # of a row of kept values


def lower(body: Graph, in_strides: Strides | None = None, weigh: Weigh = lambda e: 1) -> Kernel:
    """The kernel of a fused body; `in_strides` (in elements, None: C-contiguous) say how inputs lie.

    Buffers are the inputs, then the outputs (C-contiguous), in the order of the body, then scratch.
    `weigh` tells how many instructions the elementwise op of an expression takes.
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
    buffers = [Buffer(v.type.dtype, "in") for v in body.inputs]
    buffers += [Buffer(v.type.dtype, "out") for v in body.outputs]
    nests = tuple(_nest(group, axes, buffers, weigh) for group in _groups(outs))
    return Kernel(tuple(buffers), nests)


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


def closure(
    roots: Iterable[Expr], stop: frozenset[int] | None = None, ready: Collection[int] = ()
) -> list[Expr]:
    """The expressions that `roots` need, operands first; not what those with ids in `ready` need.

    With `stop`, only those that depend on other axes than these: what varies inside one outer turn.
    """
    seen: dict[int, Expr] = {}
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e.id not in seen and (stop is None or not e.axes <= stop):
            seen[e.id] = e
            stack += () if e.id in ready or (stop is not None and e.form == "reduce") else e.args
    return [seen[i] for i in sorted(seen)]


def _groups(outs: list[Output]) -> list[list[Output]]:
    """Outputs that one nest can store: same outer axes; plain ones join a reduction they can run along with."""
    groups: dict[frozenset[int], list[Output]] = {}
    for out in (o for o in outs if o.folds):
        groups.setdefault(out.outer, []).append(out)
    for out in (o for o in outs if not o.folds):
        inner = [_inner(g) for g in groups.values()]
        home = next(
            (
                outer
                for outer, ax in zip(groups, inner, strict=True)
                if out.outer in (outer, outer | ax)
            ),
            out.outer,
        )
        groups.setdefault(home, []).append(out)
    return list(groups.values())


def _inner(group: list[Output]) -> frozenset[int]:
    """Axes that the reductions of a group run over."""
    folds = [e for e in closure(o.expr for o in group) if e.form == "reduce"]
    return frozenset(a for e in folds for a in e.data[1])


def _nest(group: list[Output], axes: AxisMap, buffers: list[Buffer], weigh: Weigh) -> Nest:
    longest = max(group, key=lambda o: len(o.order))
    outer = tuple(a for a in longest.order if a in group[0].outer)
    return _Schedule(group, outer, axes, buffers, weigh).nest()


@dataclass(slots=True)
class Pass:
    """A run over the inner axes `over` that computes `roots`, to fold or to store them; over (): one value a turn."""

    over: tuple[int, ...]
    roots: list[Expr]
    folds: list[Expr] = field(default_factory=list)
    outs: list[Output] = field(default_factory=list)


class _Schedule:
    """Places the expressions of a nest: which loop computes what, in which order."""

    def __init__(
        self,
        group: list[Output],
        outer: tuple[int, ...],
        axes: AxisMap,
        buffers: list[Buffer],
        weigh: Weigh,
    ) -> None:
        self.group = group
        self.buffers = buffers
        self.done: set[int] = set()  # saved expressions that a pass has computed
        self.exprs = closure(o.expr for o in group)
        self.weights = {e.id: weigh(e) for e in self.exprs if e.form == "apply"}
        self.folds = [e for e in self.exprs if e.form == "reduce"]
        inner = [tuple(a for a in o.order if a not in outer) for o in group]
        indexes = [o.index for o in group] + [e.data[1] for e in self.exprs if e.form == "load"]
        self.gone, self.extents = merge(
            [outer, *inner, *(e.data[1] for e in self.folds)], indexes, axes.extents
        )
        self.outer = self.kept(outer)
        self.level = frozenset(outer)
        self.inner_stores: dict[tuple[int, ...], list[Output]] = {}
        for o, over in zip(group, inner, strict=True):
            if over:
                self.inner_stores.setdefault(self.kept(over), []).append(o)

    def kept(self, over: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(a for a in over if a not in self.gone)

    def nest(self) -> Nest:
        body = self.with_passes() if self.folds or self.inner_stores else self.plain()
        return Nest(body, sum(map(self.work, body)))

    def work(self, s: Statement) -> int:
        """Instructions that a statement takes in all turns of its loops, for one lane a vector."""
        if isinstance(s, Loop | Reduce):
            return prod(a.extent for a in s.axes) * (sum(map(self.work, s.body)) + 1)  # type: ignore[misc]
        return self.weights[s.dest] if isinstance(s, Apply) else 1

    def plain(self) -> tuple[Statement, ...]:
        """No reductions: vectors along the last axis, what does not vary along it computed before it."""
        total = prod(self.extents[a] for a in self.outer)
        flat = len(self.outer) <= 1 or (self.extents[self.outer[-1]] < SHORT and total < INT32)
        rows = frozenset() if flat else self.level - set(self.outer[-1:])
        stores = tuple(self.store(o) for o in self.group)
        fixed = tuple(self.statement(e) for e in self.exprs if e.axes <= rows)
        moving = tuple(self.statement(e) for e in closure((o.expr for o in self.group), rows))
        if flat:
            return (*fixed, self.loop(self.outer, (*moving, *stores), parallel=True, vector=True))
        inner = self.loop(self.outer[-1:], (*moving, *stores), vector=True)
        return (self.loop(self.outer[:-1], (*fixed, inner), parallel=True),)

    def with_passes(self) -> tuple[Statement, ...]:
        """Reductions level by level, what stands between them, then the stores."""
        across = self.vectors_across()
        rowwise = [e for e in self.exprs if e.axes <= self.level]
        passes: list[Pass] = []
        for depth in range(max(e.depth for e in self.exprs) + 1):
            by_axes: dict[tuple[int, ...], list[Expr]] = {}
            for e in rowwise:
                if e.form == "reduce" and e.depth == depth:
                    by_axes.setdefault(e.data[1], []).append(e)
            passes += [
                Pass(self.kept(over), [e.args[0] for e in folds], folds)
                for over, folds in by_axes.items()
            ]
            passes += [Pass((), [e]) for e in rowwise if e.form != "reduce" and e.depth == depth]
        stored = self.store_passes(passes)
        saved = {} if across else self.saved([p for p in (*passes, *stored) if p.over])
        body: list[Statement] = []
        for p in passes:
            body += (
                [self.reduce(p, saved, not across)]
                if p.folds
                else [self.statement(e) for e in p.roots]
            )
        body += [self.store(o) for o in self.group if set(o.order) <= self.level]
        for p in stored:
            body.append(self.loop(p.over, tuple(self.moving(p, saved)), vector=not across))
        if not across:
            return (self.loop(self.outer, tuple(body), parallel=True),)
        if len(self.outer) == 1:
            return (self.loop(self.outer, tuple(body), parallel=True, vector=True),)
        columns = self.loop(self.outer[-1:], tuple(body), vector=True)
        return (self.loop(self.outer[:-1], (columns,), parallel=True),)

    def store_passes(self, passes: list[Pass]) -> list[Pass]:
        """What stores along the inner axes: a fold over them that has the value at hand, else a pass of its own."""
        rest: dict[tuple[int, ...], Pass] = {}
        for over, outs in self.inner_stores.items():
            for o in outs:
                home = next(
                    (
                        p
                        for p in passes
                        if p.folds and p.over == over and o.expr.depth < p.folds[0].depth
                    ),
                    None,
                )
                home = home or rest.setdefault(over, Pass(over, []))
                home.roots.append(o.expr)
                home.outs.append(o)
        return list(rest.values())

    def saved(self, passes: list[Pass]) -> dict[int, int]:
        """Expressions of several passes that cost more to compute again than to keep: id -> scratch buffer."""
        uses: dict[int, list[Pass]] = {}
        for p in passes:
            for e in closure(p.roots, self.level):
                uses.setdefault(e.id, []).append(p)
        shared = {i for i, users in uses.items() if len({id(p) for p in users}) > 1}
        borders = {e.id: e for p in passes for e in p.roots if e.id in shared}
        for p in passes:
            for user in closure(p.roots, self.level):
                if user.id not in shared:
                    borders.update({e.id: e for e in user.args if e.id in shared})
        out: dict[int, int] = {}
        for e in borders.values():
            size = prod(self.extents[a] for a in uses[e.id][0].over)
            same_loops = len({p.over for p in uses[e.id]}) == 1
            if same_loops and size * e.dtype.itemsize <= KEEP_BYTES and self.cost(e) >= KEEP_COST:
                out[e.id] = len(self.buffers)
                self.buffers.append(Buffer(e.dtype, "scratch", size))
        return out

    def cost(self, e: Expr) -> int:
        """Instructions that an element of `e` takes, as far as they are in the inner loop."""
        return sum(self.weights[x.id] for x in closure([e], self.level) if x.form == "apply")

    def moving(self, p: Pass, saved: dict[int, int]) -> list[Statement]:
        """The inner statements of a pass; it saves what it is the first to compute and loads what is saved."""
        ready = {i for i in saved if i in self.done}
        out: list[Statement] = []
        for e in closure(p.roots, self.level, ready):
            if e.id in ready:
                out.append(Load(e.id, e.dtype, saved[e.id], self.row_index(p.over)))
                continue
            out.append(self.statement(e))
            if e.id in saved:
                out.append(Store(saved[e.id], self.row_index(p.over), e.id))
                self.done.add(e.id)
        return out + [self.store(o) for o in p.outs]

    def row_index(self, over: tuple[int, ...]) -> Affine:
        extents = tuple(self.extents[a] for a in over)
        return linear(tuple(Affine(0, ((a, 1),)) for a in over), strides_of(extents))

    def vectors_across(self) -> bool:
        """Whether vectors lie along the last outer axis (each lane a reduction of its own)."""
        if not self.outer or self.extents[self.outer[-1]] < 8:
            return False
        along = {e.data[1][-1] for e in self.folds if e.data[1]}
        loads = [e.data[1] for e in self.exprs if e.form == "load" and len(e.axes) > 1]
        return sum(i.coefficient(self.outer[-1]) == 1 for i in loads) > sum(
            any(i.coefficient(a) == 1 for a in along) for i in loads
        )

    def reduce(self, p: Pass, saved: dict[int, int], vector: bool) -> Reduce:
        if len(p.over) > 1 and prod(self.extents[a] for a in p.over) >= INT32:
            raise Unsupported("a fold of several axes over so many elements")
        results = tuple(Fold(e.id, e.dtype, e.data[0], e.args[0].id) for e in p.folds)
        return Reduce(self.counters(p.over), tuple(self.moving(p, saved)), results, vector)

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
    pairs = dict.fromkeys(p for axes in loops for p in pairwise(axes))
    for a, b in pairs:
        together = all((a, b) in pairwise(axes) for axes in loops if a in axes or b in axes)
        if together and all(i.coefficient(a) == i.coefficient(b) * extents[b] for i in indexes):  # type: ignore[operator]
            gone.add(a)
            extents[b] *= extents[a]
    return gone, extents
