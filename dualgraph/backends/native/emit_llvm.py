"""LLVM emitter: a loop IR kernel as LLVM IR text with explicit vectors.

A kernel becomes one function a nest, ``nest<k>(buffers, sizes, begin, end)``, that runs turns ``begin <=
i < end`` of its parallel loop, and ``run(buffers, sizes)``, which runs all of every nest. ``buffers`` points
to the pointers of the kernel's inputs and outputs (and one more to scratch memory), ``sizes`` to its int64 sizes.
The text needs no optimisation passes: only LLVM's code generator runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from .emit_nest import NestEmitter
from .llvm_parts import I8, I64, PTR, VOID, arguments
from .loop_ir import Kernel, Size


@dataclass(frozen=True, slots=True)
class Code:
    """LLVM IR text of a kernel, and the scratch bytes that each thread must bring."""

    text: str
    scratch: int


def emit(kernel: Kernel, *, has_fma: bool = True, header: int | None = None) -> Code:
    """LLVM IR of a kernel. Raises Unsupported where an op's body uses what the scalar language lacks.

    With `header`, the bytes between the address of an array object and the pointer to its elements, two more
    functions take such objects: ``objects(arrays, scratch)`` runs the kernel on an array of their addresses,
    ``flat(array, ..., begin, end)`` the first nest.
    """
    module = ir.Module(name="kernel")
    nests = [NestEmitter(module, kernel, k, has_fma) for k in range(len(kernel.nests))]
    run = _emit_run(module, kernel, nests)
    if header is not None:
        _emit_objects(module, kernel, run, header)
        _emit_flat(module, kernel, nests[0], header)
    return Code(str(module), max((n.scratch for n in nests), default=0))


def _emit_run(module: ir.Module, kernel: Kernel, nests: list[NestEmitter]) -> ir.Function:
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR]), "run")
    b = ir.IRBuilder(fn.append_basic_block())
    buffers, sizes = fn.args
    for nest, emitted in zip(kernel.nests, nests, strict=True):
        end: ir.Value = ir.Constant(I64, 1)
        for axis in nest.parallel.axes:
            if isinstance(axis.extent, Size):
                extent: ir.Value = b.load(
                    b.gep(sizes, [ir.Constant(I64, axis.extent.position)], source_etype=I64),
                    typ=I64,
                )
            else:
                extent = ir.Constant(I64, axis.extent)
            end = b.mul(end, extent)
        b.call(emitted.fn, [buffers, sizes, ir.Constant(I64, 0), end])
    b.ret_void()
    return fn


def _emit_objects(module: ir.Module, kernel: Kernel, run: ir.Function, header: int) -> None:
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR, PTR]), "objects")
    b = ir.IRBuilder(fn.append_basic_block())
    arrays, scratch = fn.args
    count = arguments(kernel)
    block = _block(b, count + 1)
    for i in range(count):
        array = b.load(b.gep(arrays, [ir.Constant(I64, i)], source_etype=PTR), typ=PTR)
        _put(b, block, i, _elements(b, array, header))
    _put(b, block, count, scratch)
    b.call(run, [block, ir.Constant(PTR, None)])
    b.ret_void()


def _emit_flat(module: ir.Module, kernel: Kernel, nest: NestEmitter, header: int) -> None:
    count = arguments(kernel)
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * count + [I64, I64]), "flat")
    b = ir.IRBuilder(fn.append_basic_block())
    block = _block(b, count)
    for i, array in enumerate(fn.args[:count]):
        _put(b, block, i, _elements(b, array, header))
    b.call(nest.fn, [block, ir.Constant(PTR, None), *fn.args[count:]])
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
