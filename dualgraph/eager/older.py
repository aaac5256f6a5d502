"""Older names of PyTorch for dtypes: ``FloatTensor([1, 2])`` of data, ``LongTensor(2, 3)`` of sizes, ``x.type()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import dtypes as dt
from .attach import methods
from .creation import tensor
from .filling import empty
from .methods.conversion import to
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


_DTYPES = {
    "FloatTensor": dt.float32, "DoubleTensor": dt.float64, "HalfTensor": dt.float16, "BFloat16Tensor": dt.bfloat16,
    "LongTensor": dt.int64, "IntTensor": dt.int32, "ShortTensor": dt.int16, "CharTensor": dt.int8,
    "ByteTensor": dt.uint8, "BoolTensor": dt.bool_,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
(
    FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor, LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor,
    BoolTensor,
) = (_constructor(name, dtype) for name, dtype in _DTYPES.items())  # fmt: skip


def type_(x: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """x in another dtype, which may be given as a constructor or its name; without one, the name of x's own.

    >>> x = dg.ones(2)
    >>> x.type(dg.int64).dtype, x.type(dg.DoubleTensor).dtype, x.type()
    (dualgraph.int64, dualgraph.float64, 'dualgraph.FloatTensor')
    """
    if dtype is None:
        return f"dualgraph.{_NAMES.get(x.dtype, x.dtype.name)}"
    name = dtype.rpartition(".")[2] if isinstance(dtype, str) else getattr(dtype, "__name__", None)
    return to(x, dtype=_DTYPES.get(name, dtype))


type_.__name__ = type_.__qualname__ = "type"
methods(type=type_)
