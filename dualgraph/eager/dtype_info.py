"""Dtype facts of the Array API standard: limits, kinds, and what the library offers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.context import state
from ..core.errors import ArgumentError, DTypeError, describe
from .tensor import Tensor


class finfo:
    """Limits of a floating dtype (of its parts, for a complex one).

    >>> dg.finfo(dg.float32).eps == 2.0**-23, dg.finfo(dg.bfloat16).bits
    (True, 16)
    """

    def __init__(self, type: Any = None, /) -> None:
        dtype = _dtype_of(type, dt.get_default_dtype())
        if not dtype.is_inexact:
            raise DTypeError(
                describe("finfo", dtype.name, "is not a floating dtype", "use dg.iinfo")
            )
        self.dtype = dt.PARTS.get(dtype, dtype)
        self.bits = 8 * self.dtype.itemsize
        if self.dtype is dt.bfloat16:
            self.eps, self.max, self.smallest_normal = 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126
            self.resolution = 0.01
        else:
            info = np.finfo(self.dtype.numpy)
            self.eps, self.max, self.smallest_normal = (
                float(info.eps),
                float(info.max),
                float(info.tiny),
            )
            self.resolution = float(info.resolution)
        self.min = -self.max
        self.tiny = self.smallest_normal

    def __repr__(self) -> str:
        limits = f"eps={self.eps}, min={self.min}, max={self.max}, smallest_normal={self.smallest_normal}"
        return f"finfo(dtype={self.dtype.name}, {limits})"


class iinfo:
    """Limits of an integer dtype.

    >>> dg.iinfo(dg.int8).max
    127
    """

    def __init__(self, type: Any, /) -> None:
        self.dtype = _dtype_of(type, dt.int64)
        if not self.dtype.is_integer:
            raise DTypeError(
                describe("iinfo", self.dtype.name, "is not an integer dtype", "use dg.finfo")
            )
        info = np.iinfo(self.dtype.numpy)
        self.bits, self.min, self.max = int(info.bits), int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(dtype={self.dtype.name}, min={self.min}, max={self.max})"


def _dtype_of(type: Any, default: dt.DType) -> dt.DType:
    return (
        default if type is None else type.dtype if isinstance(type, Tensor) else dt.as_dtype(type)
    )


_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: "bool", "integral", "real floating", "numeric", a dtype, or one of a tuple.

    >>> dg.isdtype(dg.int8, "integral"), dg.isdtype(dg.int8, ("bool", dg.int8))
    (True, True)
    """
    dtype = dt.as_dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ArgumentError(
                describe("isdtype", kind, f"not a kind of dtypes; use one of {', '.join(_KINDS)}")
            )
        return dtype.kind in _KINDS[kind]
    return dtype is dt.as_dtype(kind)


class ArrayNamespaceInfo:
    """What the standard's ``__array_namespace_info__()`` gives."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional features there are."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Any:
        """Where creation functions put their result."""
        return state.device

    def default_dtypes(self, *, device: Any = None) -> dict[str, dt.DType]:
        """Dtypes of Python numbers and indices."""
        return {
            "real floating": dt.get_default_dtype(),
            "complex floating": dt.default_of("complex"),
            "integral": dt.int64,
            "indexing": dt.int64,
        }

    def devices(self) -> list[Any]:
        """Devices there are."""
        return [state.device]

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, dt.DType]:
        """The standard's dtypes of a kind by name (float16 and bfloat16 are not among them)."""
        known = (d for d in dt.ALL if d not in (dt.float16, dt.bfloat16))
        return {d.name: d for d in known if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> ArrayNamespaceInfo:
    """The standard's inspection interface."""
    return ArrayNamespaceInfo()
