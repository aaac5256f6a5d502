"""LLVM emitter: a loop IR kernel as LLVM IR text with explicit vectors.

A kernel becomes one function a nest, ``nest<k>(buffers, sizes, begin, end)``, that runs turns ``begin <=
i < end`` of its parallel loop, and ``run(buffers, sizes)``, which runs all of every nest. ``buffers`` points
to the pointers of the kernel's inputs and outputs (and one more to scratch memory), ``sizes`` to its int64 sizes.
The text needs no optimisation passes: only LLVM's code generator runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ...core.dtypes import DType
from .emit_fold import Folding
from .llvm_parts import (
    I1,
    I32,
    I64,
    LANES,
    PTR,
    VOID,
    WIDE,
    Turn,
    accesses,
    from_memory,
    memory_type,
    suffix,
    to_memory,
)
from .loop_ir import (
    Affine,
    Apply,
    Axis,
    Constant,
    Extent,
    Kernel,
    Load,
    Loop,
    Nest,
    Reduce,
    Size,
    Statement,
    Store,
    Unsupported,
    walk,
)
from .scalar_llvm import Lanes, LLVMScalar, element_type

@dataclass(frozen=True, slots=True)
class Code:
    """LLVM IR text of a kernel, and the scratch bytes that each thread must bring."""

    text: str
    scratch: int


def emit(kernel: Kernel, *, has_fma: bool = True, header: int | None = None) -> Code:
    """LLVM IR of a kernel. Raises Unsupported where an op's body uses what the scalar language lacks.

    With `header` there is also ``flat(array, ..., begin, end)``: the first nest over the elements of array
    objects that hold the pointer to them `header` bytes from their own address.
    """
    module = ir.Module(name="kernel")
    nests = [NestEmitter(module, kernel, k, has_fma) for k in range(len(kernel.nests))]
    _emit_run(module, kernel, nests)
    if header is not None:
        _emit_flat(module, kernel, nests[0], header)
    return Code(str(module), max((n.scratch for n in nests), default=0))


def _emit_run(module: ir.Module, kernel: Kernel, nests: list[NestEmitter]) -> None:
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR]), "run")
    b = ir.IRBuilder(fn.append_basic_block())
    buffers, sizes = fn.args
    for nest, emitted in zip(kernel.nests, nests, strict=True):
        end: ir.Value = ir.Constant(I64, 1)
        for axis in nest.parallel.axes:
            if isinstance(axis.extent, Size):
                extent: ir.Value = b.load(b.gep(sizes, [ir.Constant(I64, axis.extent.position)], source_etype=I64), typ=I64)
            else:
                extent = ir.Constant(I64, axis.extent)
            end = b.mul(end, extent)
        b.call(emitted.fn, [buffers, sizes, ir.Constant(I64, 0), end])
    b.ret_void()


def _emit_flat(module: ir.Module, kernel: Kernel, nest: NestEmitter, header: int) -> None:
    count = len(kernel.buffers)
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * count + [I64, I64]), "flat")
    b = ir.IRBuilder(fn.append_basic_block())
    block = b.alloca(ir.ArrayType(PTR, count))
    block.type = PTR
    for i, array in enumerate(fn.args[:count]):
        elements = b.load(b.gep(array, [ir.Constant(I64, header)], source_etype=ir.IntType(8)), typ=PTR)
        b.store(elements, b.gep(block, [ir.Constant(I64, i)], source_etype=PTR))
    b.call(nest.fn, [block, ir.Constant(PTR, None), *fn.args[count:]])
    b.ret_void()


def width(nest: Nest) -> int:
    """Lanes of a nest's vectors: more than the usual for light folds across, which then read memory in longer runs."""
    loops = [s for s in walk(nest.body) if isinstance(s, Loop) and s.vector]
    across = any(isinstance(s, Reduce) and not s.vector for loop in loops for s in loop.body)
    if not across:
        return LANES
    extent = loops[0].axes[-1].extent
    inner = list(walk(nest.body))
    work = 1 + sum(isinstance(s, Apply) for s in inner)
    work += 2 * sum(f.monoid in ("max", "min") for s in inner if isinstance(s, Reduce) for f in s.folds)
    lanes = LANES
    least = extent.least if isinstance(extent, Size) else extent
    while lanes < WIDE and lanes * work <= WIDE and 2 * lanes <= least:
        lanes *= 2
    return lanes


