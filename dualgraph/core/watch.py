"""Watched arrays: what stands for array arguments during a capture, and notices when anything but an op reads their
values.

An array whose values only ops read is an input of the graph; one that Python or NumPy looked into is an assumption.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .context import tell, told


class Seen:
    """Whether the values of an array were looked at."""

    __slots__ = ("was_read",)

    def __init__(self) -> None:
        self.was_read = False


class Watched:
    """What stands for the array `origin`, and does as it does; to Python's isinstance() it is one.

    It is no subclass: code in C would read the values of one where nobody sees it (``table[a]``, ``np.array([a, b])``).
    Here it has to ask for them. Attributes that tell no values are answered without a look at these.
    """

    __slots__ = ("__weakref__", "_dims", "_origin", "_seen")
    __class__ = property(lambda self: np.ndarray)  # type: ignore[assignment]
    __array_priority__ = 0.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, origin: Any, seen: Seen, dims: tuple[int, ...] | None) -> None:
        for name, value in (("_origin", origin), ("_seen", seen), ("_dims", dims)):
            object.__setattr__(self, name, value)

    # --- what tells no values ---

    dtype = property(lambda self: self._origin.dtype)
    itemsize = property(lambda self: self._origin.itemsize)
    ndim = property(lambda self: self._origin.ndim)
    flags = property(lambda self: self._origin.flags)

    @property
    def shape(self) -> Any:
        return self._origin.shape if self._dims is None else told(self._dims, self._origin.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> Any:
        self._tell_size()
        return self._origin.strides

    def __len__(self) -> int:
        self._tell_size()
        return len(self._origin)

    def _tell_size(self) -> None:
        """A capture with symbolic sizes is told that code gets one of them as the number it is."""
        if self._dims is not None:
            tell()

    # --- what does ---

    def __getattr__(self, name: str) -> Any:
        return getattr(note_read(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(note_read(self), name, value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = note_read(self)
        if dtype is None and not copy:
            return array
        return np.array(array, dtype) if copy else np.asarray(array, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            kwargs["out"] = _plainly(kwargs["out"])
        out = _applied(getattr(ufunc, method), inputs, kwargs)
        return self if out is self._origin else out

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*_plainly(args), **_plainly(kwargs))

    def __deepcopy__(self, memo: Any) -> Any:
        return note_read(self).copy()

    def __iter__(self) -> Any:
        return iter(note_read(self))

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(note_read(self))


def _operand(name: str, reflected: bool) -> Any:
    """An operator that gives something new."""
    function = getattr(operator, name)

    def run(self: Watched, *others: Any) -> Any:
        return _applied(function, (*others, self) if reflected else (self, *others), {})

    return run


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def run(self: Watched, other: Any) -> Any:
        out = function(note_read(self), _plainly(other))
        return self if out is self._origin else out

    return run


def _reader(name: str) -> Any:
    def read(self: Watched, *args: Any) -> Any:
        return getattr(note_read(self), name)(*_plainly(args))

    return read


_BINARY = "add sub mul truediv floordiv mod pow lshift rshift and or xor matmul".split()
for _name in (*_BINARY, "lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(Watched, f"__{_name}__", _operand(f"__{_name}__", False))
for _name in _BINARY:
    setattr(Watched, f"__r{_name}__", _operand(f"__{_name}__", True))
    setattr(Watched, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in (
    "bool int float complex index contains getitem setitem delitem str repr format copy reduce reduce_ex divmod "
    "rdivmod dlpack dlpack_device"
).split():
    setattr(Watched, f"__{_name}__", _reader(f"__{_name}__"))


def _applied(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a function gives for arrays; tensors among them take over, and read them as their ops do."""
    if any(hasattr(type(v), "_version_cell") for v in args):
        return function(*map(origin_of, args), **kwargs)
    return function(*_plainly(args), **_plainly(kwargs))


def _plainly(x: Any) -> Any:
    """`x` with arrays for what stands for them, which are read."""
    kind = type(x)
    if kind is Watched:
        return note_read(x)
    if kind is tuple or kind is list:
        return kind(map(_plainly, x))
    return {k: _plainly(v) for k, v in x.items()} if kind is dict else x


def watched(array: Any, seen: Seen | None = None, dims: tuple[int, ...] | None = None) -> Any:
    """What stands for `array`, and takes down whether it was `seen`; `dims` are its sizes where these are symbolic."""
    return Watched(array, Seen() if seen is None else seen, dims)


def note_read(value: Any) -> Any:
    """The array that a watched one stands for, whose values are looked at; other values as they are."""
    if type(value) is Watched:
        value._seen.was_read = True
        return value._origin
    return value


def origin_of(value: Any) -> Any:
    """The array that a watched one stands for; other values as they are."""
    return value._origin if type(value) is Watched else value
