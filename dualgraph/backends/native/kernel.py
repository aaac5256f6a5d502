"""Native kernels: compiled loop IR with a foreign call in front of it."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ...core.numbers.guards import guarded
from ...core.numbers.symbolic import plain
from ...core.numbers.worked import filled, plainly
from ...static.graph import Graph
from .addresses import DIRECT, HEADER, address_of
from .emit.llvm import SCRATCH, Code, NestCode
from .emit.parts import arguments
from .jit import Machine, jit
from .loop_ir import Kernel, Load, Loop, Nest, Reduce, Size, Store, Tile, Tree, Unsupported, walk
from .lower import lower
from .team.room import Room
from .team.spots import SCRATCH_WORD, Ref, Spot
from .team.team import team
from .threads import pool
from .weights import weigh

OBJECTS = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
NEST = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
PARALLEL_WORK = 8_000_000  # instructions (one lane a vector) below which waking a thread costs more than it gives
RECENT = 256  # bodies whose loop IR is remembered: they are judged, then compiled
GRAIN = 512  # elements, a multiple of every vector
STRIP = 64  # the least number of elements that threads take at a time
STRIP_WORK = 8_000  # instructions for which threads take fewer elements than GRAIN at a time


# By identity of the body: -0.0 == 0.0 in parameters.
_recent: OrderedDict[int, tuple[Graph, Kernel]] = OrderedDict()
_started: OrderedDict[int, tuple[Kernel, Code]] = OrderedDict()


def lowered(body: Graph) -> Kernel:
    """The loop IR of a fused body; raises Unsupported where some part of it has no native code."""
    found = remembered(body)
    if found is not None:
        return found
    with guarded(proving=True) as guards:
        kernel = lower(body, weigh)
    kernel = replace(kernel, guards=tuple(guards))
    remember(body, kernel)
    return kernel


def remembered(body: Graph) -> Kernel | None:
    """The loop IR that `lowered` has at hand for a fused body."""
    found = _recent.get(id(body))
    return found[1] if found is not None and found[0] is body else None


def remember(body: Graph, kernel: Kernel) -> None:
    """Lets `lowered` find the loop IR of a fused body."""
    _remember(_recent, id(body), (body, kernel))


def _remember(recent: OrderedDict[int, Any], key: int, value: Any) -> None:
    recent[key] = value
    while len(recent) > RECENT:
        recent.popitem(last=False)


def written(kernel: Kernel) -> Code:
    """The code of a kernel that takes array objects, too."""
    found = _started.get(id(kernel))
    if found is None or found[0] is not kernel:
        found = kernel, Code(kernel, has_fma=jit().has_fma, header=HEADER)
        _remember(_started, id(kernel), found)
    return found[1]


def machine_of(code: Code) -> Machine:
    """The machine code, on its way; raises Unsupported where some op has none."""
    name = code.name
    try:
        if name is None:
            return jit().compile(code.text(), code.symbols)
        return jit().compile(name, code.symbols, code.text)
    except RuntimeError as error:
        raise Unsupported(f"LLVM refused the kernel: {error}") from error


class NestCall:
    """The compiled function of one nest: it runs turns ``begin <= i < end`` of the parallel loop.

    ``sizes`` is the address of the sizes it is given (None: it wants none).
    """

    def __init__(self, nest: Nest, code: NestCode, more: tuple[int, ...], address: int) -> None:
        loop = nest.parallel
        self.call, self.address = NEST(address), address
        self.reads = {s.buffer for s in walk(nest.body) if isinstance(s, Load | Tile | Tree)}
        self.writes = {s.buffer for s in walk(nest.body) if isinstance(s, Store | Tree)}
        self.order = code.order + more  # of the kernel's arguments; one past the last: scratch
        self.extent = extent(loop) or 0
        self.across = loop.vector and bool(loop.axes)  # whether turns are lanes of vectors
        self.strip = max(STRIP, code.lanes)  # turns, a multiple of every vector
        self.work = nest.work
        self.numbers = code.sizes
        self.sizes: int | None = None

    @property
    def grain(self) -> int:
        """Turns that one thread takes at least; many where a turn is one element, few where it is a column."""
        if not self.across:
            return 1
        strips = STRIP_WORK * plainly(self.extent) // max(1, self.strip * plainly(self.work))
        return min(GRAIN, self.strip * max(1, strips))

    def at(self, extent: int, work: int, sizes: int) -> NestCall:
        """The same code for other sizes."""
        out = copy(self)
        out.extent, out.work, out.sizes = extent, work, sizes if self.numbers else None
        return out

    def run(self, block: Any, begin: int, end: int) -> None:
        """Runs some turns on a kernel's argument block."""
        own = (ctypes.c_void_p * len(self.order))(*[block[i] for i in self.order])
        self.call(own, self.sizes, begin, end)


