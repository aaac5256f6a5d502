"""Operators: what ``+ - * / @ < & [] +=`` and the like mean on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.errors import DTypeError, describe
from ..ops import arithmetic as ar
from ..ops.transcendental import pow as power
from .attach import method, methods
from .functions import matmul, unstack
from .indexing import getitem, setitem
from .inplace import fit, write
from .tensor import Tensor

OPERANDS = (Tensor, bool, int, float, complex, np.ndarray, np.generic)


def _forward(op: Any, name: str) -> Callable[[Any, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return op(self, other) if isinstance(other, OPERANDS) else NotImplemented

    operator.__name__ = operator.__qualname__ = name
    return operator


def _reflected(op: Any, name: str) -> Callable[[Any, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return op(other, self) if isinstance(other, OPERANDS) else NotImplemented

    operator.__name__ = operator.__qualname__ = name
    return operator


def _in_place(op: Any, name: str) -> Callable[[Any, Any], Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return write(name, self, fit(name, self, op(self, other)))

    operator.__name__ = operator.__qualname__ = name
    return operator


def _bitwise(on_bits: Any, on_bools: Any) -> Callable[[Any, Any], Any]:
    """``& | ^``: of bits, which for two bools is the logical op."""

    def both(x: Any, y: Any) -> Any:
        return on_bits(x, y)

    both.__name__ = on_bools.__name__
    return both


_ARITHMETIC = {
    "add": ar.add,
    "sub": ar.subtract,
    "mul": ar.multiply,
    "truediv": ar.divide,
    "floordiv": ar.floor_divide,
    "mod": ar.remainder,
    "pow": power,
    "matmul": matmul,
    "and": ar.bitwise_and,
    "or": ar.bitwise_or,
    "xor": ar.bitwise_xor,
    "lshift": ar.bitwise_left_shift,
    "rshift": ar.bitwise_right_shift,
}
_COMPARISONS = {
    "eq": ar.equal,
    "ne": ar.not_equal,
    "lt": ar.less,
    "le": ar.less_equal,
    "gt": ar.greater,
    "ge": ar.greater_equal,
}

for _name, _op in _ARITHMETIC.items():
    methods(**{
        f"__{_name}__": _forward(_op, f"__{_name}__"),
        f"__r{_name}__": _reflected(_op, f"__r{_name}__"),
        f"__i{_name}__": _in_place(_op, f"__i{_name}__"),
    })  # fmt: skip
for _name, _op in _COMPARISONS.items():
    methods(**{f"__{_name}__": _forward(_op, f"__{_name}__")})


@method
def __neg__(x: Tensor) -> Tensor:
    if x.dtype.kind == "bool":
        raise DTypeError(describe("neg", str(x.type), "bools have no sign", "use ~x to negate truth values"))
    return ar.negative(x)  # type: ignore[no-any-return]


@method
def __pos__(x: Tensor) -> Tensor:
    return ar.positive(x)  # type: ignore[no-any-return]


@method
def __abs__(x: Tensor) -> Tensor:
    return ar.abs(x)  # type: ignore[no-any-return]


@method
def __invert__(x: Tensor) -> Tensor:
    return ar.bitwise_invert(x)  # type: ignore[no-any-return]


@method
def __round__(x: Tensor, ndigits: int = 0) -> Tensor:
    if ndigits:
        scale = 10.0**ndigits
        return ar.divide(ar.round(ar.multiply(x, scale)), scale)  # type: ignore[no-any-return]
    return ar.round(x)  # type: ignore[no-any-return]


@method
def __iter__(x: Tensor) -> Iterator[Tensor]:
    if not x.ndim:
        raise TypeError(describe("iter", str(x.type), "a 0-d tensor has no elements to go through"))
    return iter(unstack(x))


@method
def __reversed__(x: Tensor) -> Tensor:
    return getitem(x, slice(None, None, -1)) if x.ndim else x


@method
def __contains__(x: Tensor, value: Any) -> bool:
    return bool(ar.equal(x, value).any())


@method
def __getitem__(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for numbers, slices, None and Ellipsis; a copy with index tensors."""
    return getitem(x, key)


@method
def __setitem__(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``, in place."""
    setitem(x, key, value)


def ufunc_operator(x: Tensor, ufunc: Any, how: str, *inputs: Any, **kwargs: Any) -> Any:
    """``np.add(array, tensor)`` and ``array + tensor``: the op of the same name, a tensor as result."""
    op = UFUNCS.get(ufunc.__name__)
    if op is None or how != "__call__" or kwargs:
        return NotImplemented
    return op(*inputs)


UFUNCS: dict[str, Any] = {
    "add": ar.add, "subtract": ar.subtract, "multiply": ar.multiply, "divide": ar.divide,
    "true_divide": ar.divide, "floor_divide": ar.floor_divide, "remainder": ar.remainder, "power": power,
    "matmul": matmul, "bitwise_and": ar.bitwise_and, "bitwise_or": ar.bitwise_or,
    "bitwise_xor": ar.bitwise_xor, "left_shift": ar.bitwise_left_shift,
    "right_shift": ar.bitwise_right_shift, "equal": ar.equal, "not_equal": ar.not_equal,
    "less": ar.less, "less_equal": ar.less_equal, "greater": ar.greater,
    "greater_equal": ar.greater_equal, "negative": ar.negative, "absolute": ar.abs,
    "maximum": ar.maximum, "minimum": ar.minimum, "sqrt": ar.sqrt, "sign": ar.sign,
}  # fmt: skip
methods(__array_ufunc__=ufunc_operator)
