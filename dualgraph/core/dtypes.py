"""Dtypes: the element types, how they are named, and how mixed operands promote."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .errors import DTypeError
from .process.silence import quietly

KINDS = ("bool", "uint", "int", "float", "complex")


class DType:
    """An element type such as ``float32``.

    ``numpy`` is the dtype of the array that stores it. They are the same but for ``bfloat16``, which
    NumPy lacks: it is stored as ``uint16`` and computed in ``float32``, rounded after each op.

        >>> dg.float32.itemsize, dg.float32.kind
        (4, 'float')
    """

    __slots__ = (
        "code",
        "is_complex",
        "is_floating_point",
        "is_inexact",
        "is_integer",
        "itemsize",
        "kind",
        "name",
        "numpy",
        "short",
    )
    _count = 0

    def __init__(self, name: str, short: str, kind: str, storage: str | None = None) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.numpy = np.dtype(storage or name)
        self.itemsize = self.numpy.itemsize
        self.is_integer = kind in ("int", "uint")
        self.is_floating_point = kind == "float"
        self.is_complex = kind == "complex"
        self.is_inexact = kind in ("float", "complex")
        self.code = DType._count  # a small number of its own, quick to look things up by
        DType._count += 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The storage dtype; lets NumPy accept a ``DType`` where it wants a dtype."""
        return self.numpy

    def __repr__(self) -> str:
        return f"dualgraph.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if isinstance(other, np.dtype) or (
            isinstance(other, type) and issubclass(other, np.generic)
        ):
            return self is not bfloat16 and self.numpy == other
        return NotImplemented

    __hash__ = object.__hash__


bool_ = DType("bool", "bool", "bool")
int8 = DType("int8", "i8", "int")
int16 = DType("int16", "i16", "int")
int32 = DType("int32", "i32", "int")
int64 = DType("int64", "i64", "int")
uint8 = DType("uint8", "u8", "uint")
uint16 = DType("uint16", "u16", "uint")
uint32 = DType("uint32", "u32", "uint")
uint64 = DType("uint64", "u64", "uint")
float16 = DType("float16", "f16", "float")
bfloat16 = DType("bfloat16", "bf16", "float", storage="uint16")
float32 = DType("float32", "f32", "float")
float64 = DType("float64", "f64", "float")
complex64 = DType("complex64", "c64", "complex")
complex128 = DType("complex128", "c128", "complex")
PARTS = {complex64: float32, complex128: float64}  # of what the parts of complex numbers are

