"""Reductions as LLVM IR, in the canonical order (``ops/canonical.py``) to the bit.

n elements are cut into blocks of 512 = 32 steps of 16 lanes; lanes fold as a tree of halves, then blocks do.
Two shapes of code: *along* (the 16 lanes of the order are the lanes of one vector) and *across* (each vector
lane is an output of its own, and the 16 lanes of the order are 16 vectors in memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....core.dtypes import DType
from ....core.scalar import FLOATS, int_range, without_trace
from .. import ir
from ..loop_ir import Affine, Fold, Reduce, Tree, Unsupported
from .parts import I32, LANES, Turn, extent_of
from .scalar import Lanes, LLVMScalar, element_type

if TYPE_CHECKING:
    from .nest import NestEmitter

BLOCK = 512
ON_STACK = 16384  # bytes of block results that may live on the stack; more go to scratch memory


def identity(monoid: str, dtype: DType) -> bool | int | float:
    """What folding adds nothing to."""
    if monoid in ("sum", "prod"):
        return (-0.0 if dtype.name in FLOATS else 0) if monoid == "sum" else 1
    if monoid in ("any", "all"):
        return monoid == "all"
    if dtype.name in FLOATS:
        return float("-inf") if monoid == "max" else float("inf")
    if dtype.name == "bool":
        return monoid == "min"
    return int_range(dtype.name)[0 if monoid == "max" else 1]


def of_nothing(monoid: str, dtype: DType) -> bool | int | float:
    """The fold of no elements; raises Unsupported where there is none."""
    if monoid in ("max", "min"):
        raise Unsupported(f"{monoid} of no elements")
    return 0 if monoid == "sum" else identity(monoid, dtype)


def combine(s: LLVMScalar, monoid: str, x: Lanes, y: Lanes) -> Lanes:
    """``x op y``."""
    boolean = x.dtype == "bool"
    out: Lanes
    if monoid in ("sum", "prod"):
        out = x + y if monoid == "sum" else x * y
    elif monoid in ("any", "all") or boolean:
        out = x | y if monoid in ("any", "max") else x & y
    else:
        out = s.maximum(x, y) if monoid == "max" else s.minimum(x, y)
    return out


class State:
    """What a fold carries from step to step: one value; for float max and min also the last NaN seen.

    So a step is one ``max`` and one select that do not wait for each other.
    """

    def __init__(self, s: LLVMScalar, fold: Fold) -> None:
        self.s = s
        self.fold = fold
        self.name = fold.dtype.name
        self.two = fold.monoid in ("max", "min") and self.name in FLOATS
        self.type = s.type_of(self.name)

    def start(self) -> list[ir.Value]:
        """The state before the first element."""
        like = self.s.wrap(ir.Constant(self.type, None), self.name)
        first = self.s.const(identity(self.fold.monoid, self.fold.dtype), like).ir
        return [first, self.s.const(0, like).ir] if self.two else [first]

    def step(self, state: list[ir.Value], x: Lanes) -> list[ir.Value]:
        """The state after one more value."""
        s = self.s
        acc = s.wrap(state[0], self.name)
        if not self.two:
            return [combine(s, self.fold.monoid, acc, x).ir]
        nan = s.wrap(state[1], self.name)
        better = x > acc if self.fold.monoid == "max" else x < acc
        return [s.select(better, x, acc).ir, s.select(x != x, x, nan).ir]

    def value(self, state: list[ir.Value]) -> Lanes:
        """What a state comes to."""
        s = self.s
        acc = s.wrap(state[0], self.name)
        if not self.two:
            return acc
        nan = s.wrap(state[1], self.name)
        return s.select(nan != nan, nan, acc)


class Folding:
    """Writes one `Reduce` statement through the emitter `e` of its nest."""

    def __init__(self, e: NestEmitter, r: Reduce) -> None:
        self.e = e
        self.r = r
        self.b = e.b
        self.n = extent_of(r.axes)
        self.states = [State(e.s, f) for f in r.folds]
        self.narrow = LLVMScalar(e.b, 1, has_fma=e.has_fma)

    def emit(self) -> None:
        """Writes the loops and binds each fold's result, the same in all lanes if the fold is along."""
        e, b = self.e, self.b
        if self.n == 0:
            for fold in self.r.folds:
                like = e.s.wrap(e.zero(fold.dtype), fold.dtype.name)
                e.values[fold.dest] = e.s.const(of_nothing(fold.monoid, fold.dtype), like)
            return
        total = self.total()
        block = self.block_along if self.r.vector else self.block_across
        if self.r.block is not None:
            self.one_block(e.counters[self.r.block], total)
            return
        if self.n is not None and self.n <= BLOCK:
            results = block(e.i64(0), total)
        else:
            blocks = b.udiv(b.add(total, e.i64(BLOCK - 1)), e.i64(BLOCK))
            stores = [self.block_memory(x) for x in self.block_types()]
            with e.turns(e.i64(0), blocks, 1) as turn:
                start = b.mul(turn.i, e.i64(BLOCK))
                rest = b.sub(total, start)
                count = b.select(b.icmp_signed("<", rest, e.i64(BLOCK)), rest, e.i64(BLOCK))
                results = block(start, b.add(start, count))
                for memory, x, fold in zip(stores, results, self.r.folds, strict=True):
                    b.store(x.ir, self.at(memory, turn.i, x.ir.type), align=fold.dtype.itemsize)
            results = [self.tree(m, blocks, f) for m, f in zip(stores, self.r.folds, strict=True)]
        for fold, x in zip(self.r.folds, results, strict=True):
            x = self.finish(fold, x)
            if self.r.most:
                x = self.unless_empty(fold, total, x)
            e.values[fold.dest] = e.s.wrap(e.splat(x.ir), x.dtype) if self.r.vector else x

    def one_block(self, number: ir.Value, total: ir.Value) -> None:
        """Binds the results of one block."""
        e, b = self.e, self.b
        start = b.mul(number, e.i64(BLOCK))
        end = b.add(start, e.i64(BLOCK))
        stop = b.select(b.icmp_signed("<", end, total), end, total)
        for fold, x in zip(self.r.folds, self.block_along(start, stop), strict=True):
            e.values[fold.dest] = e.s.wrap(e.splat(x.ir), x.dtype)

    def join(self, s: Tree) -> None:
        """Binds the fold of the results of all blocks."""
        e, (fold,) = self.e, self.r.folds
        x = self.tree(e.pointers[s.buffer, Affine()], e.i64(s.count), fold)
        e.values[fold.dest] = e.s.wrap(e.splat(self.finish(fold, x).ir), x.dtype)

    def total(self) -> ir.Value:
        """How many places there are."""
        if self.n is not None:
            return self.e.i64(self.n)
        out = self.e.i64(self.r.axes[0].extent)
        for axis in self.r.axes[1:]:
            out = self.b.mul(out, self.e.i64(axis.extent))
        return out

    def unless_empty(self, fold: Fold, total: ir.Value, x: Lanes) -> Lanes:
        """The fold of nothing if there are no places (largest and smallest ones were asked for some)."""
        if fold.monoid in ("max", "min"):
            return x
        s = self.narrow if self.r.vector else self.e.s
        nothing = s.const(of_nothing(fold.monoid, fold.dtype), x)
        empty = self.b.icmp_signed("==", total, self.e.i64(0))
        return s.wrap(self.b.select(empty, nothing.ir, x.ir), x.dtype)

    def finish(self, fold: Fold, x: Lanes) -> Lanes:
        """What is told of a fold's value."""
        if fold.monoid in ("max", "min") and x.dtype in FLOATS:
            return without_trace(x.s, x)
        return x

    def fold_values(self) -> list[Lanes]:
        """Runs the body at the place where the loops stand; the values to fold, in the folds' dtypes."""
        self.e.block(self.r.body)
        out = []
        for fold in self.r.folds:
            x = self.e.values[fold.value]
            out.append(self.e.s.cast(x, fold.dtype.name))
        return out

    def carried(self) -> list[ir.Value]:
        return [x for state in self.states for x in state.start()]

    def stepped(self, flat: list[ir.Value], values: list[Lanes]) -> list[ir.Value]:
        """The states of all folds after one more value each, as one list."""
        out: list[ir.Value] = []
        for state, x in zip(self.states, values, strict=True):
            width = 2 if state.two else 1
            out += state.step(flat[len(out) : len(out) + width], x)
        return out

    # --- along -------------------------------------------------------------------------------

    def block_along(self, start: ir.Value, stop: ir.Value) -> list[Lanes]:
        """One block, its lanes along a vector; one scalar a fold."""
        e = self.e

        def step(turn: Turn) -> None:
            e.bind_lanes(self.r.axes, turn.i, self.r.body)
            values = self.fold_values()
            if e.mask is not None:
                inside = e.s.wrap(e.mask, "bool")
                blanks = [
                    e.s.const(identity(f.monoid, f.dtype), x)
                    for f, x in zip(self.r.folds, values, strict=True)
                ]
                values = [
                    e.s.select(inside, x, blank) for x, blank in zip(values, blanks, strict=True)
                ]
            turn.carried = self.stepped(turn.carried, values)

        flat = e.whole_and_rest(start, stop, self.n, self.carried(), step)
        return [
            self.lanes_tree(f, x) for f, x in zip(self.r.folds, self.gathered(flat), strict=True)
        ]

    def gathered(self, flat: Sequence[ir.Value]) -> list[Lanes]:
        """What the states of all folds come to, given as one list."""
        out = []
        for state in self.states:
            width = 2 if state.two else 1
            out.append(state.value(list(flat[:width])))
            flat = flat[width:]
        return out

    def lanes_tree(self, fold: Fold, x: Lanes) -> Lanes:
        """Folds the lanes of a vector as a tree of halves."""
        half, b = LANES // 2, self.b
        while half > 1:
            s = LLVMScalar(b, half, has_fma=self.e.has_fma)
            low, high = (s.wrap(part(b, x.ir, at, half), x.dtype) for at in (0, half))
            x = combine(s, fold.monoid, low, high)
            half //= 2
        ends = [b.extract_element(x.ir, ir.Constant(I32, i)) for i in (0, 1)]
        first, last = (self.narrow.wrap(v, x.dtype) for v in ends)
        return combine(self.narrow, fold.monoid, first, last)

    # --- across ------------------------------------------------------------------------------

    def block_across(self, start: ir.Value, stop: ir.Value) -> list[Lanes]:
        """One block, each vector lane an output: step k goes to accumulator ``k % 16``."""
        e, b = self.e, self.b
        if self.n is not None and self.n < LANES:
            return self.few_across(self.n)
        first = self.carried()
        memory = [e.stack(x.type, LANES) for x in first]
        with e.turns(e.i64(0), e.i64(LANES), 1) as turn:
            for m, x in zip(memory, first, strict=True):
                b.store(x, self.at(m, turn.i, x.type))
        with e.turns(start, stop, 1) as turn, e.scope():
            e.bind_all(self.r.axes, turn.i, self.r.body)
            values = self.fold_values()
            lane = b.and_(turn.i, e.i64(LANES - 1))
            slots = [self.at(m, lane, x.type) for m, x in zip(memory, first, strict=True)]
            before = [b.load(slot, typ=x.type) for slot, x in zip(slots, first, strict=True)]
            for slot, x in zip(slots, self.stepped(before, values), strict=True):
                b.store(x, slot)
        out = []
        for state, fold in zip(self.states, self.r.folds, strict=True):
            own, memory = (memory[:2], memory[2:]) if state.two else (memory[:1], memory[1:])
            if state.two:
                with e.turns(e.i64(0), e.i64(LANES), 1) as turn:
                    slots = [self.at(m, turn.i, state.type) for m in own]
                    value = state.value([b.load(slot, typ=state.type) for slot in slots])
                    b.store(value.ir, slots[0])
            out.append(self.tree(own[0], e.i64(LANES), fold))  # by loops: little code for LLVM
        return out

    def few_across(self, n: int) -> list[Lanes]:
        """Fewer steps than accumulators, one after the other: what has no partner in the tree stays as it is."""
        e = self.e
        steps: list[list[Lanes]] = []
        for i in range(n):
            with e.scope():
                e.bind_all(self.r.axes, e.i64(i), self.r.body)
                flat = self.stepped(self.carried(), self.fold_values())
                steps.append(self.gathered(flat))
        out = []
        for fold, *lanes in zip(self.r.folds, *steps, strict=True):
            half = LANES // 2
            while half:
                for i in range(half, len(lanes)):
                    lanes[i - half] = combine(e.s, fold.monoid, lanes[i - half], lanes[i])
                del lanes[half:]
                half //= 2
            out.append(lanes[0])
        return out

    # --- blocks ------------------------------------------------------------------------------

    def block_types(self) -> list[ir.Type]:
        return [
            element_type(f.dtype.name) if self.r.vector else self.e.s.type_of(f.dtype.name)
            for f in self.r.folds
        ]

    def block_memory(self, kind: ir.Type) -> ir.Value:
        """Memory for the results of all blocks."""
        most = self.r.most if self.n is None else self.n
        if not most:
            return self.e.scratch_memory(0)  # as much as the caller thinks fit
        count = -(-most // BLOCK)
        bytes_each = 8 * (1 if self.r.vector else self.e.lanes)
        if count * bytes_each <= ON_STACK:
            return self.e.stack(kind, count)
        return self.e.scratch_memory(count * bytes_each)

    def at(self, memory: ir.Value, i: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.gep(memory, [i], source_etype=kind)

    def tree(self, memory: ir.Value, blocks: ir.Value, fold: Fold) -> Lanes:
        """Folds the results of the blocks as a tree of halves, in place."""
        e, b = self.e, self.b
        s = self.narrow if self.r.vector else e.s
        kind = s.type_of(fold.dtype.name)

        def load(i: ir.Value) -> Lanes:
            return s.wrap(
                b.load(self.at(memory, i, kind), align=fold.dtype.itemsize, typ=kind),
                fold.dtype.name,
            )

        with e.halvings(blocks) as (half, rest), e.turns(e.i64(0), rest, 1) as turn:
            x = combine(s, fold.monoid, load(turn.i), load(b.add(turn.i, half)))
            b.store(x.ir, self.at(memory, turn.i, kind), align=fold.dtype.itemsize)
        return load(e.i64(0))


def part(b: ir.IRBuilder, x: ir.Value, start: int, count: int) -> ir.Value:
    """`count` lanes of a vector from `start` on."""
    lanes = ir.Constant(
        ir.VectorType(I32, count), [ir.Constant(I32, start + i) for i in range(count)]
    )
    return b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), lanes)
