"""The schedule of a nest: which loop computes what, in which order, and what is kept from pass to pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

from ...core.dtypes import DType
from ...core.numbers.guards import require
from ...core.numbers.symbolic import hint, is_symbolic, source
from ...core.types import contiguous_strides
from .axes import AxisMap
from .expressions import Expr
from .index_maps import linear
from .loop_ir import (
    TILE,
    Affine,
    Apply,
    Axis,
    Buffer,
    Constant,
    Fold,
    Load,
    Loop,
    Nest,
    Reduce,
    Statement,
    Store,
    Tile,
    Tree,
    Unsupported,
)
from .outputs import Output, closure

Weigh = Callable[[Expr], int]
INT32 = 2**31  # counters of lanes that run across the ends of rows are 32 bits wide
SHORT = 12  # elements; vectors run across the ends of rows shorter than that
LONG = 1 << 17  # elements of a single row from which threads share it
BLOCK = 512  # of the canonical order
KEEP_COST = 12  # instructions from which a value is rather kept than computed again
KEEP_BYTES = 2**18  # of a row of kept values
# bytes of an array that folds go across, from which what is stored afterwards goes row by row
SLAB = 2**19
# Places that folds over symbolic axes have room for, at least; what none is put in takes no memory.
MOST = 2**21


@dataclass(slots=True)
class Pass:
    """A run over the inner axes `over` that computes `roots`, to fold or to store them; over (): one value a turn."""

    over: tuple[int, ...]
    roots: list[Expr]
    folds: list[Expr] = field(default_factory=list)
    outs: list[Output] = field(default_factory=list)


class NestSchedule:
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
        """The axes that were not merged into others."""
        return tuple(a for a in over if a not in self.gone)

    def nests(self) -> list[Nest]:
        """The nests, each with the instructions that it takes."""
        if not self.folds and not self.inner_stores:
            bodies = [self.plain()]
        elif self.is_long():
            bodies = self.by_blocks()
        else:
            bodies = self.by_rows() if self.is_slab() else [self.with_passes()]
        return [Nest(body, sum(map(self.work, body))) for body in bodies]

    def work(self, s: Statement) -> int:
        """Instructions that a statement takes in all turns of its loops, for one lane a vector."""
        if isinstance(s, Loop | Reduce):
            turns = prod(a.extent for a in s.axes)  # type: ignore[misc]
            if isinstance(s, Reduce) and s.block is not None:
                turns = BLOCK
            return turns * (sum(map(self.work, s.body)) + 1)
        return self.weights[s.dest] if isinstance(s, Apply) else 1

    def plain(self) -> tuple[Statement, ...]:
        """No reductions: vectors along the last axis, what does not vary along it computed before it."""
        total = prod(self.extents[a] for a in self.outer)
        short = len(self.outer) > 1 and hint(self.extents[self.outer[-1]]) < SHORT
        flat = len(self.outer) <= 1 or (short and total < INT32)
        rows = frozenset() if flat else self.level - set(self.outer[-1:])
        stores = tuple(self.store(o) for o in self.group)
        fixed = tuple(self.statement(e) for e in self.exprs if e.axes <= rows)
        moving = tuple(self.statement(e) for e in closure((o.expr for o in self.group), rows))
        tiled = None if flat else self.tiled(fixed, moving, stores)
        if tiled is not None:
            return tiled
        if flat:
            return (*fixed, self.loop(self.outer, (*moving, *stores), parallel=True, vector=True))
        inner = self.loop(self.outer[-1:], (*moving, *stores), vector=True)
        return (self.loop(self.outer[:-1], (*fixed, inner), parallel=True),)

    def tiled(
        self, fixed: tuple[Statement, ...], moving: tuple[Statement, ...], stores: tuple[Store, ...]
    ) -> tuple[Statement, ...] | None:
        """Loops over squares, where inputs that run along another axis than the vectors are transposed first."""
        j = self.outer[-1]
        reads = [s for s in moving if isinstance(s, Load) and s.index.coefficient(j) not in (0, 1)]
        i = next((a for a in self.outer for s in reads if s.index.coefficient(a) == 1), None)
        if i is None or self.extents[i] % TILE or self.extents[j] % TILE:
            return None
        first = max(self.extents) + 1
        squares, places = {i: first, j: first + 1}, {i: first + 2, j: first + 3}
        for a in (i, j):
            self.extents[squares[a]], self.extents[places[a]] = self.extents[a] // TILE, TILE

        def inside(index: Affine) -> Affine:
            out = Affine(index.const)
            for a, c in index.terms:
                here = Affine(0, ((a, c),))
                if a in squares:
                    here = Affine(0, ((squares[a], 1),)) * TILE + Affine(0, ((places[a], 1),))
                    here = here * c  # type: ignore[operator]
                out = out + here
            return out

        tiles: list[Statement] = []
        across = Affine(0, ((places[i], TILE), (places[j], 1)))

        def cut(s: Statement) -> Statement:
            if not isinstance(s, Load | Store):
                return s
            place, stride = inside(s.index), s.index.coefficient(j)
            if isinstance(s, Store) or s not in reads or s.index.coefficient(i) != 1:
                return replace(s, index=place)
            corner = tuple(t for t in place.terms if t[0] not in places.values())
            buffer = len(self.buffers)
            self.buffers.append(Buffer(s.dtype, "scratch", TILE * TILE))
            tiles.append(Tile(buffer, s.buffer, Affine(place.const, corner), stride))
            return Load(s.dest, s.dtype, buffer, across)

        columns = self.loop((places[j],), tuple(map(cut, (*moving, *stores))), vector=True)
        rows = self.loop((places[i],), (*map(cut, fixed), columns))
        outer = tuple(squares.get(a, a) for a in self.outer[:-1])
        return (self.loop(outer, (self.loop((squares[j],), (*tiles, rows)),), parallel=True),)

    def with_passes(self) -> tuple[Statement, ...]:
        """Reductions level by level, what stands between them, then the stores."""
        across = self.vectors_across()
        passes = self.row_passes()
        stored = self.store_passes(passes)
        saved = {} if across else self.saved([p for p in (*passes, *stored) if p.over])
        body = self.turn(passes, saved, not across)
        for p in stored:
            body.append(self.loop(p.over, tuple(self.moving(p, saved)), vector=not across))
        if not across:
            return (self.loop(self.outer, tuple(body), parallel=True),)
        return (self.columns(body),)

    def turn(self, passes: list[Pass], saved: dict[int, int], vector: bool) -> list[Statement]:
        """What a turn of the outer axes does before it stores along the inner ones."""
        body: list[Statement] = []
        for p in passes:
            body += (
                [self.reduce(p, saved, vector)] if p.folds else [self.statement(e) for e in p.roots]
            )
        return body + [self.store(o) for o in self.group if set(o.order) <= self.level]

    def columns(self, body: list[Statement]) -> Loop:
        """The loop over the outer axes whose vectors lie along the last of them."""
        if len(self.outer) == 1:
            return self.loop(self.outer, tuple(body), parallel=True, vector=True)
        columns = self.loop(self.outer[-1:], tuple(body), vector=True)
        return self.loop(self.outer[:-1], (columns,), parallel=True)

    def is_slab(self) -> bool:
        """Whether folds go across an array that a cache does not hold, so that storing column by column
        would read it from memory once more, in short runs."""
        if not self.inner_stores or any(b.role == "scratch" for b in self.buffers):
            return False
        if any(is_symbolic(n) for n in self.extents.values()) or not self.vectors_across():
            return False
        size = max(prod(self.extents[a] for a in over) for over in self.inner_stores)
        return size * self.extents[self.outer[-1]] * self.group[0].expr.dtype.itemsize >= SLAB

    def by_rows(self) -> list[tuple[Statement, ...]]:
        """A nest for the folds, and one for each set of inner axes that stores along them, in the order of memory."""
        passes = self.row_passes()
        stored = self.store_passes(passes)
        body = self.turn(passes, {}, False)
        kept: dict[int, int] = {}  # what the folds' nest leaves for the others
        bodies: list[tuple[Statement, ...]] = []
        for p in stored:
            moving = closure(p.roots, self.level)
            given = {a.id: a for e in moving for a in e.args if a.axes <= self.level}
            given |= {e.id: e for e in p.roots if e.axes <= self.level}
            each: list[tuple[frozenset[int], Statement]] = []
            for e in given.values():
                if e.form in ("load", "constant"):
                    each.append((e.axes, self.statement(e)))
                    continue
                if e.id not in kept:
                    kept[e.id] = self.share(e.dtype, prod(self.extents[a] for a in self.outer))
                    body.append(Store(kept[e.id], self.row_index(self.outer), e.id))
                each.append((e.axes, Load(e.id, e.dtype, kept[e.id], self.row_index(self.outer))))
            each += [(e.axes, self.statement(e)) for e in moving]
            order = self.kept(p.outs[0].order)
            rows = frozenset(order[:-1])
            fixed = tuple(s for axes, s in each if axes <= rows)
            inner = (s for axes, s in each if not axes <= rows)
            row = self.loop(order[-1:], (*inner, *map(self.store, p.outs)), vector=True)
            bodies.append((self.loop(order[:-1], (*fixed, row), parallel=True),))
        return [(self.columns(body),), *bodies]

    def row_passes(self) -> list[Pass]:
        """Folds level by level, and what stands between them."""
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
        return passes

    def is_long(self) -> bool:
        """Whether there is one row alone, so long that threads share its blocks."""
        if self.outer or any(b.role == "scratch" for b in self.buffers):
            return False
        rows = [[self.extents[a] for a in p.over] for p in self.row_passes() if p.folds]
        if any(is_symbolic(n) for row in rows for n in row):
            return False
        return max(map(prod, rows), default=0) >= LONG

    def by_blocks(self) -> list[tuple[Statement, ...]]:
        """Nests for one row: its folds block by block, each with one that joins the blocks; then the stores."""
        passes = self.row_passes()
        stored = self.store_passes(passes)
        before: list[Statement] = []  # what a nest finds or computes for itself
        bodies: list[tuple[Statement, ...]] = []
        for p in passes:
            if not p.folds:
                before += [self.statement(e) for e in p.roots]
                continue
            count = -(-prod(self.extents[a] for a in p.over) // BLOCK)
            axis = self.fresh(count)
            shared = [self.share(f.dtype, count) for f in p.folds]
            blocks = replace(self.reduce(p, {}, True), block=axis)
            kept = [
                Store(k, Affine(0, ((axis, 1),)), f.id)
                for k, f in zip(shared, p.folds, strict=True)
            ]
            bodies.append((*before, self.loop((axis,), (blocks, *kept), parallel=True)))
            trees = [
                Tree(f.id, f.dtype, f.data[0], k, count)
                for k, f in zip(shared, p.folds, strict=True)
            ]
            ends = [Store(k, Affine(), f.id) for k, f in zip(shared, p.folds, strict=True)]
            bodies.append((self.loop((), (*trees, *ends), parallel=True),))
            before += [
                Load(f.id, f.dtype, k, Affine()) for k, f in zip(shared, p.folds, strict=True)
            ]
        row = [self.store(o) for o in self.group if set(o.order) <= self.level]
        if row:
            bodies.append((*before, self.loop((), tuple(row), parallel=True)))
        for p in stored:
            each = self.loop(p.over, tuple(self.moving(p, {})), parallel=True, vector=True)
            bodies.append((*before, each))
        return bodies

    def fresh(self, extent: int) -> int:
        """A new axis."""
        axis = 1 + max(self.extents, default=-1)
        self.extents[axis] = extent
        return axis

    def share(self, dtype: DType, size: int) -> int:
        """A new shared buffer; they stand before all scratch buffers."""
        self.buffers.append(Buffer(dtype, "shared", size))
        return len(self.buffers) - 1

    def store_passes(self, passes: list[Pass]) -> list[Pass]:
        """What stores along the inner axes: a fold over them that has the value at hand, else a pass of its own."""
        rest: dict[tuple[int, ...], Pass] = {}
        for over, outs in self.inner_stores.items():
            for o in outs:
                home = self.fold_to_join(o, over, passes) or rest.setdefault(over, Pass(over, []))
                home.roots.append(o.expr)
                home.outs.append(o)
        return list(rest.values())

    def fold_to_join(self, o: Output, over: tuple[int, ...], passes: list[Pass]) -> Pass | None:
        """The first fold that can store `o`, unless a later pass reads an input at the place of `o`.

        The output may have been given that input's memory.
        """
        for i, p in enumerate(passes):
            if p.folds and p.over == over and o.expr.depth < p.folds[0].depth:
                others = [x.expr for x in self.group if x is not o]
                later = closure(
                    [*others, *(r for q in passes[i + 1 :] for r in q.roots)], self.level
                )
                reads = {e.data[1] for e in later if e.form == "load"}
                return None if o.index in reads else p
        return None

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
            dear = same_loops and self.cost(e) >= KEEP_COST
            if dear and size * e.dtype.itemsize <= KEEP_BYTES:
                out[e.id] = len(self.buffers)
                room = KEEP_BYTES // e.dtype.itemsize if is_symbolic(size) else size
                self.buffers.append(Buffer(e.dtype, "scratch", room))
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
        """Where a saved value lies in its row of scratch memory."""
        extents = tuple(self.extents[a] for a in over)
        return linear(tuple(Affine(0, ((a, 1),)) for a in over), contiguous_strides(extents))

    def vectors_across(self) -> bool:
        """Whether vectors lie along the last outer axis (each lane a reduction of its own)."""
        if not self.outer or hint(self.extents[self.outer[-1]]) < 8:
            return False
        along = {e.data[1][-1] for e in self.folds if e.data[1]}
        loads = [e.data[1] for e in self.exprs if e.form == "load" and len(e.axes) > 1]
        rows = sum(any(i.coefficient(a) == 1 for a in along) for i in loads)
        columns = sum(i.coefficient(self.outer[-1]) == 1 for i in loads)
        return bool(columns > rows)

    def reduce(self, p: Pass, saved: dict[int, int], vector: bool) -> Reduce:
        """The loop of a pass that folds."""
        total = prod(self.extents[a] for a in p.over)
        if len(p.over) > 1 and total >= INT32:
            raise Unsupported("a fold of several axes over so many elements")
        results = tuple(Fold(e.id, e.dtype, e.data[0], e.args[0].id) for e in p.folds)
        body, most = tuple(self.moving(p, saved)), self.most(total, p.folds)
        return Reduce(self.counters(p.over), body, results, vector, most)

    def most(self, total: int, folds: list[Expr]) -> int:
        """The most places that a symbolic fold is made for; beyond that (or for none, where that has no
        value) the guards ask for another kernel."""
        if not is_symbolic(total):
            return 0
        room = MOST
        while room < 8 * hint(total):
            room *= 8
        if total > room:
            raise Unsupported("a fold of so many elements")
        if any(e.data[0] in ("max", "min") for e in folds):
            require([f"{source(total)} > 0"])
        return room

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
        prim, params, _ = e.data
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
