"""The ground of the LLVM emitter: numbers, vectors and loops, in the function of one nest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ....core.dtypes import DType
from .. import ir
from ..jit import jit
from ..loop_ir import Extent, Size
from .parts import I1, I32, I64, PTR, VOID, Turn
from .scalar import LLVMScalar, element_type


class Writer:
    """Writes ``name(buffers, sizes, begin, end)`` through the builder `b`, in vectors of `lanes`."""

    def __init__(self, module: ir.Module, name: str, lanes: int, has_fma: bool) -> None:
        self.module = module
        self.fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR, I64, I64]), name)
        self.buffers, self.sizes, self.begin, self.end = self.fn.args
        self.b = ir.IRBuilder(self.fn.append_basic_block("entry"))
        self.lanes = lanes
        self.has_fma = has_fma
        self.s = LLVMScalar(self.b, lanes, has_fma=has_fma, has_avx512=jit().has_avx512)
        self.known_sizes: dict[int, ir.Value] = {}

    def i64(self, x: Extent) -> ir.Value:
        """A number; that of a `Size` is read from the table once."""
        if not isinstance(x, Size):
            return ir.Constant(I64, x)
        if x.position not in self.known_sizes:
            with self.b.goto_entry_block():
                slot = self.b.gep(self.sizes, [ir.Constant(I64, x.position)], source_etype=I64)
                self.known_sizes[x.position] = self.b.load(slot, typ=I64)
        return self.known_sizes[x.position]

    def mul(self, x: ir.Value, factor: Extent) -> ir.Value:
        return x if factor == 1 else self.b.mul(x, self.i64(factor))

    def stack(self, element: ir.Type, count: int) -> ir.Value:
        """Memory on the stack for `count` elements, taken once at the head of the function."""
        with self.b.goto_entry_block():
            return self.b.alloca(ir.ArrayType(element, count))

    def vector(self, element: ir.Type) -> ir.Type:
        return ir.VectorType(element, self.lanes)

    def zero(self, dtype: DType) -> ir.Value:
        element = element_type(dtype.name)
        return ir.Constant(self.vector(element), [ir.Constant(element, 0)] * self.lanes)

    def iota(self, element: ir.Type) -> ir.Value:
        return ir.Constant(
            self.vector(element), [ir.Constant(element, i) for i in range(self.lanes)]
        )

    def splat(self, x: ir.Value) -> ir.Value:
        """A vector of one number in all lanes."""
        if ir.number(x) is not None:
            return ir.Constant(self.vector(x.type), [x] * self.lanes)
        undefined = ir.Constant(self.vector(x.type), ir.Undefined)
        first = self.b.insert_element(undefined, x, ir.Constant(I32, 0))
        zeros = ir.Constant(self.vector(I32), [ir.Constant(I32, 0)] * self.lanes)
        return self.b.shuffle_vector(first, undefined, zeros)

    def lanes_below(self, count: ir.Value) -> ir.Value:
        """The mask of the first `count` lanes; all of them from `lanes` on."""
        b = self.b
        if (known := ir.number(count)) is not None:
            inside = [ir.Constant(I1, i < known) for i in range(self.lanes)]
            return ir.Constant(self.vector(I1), inside)
        most = self.i64(self.lanes)
        count = b.select(b.icmp_signed("<", count, most), count, most)
        return b.icmp_unsigned("<", self.iota(I32), self.splat(b.trunc(count, I32)))

    @contextmanager
    def turns(
        self, start: ir.Value, stop: ir.Value, step: int, carried: Sequence[ir.Value] = ()
    ) -> Iterator[Turn]:
        """``for i in range(start, stop, step)``; after it the turn holds what was carried out."""
        b = self.b
        if (
            (first := ir.number(start)) is not None
            and (last := ir.number(stop)) is not None
            and (first < last <= first + step)
        ):  # one turn
            turn = Turn(start, list(carried))
            yield turn
            return
        before = b.block
        head, body, after = (self.fn.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        phis = [b.phi(x.type) for x in carried]
        b.cbranch(b.icmp_signed("<", i, stop), body, after)
        b.position_at_end(body)
        turn = Turn(i, list(phis))
        yield turn
        following = b.add(i, self.i64(step))
        for phi, first, latest in zip(
            (i, *phis), (start, *carried), (following, *turn.carried), strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(latest, b.block)
        b.branch(head)
        b.position_at_end(after)
        turn.carried = phis

    @contextmanager
    def halvings(self, count: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
        """While more than one is left: gives the upper half's start and how many it has."""
        b = self.b
        before = b.block
        head, body, after = (self.fn.append_basic_block(n) for n in ("halve", "level", "whole"))
        b.branch(head)
        b.position_at_end(head)
        left = b.phi(I64)
        b.cbranch(b.icmp_signed(">", left, self.i64(1)), body, after)
        b.position_at_end(body)
        half = b.lshr(b.add(left, self.i64(1)), self.i64(1))
        yield half, b.sub(left, half)
        left.add_incoming(count, before)
        left.add_incoming(half, b.block)
        b.branch(head)
        b.position_at_end(after)
