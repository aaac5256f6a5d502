"""Values of LLVM IR, and what holds them: modules, functions, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .types import FunctionType, IntType, PointerType, Type

PTR = PointerType()


class Value:
    """Something of a type, by the name that IR knows it by."""

    __slots__ = ("ref", "type")

    def __init__(self, type: Type, ref: str) -> None:
        self.type = type
        self.ref = ref

    def __str__(self) -> str:
        return f"{self.type.text} {self.ref}"


class Undefined:
    """The constant that may be anything."""


class Constant(Value):
    """A constant: a number, a sequence of numbers or constants, None for zero, or `Undefined`."""

    __slots__ = ("constant",)

    def __init__(self, type: Type, constant: Any) -> None:
        self.type = type
        self.constant = constant
        if constant is None:
            self.ref = type.null
        elif constant is Undefined:
            self.ref = "undef"
        else:
            self.ref = type.constant(constant)


class Phi(Value):
    """A value that depends on the block control came from."""

    __slots__ = ("incoming",)

    def __init__(self, type: Type, ref: str) -> None:
        super().__init__(type, ref)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """Control from `block` brings `value`."""
        self.incoming.append(f"[{value.ref}, %{block.name}]")

    def line(self) -> str:
        return f"{self.ref} = phi {self.type.text} {', '.join(self.incoming)}"


class Block:
    """Instructions in a row, and the one that ends them."""

    __slots__ = ("function", "instructions", "name", "terminator")

    def __init__(self, function: Function, name: str) -> None:
        self.function = function
        self.name = name
        self.instructions: list[str | Phi] = []
        self.terminator = ""

    @property
    def is_terminated(self) -> bool:
        return bool(self.terminator)

    def lines(self) -> list[str]:
        body = ["  " + (i if isinstance(i, str) else i.line()) for i in self.instructions]
        return [f"{self.name}:", *body, f"  {self.terminator or 'unreachable'}"]


class Function(Value):
    """A function: declared, or defined once it has blocks."""

    __slots__ = ("args", "attributes", "blocks", "ftype", "linkage", "module", "name", "numbers")

    def __init__(self, module: Module, ftype: FunctionType, name: str) -> None:
        super().__init__(PTR, f'@"{name}"')
        self.module = module
        self.ftype = ftype
        self.name = name
        self.args = [Value(t, f"%a{i}") for i, t in enumerate(ftype.arguments)]
        self.attributes: set[str] = set()
        self.blocks: list[Block] = []
        self.linkage = ""
        self.numbers = 0  # given to values and blocks
        module.globals[name] = self

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def append_basic_block(self, name: str = "block") -> Block:
        """A new block at the end."""
        block = Block(self, f"{name}.{self.number()}" if self.blocks else name)
        self.blocks.append(block)
        return block

    def lines(self) -> list[str]:
        head = f"{self.ftype.result.text} {self.ref}"
        if not self.blocks:
            return [f"declare {head}({', '.join(t.text for t in self.ftype.arguments)})"]
        words = ["define", self.linkage, f"{head}({', '.join(map(str, self.args))})"]
        words += sorted(self.attributes)
        body = [line for block in self.blocks for line in block.lines()]
        return [" ".join(w for w in words if w) + " {", *body, "}"]


class Callee:
    """A function of a type, known by its address."""

    __slots__ = ("ftype", "ref")

    def __init__(self, address: Value, ftype: FunctionType) -> None:
        self.ftype = ftype
        self.ref = address.ref


class GlobalVariable(Value):
    """Memory that the module brings."""

    __slots__ = ("global_constant", "initializer", "kind", "linkage", "name")

    def __init__(self, module: Module, kind: Any, name: str) -> None:
        super().__init__(PTR, f'@"{name}"')
        self.kind = kind
        self.name = name
        self.linkage = ""
        self.global_constant = False
        self.initializer: Constant | None = None
        module.globals[name] = self

    def lines(self) -> list[str]:
        words = [self.linkage, "constant" if self.global_constant else "global"]
        first = self.initializer if self.initializer is not None else Constant(self.kind, None)
        return [f"{self.ref} = {' '.join(w for w in words if w)} {first}"]


COLD = "; cold\n"  # how the text of a module begins that LLVM is not to take pains over


class Module:
    """A unit of code generation; its text is what LLVM parses.

    One that is `cold` calls the code that takes the time, so how fast its own instructions are does not count.
    """

    def __init__(self, name: str = "module", cold: bool = False) -> None:
        self.name = name
        self.cold = cold
        self.globals: dict[str, Any] = {}
        self.metadata: list[str] = []

    def note(self, text: str) -> str:
        """The name of a metadata node."""
        if text not in self.metadata:
            self.metadata.append(text)
        return f"!{self.metadata.index(text)}"

    def intrinsic(self, name: str, result: Type, operands: Sequence[Type]) -> Function:
        """A function of that name, declared when first asked for."""
        found: Function | None = self.globals.get(name)
        return found or Function(self, FunctionType(result, operands), name)

    def __str__(self) -> str:
        lines = [line for g in self.globals.values() for line in g.lines()]
        lines += [f"!{i} = {text}" for i, text in enumerate(self.metadata)]
        return (COLD if self.cold else "") + "\n".join([*lines, ""])


I1 = IntType(1)
