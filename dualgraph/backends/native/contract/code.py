"""Code writer: the few shapes of LLVM IR that the contraction kernels are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .. import ir
from ..emit.parts import I1, I32, I64, PTR, VOID, Turn, suffix
from ..jit import jit

I8 = ir.IntType(8)
ELEMENTS = {"float": ir.FloatType(), "double": ir.DoubleType()}


def i64(value: int) -> ir.Constant:
    """An int64 constant."""
    return ir.Constant(I64, value)


class Writer:
    """A function being written. Sizes and strides are int64, strides in bytes."""

    def __init__(self, module: ir.Module, name: str, arguments: Sequence[ir.Type]) -> None:
        self.module = module
        self.fn = ir.Function(module, ir.FunctionType(VOID, list(arguments)), name)
        self.fn.attributes.add("nounwind")
        self.b = ir.IRBuilder(self.fn.append_basic_block("entry"))

    # --- control ---------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self,
        end: ir.Value,
        begin: ir.Value | None = None,
        step: ir.Value | int = 1,
        carried: Sequence[ir.Value] = (),
        nonempty: bool = False,
    ) -> Iterator[Turn]:
        """``for i in range(begin, end, step)``; `carried` values go from turn to turn.

        The body replaces ``turn.carried`` by the next values; afterwards it holds the last ones.
        """
        b, fn = self.b, self.fn
        begin = i64(0) if begin is None else begin
        entry, body, after = b.block, fn.append_basic_block("turn"), fn.append_basic_block("after")
        if nonempty:
            b.branch(body)
        else:
            b.cbranch(b.icmp_signed("<", begin, end), body, after)
        b.position_at_end(body)
        i = b.phi(I64)
        i.add_incoming(begin, entry)
        phis = [b.phi(c.type) for c in carried]
        for phi, c in zip(phis, carried, strict=True):
            phi.add_incoming(c, entry)
        turn = Turn(i, list(phis))
        yield turn
        following = b.add(i, step if isinstance(step, ir.Value) else i64(step))
        b.cbranch(b.icmp_signed("<", following, end), body, after)
        i.add_incoming(following, b.block)
        for phi, c in zip(phis, turn.carried, strict=True):
            phi.add_incoming(c, b.block)
        last = b.block
        b.position_at_end(after)
        if not nonempty:
            ends = []
            for c, first in zip(turn.carried, carried, strict=True):
                phi = b.phi(first.type)
                phi.add_incoming(first, entry)
                phi.add_incoming(c, last)
                ends.append(phi)
            turn.carried = ends

    @contextmanager
    def when(self, condition: ir.Value) -> Iterator[None]:
        """Runs the body if the condition holds."""
        then, after = self.fn.append_basic_block("then"), self.fn.append_basic_block("after")
        self.b.cbranch(condition, then, after)
        self.b.position_at_end(then)
        yield
        if not self.b.block.is_terminated:
            self.b.branch(after)
        self.b.position_at_end(after)

    # --- integers and addresses --------------------------------------------------------------------

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The lesser of two int64."""
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def at(self, pointer: ir.Value, *offsets: ir.Value) -> ir.Value:
        """The address some bytes further."""
        for offset in offsets:
            pointer = self.b.gep(pointer, [offset], source_etype=I8)
        return pointer

    def scaled(self, x: ir.Value, factor: int) -> ir.Value:
        """x times a constant."""
        return x if factor == 1 else self.b.mul(x, i64(factor))

    def word(self, table: ir.Value, i: ir.Value) -> ir.Value:
        """Entry `i` of a table of int64."""
        return self.b.load(self.b.gep(table, [i], source_etype=I64), align=8, typ=I64)

    # --- vectors ------------------------------------------------------------------------------------

    def splat(self, x: ir.Value, lanes: int) -> ir.Value:
        """A vector of equal lanes."""
        kind = ir.VectorType(x.type, lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def first_lanes(self, count: ir.Value, lanes: int) -> ir.Value:
        """The mask of lanes below `count`."""
        return self.b.icmp_signed("<", *self._against(count, lanes))

    def between(self, low: ir.Value, high: ir.Value, lanes: int) -> ir.Value:
        """The mask of lanes from `low` up to `high`."""
        from_low = self.b.icmp_signed(">=", *self._against(low, lanes))
        return self.b.and_(from_low, self.first_lanes(high, lanes))

    def _against(self, count: ir.Value, lanes: int) -> tuple[ir.Value, ir.Value]:
        """The lanes' numbers and a count to compare them with, of 32 bits: half as many registers as 64 take."""
        b = self.b
        count = self.least(count, i64(lanes))
        count = b.trunc(b.select(b.icmp_signed(">", count, i64(0)), count, i64(0)), I32)
        iota = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        return iota, self.splat(count, lanes)

    def prefetch(self, pointer: ir.Value, write: bool = False) -> None:
        """Asks for a place to be in the second cache level soon, or to `write` in the first; it need not exist."""
        name = "llvm.prefetch.p0"
        callee = self.module.globals.get(name)
        if callee is None:
            callee = ir.Function(self.module, ir.FunctionType(VOID, [PTR, I32, I32, I32]), name)
        how = (1, 3, 1) if write else (0, 2, 1)
        self.b.call(callee, [pointer, *(ir.Constant(I32, v) for v in how)])

    def stack(self, x: ir.Value) -> ir.Value:
        """The address of a copy of a vector in this function's frame."""
        with self.b.goto_entry_block():
            place = self.b.alloca(x.type, align=64)
        self.b.store(x, place)
        return place

    def opaque(self, x: ir.Value) -> ir.Value:
        """The same value, of which LLVM does not know what it is: it makes no chain of additions of sums like it."""
        return self.b.load(self.stack(x), typ=x.type)

    def first_set(self, mask: ir.Value) -> ir.Value:
        """The first lane that is set in a mask; 0 if none is."""
        b, bits = self.b, ir.IntType(max(8, mask.type.count))
        whole = b.bitcast(mask, ir.IntType(mask.type.count))
        if whole.type != bits:
            whole = b.zext(whole, bits)
        name = f"llvm.cttz.{bits}"
        callee = self.module.globals.get(name)
        if callee is None:
            callee = ir.Function(self.module, ir.FunctionType(bits, [bits, I1]), name)
        lane = b.call(callee, [whole, ir.Constant(I1, 0)])
        some = b.icmp_unsigned("!=", whole, ir.Constant(bits, 0))
        return b.select(some, b.zext(lane, I64), i64(0))

    def load(
        self,
        pointer: ir.Value,
        kind: ir.VectorType,
        mask: ir.Value | None = None,
        other: ir.Value | None = None,
    ) -> ir.Value:
        """A vector from memory; lanes outside the mask are those of `other`, or 0."""
        if mask is None:
            return self.b.load(pointer, align=element_size(kind.element), typ=kind)
        return self._masked("load", kind, pointer, mask, _zeros(kind) if other is None else other)

    def gather(
        self,
        pointer: ir.Value,
        offsets: ir.Value,
        kind: ir.VectorType,
        mask: ir.Value | None = None,
    ) -> ir.Value:
        """One element for each offset in bytes; lanes outside the mask are 0."""
        places = self.b.gep(pointer, [offsets], source_etype=I8)
        if mask is None:
            mask = ir.Constant(ir.VectorType(I1, kind.count), [1] * kind.count)
        return self._masked("gather", kind, places, mask, _zeros(kind))

    def scatter(self, x: ir.Value, pointer: ir.Value, offsets: ir.Value, mask: ir.Value) -> None:
        """The lanes of the mask go to memory, each at its offset in bytes."""
        places = self.b.gep(pointer, [offsets], source_etype=I8)
        self._masked("scatter", x.type, places, mask, x)

    def store(self, x: ir.Value, pointer: ir.Value, mask: ir.Value | None = None) -> None:
        """A vector to memory."""
        if mask is None:
            self.b.store(x, pointer, align=element_size(x.type.element))
        else:
            self._masked("store", x.type, pointer, mask, x)

    def store_first(self, x: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
        """The first `count` lanes of a vector to memory: all if there are fewer, none if it is negative."""
        b, lanes = self.b, x.type.count
        with b.if_else(b.icmp_signed(">=", count, i64(lanes))) as (all_of_them, some):
            with all_of_them:
                self.store(x, pointer)
            with some:
                if jit().has_avx512:
                    self.store(x, pointer, self.first_lanes(count, lanes))
                else:
                    self._store_pieces(x, pointer, count)

    def _store_pieces(self, x: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
        """The first lanes, fewer than all, as the bits of `count` say: 4, 2, 1. Without AVX-512 a masked store may
        take as long as ten others."""
        b, element = self.b, x.type.element
        count = b.select(b.icmp_signed(">", count, i64(0)), count, i64(0))
        rest, piece = x, x.type.count // 2
        while piece:
            wanted = b.icmp_signed("!=", b.and_(count, i64(piece)), i64(0))
            low, high = (self._lanes(rest, start, piece) for start in (0, piece))
            with self.when(wanted):
                self.b.store(low, pointer, align=element_size(element))
            pointer = b.select(
                wanted, self.at(pointer, i64(piece * element_size(element))), pointer
            )
            rest, piece = b.select(wanted, high, low), piece // 2

    def _lanes(self, x: ir.Value, start: int, count: int) -> ir.Value:
        """Some neighbouring lanes."""
        pick = ir.Constant(ir.VectorType(I32, count), list(range(start, start + count)))
        return self.b.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), pick)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """``x * y + z`` rounded once."""
        name = f"llvm.fma.v{x.type.count}{suffix(x.type.element)}"
        callee = self.module.globals.get(name)
        if callee is None:
            callee = ir.Function(self.module, ir.FunctionType(x.type, [x.type] * 3), name)
        return self.b.call(callee, [x, y, z])

    def _masked(
        self, op: str, kind: ir.VectorType, place: ir.Value, mask: ir.Value, x: ir.Value
    ) -> ir.Value:
        """Calls LLVM's load, store, gather or scatter under a mask."""
        where = f".v{kind.count}p0" if op in ("gather", "scatter") else ".p0"
        name = f"llvm.masked.{op}.v{kind.count}{suffix(kind.element)}{where}"
        size = ir.Constant(I32, element_size(kind.element))
        stores = op in ("store", "scatter")
        args = [x, place, size, mask] if stores else [place, size, mask, x]
        callee = self.module.globals.get(name)
        if callee is None:
            result = VOID if stores else kind
            callee = ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(callee, args)


def element_size(element: ir.Type) -> int:
    """Bytes of an element."""
    if isinstance(element, ir.IntType):
        return int(element.width) // 8
    return {"half": 2, "float": 4}.get(str(element), 8)


def _zeros(kind: ir.VectorType) -> ir.Constant:
    zero = 0 if isinstance(kind.element, ir.IntType) else 0.0
    return ir.Constant(kind, [ir.Constant(kind.element, zero)] * kind.count)
