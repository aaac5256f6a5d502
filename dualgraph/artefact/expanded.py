"""Expanded: an elementwise op whose body, in the scalar language, is written down as calls of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.prim import Prim
from ..core.scalar import Scalar, Value

# Words that NumPy, or the reader, has a function of the same name for.
NUMPY = "floor ceil trunc sqrt abs copysign exp expm1 log log1p sin cos tanh erf erfc lgamma"
COMPUTED_IN = {"bfloat16": "float32"}  # dtypes that NumPy lacks


class Written:
    """A value of the portable form with a dtype, and Python's operators, which are written down."""

    def __init__(self, np: Any, value: Any, dtype: str) -> None:
        self.np, self.value, self.dtype = np, value, dtype


def _operator(function: str, dtype: str | None = None, turned: bool = False) -> Any:
    def call(self: Written, other: Any) -> Written:
        pair = self.value, other.value if isinstance(other, Written) else other
        made = getattr(self.np, function)(*(reversed(pair) if turned else pair))
        return Written(self.np, made, dtype or self.dtype)

    return call


for _name, _function in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
}.items():
    setattr(Written, f"__{_name}__", _operator(_function))
    setattr(Written, f"__r{_name}__", _operator(_function, turned=True))
for _name, _function in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
    "and": "logical_and", "or": "logical_or",
}.items():  # fmt: skip
    setattr(Written, f"__{_name}__", _operator(_function, "bool"))
Written.__neg__ = lambda x: Written(x.np, x.np.negative(x.value), x.dtype)
Written.__invert__ = lambda x: Written(x.np, x.np.logical_not(x.value), "bool")


class WrittenScalar(Scalar):
    """The scalar language as calls of NumPy."""

    def __init__(self, np: Any) -> None:
        self.np = np

    def dtype_of(self, x: Value) -> str:
        return x.dtype  # type: ignore[no-any-return]

    def const(self, value: bool | int | float, like: Value) -> Value:
        return Written(self.np, self.np.full((), value), like.dtype)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        x, y = self.lift(x, y)
        return Written(self.np, self.np.where(condition.value, x.value, y.value), x.dtype)

    def cast(self, x: Value, dtype: str) -> Value:
        return x if x.dtype == dtype else Written(self.np, self.np.astype(x.value, dtype), dtype)

    def mul_add(self, a: Value, b: Value, c: Value) -> Value:
        return a * b + c

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        return a * b + c


def _word(name: str) -> Callable[..., Value]:
    def call(self: WrittenScalar, *xs: Value) -> Value:
        given = self.lift(*xs)
        return Written(self.np, getattr(self.np, name)(*(x.value for x in given)), given[0].dtype)

    return call


for _name in NUMPY.split():
    setattr(WrittenScalar, _name, _word(_name))


def expanded(prim: Prim) -> Callable[..., Any]:
    """The rule of an elementwise op that NumPy has no function for."""

    def rule(np: Any, *xs: Any, **params: Any) -> Any:
        values = [Written(np, x, COMPUTED_IN.get(x.dtype.name, x.dtype.name)) for x in xs]
        return prim.kernel(WrittenScalar(np), *values, **params).value

    return rule
