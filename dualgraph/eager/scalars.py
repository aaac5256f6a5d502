"""Scalars: Python numbers as operands of elementwise ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.context import state
from ..core.devices import CPU
from ..core.live import LIVE, given, mode, settled
from ..core.symbolic import plain
from ..core.types import TensorType
from .tensor import Tensor


class Scalar:
    """A Python number as an operand: its value, and the array scalar that kernels get."""

    __slots__ = ("array", "dtype", "value")

    def __init__(self, value: Any, dtype: dt.DType) -> None:
        self.value = value
        self.dtype = dtype
        self.array = dt.as_scalar(plain(value), dtype)

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, ())

    def tensor(self) -> Any:
        """The tensor that stands for it in a graph: None, as it is a constant there."""
        return None


class LiveScalar(Scalar):
    """A live number as an operand: a capture takes it as a 0-d tensor, rules see the number."""

    __slots__ = ()

    def __init__(self, value: Any, dtype: dt.DType) -> None:
        self.value = value if _taken(dtype) else settled(value)
        self.dtype = dtype
        self.array = dt.as_scalar(given(value), dtype)

    def tensor(self) -> Any:
        """What stands for it in the graph, or None where it has become a plain number."""
        if type(self.value) not in LIVE:
            return None
        formulas = mode.formulas
        return formulas.tensor(
            self.value, self.dtype, lambda: Tensor(np.asarray(self.array), self.dtype, CPU)
        )


def _taken(dtype: dt.DType) -> bool:
    """Whether a graph can take a number of this dtype as an input."""
    tracer = state.tracer
    if tracer is None:
        return True  # nothing is recorded, so nothing relies on the value
    return tracer.takes_numbers and dtype is not dt.bfloat16 and not dtype.is_complex
