"""The glue language: a few constructs of Python, with C's meaning, as LLVM IR.

A glue function is written as a Python function but never run as one: its text is translated.

* Types: ``ptr`` (an object or any address), ``i64``, ``f64``; in memory and in signatures also ``i32 i8 f32``.
  Parameters and the result are annotated (``-> None``: no result). A local has the type of the first value that
  it is given. Loads give i8 and i32 as i64, f32 as f64; numbers without a point are i64.
* Statements: assignments to names, ``if``, ``while``, ``for i in range(...)``, ``break``, ``continue``, ``return``,
  calls.
* Operators: ``+ - * // % & | ^ << >>`` on integers (``//`` and ``%`` cut towards zero, as in C), ``+ - * /`` on
  f64, comparisons (of addresses, too), ``and or not`` as conditions, ``x if t else y``. ``None`` is the null
  address. ``ptr + i64`` counts bytes.
* ``c.Name(...)`` calls a C function listed in `capi`; ``o.NAME`` is a Python object of the library (borrowed);
  ``n.NAME`` is a number known when it is built; any other name that is called is a glue function beside it.
* ``load_ptr(p, offset)``, ``store_ptr(p, offset, x)`` (and ``_i64 _i32 _i8 _f64 _f32``) are memory;
  ``stack(bytes)`` is memory until the function returns; ``call_ptr(function, a, b)`` (``_i64 _i32 _f64 _void``) calls
  an address with the types that the arguments have; ``address_of(f)`` is the address of a glue function; ``f64(i)`` and
  ``i64(x)`` convert numbers, ``bits(p)`` and ``pointer(i)`` addresses; ``swap_i64(p, x)`` writes atomically and gives
  what was there.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence

from .. import ir
from .capi import NAMES, TABLE, GlueError
from .values import I8, I64, PTR, VOID, Values, type_named

SHORT = 12  # statements of a function that is written where it is called


class Translation:
    """Glue functions as a `module`.

    Given: parsed functions; the names of the entries (what these do not come to call is left out); what ``n.NAME``
    stands for, and the places of ``c.X`` and ``o.X`` in the table of addresses.
    """

    def __init__(
        self,
        functions: Sequence[ast.FunctionDef],
        entries: Sequence[str],
        numbers: Mapping[str, int],
        table: Sequence[str],
    ) -> None:
        self.module = ir.Module(name="glue")
        self.numbers = numbers
        self.places = {name: i for i, name in enumerate(table)}
        self.table = self._memory(TABLE, ir.ArrayType(PTR, max(1, len(table))), None)
        names = [*" ".join(table).encode(), 0]
        self._memory(NAMES, ir.ArrayType(I8, len(names)), names)
        self.sources = {fn.name: fn for fn in functions}
        self.functions: dict[str, ir.Function] = {}
        self.calls: Counter[str] = Counter()
        self.waiting: list[str] = []
        for name in entries:
            if self.function(name) is None:
                raise GlueError(f"there is no function {name}")
        while self.waiting:
            self._write(self.waiting.pop())
        for name in self.functions.keys() - {*entries}:
            self._seen_inside_alone(name)

    def _memory(self, name: str, kind: ir.Type, first: list[int] | None) -> ir.GlobalVariable:
        made = ir.GlobalVariable(self.module, kind, name)
        made.linkage, made.initializer = "dso_local", ir.Constant(kind, first)
        return made

    def function(self, name: str) -> ir.Function | None:
        """A glue function that is called, or otherwise wanted; None where there is none of that name."""
        source = self.sources.get(name)
        if source is None:
            return None
        self.calls[name] += 1
        if name not in self.functions:
            operands = [_annotated(a.annotation) for a in source.args.args]
            kind = ir.FunctionType(_annotated(source.returns), operands)
            self.functions[name] = made = ir.Function(self.module, kind, name)
            made.linkage = "dso_local"
            self.waiting.append(name)
        return self.functions[name]

    def _write(self, name: str) -> None:
        try:
            _Function(self, self.sources[name]).write()
        except GlueError as problem:
            raise GlueError(f"{name}: {problem}") from None

    def _seen_inside_alone(self, name: str) -> None:
        """A function that is no entry: LLVM may drop it, and writes it in place where it is short or called once."""
        fn = self.functions[name]
        fn.linkage = "internal"
        if self.calls[name] == 1 or _statements(self.sources[name]) <= SHORT:
            fn.attributes.add("alwaysinline")


def _statements(fn: ast.FunctionDef) -> int:
    return sum(isinstance(part, ast.stmt) for s in fn.body for part in ast.walk(s))


def _annotated(annotation: ast.expr | None) -> ir.Type:
    if annotation is None:
        raise GlueError("parameters and results of glue functions have types")
    return type_named(ast.unparse(annotation).strip("'\""))


class _Function(Values):
    """One glue function being translated; its locals lie on the stack until LLVM makes them registers."""

    def __init__(self, unit: Translation, source: ast.FunctionDef) -> None:
        self.unit = unit
        self.source = source
        self.fn = unit.functions[source.name]
        self.entry = ir.IRBuilder(self.fn.append_basic_block("entry"))
        self.start = self.fn.append_basic_block("start")
        self.b = ir.IRBuilder(self.start)
        self.locals: dict[str, tuple[ir.Value, ir.Type]] = {}
        self.loops: list[tuple[ir.Block, ir.Block]] = []  # (where continue goes, where break goes)

    def write(self) -> None:
        for argument, value in zip(self.source.args.args, self.fn.args, strict=True):
            self.assign(argument.arg, self.wide(value))
        if self.statements(self.source.body):
            if self.fn.ftype.result != VOID:
                raise GlueError("the end is reached without a result")
            self.b.ret_void()
        self.entry.branch(self.start)

    # --- names ---

    def assign(self, name: str, value: ir.Value) -> None:
        if name not in self.locals:
            place = self.entry.alloca(value.type)
            self.locals[name] = place, value.type
        place, held = self.locals[name]
        self.b.store(self.fit(value, held), place)

    def read(self, name: str) -> ir.Value:
        if name not in self.locals:
            raise GlueError(f"there is no local {name}")
        place, held = self.locals[name]
        return self.b.load(place, typ=held)

    def table_entry(self, name: str) -> ir.Value:
        if name not in self.unit.places:
            raise GlueError(f"{name} is not known to this library")
        place = self.unit.places[name]
        where = self.b.gep(self.unit.table, [ir.Constant(I64, place)], source_etype=PTR)
        return self.b.load(where, typ=PTR)

    def number(self, name: str) -> int:
        if name not in self.unit.numbers:
            raise GlueError(f"there is no number n.{name}")
        return self.unit.numbers[name]

    def glue_function(self, name: str) -> ir.Function | None:
        return self.unit.function(name)

    # --- statements: each says whether what follows it is reached ---

    def statements(self, body: Sequence[ast.stmt]) -> bool:
        for s in body:
            handler = getattr(self, f"do_{type(s).__name__}", None)
            try:
                if handler is None:
                    raise GlueError(f"{ast.unparse(s)!r} is not in the glue language")
                if not handler(s):
                    return False
            except GlueError as problem:
                if str(problem).startswith("line "):
                    raise
                raise GlueError(f"line {s.lineno} ({ast.unparse(s)}): {problem}") from None
        return True

    def do_Assign(self, s: ast.Assign) -> bool:
        (target,) = s.targets
        if not isinstance(target, ast.Name):
            raise GlueError("only names are assigned to; memory is written by store_...")
        self.assign(target.id, self.value(s.value))
        return True

    def do_AugAssign(self, s: ast.AugAssign) -> bool:
        if not isinstance(s.target, ast.Name):
            raise GlueError("only names are assigned to; memory is written by store_...")
        left = ast.Name(s.target.id, ast.Load())
        self.assign(s.target.id, self.value(ast.BinOp(left, s.op, s.value)))
        return True

    def do_Expr(self, s: ast.Expr) -> bool:
        if not (isinstance(s.value, ast.Constant) and isinstance(s.value.value, str)):
            self.value(s.value)
        return True

    def do_Pass(self, s: ast.Pass) -> bool:
        return True

    def do_Return(self, s: ast.Return) -> bool:
        if s.value is None:
            self.b.ret_void()
        else:
            self.b.ret(self.fit(self.value(s.value), self.fn.ftype.result))
        return False

    def do_If(self, s: ast.If) -> bool:
        test = self.condition(s.test)
        then, otherwise = self.fresh(), self.fresh()
        self.b.cbranch(test, then, otherwise)
        ends = []
        for block, body in ((then, s.body), (otherwise, s.orelse)):
            self.b.position_at_end(block)
            if self.statements(body):
                ends.append(self.b.block)
        if not ends:
            return False
        after = self.fresh()
        for block in ends:
            self.b.position_at_end(block)
            self.b.branch(after)
        self.b.position_at_end(after)
        return True

    def do_While(self, s: ast.While) -> bool:
        head, body, after = self.fresh(), self.fresh(), self.fresh()
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.condition(s.test), body, after)
        self._loop(body, s.body, head, after)
        self.b.position_at_end(after)
        return True

    def do_For(self, s: ast.For) -> bool:
        if not (isinstance(s.iter, ast.Call) and ast.unparse(s.iter.func) == "range"):
            raise GlueError("for goes over range(...)")
        if not isinstance(s.target, ast.Name):
            raise GlueError("for counts with one name")
        given = [self.value(a) for a in s.iter.args]
        begin, end = given if len(given) == 2 else (ir.Constant(I64, 0), given[0])
        self.assign(s.target.id, begin)
        head, body, step, after = (self.fresh() for _ in range(4))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.b.icmp_signed("<", self.read(s.target.id), end), body, after)
        self._loop(body, s.body, step, after)
        self.b.position_at_end(step)
        self.assign(s.target.id, self.b.add(self.read(s.target.id), ir.Constant(I64, 1)))
        self.b.branch(head)
        self.b.position_at_end(after)
        return True

    def _loop(
        self, block: ir.Block, body: Sequence[ast.stmt], again: ir.Block, after: ir.Block
    ) -> None:
        self.b.position_at_end(block)
        self.loops.append((again, after))
        if self.statements(body):
            self.b.branch(again)
        self.loops.pop()

    def do_Break(self, s: ast.Break) -> bool:
        self.b.branch(self._innermost()[1])
        return False

    def do_Continue(self, s: ast.Continue) -> bool:
        self.b.branch(self._innermost()[0])
        return False

    def _innermost(self) -> tuple[ir.Block, ir.Block]:
        if not self.loops:
            raise GlueError("this stands in no loop")
        return self.loops[-1]
