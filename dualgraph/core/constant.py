"""Constants: arrays as parameters of ops, and when two parameters are exactly the same."""

from __future__ import annotations

import functools
import struct
import sys
from typing import Any

import numpy as np

from .devices import CPU
from .dtypes import DType, from_numpy
from .types import TensorType


class ConstArray:
    """A frozen NumPy array with its dtype, hashable; two are equal when types and bytes are.

    ``dtype`` says what the storage means: bfloat16 is kept in ``uint16``.

    >>> ConstArray(np.zeros(2)) == ConstArray(np.zeros(2)), ConstArray(np.array(-0.0)) == ConstArray(np.array(0.0))
    (True, False)
    """

    __slots__ = ("_hash", "array", "dtype")

    def __init__(self, array: Any, dtype: DType | None = None) -> None:
        given = np.asarray(array)
        self.dtype = from_numpy(given.dtype) if dtype is None else dtype
        self.array: np.ndarray[Any, Any] = np.array(
            given, dtype=self.dtype.numpy, order="C", copy=True
        )
        self.array.setflags(write=False)
        self._hash = hash((self.dtype, self.array.shape, self.array.tobytes()))

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.array.shape, CPU)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, ConstArray)
            and self._hash == other._hash
            and self.type == other.type
            and self.array.tobytes() == other.array.tobytes()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"ConstArray({self.type})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ConstArray, (np.array(self.array), self.dtype)


# Builtins whose derived classes' objects equal theirs, and what makes an object of the builtin of one of those.
PLAIN: tuple[tuple[type, Any], ...] = (
    (int, int.__pos__), (float, float.__pos__), (complex, complex.__pos__), (str, str.__str__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)  # fmt: skip


# Types of the standard library whose objects never change, and are what their texts say; by module, which may not be
# imported.
SPELLED = {
    "datetime": frozenset("datetime date time timedelta timezone".split()),
    "fractions": frozenset(("Fraction",)),
    "pathlib": frozenset("PosixPath WindowsPath PurePosixPath PureWindowsPath".split()),
}


@functools.lru_cache(maxsize=1024)
def is_spelled(kind: Any) -> bool:
    """Whether objects of exactly this type are what their texts say: paths, dates, fractions."""
    module = str(kind.__module__).partition(".")[0]
    named: bool = kind.__name__ in SPELLED.get(module, ())
    return named and getattr(sys.modules.get(module), kind.__name__, None) is kind


class _Spelled(type):
    def __instancecheck__(cls, x: Any) -> bool:
        kind: Any = type(x)
        return is_spelled(kind)

    def __subclasscheck__(cls, kind: Any) -> bool:
        return is_spelled(kind)


class Spelled(metaclass=_Spelled):
    """What such objects are instances of, and such types subclasses."""


def exact(value: Any) -> Any:
    """A hashable stand-in for a parameter, equal only for the same type and bits.

    Python's ``==`` is too generous for that (``1 == True == 1.0``, ``0.0 == -0.0``) and for NaN too strict.

    >>> exact((1, 0.0)) == exact((1, -0.0)), exact(1) == exact(True), exact(float("nan")) == exact(float("nan"))
    (False, False, True)
    """
    kind: Any = type(value)
    if kind is int or kind is str or value is None:
        return value
    if kind is tuple:
        return tuple(map(exact, value))
    if kind is bool:
        return bool, value
    if kind is float:
        return struct.pack("<d", value)
    if kind is bytes:
        return bytes, value
    if kind is complex:
        return struct.pack("<dd", value.real, value.imag)
    if isinstance(value, np.generic):
        return exact(value.item())
    if isinstance(value, np.ndarray):
        return ConstArray(value)
    if kind is list:
        return list, tuple(map(exact, value))
    if kind is dict:
        return dict, tuple((k, exact(v)) for k, v in value.items())
    if kind is slice or kind is range:  # two ranges are equal where their elements are
        return kind, exact((value.start, value.stop, value.step))
    if is_spelled(kind):
        return kind, repr(value)
    plain = _plain(kind)
    return value if plain is None else (kind, exact(plain(value)))


@functools.lru_cache(maxsize=1024)
def _plain(kind: Any) -> Any:
    """What makes an object of the builtin that a class derives from; None for others."""
    return next((made for base, made in PLAIN if issubclass(kind, base)), None)
