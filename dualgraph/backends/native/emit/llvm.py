"""LLVM emitter: a loop IR kernel as LLVM IR text with explicit vectors.

Nests become functions ``body<j>(buffers, sizes, begin, end)`` that run turns ``begin <= i < end`` of their
parallel loop; nests that are equal but for their buffers share one. ``buffers`` points to the pointers of the
inputs and outputs that the nest uses, in its order, and one more to scratch memory if it uses some (the table
``scratch`` says how many bytes); ``sizes``
to what its `Size`s stand for. ``run(buffers, extents)`` runs all turns of all nests on the kernel's buffers:
``extents`` has the number of turns of each, then the sizes of each. Code does not depend on that, so kernels
that differ in it alone are one text. The text needs no optimisation passes: only LLVM's code generator runs on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ....core.dtypes import DType
from ....core.numbers.polynomial import renamed
from ....core.numbers.symbolic import SymInt, source
from ....core.prim import REGISTRY
from .. import ir
from ..canonical import canonical
from ..loop_ir import Apply, Kernel, overwritable, walk
from .nest import NestEmitter, width
from .parts import I8, I64, LANES, PTR, VOID, arguments

OURS = tuple(f"{__package__.partition('.')[0]}.{part}" for part in ("ops", "core"))
PLAIN = (bool, int, float, complex, str, type(None), np.generic, DType)  # texts say all of them
SCRATCH = "scratch"  # a table in the code: the scratch bytes that each nest wants of a thread


@dataclass(frozen=True, slots=True)
class NestCode:
    """The function of a nest, which arguments of the kernel it takes, what the sizes are that it wants, and the lanes
    of its vectors."""

    symbol: str
    order: tuple[int, ...]
    sizes: tuple[SymInt, ...] = ()
    lanes: int = LANES


class Code:
    """A kernel's LLVM IR: the functions it will have, and the text, written when asked for.

    With `header`, the bytes between the address of an array object and the pointer to its elements, one more
    function takes such objects: ``objects(arrays, scratch, extents)`` runs the kernel on an array of their
    addresses; or, if `flat`, ``flat(array, ..., begin, end)`` runs the first nest.
    """

    def __init__(
        self, kernel: Kernel, has_fma: bool = True, header: int | None = None, flat: bool = False
    ) -> None:
        self.kernel = kernel
        self.has_fma = has_fma
        self.header = header
        self.flat = flat and header is not None
        self.parts: dict[str, tuple[str, Kernel]] = {}
        nests = []
        for nest in kernel.nests:
            own, used, sizes = canonical(nest, kernel.buffers)
            part = Kernel(tuple(kernel.buffers[i] for i in used), (own,))
            key = repr(part) + renamed(" ".join(map(source, sizes)))  # tells 0.0 from -0.0
            symbol, _ = self.parts.setdefault(key, (f"body{len(self.parts)}", part))
            order = tuple(i for i in used if kernel.buffers[i].role != "scratch")
            nests.append(NestCode(symbol, order, sizes, width(own)))
        self.nests = tuple(nests)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The functions, and the table of scratch bytes."""
        bodies = tuple(symbol for symbol, _ in self.parts.values())
        if self.flat:
            return ("flat", *bodies, SCRATCH)
        return ("run", *(("objects",) if self.header is not None else ()), *bodies, SCRATCH)

    @cached_property
    def overwritable(self) -> tuple[frozenset[int], ...]:
        """For each output the inputs whose memory it may have."""
        return overwritable(self.kernel)

    @cached_property
    def name(self) -> str | None:
        """A text that says all the IR depends on, quicker to make than the IR; None where there is none."""
        if not all(map(_is_ours, self.parts.values())):
            return None
        parts = "\n".join(self.parts)
        count = arguments(self.kernel)
        nests = [(n.symbol, n.order, len(n.sizes)) for n in self.nests]
        return f"{self.has_fma} {self.header} {self.flat} {count} {nests}\n{parts}"

    def text(self) -> str:
        """The IR. Raises Unsupported where an op's body uses what the scalar language lacks."""
        module = ir.Module(name="kernel")
        scratch = {
            symbol: NestEmitter(module, part, symbol, self.has_fma).scratch
            for symbol, part in self.parts.values()
        }
        _emit_table(module, [scratch[nest.symbol] for nest in self.nests])
        count = arguments(self.kernel)
        nests = [replace(n, order=n.order + (count,) * bool(scratch[n.symbol])) for n in self.nests]
        if self.flat:
            assert self.header is not None
            _emit_flat(module, self.kernel, nests[0], self.header)
        else:
            run = _emit_run(module, nests)
            if self.header is not None:
                _emit_objects(module, self.kernel, run, self.header)
        return str(module)


