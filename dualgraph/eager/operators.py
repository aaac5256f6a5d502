"""Operators: what ``+ - * / @ < & [] +=`` and the like mean on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.errors import DTypeError, describe
from ..core.kinds import ELEMENTWISE
from ..core.prim import REGISTRY, Prim
from ..ops import arithmetic as ar
from ..ops import comparison as cp
from ..ops.transcendental import pow as power
from .attach import method, methods
from .functions import matmul
from .indexing import getitem, setitem
from .inplace import rewrite
from .overwrite import overwrite
from .shapes import unstack
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
        if isinstance(op, Prim) and op.kind is ELEMENTWISE and overwrite(op, self, (self, other)):
            return self
        return rewrite(name, self, op, self, other)

    operator.__name__ = operator.__qualname__ = name
    return operator


_ARITHMETIC = {
    "add": ar.add,
    "sub": ar.subtract,
    "mul": ar.multiply,
    "truediv": ar.divide,
    "floordiv": ar.floor_divide,
    "mod": ar.remainder,
    "pow": power,
    "matmul": matmul,
    "and": cp.bitwise_and,
    "or": cp.bitwise_or,
    "xor": cp.bitwise_xor,
    "lshift": cp.bitwise_left_shift,
    "rshift": cp.bitwise_right_shift,
}
_COMPARISONS = {
    "eq": cp.equal,
    "ne": cp.not_equal,
    "lt": cp.less,
    "le": cp.less_equal,
    "gt": cp.greater,
    "ge": cp.greater_equal,
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
        raise DTypeError(
            describe(
                "neg", str(x.tensor_type), "bools have no sign", "use ~x to negate truth values"
            )
        )
    return ar.negative(x)


@method
def __pos__(x: Tensor) -> Tensor:
    return x


@method
def __abs__(x: Tensor) -> Tensor:
    return ar.abs(x)


@method
def __invert__(x: Tensor) -> Tensor:
    return cp.bitwise_invert(x)


@method
def __divmod__(x: Tensor, other: Any) -> tuple[Tensor, Tensor]:
    return ar.floor_divide(x, other), ar.remainder(x, other)


@method
def __rdivmod__(x: Tensor, other: Any) -> tuple[Tensor, Tensor]:
    return ar.floor_divide(other, x), ar.remainder(other, x)


@method
def __round__(x: Tensor, ndigits: int = 0) -> Tensor:
    if ndigits:
        scale = 10.0**ndigits
        return ar.divide(ar.round(ar.multiply(x, scale)), scale)
    return ar.round(x)


@method
def __iter__(x: Tensor) -> Iterator[Tensor]:
    if not x.ndim:
        raise TypeError(
            describe("iter", str(x.tensor_type), "a 0-d tensor has no elements to go through")
        )
    return iter(unstack(x))


@method
def __reversed__(x: Tensor) -> Tensor:
    return getitem(x, slice(None, None, -1)) if x.ndim else x


@method
def __contains__(x: Tensor, value: Any) -> bool:
    return bool(cp.equal(x, value).any())


@method
def __getitem__(x: Tensor, key: Any) -> Tensor:
    """``x[key]``: a view for numbers, slices, None and Ellipsis; a copy with index tensors."""
    return getitem(x, key)


@method
def __setitem__(x: Tensor, key: Any, value: Any) -> None:
    """``x[key] = value``, in place."""
    setitem(x, key, value)


# Operators that are one elementwise op: the op, its number of operands, whether they are given the other way round.
ELEMENTWISE_OPERATORS: dict[str, tuple[Prim, int, bool]] = {
    **{f"__{name}__": (op, 2, False) for name, op in (_ARITHMETIC | _COMPARISONS).items()},
    **{f"__r{name}__": (op, 2, True) for name, op in _ARITHMETIC.items()},
    "__neg__": (ar.negative, 1, False),
    "__abs__": (ar.abs, 1, False),
}
ELEMENTWISE_OPERATORS = {
    name: entry
    for name, entry in ELEMENTWISE_OPERATORS.items()
    if isinstance(entry[0], Prim) and entry[0].kind is ELEMENTWISE
}


def ufunc(x: Tensor, fn: Any, how: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's ufuncs on tensors: the op of the same name, so that ``array + tensor`` is a tensor.

    Forms that have no op (``out=``, ``np.add.reduce``) are computed by NumPy on plain arrays.
    """
    op = UFUNCS.get(fn.__name__)
    if op is not None and how == "__call__" and not kwargs:
        return op(*inputs)
    if any(isinstance(o, Tensor) for o in kwargs.get("out", ())):
        return NotImplemented
    plain = [np.asarray(i) if isinstance(i, Tensor) else i for i in inputs]
    return getattr(fn, how)(*plain, **kwargs)


UFUNCS: dict[str, Any] = {
    name: op
    for name, op in REGISTRY.items()
    if op.kind is ELEMENTWISE and isinstance(getattr(np, name, None), np.ufunc)
} | {"true_divide": ar.divide, "absolute": ar.abs, "power": power, "matmul": matmul, "invert": cp.bitwise_invert,
     "left_shift": cp.bitwise_left_shift, "right_shift": cp.bitwise_right_shift}  # fmt: skip
methods(__array_ufunc__=ufunc)
