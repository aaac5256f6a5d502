"""Memory access of the LLVM emitter: how loops move pointers, and how lanes load and store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....core.numbers.guards import guarded
from .. import ir
from ..loop_ir import TILE, Affine, Axis, Extent, Kernel, Load, Size, Statement, Store, Tile
from .base import Writer
from .parts import (
    I1,
    I8,
    I32,
    I64,
    PTR,
    VOID,
    Access,
    accesses,
    arguments,
    from_memory,
    memory_type,
    suffix,
    to_memory,
)
from .scalar import Lanes


class Digits:
    """Counters that are the digits of ``first, first + 1, ...``, one a lane.

    ``origins``: the accesses' pointers before they were bound; ``together``: the lanes differ in the last alone.
    """

    def __init__(
        self, axes: tuple[Axis, ...], first: ir.Value, origins: dict[Access, ir.Value]
    ) -> None:
        self.axes = axes
        self.first = first
        self.origins = origins
        self.together: ir.Value | None = None

    def move(self, index: Affine) -> bool:
        """Whether the place differs between lanes."""
        return any(index.coefficient(axis.id) != 0 for axis in self.axes)

    def run(self, index: Affine) -> bool:
        """Whether the places of all lanes are neighbours."""
        step: Any = 1
        with guarded(proving=True):
            for axis in reversed(self.axes):
                if worth(index.coefficient(axis.id)) != step:
                    return False
                step = step * worth(axis.extent)
        return True


def worth(n: Extent) -> Any:
    """What an extent is known to be: the symbolic number that a size stands for."""
    return n.value if isinstance(n, Size) and n.value is not None else n


class MemoryWriter(Writer):
    """A writer that knows a kernel's buffers.

    Each access has a pointer, moved as loops around it set their counters (`bind`): what is left in the inner
    loop is one addition. `vector_axis` lies along the lanes (i, i + 1, ...); `digits` are set in a loop whose
    lanes may reach beyond that axis; `mask` is set where not all lanes are to be touched.
    """

    def __init__(
        self, module: ir.Module, name: str, kernel: Kernel, lanes: int, has_fma: bool
    ) -> None:
        super().__init__(module, name, lanes, has_fma)
        self.kernel = kernel
        self.values: dict[int, Lanes] = {}
        self.pointers: dict[Access, ir.Value] = {}
        self.counters: dict[int, ir.Value] = {}
        self.vector_axis: int | None = None
        self.digits: Digits | None = None
        self.mask: ir.Value | None = None
        self.scratch = 0  # bytes used
        self.scratch_pointer: ir.Value | None = None

    def start(self, body: Iterable[Statement]) -> None:
        """Loads buffer pointers; an access starts as its buffer's pointer plus its constant."""
        loaded: dict[int, ir.Value] = {}
        for buffer, index in accesses(body):
            if buffer not in loaded:
                loaded[buffer] = self.buffer(buffer)
            self.pointers[buffer, index] = self.step(loaded[buffer], buffer, self.i64(index.const))

    def buffer(self, number: int) -> ir.Value:
        """The pointer to a buffer's elements."""
        buffer = self.kernel.buffers[number]
        if buffer.role == "scratch":
            return self.scratch_memory(buffer.size * buffer.dtype.itemsize)
        return self.b.load(self.b.gep(self.buffers, [self.i64(number)], source_etype=PTR), typ=PTR)

    def scratch_memory(self, count: int) -> ir.Value:
        """A part of the thread's scratch memory of `count` bytes."""
        if self.scratch_pointer is None:
            with self.b.goto_entry_block():
                slot = self.b.gep(
                    self.buffers, [self.i64(arguments(self.kernel))], source_etype=PTR
                )
                self.scratch_pointer = self.b.load(slot, typ=PTR)
        at = self.b.gep(self.scratch_pointer, [self.i64(self.scratch)], source_etype=I8)
        self.scratch += -(-count // 64) * 64
        return at

    def step(self, pointer: ir.Value, buffer: int, offset: ir.Value) -> ir.Value:
        if isinstance(offset, ir.Constant) and offset.constant == 0:
            return pointer
        return self.b.gep(
            pointer, [offset], source_etype=memory_type(self.kernel.buffers[buffer].dtype)
        )

    def bind(self, axis: Axis, i: ir.Value, body: Iterable[Statement]) -> None:
        """Sets a counter: every access in `body` that runs along it moves its pointer."""
        self.counters[axis.id] = i
        for at in accesses(body):
            c = at[1].coefficient(axis.id)
            if c != 0:
                self.pointers[at] = self.step(self.pointers[at], at[0], self.mul(i, c))

    def bind_all(self, axes: tuple[Axis, ...], i: ir.Value, body: Iterable[Statement]) -> None:
        """Binds several counters to the digits of one."""
        for axis in reversed(axes[1:]):
            extent = self.i64(axis.extent)
            self.bind(axis, self.b.urem(i, extent), body)
            i = self.b.udiv(i, extent)
        self.bind(axes[0], i, body)

    def bind_lanes(self, axes: tuple[Axis, ...], i: ir.Value, body: Iterable[Statement]) -> None:
        """Binds several counters to the digits of ``i, i + 1, ...``, one a lane."""
        last = axes[-1]
        self.vector_axis = last.id
        if len(axes) == 1 or (not isinstance(last.extent, Size) and last.extent % self.lanes == 0):
            self.bind_all(axes, i, body)
            return
        self.digits = Digits(axes, i, dict(self.pointers))
        self.bind_all(axes, i, body)
        room = self.b.sub(self.i64(last.extent), self.b.urem(i, self.i64(last.extent)))
        self.digits.together = self.b.icmp_signed(">=", room, self.i64(self.lanes))

    def digit_offsets(self, digits: Digits, index: Affine) -> ir.Value:
        """Each lane's place from the access's pointer before its counters were bound."""
        b, out = self.b, self.splat(self.i64(0))
        rest = b.add(self.splat(b.trunc(digits.first, I32)), self.iota(I32))
        for axis in reversed(digits.axes):
            c, outermost = index.coefficient(axis.id), axis is digits.axes[0]
            digit = rest if outermost else b.urem(rest, self.short(axis.extent))
            if c != 0:
                digit = b.zext(digit, self.vector(I64))
                moved = digit if c == 1 else b.mul(digit, self.splat(self.i64(c)))
                out = moved if isinstance(out, ir.Constant) else b.add(out, moved)
            if not outermost:
                rest = b.udiv(rest, self.short(axis.extent))
        return out

    def short(self, extent: Extent) -> ir.Value:
        """An extent in all lanes, in 32 bits."""
        if isinstance(extent, Size):
            return self.splat(self.b.trunc(self.i64(extent), I32))
        return self.splat(ir.Constant(I32, extent))

    def stride(self, index: Affine) -> Extent:
        """How far neighbouring lanes' places are apart."""
        return index.coefficient(self.vector_axis) if self.vector_axis is not None else 0

    def places(self, pointer: ir.Value, offsets: ir.Value, element: ir.Type) -> ir.Value:
        """One pointer a lane."""
        return self.b.gep(pointer, [offsets], source_etype=element)

    def spread(self, pointer: ir.Value, stride: Extent, element: ir.Type) -> ir.Value:
        """One pointer a lane, `stride` elements apart."""
        return self.places(
            pointer, self.b.mul(self.iota(I64), self.splat(self.i64(stride))), element
        )

    def load(self, s: Load) -> Lanes:
        """Loads what each lane needs: one element for all, neighbours, or elements from anywhere."""
        at, element, align = (s.buffer, s.index), memory_type(s.dtype), s.dtype.itemsize
        pointer, stride, digits = self.pointers[at], self.stride(s.index), self.digits
        if digits is not None and digits.move(s.index) and not digits.run(s.index):
            x = self.load_digits(digits, at, element, align)
        elif stride == 0:
            x = self.splat(self.b.load(pointer, align=align, typ=element))
        elif stride == 1:
            x = self.load_neighbours(pointer, element, align)
        else:
            x = self.masked("gather", self.spread(pointer, stride, element), element, align)
        return self.s.wrap(from_memory(self.b, x, s.dtype, self.lanes), s.dtype.name)

    def load_neighbours(self, pointer: ir.Value, element: ir.Type, align: int) -> ir.Value:
        if self.mask is None:
            return self.b.load(pointer, align=align, typ=self.vector(element))
        return self.masked("load", pointer, element, align)

    def load_digits(self, digits: Digits, at: Access, element: ir.Type, align: int) -> ir.Value:
        """Neighbours while all lanes are inside one run of the last axis, else one by one."""
        b = self.b

        def one_by_one() -> ir.Value:
            places = self.places(digits.origins[at], self.digit_offsets(digits, at[1]), element)
            return self.masked("gather", places, element, align)

        inner = digits.axes[-1].extent
        if self.stride(at[1]) != 1 or (not isinstance(inner, Size) and inner < self.lanes):
            return one_by_one()
        near, far, after = (self.fn.append_basic_block(n) for n in ("near", "far", "loaded"))
        b.cbranch(digits.together, near, far)
        b.position_at_end(near)
        x = self.load_neighbours(self.pointers[at], element, align)
        b.branch(after)
        b.position_at_end(far)
        y = one_by_one()
        b.branch(after)
        b.position_at_end(after)
        out = b.phi(x.type)
        out.add_incoming(x, near)
        out.add_incoming(y, far)
        return out

    def store(self, s: Store) -> None:
        """Stores a value: in a row, spread by a stride, or through a table of places."""
        at, dtype = (s.buffer, s.index), self.kernel.buffers[s.buffer].dtype
        x = to_memory(self.b, self.values[s.value].ir, dtype, self.lanes)
        element, align = memory_type(dtype), dtype.itemsize
        pointer, stride, digits = self.pointers[at], self.stride(s.index), self.digits
        if digits is not None and not digits.run(s.index):
            places = self.places(digits.origins[at], self.digit_offsets(digits, s.index), element)
            self.masked("scatter", places, element, align, x)
        elif stride == 0:
            self.b.store(self.b.extract_element(x, ir.Constant(I32, 0)), pointer, align=align)
        elif stride != 1:
            self.masked("scatter", self.spread(pointer, stride, element), element, align, x)
        elif self.mask is None:
            self.b.store(x, pointer, align=align)
        else:
            self.masked("store", pointer, element, align, x)

    def tile(self, s: Tile) -> None:
        """Loads 16 columns, transposes them in registers, stores 16 rows."""
        b, dtype = self.b, self.kernel.buffers[s.buffer].dtype
        element, align = memory_type(dtype), dtype.itemsize
        kind = ir.VectorType(element, TILE)
        source, dest = self.pointers[s.buffer, s.index], self.pointers[s.dest, Affine()]
        stride = self.i64(s.stride)
        columns = [
            self.step(source, s.buffer, self.b.mul(self.i64(c), stride)) for c in range(TILE)
        ]
        rows = transposed(b, [b.load(column, align=align, typ=kind) for column in columns])
        for r, row in enumerate(rows):
            b.store(row, self.step(dest, s.dest, self.i64(r * TILE)), align=align)

    def masked(
        self, op: str, place: ir.Value, element: ir.Type, align: int, x: ir.Value | None = None
    ) -> ir.Value:
        """Vector access under the mask: ``load`` and ``store`` at a pointer, ``gather`` and ``scatter`` at many."""
        mask = (
            self.mask
            if self.mask is not None
            else ir.Constant(self.vector(I1), [ir.Constant(I1, 1)] * self.lanes)
        )
        kind = self.vector(element)
        shape = f"v{self.lanes}{suffix(element)}"
        pointers = f".v{self.lanes}p0" if op in ("gather", "scatter") else ".p0"
        name = f"llvm.masked.{op}.{shape}{pointers}"
        blank = ir.Constant(kind, [ir.Constant(element, 0)] * self.lanes)
        size = ir.Constant(I32, align)
        args = [place, size, mask, blank] if x is None else [x, place, size, mask]
        callee = self.module.globals.get(name)
        if callee is None:
            result = kind if x is None else VOID
            callee = ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(callee, args)


def transposed(b: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """A square of vectors mirrored at its diagonal: quadrants change places at each scale."""
    n = len(rows)
    half = n // 2
    while half:
        low = [c if c & half == 0 else n + c - half for c in range(n)]
        high = [c + half if c & half == 0 else n + c for c in range(n)]
        masks = [
            ir.Constant(ir.VectorType(I32, n), [ir.Constant(I32, i) for i in m])
            for m in (low, high)
        ]
        for i in range(n):
            if i & half == 0:
                pair = rows[i], rows[i + half]
                rows[i], rows[i + half] = (b.shuffle_vector(*pair, mask) for mask in masks)
        half //= 2
    return rows
