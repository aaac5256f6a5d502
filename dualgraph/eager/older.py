"""Older constructors of PyTorch, one a dtype: ``FloatTensor([1, 2])`` of data, ``LongTensor(2, 3)`` of a shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import dtypes as dt
from .creation import tensor
from .filling import empty
from .tensor import Tensor


def _constructor(name: str, dtype: dt.DType) -> Callable[..., Tensor]:
    def make(*data: Any, device: Any = None) -> Tensor:
        if len(data) == 1 and not isinstance(data[0], int):
            return tensor(data[0], dtype=dtype, device=device)
        return empty(data or (0,), dtype=dtype, device=device)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""A tensor of {dtype.name}: of data, or of sizes and yet without values.

    >>> dg.{name}([[1, 0]]).dtype, dg.{name}(2, 3).shape
    (dualgraph.{dtype.name}, (2, 3))
    """
    return make


FloatTensor = _constructor("FloatTensor", dt.float32)
DoubleTensor = _constructor("DoubleTensor", dt.float64)
HalfTensor = _constructor("HalfTensor", dt.float16)
BFloat16Tensor = _constructor("BFloat16Tensor", dt.bfloat16)
LongTensor = _constructor("LongTensor", dt.int64)
IntTensor = _constructor("IntTensor", dt.int32)
ShortTensor = _constructor("ShortTensor", dt.int16)
CharTensor = _constructor("CharTensor", dt.int8)
ByteTensor = _constructor("ByteTensor", dt.uint8)
BoolTensor = _constructor("BoolTensor", dt.bool_)