def _is_ours(part: tuple[str, Kernel]) -> bool:
    """Whether `version` covers the bodies of all ops in a part: not those that a user defines."""
    (nest,) = part[1].nests
    applied = [s for s in walk(nest.body) if isinstance(s, Apply)]
    return all(_said(value) for s in applied for _, value in s.params) and all(
        REGISTRY.get(p.name) is p and p.kernel.__module__.startswith(OURS)
        for p in {s.prim for s in applied}
    )


def _said(value: object) -> bool:
    return all(map(_said, value)) if isinstance(value, tuple) else isinstance(value, PLAIN)


def _emit_table(module: ir.Module, entries: Iterable[int]) -> None:
    numbers = [ir.Constant(I64, n) for n in entries]
    kind = ir.ArrayType(I64, len(numbers))
    table = ir.GlobalVariable(module, kind, SCRATCH)
    table.global_constant, table.initializer = True, ir.Constant(kind, numbers)


def _emit_run(module: ir.Module, nests: list[NestCode]) -> ir.Function:
    """Writes ``run``, which calls all nests."""
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR]), "run")
    b = ir.IRBuilder(fn.append_basic_block())
    buffers, extents = fn.args
    block = _block(b, max((len(nest.order) for nest in nests), default=0))
    for k, nest in enumerate(nests):
        given = buffers
        if nest.order != tuple(range(len(nest.order))):
            given = block
            for place, i in enumerate(nest.order):
                slot = b.gep(buffers, [ir.Constant(I64, i)], source_etype=PTR)
                _put(b, block, place, b.load(slot, typ=PTR))
        end = b.load(b.gep(extents, [ir.Constant(I64, k)], source_etype=I64), typ=I64)
        sizes = ir.Constant(PTR, None)
        if nest.sizes:
            at = len(nests) + sum(len(n.sizes) for n in nests[:k])
            sizes = b.gep(extents, [ir.Constant(I64, at)], source_etype=I64)
        b.call(module.globals[nest.symbol], [given, sizes, ir.Constant(I64, 0), end])
    b.ret_void()
    return fn


def _emit_objects(module: ir.Module, kernel: Kernel, run: ir.Function, header: int) -> None:
    """Writes ``objects``: `run` on array objects, whose elements it finds."""
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR, PTR]), "objects")
    b = ir.IRBuilder(fn.append_basic_block())
    arrays, scratch, extents = fn.args
    count = arguments(kernel)
    block = _block(b, count + 1)
    for i in range(count):
        array = b.load(b.gep(arrays, [ir.Constant(I64, i)], source_etype=PTR), typ=PTR)
        _put(b, block, i, _elements(b, array, header))
    _put(b, block, count, scratch)
    b.call(run, [block, extents])
    b.ret_void()


def _emit_flat(module: ir.Module, kernel: Kernel, nest: NestCode, header: int) -> None:
    """Writes ``flat``: the only nest on array objects given one by one."""
    count = arguments(kernel)
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * count + [I64, I64]), "flat")
    b = ir.IRBuilder(fn.append_basic_block())
    block = _block(b, count)
    for place, i in enumerate(nest.order):
        _put(b, block, place, _elements(b, fn.args[i], header))
    b.call(module.globals[nest.symbol], [block, ir.Constant(PTR, None), *fn.args[count:]])
    b.ret_void()


def _block(b: ir.IRBuilder, count: int) -> ir.Value:
    return b.alloca(ir.ArrayType(PTR, count))


def _put(b: ir.IRBuilder, block: ir.Value, i: int, pointer: ir.Value) -> None:
    b.store(pointer, b.gep(block, [ir.Constant(I64, i)], source_etype=PTR))


def _elements(b: ir.IRBuilder, array: ir.Value, header: int) -> ir.Value:
    """The pointer to the elements of an array object."""
    return b.load(b.gep(array, [ir.Constant(I64, header)], source_etype=I8), typ=PTR)
