"""Expanded: an elementwise op whose body, in the scalar language, is written down as calls of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.scalar_numpy import ArrayScalar
from ..core.prim import Prim
from ..core.scalar import Scalar, State, Value, wrap_int
from ..reader import FUNCTIONS

# Words that the reader has a function of the same name for; and of another one.
WORDS = {name: name for name in FUNCTIONS if hasattr(Scalar, name)} | {
    "rint": "round",
    "pow": "power",
}
COMPUTED_IN = {"bfloat16": "float32"}  # dtypes that NumPy lacks


class Written:
    """A value of the portable form with a dtype, and Python's operators, which are written down."""

    def __init__(self, np: Any, value: Any, dtype: str) -> None:
        self.np, self.value, self.dtype = np, value, dtype


def _operator(function: str, dtype: str | None = None, turned: bool = False) -> Any:
    def call(*operands: Any) -> Written:
        x = operands[0]
        values = [v.value if isinstance(v, Written) else v for v in operands]
        made = getattr(x.np, function)(*(reversed(values) if turned else values))
        return Written(x.np, made, dtype or x.dtype)

    return call


def _of_bits(logical: str, bitwise: str) -> Any:
    def call(self: Written, *other: Any) -> Written:
        function = f"logical_{logical}" if self.dtype == "bool" else f"bitwise_{bitwise}"
        return _operator(function)(self, *other)

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
}.items():  # fmt: skip
    setattr(Written, f"__{_name}__", _operator(_function, "bool"))
for _name in ("and", "or", "xor"):
    setattr(Written, f"__{_name}__", _of_bits(_name, _name))
for _name, _function in {"lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}.items():
    setattr(Written, f"__{_name}__", _operator(_function))
Written.__invert__ = _of_bits("not", "invert")
Written.__neg__ = _operator("negative")


class WrittenScalar(Scalar):
    """The scalar language as calls of NumPy."""

    def __init__(self, np: Any) -> None:
        self.np = np

    def dtype_of(self, x: Value) -> str:
        return x.dtype  # type: ignore[no-any-return]

    def const(self, value: bool | int | float, like: Value) -> Value:
        if isinstance(value, int) and like.dtype.startswith(("int", "uint")):
            value = wrap_int(value, like.dtype)
        return Written(self.np, self.np.full((), value, like.dtype), like.dtype)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        x, y = self.lift(x, y)
        return Written(self.np, self.np.where(condition.value, x.value, y.value), x.dtype)

    def cast(self, x: Value, dtype: str) -> Value:
        return x if x.dtype == dtype else Written(self.np, self.np.astype(x.value, dtype), dtype)

    def bits(self, x: Value) -> Value:
        return self._seen(x, x.dtype.replace("float", "int"))

    def from_bits(self, i: Value) -> Value:
        return self._seen(i, i.dtype.replace("int", "float"))

    def _seen(self, x: Value, dtype: str) -> Value:
        return Written(self.np, self.np.view(x.value, dtype), dtype)

    def mul_add(self, a: Value, b: Value, c: Value) -> Value:
        return a * b + c

    fused = ArrayScalar.fused

    def rarely(
        self, condition: Value, slow: Callable[..., State], given: State, fast: State
    ) -> State:
        pairs = zip(slow(self, *given), fast, strict=True)
        return tuple(self.select(condition, a, b) for a, b in pairs)


def _word(name: str, function: str) -> Callable[..., Value]:
    asks = name.startswith(("is", "signbit"))

    def call(self: WrittenScalar, *xs: Value, **options: Any) -> Value:
        given = self.lift(*xs)
        made = getattr(self.np, function)(*(x.value for x in given), **options)
        return Written(self.np, made, "bool" if asks else given[0].dtype)

    return call


for _name, _function in WORDS.items():
    setattr(WrittenScalar, _name, _word(_name, _function))


def expanded(prim: Prim) -> Callable[..., Any]:
    """The rule of an elementwise op that the reader has no function for; one that needs words which NumPy lacks (those
    of bits, loops) is called by its name, and readers will not know it."""

    def rule(np: Any, *xs: Any, **params: Any) -> Any:
        values = [Written(np, x, COMPUTED_IN.get(x.dtype.name, x.dtype.name)) for x in xs]
        try:
            return prim.kernel(WrittenScalar(np), *values, **params).value
        except NotImplementedError:
            return getattr(np, prim.name)(*xs, **params)

    return rule
