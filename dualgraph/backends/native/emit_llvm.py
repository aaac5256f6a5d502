"""LLVM emitter: a loop IR kernel as LLVM IR text with explicit vectors.

Nests become functions ``body<j>(buffers, sizes, begin, end)`` that run turns ``begin <= i < end`` of their
parallel loop; nests that are equal but for their buffers share one. ``buffers`` points to the pointers of the
inputs and outputs that the nest uses, in its order, and one more to scratch memory if it uses some; ``sizes``
to what its `Size`s stand for. ``run(buffers, extents)`` runs all turns of all nests on the kernel's buffers:
``extents`` has the number of turns of each. Code does not depend on that, so kernels that differ in it alone
are one text. The text needs no optimisation passes: only LLVM's code generator runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .canonical import canonical
from .emit_nest import NestEmitter
from .llvm_parts import I8, I64, PTR, VOID, arguments
from .loop_ir import Kernel


@dataclass(frozen=True, slots=True)
class NestCode:
    """The function of a nest, and which arguments of the kernel it takes (one past the last: scratch)."""

    symbol: str
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """LLVM IR text of a kernel, and the scratch bytes that each thread must bring."""

    text: str
    scratch: int
    nests: tuple[NestCode, ...]


def emit(
    kernel: Kernel, *, has_fma: bool = True, header: int | None = None, flat: bool = False
) -> Code:
    """LLVM IR of a kernel. Raises Unsupported where an op's body uses what the scalar language lacks.

    With `header`, the bytes between the address of an array object and the pointer to its elements, one more
    function takes such objects: ``objects(arrays, scratch, extents)`` runs the kernel on an array of their
    addresses; or, if `flat`, ``flat(array, ..., begin, end)`` runs the first nest.
    """
    module = ir.Module(name="kernel")
    bodies: dict[str, NestEmitter] = {}
    nests, scratch = [], 0
    for nest in kernel.nests:
        own, used = canonical(nest, kernel.buffers)
        part = Kernel(tuple(kernel.buffers[i] for i in used), (own,))
        key = repr(part)  # tells 0.0 from -0.0
        if key not in bodies:
            bodies[key] = NestEmitter(module, part, f"body{len(bodies)}", has_fma)
        body = bodies[key]
        scratch = max(scratch, body.scratch)
        order = tuple(i for i in used if kernel.buffers[i].role != "scratch")
        nests.append(NestCode(body.fn.name, order + (arguments(kernel),) * bool(body.scratch)))
    if flat and header is not None:
        _emit_flat(module, kernel, nests[0], header)
    else:
        run = _emit_run(module, nests)
        if header is not None:
            _emit_objects(module, kernel, run, header)
    return Code(str(module), scratch, tuple(nests))


def _emit_run(module: ir.Module, nests: list[NestCode]) -> ir.Function:
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
        zero, none = ir.Constant(I64, 0), ir.Constant(PTR, None)
        b.call(module.globals[nest.symbol], [given, none, zero, end])
    b.ret_void()
    return fn


def _emit_objects(module: ir.Module, kernel: Kernel, run: ir.Function, header: int) -> None:
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
    count = arguments(kernel)
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * count + [I64, I64]), "flat")
    b = ir.IRBuilder(fn.append_basic_block())
    block = _block(b, count)
    for place, i in enumerate(nest.order):
        _put(b, block, place, _elements(b, fn.args[i], header))
    b.call(module.globals[nest.symbol], [block, ir.Constant(PTR, None), *fn.args[count:]])
    b.ret_void()


def _block(b: ir.IRBuilder, count: int) -> ir.Value:
    block = b.alloca(ir.ArrayType(PTR, count))
    block.type = PTR
    return block


def _put(b: ir.IRBuilder, block: ir.Value, i: int, pointer: ir.Value) -> None:
    b.store(pointer, b.gep(block, [ir.Constant(I64, i)], source_etype=PTR))


def _elements(b: ir.IRBuilder, array: ir.Value, header: int) -> ir.Value:
    """The pointer to the elements of an array object."""
    return b.load(b.gep(array, [ir.Constant(I64, header)], source_etype=I8), typ=PTR)
