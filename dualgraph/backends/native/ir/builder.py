"""Builder: writes instructions at the end of a block, as text at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .types import Type, VectorType
from .values import I1, PTR, Block, Constant, Function, Module, Phi, Value

LARGEST = 2**63
SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
UNSIGNED = {"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}
ORDERED = {"==": "oeq", "!=": "one", "<": "olt", "<=": "ole", ">": "ogt", ">=": "oge", "ord": "ord"}
UNORDERED = {
    "==": "ueq", "!=": "une", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "uno": "uno",
}  # fmt: skip


def _like(type: Type, element: Type) -> Type:
    """A type of `element` with the lanes of `type`."""
    return VectorType(element, type.count) if isinstance(type, VectorType) else element


def _binary(op: str) -> Any:
    def write(self: IRBuilder, x: Value, y: Value) -> Value:
        return self._put(x.type, f"{op} {x.type.text} {x.ref}, {y.ref}")

    return write


def _count(op: str, known: Callable[[int, int], int], neutral: int) -> Any:
    """An instruction of integers; of two numbers that are known, and of one with `neutral`, none is written."""

    def write(self: IRBuilder, x: Value, y: Value) -> Value:
        b = number(y)
        if b is not None and x.type.text == "i64":
            if b == neutral:
                return x
            if (a := number(x)) is not None and -LARGEST <= known(a, b) < LARGEST:
                return Constant(x.type, known(a, b))
        return self._put(x.type, f"{op} {x.type.text} {x.ref}, {y.ref}")

    return write


def number(x: Value) -> int | None:
    """The number that a constant is; None for what is known at a call only."""
    return x.constant if type(x) is Constant and type(x.constant) is int else None


def _cast(op: str) -> Any:
    def write(self: IRBuilder, x: Value, type: Type) -> Value:
        if x.type is type:
            return x
        return self._put(type, f"{op} {x.type.text} {x.ref} to {type.text}")

    return write


class IRBuilder:
    """Writes to `block`, ahead of what ends it."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.function: Function = block.function
        self._write = block.instructions.append

    @property
    def module(self) -> Module:
        return self.function.module

    def position_at_end(self, block: Block) -> None:
        """Goes on in another block of the function."""
        self.block = block
        self._write = block.instructions.append

    @contextmanager
    def goto_entry_block(self) -> Iterator[None]:
        """For a while, writes to the first block."""
        before = self.block
        self.position_at_end(self.function.blocks[0])
        yield
        self.position_at_end(before)

    def _put(self, type: Type, text: str) -> Value:
        fn = self.function
        fn.numbers += 1
        ref = f"%v{fn.numbers}"
        self._write(f"{ref} = {text}")
        return Value(type, ref)

    # --- arithmetic --------------------------------------------------------------------------------

    add, sub = _count("add", operator.add, 0), _count("sub", operator.sub, 0)
    mul, and_ = _count("mul", operator.mul, 1), _count("and", operator.and_, -1)
    sdiv, udiv, srem, urem = _binary("sdiv"), _binary("udiv"), _binary("srem"), _binary("urem")
    or_, xor = _binary("or"), _binary("xor")
    shl, lshr, ashr = _binary("shl"), _binary("lshr"), _binary("ashr")
    fadd, fsub, fmul, fdiv = _binary("fadd"), _binary("fsub"), _binary("fmul"), _binary("fdiv")

    def neg(self, x: Value) -> Value:
        """``0 - x``."""
        return self._put(x.type, f"sub {x.type.text} {x.type.null}, {x.ref}")

    def fneg(self, x: Value) -> Value:
        """The number with its sign changed."""
        return self._put(x.type, f"fneg {x.type.text} {x.ref}")

    def not_(self, x: Value) -> Value:
        """All bits changed."""
        ones = Constant(x.type, [-1] * x.type.count if isinstance(x.type, VectorType) else -1)
        return self._put(x.type, f"xor {x.type.text} {x.ref}, {ones.ref}")

    trunc, zext, sext = _cast("trunc"), _cast("zext"), _cast("sext")
    fptrunc, fpext = _cast("fptrunc"), _cast("fpext")
    sitofp, uitofp, fptosi, fptoui = (_cast(op) for op in ("sitofp", "uitofp", "fptosi", "fptoui"))
    bitcast, inttoptr, ptrtoint = _cast("bitcast"), _cast("inttoptr"), _cast("ptrtoint")

    # --- choice ------------------------------------------------------------------------------------

    def _compare(self, op: str, how: str, x: Value, y: Value) -> Value:
        return self._put(_like(x.type, I1), f"{op} {how} {x.type.text} {x.ref}, {y.ref}")

    def icmp_signed(self, how: str, x: Value, y: Value) -> Value:
        return self._compare("icmp", SIGNED[how], x, y)

    def icmp_unsigned(self, how: str, x: Value, y: Value) -> Value:
        return self._compare("icmp", UNSIGNED[how], x, y)

    def fcmp_ordered(self, how: str, x: Value, y: Value) -> Value:
        return self._compare("fcmp", ORDERED[how], x, y)

    def fcmp_unordered(self, how: str, x: Value, y: Value) -> Value:
        return self._compare("fcmp", UNORDERED[how], x, y)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """x where the condition holds, else y."""
        return self._put(x.type, f"select {condition}, {x}, {y}")

    # --- vectors -----------------------------------------------------------------------------------

    def insert_element(self, vector: Value, x: Value, at: Value) -> Value:
        return self._put(vector.type, f"insertelement {vector}, {x}, {at}")

    def extract_element(self, vector: Value, at: Value) -> Value:
        return self._put(vector.type.element, f"extractelement {vector}, {at}")  # type: ignore[attr-defined]

    def shuffle_vector(self, x: Value, y: Value, mask: Value) -> Value:
        type = VectorType(x.type.element, mask.type.count)  # type: ignore[attr-defined]
        return self._put(type, f"shufflevector {x}, {y}, {mask}")

    # --- memory ------------------------------------------------------------------------------------

    def alloca(self, type: Type, size: Value | int | None = None, align: int = 0) -> Value:
        """Memory of this frame for one value, or `size` of them."""
        text = f"alloca {type.text}"
        if size is not None:
            text += f", i64 {size}" if isinstance(size, int) else f", {size}"
        return self._put(PTR, f"{text}, align {align}" if align else text)

    def load(self, pointer: Value, *, typ: Type, align: int = 0) -> Value:
        text = f"load {typ.text}, ptr {pointer.ref}"
        return self._put(typ, f"{text}, align {align}" if align else text)

    def store(self, x: Value, pointer: Value, align: int = 0) -> None:
        text = f"store {x}, ptr {pointer.ref}"
        self._write(f"{text}, align {align}" if align else text)

    def atomic_rmw(self, op: str, pointer: Value, x: Value, ordering: str) -> Value:
        """What was there, changed at one stroke."""
        return self._put(x.type, f"atomicrmw {op} ptr {pointer.ref}, {x} {ordering}")

    def load_atomic(self, pointer: Value, ordering: str, align: int, *, typ: Type) -> Value:
        return self._put(
            typ, f"load atomic {typ.text}, ptr {pointer.ref} {ordering}, align {align}"
        )

    def gep(
        self,
        pointer: Value,
        indices: Sequence[Value],
        *,
        source_etype: Type,
        inbounds: bool = False,
    ) -> Value:
        """The address of an element; of several, if an index is a vector."""
        places = ", ".join([f"{i.type.text} {i.ref}" for i in indices])
        kind = _like(indices[-1].type, PTR)
        word = "getelementptr inbounds" if inbounds else "getelementptr"
        return self._put(
            kind, f"{word} {source_etype.text}, {pointer.type.text} {pointer.ref}, {places}"
        )

    # --- control -----------------------------------------------------------------------------------

    def phi(self, type: Type) -> Phi:
        """A value for each block that control comes from."""
        phi = Phi(type, f"%v{self.function.number()}")
        self._write(phi)
        return phi

    def call(self, fn: Any, args: Sequence[Value]) -> Value:
        """Calls a function: what has its name as ``ref`` and its type as ``ftype``."""
        result: Type = fn.ftype.result
        operands = ", ".join([f"{x.type.text} {x.ref}" for x in args])
        text = f"call {result.text} {fn.ref}({operands})"
        if result.text != "void":
            return self._put(result, text)
        self._write(text)
        return Value(result, "")

    def _end(self, text: str) -> None:
        if self.block.terminator:
            raise ValueError(f"block {self.block.name} has an end already")
        self.block.terminator = text

    def branch(self, block: Block) -> None:
        self._end(f"br label %{block.name}")

    def cbranch(
        self, condition: Value, then: Block, other: Block, weights: tuple[int, int] | None = None
    ) -> None:
        """Goes to one of two blocks; `weights` say how often."""
        text = f"br i1 {condition.ref}, label %{then.name}, label %{other.name}"
        if weights is not None:
            note = f'!{{!"branch_weights", i32 {weights[0]}, i32 {weights[1]}}}'
            text += f", !prof {self.module.note(note)}"
        self._end(text)

    def ret(self, x: Value) -> None:
        self._end(f"ret {x}")

    def ret_void(self) -> None:
        self._end("ret void")

    @contextmanager
    def if_else(
        self, condition: Value
    ) -> Iterator[tuple[AbstractContextManager[None], AbstractContextManager[None]]]:
        """``with if_else(c) as (then, other)``: each is a context in which that branch is written."""
        then, other, after = (
            self.function.append_basic_block(n) for n in ("then", "other", "after")
        )
        self.cbranch(condition, then, other)
        yield self._branch(then, after), self._branch(other, after)
        self.position_at_end(after)

    @contextmanager
    def _branch(self, block: Block, after: Block) -> Iterator[None]:
        self.position_at_end(block)
        yield
        if not self.block.is_terminated:
            self.branch(after)
