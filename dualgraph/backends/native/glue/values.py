"""Expressions of the glue language as LLVM values: numbers, comparisons, memory, calls."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from .. import ir
from . import capi
from .capi import GlueError

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
F32, F64, PTR, VOID = ir.FloatType(), ir.DoubleType(), ir.PointerType(), ir.VoidType()
TYPES: dict[str, ir.Type] = {
    "ptr": PTR, "i64": I64, "i32": I32, "i8": I8, "f64": F64, "f32": F32, "void": VOID, "None": VOID,
}  # fmt: skip
_INTEGER: dict[type, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "sdiv", ast.Mod: "srem",
    ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "ashr",
}  # fmt: skip
_FLOAT: dict[type, str] = {
    ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv",
}  # fmt: skip
_COMPARE: dict[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "==", ast.IsNot: "!=",
}  # fmt: skip


def type_named(name: str) -> ir.Type:
    """The LLVM type of that name in the glue language."""
    try:
        return TYPES[name]
    except KeyError:
        raise GlueError(f"{name} is not a type of the glue language") from None


class Values:
    """Writes expressions through the builder `b`. What names mean comes from the subclass."""

    b: ir.IRBuilder
    entry: ir.IRBuilder
    fn: ir.Function

    def read(self, name: str) -> ir.Value:
        raise NotImplementedError

    def table_entry(self, name: str) -> ir.Value:
        raise NotImplementedError

    def number(self, name: str) -> int:
        raise NotImplementedError

    def glue_function(self, name: str) -> ir.Function | None:
        raise NotImplementedError

    def fresh(self) -> ir.Block:
        return self.fn.append_basic_block()

    # --- types ---

    def fit(self, x: ir.Value, wanted: ir.Type) -> ir.Value:
        """`x` as a value of the wanted type, where that is a matter of width alone."""
        if x.type == wanted:
            return x
        if isinstance(x.type, ir.IntType) and isinstance(wanted, ir.IntType):
            if x.type.width > wanted.width:
                return self.b.trunc(x, wanted)
            return self.b.zext(x, wanted) if x.type == I1 else self.b.sext(x, wanted)
        if x.type == F64 and wanted == F32:
            return self.b.fptrunc(x, F32)
        if x.type == F32 and wanted == F64:
            return self.b.fpext(x, F64)
        raise GlueError(f"a value of type {x.type} where {wanted} is wanted")

    def wide(self, x: ir.Value) -> ir.Value:
        """Numbers as the language has them: i64 and f64."""
        if isinstance(x.type, ir.IntType):
            return self.fit(x, I64)
        return self.fit(x, F64) if x.type == F32 else x

    # --- expressions ---

    def value(self, e: ast.expr) -> ir.Value:
        """The value of an expression."""
        handler = getattr(self, f"of_{type(e).__name__}", None)
        if handler is None:
            raise GlueError(f"{ast.unparse(e)!r} is not in the glue language")
        found: ir.Value = handler(e)
        return found

    def of_Constant(self, e: ast.Constant) -> ir.Value:
        if e.value is None:
            return ir.Constant(PTR, None)
        if isinstance(e.value, bool | int):
            return ir.Constant(I64, int(e.value))
        if isinstance(e.value, float):
            return ir.Constant(F64, e.value)
        raise GlueError(f"{e.value!r} is no constant of the glue language")

    def of_Name(self, e: ast.Name) -> ir.Value:
        return self.read(e.id)

    def of_Attribute(self, e: ast.Attribute) -> ir.Value:
        if isinstance(e.value, ast.Name) and e.value.id == "o":
            return self.table_entry(f"o.{e.attr}")
        if isinstance(e.value, ast.Name) and e.value.id == "n":
            return ir.Constant(I64, self.number(e.attr))
        raise GlueError(f"{ast.unparse(e)} is neither o.NAME nor n.NAME")

    def of_UnaryOp(self, e: ast.UnaryOp) -> ir.Value:
        if isinstance(e.op, ast.Not):
            return self.wide(self.condition(e))
        x = self.value(e.operand)
        if isinstance(e.op, ast.USub):
            return self.b.fneg(x) if x.type == F64 else self.b.neg(x)
        if isinstance(e.op, ast.Invert):
            return self.b.not_(x)
        raise GlueError(f"{ast.unparse(e)} is not in the glue language")

    def of_BinOp(self, e: ast.BinOp) -> ir.Value:
        x, y = self.value(e.left), self.value(e.right)
        if x.type == PTR and y.type == I64 and isinstance(e.op, ast.Add):
            return self.b.gep(x, [y], source_etype=I8)
        names = _FLOAT if x.type == F64 else _INTEGER
        if x.type != y.type or x.type == PTR or type(e.op) not in names:
            raise GlueError(f"{ast.unparse(e)}: operands of type {x.type} and {y.type}")
        return getattr(self.b, names[type(e.op)])(x, y)

    def of_Compare(self, e: ast.Compare) -> ir.Value:
        return self.wide(self.condition(e))

    def of_BoolOp(self, e: ast.BoolOp) -> ir.Value:
        return self.wide(self.condition(e))

    def of_IfExp(self, e: ast.IfExp) -> ir.Value:
        test = self.condition(e.test)
        then, otherwise, after = self.fresh(), self.fresh(), self.fresh()
        self.b.cbranch(test, then, otherwise)
        ends = []
        for block, part in ((then, e.body), (otherwise, e.orelse)):
            self.b.position_at_end(block)
            x = self.value(part)
            ends.append((x, self.b.block))
            self.b.branch(after)
        self.b.position_at_end(after)
        out = self.b.phi(ends[0][0].type)
        for x, block in ends:
            out.add_incoming(x, block)
        return out

    # --- conditions ---

    def condition(self, e: ast.expr) -> ir.Value:
        """An expression as i1; ``and`` and ``or`` evaluate no more than they must."""
        if isinstance(e, ast.BoolOp):
            return self._both(e)
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.Not):
            return self.b.not_(self.condition(e.operand))
        if isinstance(e, ast.Compare):
            return self._compare(e)
        x = self.value(e)
        if x.type == PTR:
            return self.b.icmp_unsigned("!=", x, ir.Constant(PTR, None))
        if x.type == F64:
            return self.b.fcmp_unordered("!=", x, ir.Constant(F64, 0.0))
        return x if x.type == I1 else self.b.icmp_signed("!=", x, ir.Constant(x.type, 0))

    def _both(self, e: ast.BoolOp) -> ir.Value:
        """``and``, ``or``: parts that do not matter any more are not evaluated."""
        after, ends = self.fresh(), []
        *first, last = e.values
        for part in first:
            x = self.condition(part)
            following = self.fresh()
            ends.append((x, self.b.block))
            if isinstance(e.op, ast.And):
                self.b.cbranch(x, following, after)
            else:
                self.b.cbranch(x, after, following)
            self.b.position_at_end(following)
        ends.append((self.condition(last), self.b.block))
        self.b.branch(after)
        self.b.position_at_end(after)
        out = self.b.phi(I1)
        for x, block in ends:
            out.add_incoming(x, block)
        return out

    def _compare(self, e: ast.Compare) -> ir.Value:
        if len(e.ops) != 1:
            raise GlueError("one comparison at a time")
        x, y = self.value(e.left), self.value(e.comparators[0])
        how = _COMPARE.get(type(e.ops[0]))
        if how is None or x.type != y.type:
            raise GlueError(f"{ast.unparse(e)}: operands of type {x.type} and {y.type}")
        if x.type == F64:
            compare = self.b.fcmp_unordered if how == "!=" else self.b.fcmp_ordered
            return compare(how, x, y)
        return (self.b.icmp_unsigned if x.type == PTR else self.b.icmp_signed)(how, x, y)

    # --- calls ---

    def of_Call(self, e: ast.Call) -> ir.Value:
        if e.keywords:
            raise GlueError("calls have no keywords")
        if isinstance(e.func, ast.Attribute) and ast.unparse(e.func.value) == "c":
            return self._call_c(e.func.attr, e.args)
        if not isinstance(e.func, ast.Name):
            raise GlueError(f"{ast.unparse(e.func)} cannot be called")
        name = e.func.id
        known = self.glue_function(name)
        if known is not None:
            operands = self._fitted(e.args, known.ftype.arguments)
            return self.wide(self.b.call(known, operands))
        verb, _, kind = name.partition("_")
        handler = getattr(self, f"call_{verb}", None)
        if handler is None:
            raise GlueError(f"there is no function {name}")
        found: ir.Value = handler(e.args, kind)
        return found

    def _fitted(self, given: Sequence[ast.expr], types: Sequence[ir.Type]) -> list[ir.Value]:
        if len(given) != len(types):
            raise GlueError(f"{len(types)} arguments are wanted, {len(given)} are given")
        return [self.fit(self.value(a), t) for a, t in zip(given, types, strict=True)]

    def _call_c(self, name: str, given: Sequence[ast.expr]) -> ir.Value:
        try:
            known = capi.signature(name)
        except KeyError:
            raise GlueError(f"{name} is not listed in capi") from None
        kind = ir.FunctionType(TYPES[known.result], [TYPES[t] for t in known.operands])
        operands = self._fitted(given, kind.arguments)
        return self._indirect(self.table_entry(f"c.{name}"), kind, operands)

    def _indirect(self, place: ir.Value, kind: ir.FunctionType, operands: list[Any]) -> ir.Value:
        return self.wide(self.b.call(ir.Callee(place, kind), operands))

    def call_load(self, given: list[ast.expr], kind: str) -> ir.Value:
        place, offset = self._fitted(given, (PTR, I64))
        where = self.b.gep(place, [offset], source_etype=I8)
        return self.wide(self.b.load(where, typ=type_named(kind)))

    def call_store(self, given: list[ast.expr], kind: str) -> None:
        place, offset, x = self._fitted(given, (PTR, I64, self._held(kind)))
        where = self.b.gep(place, [offset], source_etype=I8)
        self.b.store(self.fit(x, type_named(kind)), where)

    @staticmethod
    def _held(kind: str) -> ir.Type:
        return {"f32": F64}.get(kind, I64 if kind.startswith("i") else type_named(kind))

    def call_stack(self, given: list[ast.expr], _: str) -> ir.Value:
        (size,) = given
        if isinstance(size, ast.Constant):
            count = size.value
        elif isinstance(size, ast.Attribute):
            count = self.number(size.attr)
        else:
            raise GlueError("stack takes a constant number of bytes")
        return self.entry.alloca(ir.ArrayType(I64, -(-int(count) // 8)))

    def call_call(self, given: list[ast.expr], kind: str) -> ir.Value:
        """``call_ptr(function, ...)``: the function at an address, with the types that the arguments have."""
        called, *operands = [self.value(a) for a in given]
        signature = ir.FunctionType(type_named(kind), [x.type for x in operands])
        return self._indirect(called, signature, operands)

    def call_address(self, given: list[ast.expr], _: str) -> ir.Value:
        (which,) = given
        known = self.glue_function(ast.unparse(which))
        if known is None:
            raise GlueError(f"{ast.unparse(which)} is not a glue function of this library")
        return self.b.bitcast(known, PTR)

    def call_f64(self, given: list[ast.expr], _: str) -> ir.Value:
        (x,) = (self.value(a) for a in given)
        return x if x.type == F64 else self.b.sitofp(x, F64)

    def call_i64(self, given: list[ast.expr], _: str) -> ir.Value:
        (x,) = (self.value(a) for a in given)
        return self.b.fptosi(x, I64) if x.type == F64 else x

    def call_bits(self, given: list[ast.expr], _: str) -> ir.Value:
        return self.b.ptrtoint(*self._fitted(given, (PTR,)), I64)

    def call_pointer(self, given: list[ast.expr], _: str) -> ir.Value:
        return self.b.inttoptr(*self._fitted(given, (I64,)), PTR)

    def call_swap(self, given: list[ast.expr], kind: str) -> ir.Value:
        """``swap_i64(p, x)``: writes x, gives what was there, at one stroke."""
        return self.b.atomic_rmw("xchg", *self._fitted(given, (PTR, I64)), "seq_cst")
