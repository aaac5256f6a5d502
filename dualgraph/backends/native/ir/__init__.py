"""LLVM IR as text: types, values and a builder, no more than our emitters use, written in one go.

The names are those of llvmlite's `ir`, which keeps every instruction as an object and spells it later,
and so takes much longer.
"""

from .builder import IRBuilder, number
from .types import (
    ArrayType,
    DoubleType,
    FloatType,
    FunctionType,
    HalfType,
    IntType,
    PointerType,
    Type,
    VectorType,
    VoidType,
)
from .values import (
    Block,
    Callee,
    Constant,
    Function,
    GlobalVariable,
    Module,
    Phi,
    Undefined,
    Value,
)

__all__ = [
    "ArrayType",
    "Block",
    "Callee",
    "Constant",
    "DoubleType",
    "FloatType",
    "Function",
    "FunctionType",
    "GlobalVariable",
    "HalfType",
    "IRBuilder",
    "IntType",
    "Module",
    "Phi",
    "PointerType",
    "Type",
    "Undefined",
    "Value",
    "VectorType",
    "VoidType",
    "number",
]
