"""Types of LLVM IR. Equal types are one object; ``text`` is how IR spells them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T", bound="Type")
_made: dict[Any, Any] = {}


class Type:
    """A type. ``null`` is how its zero is spelt."""

    text: str
    null: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def constant(self, value: Any) -> str:
        """How a Python value of this type is spelt."""
        raise TypeError(f"there are no constants of type {self.text}")


def _one(cls: type[T], text: str, null: str) -> T:
    """The type spelt like this."""
    found: T | None = _made.get((cls, text))
    if found is None:
        found = object.__new__(cls)
        found.text, found.null = text, null
        found = _made.setdefault((cls, text), found)
    return found


class PointerType(Type):
    """The one type of pointers."""

    def __new__(cls) -> PointerType:
        return _one(cls, "ptr", "null")


class VoidType(Type):
    """The result of functions that give none."""

    def __new__(cls) -> VoidType:
        return _one(cls, "void", "")


class IntType(Type):
    """An integer of `width` bits."""

    width: int

    def __new__(cls, width: int) -> IntType:
        made = _one(cls, f"i{width}", "0")
        made.width = width
        return made

    def constant(self, value: Any) -> str:
        if self.width == 1:
            return "true" if value else "false"
        return str(int(value))


class _Floating(Type):
    """Numbers of IEEE 754; constants are spelt by their bits."""

    name, code = "", ""

    def __new__(cls) -> _Floating:
        return _one(cls, cls.name, "0.0")

    def constant(self, value: Any) -> str:
        with np.errstate(over="ignore"):  # what is too large is infinite
            packed = np.array(value, f">{self.code}").tobytes()
        if self.code == "e":
            return f"0xH{packed.hex().upper()}"
        if self.code == "f":  # spelt as the double of its value
            packed = struct.pack(">d", *struct.unpack(">f", packed))
        return f"0x{packed.hex()}"


class HalfType(_Floating):
    """binary16."""

    name, code = "half", "e"


class FloatType(_Floating):
    """binary32."""

    name, code = "float", "f"


class DoubleType(_Floating):
    """binary64."""

    name, code = "double", "d"


class _Many(Type):
    """`count` times `element`."""

    element: Type
    count: int
    brackets = "[]"

    def __new__(cls, element: Type, count: int) -> Any:
        left, right = cls.brackets
        made = _one(cls, f"{left}{count} x {element.text}{right}", "zeroinitializer")
        made.element, made.count = element, count
        return made

    def constant(self, value: Any) -> str:
        """Of numbers, or of constants."""
        kind, spell = self.element.text, self.element.constant
        parts = [f"{kind} {v.ref if hasattr(v, 'ref') else spell(v)}" for v in value]
        if len(parts) != self.count:
            raise ValueError(f"{len(parts)} elements for {self.text}")
        left, right = self.brackets
        return f"{left}{', '.join(parts)}{right}"


class VectorType(_Many):
    """A vector in a register."""

    brackets = "<>"


class ArrayType(_Many):
    """Elements in memory, one after the other."""


class FunctionType(Type):
    """The type of a function: what it gives and takes."""

    result: Type
    arguments: tuple[Type, ...]

    def __new__(cls, result: Type, arguments: Sequence[Type]) -> FunctionType:
        text = f"{result} ({', '.join(map(str, arguments))})"
        made = _one(cls, text, "")
        made.result, made.arguments = result, tuple(arguments)
        return made