class NestEmitter:
    """Writes the function of one nest."""

    def __init__(self, module: ir.Module, kernel: Kernel, k: int, has_fma: bool) -> None:
        self.module = module
        self.kernel = kernel
        self.fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR, I64, I64]), f"nest{k}")
        self.entry = self.fn.append_basic_block("entry")
        self.b = ir.IRBuilder(self.entry)
        nest = kernel.nests[k]
        self.lanes = width(nest)
        self.s = LLVMScalar(self.b, self.lanes, has_fma=has_fma)
        self.has_fma = has_fma
        self.values: dict[int, Lanes] = {}
        self.pointers: dict[tuple[int, Affine], ir.Value] = {}
        self.vector_axes: dict[int, ir.Value | None] = {}  # axis -> its counter in each lane; None: i, i+1, ...
        self.mask: ir.Value | None = None
        self.scratch = 0
        self.scratch_slot = sum(x.role != "scratch" for x in kernel.buffers)
        self.scratch_pointer: ir.Value | None = None
        self.sizes: dict[int, ir.Value] = {}
        self.start(nest)
        self.block(nest.body)
        self.b.ret_void()

    # --- whole function --------------------------------------------------------------------

    def start(self, nest: Nest) -> None:
        """Loads buffer pointers; an access starts as its buffer's pointer plus its constant."""
        buffers, sizes, self.begin, self.end = self.fn.args
        self.buffers, self.sizes_pointer = buffers, sizes
        loaded: dict[int, ir.Value] = {}
        for buffer, index in accesses(nest.body):
            if buffer not in loaded:
                loaded[buffer] = self.buffer(buffer)
            self.pointers[buffer, index] = self.step(loaded[buffer], buffer, self.i64(index.const))

    def buffer(self, number: int) -> ir.Value:
        """The pointer to a buffer's elements."""
        buffer = self.kernel.buffers[number]
        if buffer.role == "scratch":
            return self.scratch_memory(buffer.size * buffer.dtype.itemsize)
        return self.b.load(self.b.gep(self.buffers, [self.i64(number)], source_etype=PTR), typ=PTR)

    def i64(self, x: Extent) -> ir.Value:
        if not isinstance(x, Size):
            return ir.Constant(I64, x)
        if x.position not in self.sizes:
            with self.b.goto_entry_block():
                slot = self.b.gep(self.sizes_pointer, [ir.Constant(I64, x.position)], source_etype=I64)
                self.sizes[x.position] = self.b.load(slot, typ=I64)
        return self.sizes[x.position]

    def step(self, pointer: ir.Value, buffer: int, offset: ir.Value) -> ir.Value:
        if isinstance(offset, ir.Constant) and offset.constant == 0:
            return pointer
        return self.b.gep(pointer, [offset], source_etype=memory_type(self.kernel.buffers[buffer].dtype))

    def mul(self, x: ir.Value, factor: Extent) -> ir.Value:
        return x if factor == 1 else self.b.mul(x, self.i64(factor))

    def stack(self, element: ir.Type, count: int) -> ir.Value:
        """Memory on the stack for `count` elements, taken once at the head of the function."""
        with self.b.goto_entry_block():
            memory = self.b.alloca(ir.ArrayType(element, count))
        memory.type = PTR  # opaque, as all pointers here
        return memory

    def scratch_memory(self, count: int) -> ir.Value:
        """A part of the thread's scratch memory of `count` bytes."""
        if self.scratch_pointer is None:
            with self.b.goto_entry_block():
                slot = self.b.gep(self.buffers, [ir.Constant(I64, self.scratch_slot)], source_etype=PTR)
                self.scratch_pointer = self.b.load(slot, typ=PTR)
        at = self.b.gep(self.scratch_pointer, [self.i64(self.scratch)], source_etype=ir.IntType(8))
        self.scratch += -(-count // 64) * 64
        return at

    # --- control flow ------------------------------------------------------------------------

    @contextmanager
    def turns(self, start: ir.Value, stop: ir.Value, step: int, carried: Sequence[ir.Value] = ()) -> Iterator[Turn]:
        """``for i in range(start, stop, step)``; after it the turn holds what was carried out."""
        b = self.b
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
        for phi, first, latest in zip((i, *phis), (start, *carried), (following, *turn.carried), strict=True):
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

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is bound inside is forgotten after."""
        kept = dict(self.values), dict(self.pointers), dict(self.vector_axes), self.mask
        yield
        self.values, self.pointers, self.vector_axes, self.mask = kept

    def bind(self, axis: Axis, i: ir.Value, body: Iterable[Statement]) -> None:
        """Sets a counter: every access in `body` that runs along it moves its pointer."""
        for at in accesses(body):
            c = at[1].coefficient(axis.id)
            if c != 0:
                self.pointers[at] = self.step(self.pointers[at], at[0], self.mul(i, c))

    def block(self, statements: Iterable[Statement]) -> None:
        for s in statements:
            if isinstance(s, Load):
                self.values[s.dest] = self.load(s)
            elif isinstance(s, Constant):
                self.values[s.dest] = self.s.const(s.value, self.s.wrap(self.zero(s.dtype), s.dtype.name))
            elif isinstance(s, Apply):
                self.values[s.dest] = self.apply(s)
            elif isinstance(s, Store):
                self.store(s)
            elif isinstance(s, Reduce):
                Folding(self, s).emit()
            else:
                self.loop(s)

    def loop(self, s: Loop) -> None:
        if not s.axes:
            stop = self.end if s.parallel else self.i64(1)
            start = self.begin if s.parallel else self.i64(0)
            with self.turns(start, stop, 1), self.scope():
                self.block(s.body)
        elif s.parallel and s.vector:
            self.vectors(s.axes[0], self.begin, self.end, s.body)
        elif s.parallel:
            with self.turns(self.begin, self.end, 1) as turn, self.scope():
                self.bind_all(s.axes, turn.i, s.body)
                self.block(s.body)
        else:
            self.nested(s.axes, s)

    def nested(self, axes: tuple[Axis, ...], s: Loop) -> None:
        if s.vector and len(axes) == 1:
            self.vectors(axes[0], self.i64(0), self.i64(axes[0].extent), s.body)
            return
        with self.turns(self.i64(0), self.i64(axes[0].extent), 1) as turn, self.scope():
            self.bind(axes[0], turn.i, s.body)
            if len(axes) > 1:
                self.nested(axes[1:], s)
            else:
                self.block(s.body)

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
        if len(axes) == 1 or (not isinstance(last.extent, Size) and last.extent % self.lanes == 0):
            self.vector_axes[last.id] = None
            self.bind_all(axes, i, body)
            return
        b = self.b
        digits = b.add(self.splat(b.trunc(i, I32)), self.iota(I32))
        for axis in reversed(axes):
            extent = self.splat(b.trunc(self.i64(axis.extent), I32))
            digit = b.urem(digits, extent) if axis is not axes[0] else digits
            self.vector_axes[axis.id] = b.zext(digit, self.vector(I64))
            digits = b.udiv(digits, extent)

    def vectors(self, axis: Axis, start: ir.Value, stop: ir.Value, body: Iterable[Statement]) -> None:
        """Runs `body` for all counters from `start` to `stop`, a vector of them at a time.

        Threads cut loops at multiples of the vector, so an extent that is one leaves no rest.
        """

        def turn(counter: Turn) -> None:
            self.vector_axes[axis.id] = None
            self.bind(axis, counter.i, body)
            self.block(body)

        even = isinstance(axis.extent, int) and axis.extent % self.lanes == 0
        self.whole_and_rest(start, stop, even, (), turn)

    def whole_and_rest(
        self,
        start: ir.Value,
        stop: ir.Value,
        even: bool,
        carried: Sequence[ir.Value],
        write: Callable[[Turn], None],
    ) -> Sequence[ir.Value]:
        """Loops over whole vectors without a mask, then (unless `even`) over the rest with one.

        Masked access to memory is slow on some machines, so code is rather written twice.
        """
        b = self.b
        middle = stop if even else b.add(start, b.and_(b.sub(stop, start), self.i64(-self.lanes)))
        with self.turns(start, middle, self.lanes, carried) as turn, self.scope():
            write(turn)
        if not even:
            with self.turns(middle, stop, self.lanes, turn.carried) as turn, self.scope():
                self.mask = self.lanes_below(b.sub(stop, turn.i))
                write(turn)
        return turn.carried

    def lanes_below(self, count: ir.Value) -> ir.Value:
        """The mask of the first `count` lanes; all of them from `lanes` on."""
        b = self.b
        most = self.i64(self.lanes)
        count = b.select(b.icmp_signed("<", count, most), count, most)
        return b.icmp_unsigned("<", self.iota(I32), self.splat(b.trunc(count, I32)))

    # --- values -------------------------------------------------------------------------------

    def vector(self, element: ir.Type) -> ir.Type:
        return ir.VectorType(element, self.lanes)

    def zero(self, dtype: DType) -> ir.Value:
        element = element_type(dtype.name)
        return ir.Constant(self.vector(element), [ir.Constant(element, 0)] * self.lanes)

    def iota(self, element: ir.Type) -> ir.Value:
        return ir.Constant(self.vector(element), [ir.Constant(element, i) for i in range(self.lanes)])

    def splat(self, x: ir.Value) -> ir.Value:
        undefined = ir.Constant(self.vector(x.type), ir.Undefined)
        first = self.b.insert_element(undefined, x, ir.Constant(I32, 0))
        zeros = ir.Constant(self.vector(I32), [ir.Constant(I32, 0)] * self.lanes)
        return self.b.shuffle_vector(first, undefined, zeros)

    def apply(self, s: Apply) -> Lanes:
        try:
            out = s.prim.kernel(self.s, *(self.values[a] for a in s.args), **dict(s.params))
        except (TypeError, AttributeError, NotImplementedError, KeyError, ValueError) as error:
            raise Unsupported(f"{s.prim.name} has no native code: {error}") from error
        if not isinstance(out, Lanes):
            out = self.s.const(out, self.s.wrap(self.zero(s.dtype), s.dtype.name))
        if out.dtype != s.dtype.name:
            raise Unsupported(f"{s.prim.name} gives {out.dtype}, not {s.dtype.name}")
        return out

    # --- memory -------------------------------------------------------------------------------

    def lane_offsets(self, index: Affine) -> ir.Value | int:
        """How far each lane's place is from the access's pointer: a stride, or a vector of offsets."""
        stride: Any = 0
        offsets: ir.Value | None = None
        for axis, counters in self.vector_axes.items():
            c = index.coefficient(axis)
            if c == 0:
                continue
            if counters is None:
                stride = c
                continue
            part = counters if c == 1 else self.b.mul(counters, self.splat(self.i64(c)))
            offsets = part if offsets is None else self.b.add(offsets, part)
        if offsets is None and (stride in (0, 1)):
            return stride
        if stride != 0:
            part = self.b.mul(self.iota(I64), self.splat(self.i64(stride)))
            offsets = part if offsets is None else self.b.add(offsets, part)
        return offsets

    def places(self, pointer: ir.Value, offsets: ir.Value, element: ir.Type) -> ir.Value:
        """One pointer a lane."""
        out = self.b.gep(pointer, [offsets], source_etype=element)
        out.type = self.vector(PTR)
        return out

    def load(self, s: Load) -> Lanes:
        b, pointer, element = self.b, self.pointers[s.buffer, s.index], memory_type(s.dtype)
        offsets = self.lane_offsets(s.index)
        align = s.dtype.itemsize
        if isinstance(offsets, int) and offsets == 0:
            x = self.splat(b.load(pointer, align=align, typ=element))
        elif isinstance(offsets, int) and self.mask is None:
            x = b.load(pointer, align=align, typ=self.vector(element))
        elif isinstance(offsets, int):
            x = self.masked("load", pointer, element, align)
        else:
            x = self.masked("gather", self.places(pointer, offsets, element), element, align)
        return self.s.wrap(from_memory(b, x, s.dtype, self.lanes), s.dtype.name)

    def store(self, s: Store) -> None:
        b, pointer, dtype = self.b, self.pointers[s.buffer, s.index], self.kernel.buffers[s.buffer].dtype
        x, element = to_memory(b, self.values[s.value].ir, dtype, self.lanes), memory_type(dtype)
        offsets = self.lane_offsets(s.index)
        if isinstance(offsets, int) and offsets == 0:
            b.store(b.extract_element(x, ir.Constant(I32, 0)), pointer, align=dtype.itemsize)
        elif isinstance(offsets, int) and self.mask is None:
            b.store(x, pointer, align=dtype.itemsize)
        elif isinstance(offsets, int):
            self.masked("store", pointer, element, dtype.itemsize, x)
        else:
            self.masked("scatter", self.places(pointer, offsets, element), element, dtype.itemsize, x)

    def masked(self, op: str, place: ir.Value, element: ir.Type, align: int, x: ir.Value | None = None) -> ir.Value:
        """Vector access under the mask: ``load`` and ``store`` at a pointer, ``gather`` and ``scatter`` at many."""
        mask = self.mask if self.mask is not None else ir.Constant(self.vector(I1), [ir.Constant(I1, 1)] * self.lanes)
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
