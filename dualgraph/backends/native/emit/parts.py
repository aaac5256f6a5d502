"""What the LLVM emitter is made of: types, how values lie in memory, accesses of a block."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from ....core.dtypes import DType, bool_
from .. import ir
from ..loop_ir import Affine, Axis, Kernel, Load, Size, Statement, Store, Tile, Tree, walk
from .scalar import element_type

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
PTR = ir.PointerType()
VOID = ir.VoidType()
LANES = 16  # of folds, by the canonical order; and of all vectors: wider ones than the machine's are split
WIDE = 128
Access = tuple[int, Affine]


class Turn:
    """A turn of a loop being written: its counter and the values carried to the next turn."""

    def __init__(self, i: ir.Value, carried: list[ir.Value]) -> None:
        self.i = i
        self.carried = carried


def accesses(statements: Iterable[Statement]) -> list[Access]:
    """The places that a block and the blocks in it load from and store to, each once."""
    found: dict[Access, None] = {}
    for s in walk(statements):
        if isinstance(s, Load | Store | Tile):
            found[s.buffer, s.index] = None
        if isinstance(s, Tree):
            found[s.buffer, Affine()] = None
        if isinstance(s, Tile):
            found[s.dest, Affine()] = None
    return list(found)


def arguments(kernel: Kernel) -> int:
    """How many buffers the caller gives; scratch buffers lie in the thread's scratch memory."""
    return sum(b.role != "scratch" for b in kernel.buffers)


def memory_type(dtype: DType) -> ir.Type:
    """The LLVM type of an element in memory."""
    return I8 if dtype is bool_ else element_type(dtype.name)


def suffix(element: ir.Type) -> str:
    """How an intrinsic's name spells an element type."""
    return {"half": "f16", "float": "f32", "double": "f64"}.get(str(element), str(element))


def from_memory(b: ir.IRBuilder, x: ir.Value, dtype: DType, lanes: int) -> ir.Value:
    """A loaded value as the scalar language has it: bytes become bools."""
    if dtype is not bool_:
        return x
    return b.icmp_unsigned("!=", x, ir.Constant(x.type, [ir.Constant(I8, 0)] * lanes))


def to_memory(b: ir.IRBuilder, x: ir.Value, dtype: DType, lanes: int) -> ir.Value:
    """A value of the scalar language as it is stored."""
    return b.zext(x, ir.VectorType(I8, lanes)) if dtype is bool_ else x


def extent_of(axes: tuple[Axis, ...]) -> int | None:
    """The product of extents, or None where one is known only at the call."""
    if any(isinstance(a.extent, Size) for a in axes):
        return 0 if any(a.extent == 0 for a in axes) else None
    return prod(a.extent for a in axes)  # type: ignore[misc]
