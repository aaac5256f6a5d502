"""Elementwise ops that are one NumPy function: these can write straight into planned memory."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..core.dtypes import bfloat16
from ..core.prim import Prim
from ..core.types import TensorType

UFUNCS: dict[Any, Any] = {
    operator.add: np.add,
    operator.sub: np.subtract,
    operator.mul: np.multiply,
    operator.truediv: np.true_divide,
    operator.neg: np.negative,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
    operator.eq: np.equal,
    operator.ne: np.not_equal,
    operator.and_: np.bitwise_and,
    operator.or_: np.bitwise_or,
    operator.xor: np.bitwise_xor,
    operator.invert: np.invert,
}


class _Seen:
    """A stand-in operand that writes down the one operator applied to the plain operands."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log


def _operator(fn: Any, arity: int) -> Any:
    def apply(self: _Seen, *others: Any) -> _Seen:
        if len(others) != arity - 1 or not all(type(o) is _Seen for o in others):
            raise TypeError("only plain operands")
        self.log.append((fn, self, *others))
        return _Seen(self.log)

    return apply


for _name, _fn, _arity in (
    ("__add__", operator.add, 2),
    ("__sub__", operator.sub, 2),
    ("__mul__", operator.mul, 2),
    ("__truediv__", operator.truediv, 2),
    ("__neg__", operator.neg, 1),
    ("__lt__", operator.lt, 2),
    ("__le__", operator.le, 2),
    ("__gt__", operator.gt, 2),
    ("__ge__", operator.ge, 2),
    ("__eq__", operator.eq, 2),
    ("__ne__", operator.ne, 2),
    ("__and__", operator.and_, 2),
    ("__or__", operator.or_, 2),
    ("__xor__", operator.xor, 2),
    ("__invert__", operator.invert, 1),
):
    setattr(_Seen, _name, _operator(_fn, _arity))


class _Silent:
    """A scalar handler without words: a body that needs one is not a single operator."""


def ufunc_of(prim: Prim, types: tuple[TensorType, ...]) -> Any:
    """The NumPy function that an op's body is, operator and operands in order; else None."""
    if any(t.dtype is bfloat16 or t.dtype.kind == "bool" for t in types):
        return None
    log: list[Any] = []
    operands = [_Seen(log) for _ in types]
    try:
        prim.kernel(_Silent(), *operands)
    except (TypeError, AttributeError):
        return None
    if len(log) != 1 or len(log[0]) != len(operands) + 1:
        return None
    if any(a is not b for a, b in zip(log[0][1:], operands, strict=True)):
        return None
    if log[0][0] is operator.mul and any(t.dtype.is_complex for t in types):
        return None  # its bits depend on how the operands lie: `scalar_numpy.settled`
    return UFUNCS[log[0][0]]
