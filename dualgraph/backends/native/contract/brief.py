"""Brief calls: a stage alone as one foreign call on its operands, for what takes no longer than setting up a recipe."""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR, VOID
from .code import I8, i64


def emit_brief(
    module: ir.Module, run: ir.Function, fields: tuple[str, ...], header: int | None
) -> None:
    """``whole(record, x, y, out)``: all units of a stage, whose record has `fields`, with scratch on the
    stack. With `header` (``flat``) the operands are
    array objects that hold the pointer to their elements so many bytes from their start."""
    name = "whole" if header is None else "flat"
    fn = ir.Function(module, ir.FunctionType(VOID, [PTR] * 4), name)
    b = ir.IRBuilder(fn.append_basic_block())
    record, *operands = fn.args
    if header is not None:
        operands = [b.load(b.gep(a, [i64(header)], source_etype=I8), typ=PTR) for a in operands]

    def field(name: str) -> ir.Value:
        return b.load(b.gep(record, [i64(fields.index(name))], source_etype=I64), typ=I64)

    scratch = b.alloca(I8, size=field("scratch"), align=64)
    b.call(run, [record, pointers(b, operands), scratch, i64(0), field("units")])
    b.ret_void()


def pointers(b: ir.IRBuilder, operands: list[ir.Value]) -> ir.Value:
    """Operands in memory, as stages want them."""
    pointers = b.alloca(PTR, size=len(operands))
    for i, operand in enumerate(operands):
        b.store(operand, b.gep(pointers, [i64(i)], source_etype=PTR), align=8)
    return pointers