class NativeKernel:
    """A compiled kernel. Its buffers are the inputs, then the outputs, in the order of the body.

    An output may share memory with the inputs that `overwritable` lists for it, and with nothing else.
    Calls release the interpreter lock; any number may run at once. How many threads a call uses does
    not change its bits.
    """

    def __init__(self, kernel: Kernel) -> None:
        code = written(kernel)
        self.machine = machine_of(code)
        try:
            addresses = self.machine.addresses
        except RuntimeError as error:
            raise Unsupported(f"LLVM refused the kernel: {error}") from error
        self.kernel = kernel
        self.code = code
        count = len(code.nests)
        needs = (ctypes.c_int64 * count).from_address(addresses[SCRATCH])
        self.scratch = max(needs, default=0)
        self.call = RUN(addresses["run"])
        self._call_objects = OBJECTS(addresses["objects"])
        self._ids = ctypes.c_void_p * arguments(kernel)
        self.nests = tuple(
            NestCall(nest, own, (arguments(kernel),) * bool(need), addresses[own.symbol])
            for nest, own, need in zip(kernel.nests, code.nests, needs, strict=True)
        )
        self.overwritable = code.overwritable
        self.shared = [(b.size, b.dtype.numpy) for b in kernel.buffers if b.role == "shared"]
        self._set_sizes(plain(self.symbolic))

    def _set_sizes(self, values: Sequence[int]) -> None:
        """Takes for each nest its extent, for each its work, then the sizes of all."""
        count = len(self.nests)
        own = (*values[:count], *values[2 * count :])
        self._extents = filled(np.empty(len(own), np.int64), own)
        self.extents = at = address_of(self._extents)
        at += 8 * count
        nests = []
        for nest, turns, work in zip(self.nests, values, values[count:], strict=False):
            nests.append(nest.at(turns, work, at))
            at += 8 * len(nest.numbers)
        self.nests = tuple(nests)
        self.large = any(plainly(n.work) >= PARALLEL_WORK for n in nests)

    @cached_property
    def symbolic(self) -> tuple[Any, ...]:
        """The numbers that other sizes change, as `resized` takes their values."""
        loops = [n.parallel for n in self.kernel.nests]
        return (
            *(extent(loop) or 0 for loop in loops),
            *(n.work for n in self.kernel.nests),
            *(v for n in self.nests for v in n.numbers),
        )

    def resized(self, values: Sequence[int]) -> NativeKernel:
        """The same code for other sizes: `values` for what ``symbolic`` lists."""
        out = copy(self)
        out._set_sizes(values)
        return out

    def assembly(self) -> str:
        """The machine's assembly language, to read."""
        return jit().disassemble(self.code.text())

    def pointers(self, addresses: Sequence[int]) -> Any:
        """The argument block for buffers at these addresses, with scratch memory of its own."""
        block = (ctypes.c_void_p * (len(addresses) + 1))(*addresses)
        if self.scratch:
            block.memory = np.empty(self.scratch, dtype=np.uint8)  # type: ignore[attr-defined]
            block[len(addresses)] = block.memory.ctypes.data  # type: ignore[attr-defined]
        return block

    def run(self, in_arrays: Sequence[Any], out_arrays: Sequence[Any]) -> None:
        """Runs on arrays that lie as the kernel was compiled for, outputs C-contiguous."""
        arrays = [a if type(a) is np.ndarray else np.asarray(a) for a in in_arrays]
        arrays += out_arrays
        arrays += [np.empty(*how) for how in self.shared]
        if DIRECT and not (self.large and pool.size > 1):
            memory = np.empty(self.scratch, dtype=np.uint8) if self.scratch else None
            scratch = None if memory is None else address_of(memory)
            self._call_objects(self._ids(*map(id, arrays)), scratch, self.extents)
            return
        addresses = [address_of(a) for a in arrays]
        if self.large and pool.size > 1:
            self.run_split(addresses)
        else:
            self.call(self.pointers(addresses), self.extents)

    def write(self, room: Room, operands: Sequence[Spot], results: Sequence[Spot]) -> None:
        """The kernel in a native program."""
        spots = [room.dense(x) for x in operands] + list(results)
        spots += [room.take((size,), dtype) for size, dtype in self.shared]
        for nest in self.nests:
            words = [spots[i].at if i < len(spots) else Ref(SCRATCH_WORD) for i in nest.order]
            address = nest.address
            if nest.sizes is not None:
                address, words = team().sized, [address, nest.sizes, *words]
            reads, writes = (
                [spots[i] for i in used if i < len(spots)] for used in (nest.reads, nest.writes)
            )
            keep = self, self._extents
            scratch = self.scratch if len(spots) in nest.order else 0
            room.run(
                address, words, nest.extent, reads, writes, nest.grain, scratch, nest.work, keep
            )

    def run_split(self, addresses: Sequence[int]) -> None:
        """Runs nest by nest, each split between threads; every thread has scratch memory of its own."""
        blocks = [self.pointers(addresses) for _ in range(pool.size if self.scratch else 1)]
        for nest in self.nests:

            def part(begin: int, end: int, number: int, nest: NestCall = nest) -> None:
                nest.run(blocks[number if self.scratch else 0], begin, end)

            if nest.work >= PARALLEL_WORK:
                pool.split(part, nest.extent, nest.grain)
            else:
                part(0, nest.extent, 0)

    def bind_pointers(self, pointers: Sequence[int]) -> BoundKernel:
        """A call without arguments on buffers at fixed addresses; the caller keeps them alive."""
        return BoundKernel(self, tuple(pointers))


class BoundKernel:
    """A kernel with its arguments: calling it runs it. It may be called by one thread at a time."""

    __slots__ = ("_address", "_call", "block", "kernel", "pointers", "shared")

    def __init__(self, kernel: NativeKernel, pointers: tuple[int, ...]) -> None:
        self.kernel = kernel
        self.shared = [np.empty(*how) for how in kernel.shared]
        self.pointers = pointers + tuple(map(address_of, self.shared))
        self.block = kernel.pointers(self.pointers)
        self._call = kernel.call
        self._address = ctypes.addressof(self.block)

    def __call__(self) -> None:
        if self.kernel.large and pool.size > 1:
            self.kernel.run_split(self.block[: len(self.pointers)])
        else:
            self._call(self._address, self.kernel.extents)


def extent(loop: Loop | Reduce) -> int | None:
    """Turns of a loop; None where known only at the call."""
    if any(isinstance(a.extent, Size) for a in loop.axes):
        return None
    return prod(a.extent for a in loop.axes)  # type: ignore[misc]