ALL = (
    bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
BY_NAME = {d.name: d for d in ALL} | {d.short: d for d in ALL}
BY_NAME |= {"float": float32, "double": float64, "half": float16, "long": int64, "int": int32}
_FROM_NUMPY = {d.numpy: d for d in ALL if d is not bfloat16}
_FROM_PYTHON: dict[type, DType] = {bool: bool_, int: int64, float: float32, complex: complex64}


def as_dtype(spec: Any) -> DType:
    """The ``DType`` meant by a ``DType``, a name, a NumPy dtype or a Python number type.

    >>> as_dtype("float32"), as_dtype(np.int8), as_dtype(float)
    (dualgraph.float32, dualgraph.int8, dualgraph.float32)
    """
    if type(spec) is DType:
        return spec
    if isinstance(spec, str) and spec in BY_NAME:
        return BY_NAME[spec]
    if isinstance(spec, type) and spec in _FROM_PYTHON:
        return default_of(_FROM_PYTHON[spec].kind)
    try:
        return _FROM_NUMPY[np.dtype(spec).newbyteorder("=")]
    except (TypeError, KeyError):
        names = ", ".join(d.name for d in ALL)
        raise DTypeError(f"{spec!r} is not a dtype; use one of {names}") from None


class Defaults:
    """What holds for the process: the dtype of Python floats."""

    floating: DType = float32


changed: list[Callable[[], None]] = []  # called when the default dtype is another one


def set_default_dtype(dtype: Any) -> None:
    """Sets the dtype that Python floats get (``float32`` unless set).

    >>> dg.set_default_dtype(dg.float64)
    >>> dg.zeros(1).dtype
    dualgraph.float64
    >>> dg.set_default_dtype(dg.float32)
    """
    chosen = as_dtype(dtype)
    if not chosen.is_floating_point:
        raise DTypeError(f"the default dtype must be a floating one, not {chosen.name}")
    if chosen is not Defaults.floating:
        Defaults.floating = chosen
        for tell in changed:
            tell()


def get_default_dtype() -> DType:
    """The dtype that Python floats get.

    >>> dg.get_default_dtype()
    dualgraph.float32
    """
    return Defaults.floating


def default_of(kind: str) -> DType:
    """The dtype that a Python number of this kind gets when it stands alone."""
    if kind == "float":
        return Defaults.floating
    if kind == "complex":
        return complex128 if Defaults.floating is float64 else complex64
    return bool_ if kind == "bool" else int64


def of_scalar(value: Any) -> DType:
    """The dtype a lone Python scalar gets."""
    if isinstance(value, bool):
        return bool_
    return default_of(
        "int" if isinstance(value, int) else "float" if isinstance(value, float) else "complex"
    )


def _promote_pair(a: DType, b: DType) -> DType:
    """The common dtype of two, by the Array API's table."""
    if a is b:
        return a
    ka, kb = KINDS.index(a.kind), KINDS.index(b.kind)
    if a.kind == b.kind:
        if {a, b} == {float16, bfloat16}:
            return float32
        return a if a.itemsize >= b.itemsize else b
    if {a.kind, b.kind} == {"int", "uint"}:
        unsigned, signed = (a, b) if a.kind == "uint" else (b, a)
        if unsigned.itemsize < signed.itemsize:
            return signed
        if unsigned is uint64:  # left open by the standard; in PyTorch's spirit a float
            return Defaults.floating
        return BY_NAME[f"int{unsigned.itemsize * 16}"]
    low, high = (a, b) if ka < kb else (b, a)
    if high is complex64 and low is float64:
        return complex128
    return high


def promote(*dtypes: DType) -> DType:
    """The common dtype of operands: the Array API's table; int with float gives the float, as in PyTorch.

    >>> promote(int32, float32), promote(uint8, int8)
    (dualgraph.float32, dualgraph.int16)
    """
    out = dtypes[0]
    for other in dtypes[1:]:
        if other is not out:
            out = _promote_pair(out, other)
    return out


def promote_scalar(dtype: DType, value: Any) -> DType:
    """The dtype of an operand of `dtype` met by a Python scalar: only a higher kind changes it."""
    if isinstance(value, bool):
        return dtype
    kind = "int" if isinstance(value, int) else "float" if isinstance(value, float) else "complex"
    if kind == "int":
        return int64 if dtype is bool_ else dtype
    if kind == "float":
        return dtype if dtype.is_inexact else Defaults.floating
    if dtype.is_complex:
        return dtype
    return complex128 if dtype is float64 else complex64


def scalar_of(dtype: DType) -> Callable[[Any], Any]:
    """What makes a NumPy scalar of a Python number: infinite, without a warning, if that is too large for it."""
    kind = np.float32 if dtype is bfloat16 else dtype.numpy.type
    return partial(quietly, kind) if kind in (np.float16, np.float32, np.complex64) else kind


def as_scalar(value: Any, dtype: DType) -> Any:
    """A number in the form kernels take it: a NumPy scalar of the dtype that is computed in."""
    try:
        return scalar_of(dtype)(value)
    except (OverflowError, TypeError) as problem:
        raise DTypeError(f"{value!r} does not fit {dtype.name}: {problem}") from None


def from_numpy(dtype: np.dtype[Any]) -> DType:
    """The ``DType`` of a NumPy array's dtype (fast path of ``as_dtype``)."""
    found = _FROM_NUMPY.get(dtype)
    return found if found is not None else as_dtype(dtype)


def to_bfloat16(x: Any, xp: Any = np) -> Any:
    """float32 array -> uint16 array of the nearest bfloat16 (ties to even, NaN kept quiet)."""
    bits = xp.ascontiguousarray(x, dtype=xp.float32).view(xp.uint32)
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF).astype(xp.uint32)) >> 16
    nan = (bits >> 16) | 0x40
    return (
        xp.where(xp.isnan(bits.view(xp.float32)), nan, rounded).astype(xp.uint16).reshape(x.shape)
    )


def from_bfloat16(bits: Any, xp: Any = np) -> Any:
    """uint16 array of bfloat16 bits -> float32 array of the same values."""
    return (xp.ascontiguousarray(bits).astype(xp.uint32) << 16).view(xp.float32).reshape(bits.shape)


def to_float32(x: Any, xp: Any = np) -> Any:
    """A float16 array, or one of bfloat16 bits, as float32."""
    return x.astype(xp.float32) if x.dtype == xp.float16 else from_bfloat16(x, xp)


def rounded(x: Any, dtype: DType, xp: Any = np) -> Any:
    """A float32 array as the storage of a narrow floating dtype."""
    return to_bfloat16(x, xp) if dtype is bfloat16 else x.astype(dtype.numpy)
