"""Scalars: Python numbers as operands of elementwise ops."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.context import state
from ..core.devices import CPU
from ..core.numbers.live import LIVE, as_python, converted, given, holds_live, mode, settled
from ..core.numbers.symbolic import plain
from ..core.types import TensorType
from ..ops.arithmetic import cast
from ..ops.creation import constant, full
from ..ops.movement import concat_along, copy, reshape
from ..ops.reduce import broadcast_to
from .tensor import Tensor


class Scalar:
    """A Python number as an operand: its value, and the array scalar that kernels get."""

    __slots__ = ("array", "dtype", "value")

    def __init__(self, value: Any, dtype: dt.DType) -> None:
        self.value = value
        self.dtype = dtype
        self.array = dt.as_scalar(plain(value), dtype)

    @property
    def tensor_type(self) -> TensorType:
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


def filled_live(prim: Any, params: dict[str, Any]) -> Any:
    """What an op that fills a shape with a number gives for a live one, which stays an input; None where it cannot.

    The capture has it as a composite that `jit.literals` makes one op again.
    """
    name = prim.details.get("uniform")
    value, tracer = params.get(name), state.tracer
    rest = [v for k, v in params.items() if k != name]
    if tracer is None or type(value) not in LIVE or params["device"] != "cpu" or holds_live(rest):
        return None
    value, dtype = as_python(value), dt.as_dtype(params["dtype"])
    if dtype.kind != ("float" if isinstance(value, float) else "int") or not _taken(dtype):
        return None
    number = LiveScalar(value, dtype).tensor()
    with tracer.scope(prim.name):
        return copy(broadcast_to(number, shape=params["shape"]))


def listed_live(numbers: list[Any], array: np.ndarray[Any, Any], dtype: dt.DType) -> Any:
    """The tensor in `dtype` of `array`, some of whose elements, in the row of all `numbers`, are live: these stay
    inputs; None where they cannot.

    The capture has it as a composite that `jit.literals` makes a constant again.
    """
    tracer, natural = state.tracer, dt.from_numpy(array.dtype)
    if tracer is None or not (_widens(array, dtype) and _taken(dtype)):
        return None
    row = array.reshape(-1)
    with tracer.scope(constant.name):
        pieces = []
        for live, places in groupby(range(len(numbers)), lambda i: type(numbers[i]) in LIVE):
            for i in places if live else ():
                number = LiveScalar(_as_kind(numbers[i], array), natural)
                pieces.append(broadcast_to(number.tensor(), shape=(1,)))
            if not live:
                pieces.append(Tensor(row[list(places)], natural, CPU))
                tracer.constant(pieces[-1])
        return _joined(pieces, array, dtype)


def joined_with(numbers: list[Any], array: np.ndarray[Any, Any], dtype: dt.DType) -> Any:
    """The tensor in `dtype` of `array`, some of whose elements are the values of 0-d tensors among the `numbers`; None
    where ops cannot make it."""
    natural = dt.from_numpy(array.dtype)
    if not (_widens(array, dtype) and _taken(dtype)):
        return None
    pieces = []
    for v in numbers:
        if isinstance(v, Tensor):
            alone = v.detach()  # type: ignore[attr-defined]
            alone = alone if v.dtype is natural else cast(alone, dtype=natural.name)
            pieces.append(reshape(alone, shape=(1,)))
        else:
            value = _as_kind(v, array)
            pieces.append(full(shape=(1,), value=value, dtype=natural.name, device="cpu"))
    return _joined(pieces, array, dtype)


def _widens(array: np.ndarray[Any, Any], dtype: dt.DType) -> bool:
    """Whether a cast to `dtype` does with each element of an array what making a tensor of it does."""
    floats = dtype.kind == "float" and dtype is not dt.bfloat16
    return array.dtype.kind in "if" and (floats or dtype is dt.from_numpy(array.dtype))


def _as_kind(x: Any, array: np.ndarray[Any, Any]) -> Any:
    """A number as what the elements of an array are: a float, or an int."""
    return converted(
        int if array.dtype.kind == "i" else float, (as_python(x) if type(x) in LIVE else x,), {}
    )


def _joined(pieces: list[Any], array: np.ndarray[Any, Any], dtype: dt.DType) -> Any:
    """The elements in the shape of `array`, in `dtype`."""
    out = reshape(concat_along(*pieces, axis=0), shape=array.shape)
    out = out if dtype is pieces[0].dtype else cast(out, dtype=dtype.name)
    return copy(out) if out._parent is not None else out


def _taken(dtype: dt.DType) -> bool:
    """Whether a graph can take a number of this dtype as an input."""
    tracer = state.tracer
    if tracer is None:
        return True  # nothing is recorded, so nothing relies on the value
    return tracer.takes_numbers and dtype is not dt.bfloat16 and not dtype.is_complex
