"""The scalar language over an array namespace: NumPy or CuPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import log
from typing import Any

import numpy as np

from ..core.expansions import dekker_product, two_sum
from ..core.scalar import (
    BITS_OF_FLOAT,
    FLOAT_OF_BITS,
    FLOATS,
    SIGNED,
    Scalar,
    State,
    Value,
    int_range,
    wrap_int,
)


@lru_cache(maxsize=64)
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, which NumPy puts together in Python each time."""
    return str(dtype.name)


class ExactArrayScalar(Scalar):
    """Arrays through the expansions alone, with an exact fma: the oracle of the code generators."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self._tables: dict[tuple[int, str], Any] = {}

    def dtype_of(self, x: Value) -> str:
        return name_of(x.dtype)

    def const(self, value: bool | int | float, like: Value) -> Value:
        name = self.dtype_of(like)
        if isinstance(value, int) and name not in FLOATS and name.startswith(("int", "uint")):
            value = wrap_int(value, name)
        return like.dtype.type(value)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.xp.where(condition, *self.lift(x, y))

    def cast(self, x: Value, dtype: str) -> Value:
        name = self.dtype_of(x)
        if name == dtype:
            return x
        if dtype == "bool":
            return x != 0
        if name.startswith("complex") and not dtype.startswith("complex"):
            # No view of x: to its own dtype a cast does nothing
            return self.cast(x.real.copy(), dtype)
        if name in FLOATS and dtype.startswith(("int", "uint")):
            return self._saturate(x.astype("float32") if name == "float16" else x, dtype)
        if dtype == "float16" and name.startswith(("int", "uint")):
            x = x.astype("float32")
        return x.astype(dtype)

    def _saturate(self, x: Value, dtype: str) -> Value:
        low, high = int_range(dtype)
        above = x >= float(high + 1)
        below = x < float(low) if dtype in SIGNED else x <= -1.0
        inside = ~(above | below | (x != x))
        out = self.xp.where(inside, x, x.dtype.type(0)).astype(dtype)
        out = self.xp.where(above, out.dtype.type(high), out)
        return self.xp.where(below, out.dtype.type(low), out)

    def bits(self, x: Value) -> Value:
        return x.view(BITS_OF_FLOAT[self.dtype_of(x)])

    def from_bits(self, i: Value) -> Value:
        return i.view(FLOAT_OF_BITS[self.dtype_of(i)])

    def floor(self, x: Value) -> Value:
        return self.xp.floor(x) if self.is_float(x) else x

    def ceil(self, x: Value) -> Value:
        return self.xp.ceil(x) if self.is_float(x) else x

    def trunc(self, x: Value) -> Value:
        return self.xp.trunc(x) if self.is_float(x) else x

    def rint(self, x: Value) -> Value:
        return self.xp.rint(x) if self.is_float(x) or x.dtype.kind == "c" else x

    def sqrt(self, x: Value) -> Value:
        return self.xp.sqrt(x)

    def abs(self, x: Value) -> Value:
        return self.xp.abs(x)

    def copysign(self, x: Value, y: Value) -> Value:
        return self.xp.copysign(*self.lift(x, y))

    def quotient(self, x: Value, y: Value) -> Value:
        one, zero = self.const(1, x), self.const(0, x)
        least = x == int_range(self.dtype_of(x))[0]
        by_minus_1 = (y + one == zero) if self.dtype_of(x) in SIGNED else (y != y)
        y_safe = self.xp.where((y == 0) | (least & by_minus_1), one, y)
        down = self.xp.floor_divide(x, y_safe)
        up = (down < 0) & (down * y_safe != x)
        return self.xp.where(y == 0, zero, self.xp.where(up, down + one, down))

    def gather_table(self, table: Sequence[float], index: Value, like: Value) -> Value:
        key = (id(table), self.dtype_of(like))
        if key not in self._tables:  # the table is kept so that its id stays its own
            self._tables[key] = table, self.xp.asarray(table, dtype=like.dtype)
        return self.xp.take(self._tables[key][1], index)

    def rarely(
        self, condition: Value, slow: Callable[..., State], given: State, fast: State
    ) -> State:
        if not bool(self.xp.any(condition)):
            return fast
        return tuple(
            self.xp.where(condition, a, b) for a, b in zip(slow(self, *given), fast, strict=True)
        )

    def loop(
        self, state: State, more: Callable[[State], Value], step: Callable[[State], State]
    ) -> State:
        while bool(self.xp.any(active := more(state))):
            after = step(state)
            state = tuple(self.xp.where(active, a, b) for a, b in zip(after, state, strict=True))
        return state


# Expanded words for which the namespace has a function of its own.
UNARY = {
    "exp": "exp",
    "log": "log",
    "log2": "log2",
    "log10": "log10",
    "log1p": "log1p",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "cbrt": "cbrt",
}
BINARY = {
    "atan2": "arctan2",
    "pow": "power",
    "hypot": "hypot",
    "logaddexp": "logaddexp",
    "fmod": "fmod",
    "remainder": "remainder",
    "floor_divide": "floor_divide",
}


class ArrayScalar(ExactArrayScalar):
    """Arrays through the functions of the namespace, through the expansions where it has none."""

    def mul_add(self, a: Value, b: Value, c: Value) -> Value:
        return a * b + c

    def fused(self, a: Value, b: Value, c: Value) -> Value:
        if self.dtype_of(a) == "float32":
            a, b, c = (self.cast(v, "float64") for v in (a, b, c))
            return self.cast(a * b + c, "float32")
        high, low = dekker_product(a, b)
        total, error = two_sum(high, c)
        out = total + (error + low)
        return self.select(self.abs(out) < float("inf"), out, a * b + c)

    def sign(self, x: Value) -> Value:
        return self.xp.sign(x) if x.dtype.kind == "c" else super().sign(x)

    def expm1(self, x: Value) -> Value:
        """``xp.expm1``; of complex numbers with the special values of the array API standard."""
        if x.dtype.kind == "c":
            return self._complex_expm1(x)
        return self.xp.expm1(_contiguous(self.xp, x))

    def exp2(self, x: Value) -> Value:
        """``xp.exp2``, which is for real numbers alone."""
        if x.dtype.kind == "c":
            return self.exp(x * log(2))
        return self.xp.exp2(_contiguous(self.xp, x))

    def sigmoid(self, x: Value) -> Value:
        """``1 / (1 + e**-x)`` from ``e**-|x|``."""
        if x.dtype.kind == "c":
            return self._complex_sigmoid(x)
        if self.dtype_of(x) == "float16":
            return self.cast(self.sigmoid(self.cast(x, "float32")), "float16")
        e = self.exp(-self.abs(x))
        return self.select(x < 0, e, self.const(1.0, x)) / (e + 1.0)

    def _complex_expm1(self, x: Value) -> Value:
        """``(expm1(a) cos(b) - 2 sin(b / 2)**2) + i e**a sin(b)`` of ``a + i b``."""
        xp, a, b = self.xp, x.real, x.imag
        half = self.sin(b * 0.5)
        real = self.expm1(a) * self.cos(b) - 2.0 * half * half
        imag = self.exp(a) * self.sin(b)
        low, high, endless = a == -xp.inf, a == xp.inf, ~xp.isfinite(b)
        real = xp.where(b == 0, self.expm1(a) + 0.0, xp.where(low, -1.0, real))
        imag = xp.where(b == 0, b, xp.where(low & endless, 0.0, imag))
        out = xp.empty(x.shape, x.dtype)
        out.real = xp.where(high & endless, xp.inf, real)
        out.imag = imag
        return out

    def _complex_sigmoid(self, x: Value) -> Value:
        """The same from ``e**-x`` or ``e**x``, whichever has the smaller magnitude."""
        right = x.real >= 0
        e = self.exp(self.select(right, -x, x))
        return self.select(right, self.const(1.0, x), e) / (e + 1.0)


def _unary(word: str, function: str) -> Callable[..., Value]:
    def apply(self: ArrayScalar, x: Value) -> Value:
        return getattr(self.xp, function)(_contiguous(self.xp, x))

    return _named(apply, word, function)


def _binary(word: str, function: str) -> Callable[..., Value]:
    def apply(self: ArrayScalar, x: Value, y: Value) -> Value:
        x, y = self.lift(x, y)
        return getattr(self.xp, function)(_contiguous(self.xp, x), _contiguous(self.xp, y))

    return _named(apply, word, function)


def _contiguous(xp: Any, x: Value) -> Value:
    """`x` in C order: vector code of the namespace may round strided elements otherwise."""
    return xp.ascontiguousarray(x) if getattr(x, "ndim", 0) else x


def settled(arrays: Sequence[Any]) -> Sequence[Any]:
    """Operands that lie as NumPy's vector code takes them.

    It rounds complex products by an fma; loops for memory that lies backwards, for one element under unlike axes, and
    for NumPy's scalars do not.
    """
    if not any(a.dtype.kind == "c" for a in arrays):
        return arrays
    if all(a.size == 1 for a in arrays):
        ones = (1,) * max(a.ndim for a in arrays)
        return [np.asarray(a).reshape(()).reshape(ones) for a in arrays]
    return [_contiguous(np, a) if a.dtype.kind == "c" else a for a in arrays]


def _named(apply: Callable[..., Value], word: str, function: str) -> Callable[..., Value]:
    apply.__name__, apply.__qualname__ = word, f"ArrayScalar.{word}"
    apply.__doc__ = f"``xp.{function}`` of contiguous operands."
    return apply


for _word, _function in UNARY.items():
    setattr(ArrayScalar, _word, _unary(_word, _function))
for _word, _function in BINARY.items():
    setattr(ArrayScalar, _word, _binary(_word, _function))
