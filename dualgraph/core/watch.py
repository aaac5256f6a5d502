"""Watched arrays: array arguments during a capture, which notice when anything but an op reads their values.

An array whose values only ops read is an input of the graph; one that Python or NumPy looked into is an
assumption. A watched array has the memory of the user's array and behaves as it does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

HARMLESS = frozenset(
    "shape ndim size dtype itemsize nbytes strides flags __class__ __array_ufunc__ __array_function__ "
    "__array_priority__ __len__ origin was_read note_read _origin _read __dict__".split()
)


class Watched(np.ndarray[Any, Any]):
    """A view of ``origin``; ``was_read`` says whether its values were looked at."""

    _origin: Any
    _read: bool

    def __array_finalize__(self, source: Any) -> None:
        self._origin, self._read = None, True

    @property
    def origin(self) -> Any:
        """The array that the user passed."""
        return np.ndarray.view(self, np.ndarray) if self._origin is None else self._origin

    @property
    def was_read(self) -> bool:
        return self._read

    def note_read(self) -> Any:
        """The user's array, to read from."""
        self._read = True
        return self.origin

    def __getattribute__(self, name: str) -> Any:
        if name in HARMLESS:
            return super().__getattribute__(name)
        return getattr(self.note_read(), name)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(
            hasattr(type(v), "__array_ufunc__") and not isinstance(v, (np.ndarray, np.generic))
            for v in inputs
        ):
            return NotImplemented  # a tensor takes over
        plain = [v.note_read() if isinstance(v, Watched) else v for v in inputs]
        if "out" in kwargs:
            kwargs["out"] = tuple(
                v.note_read() if isinstance(v, Watched) else v for v in kwargs["out"]
            )
        return getattr(ufunc, method)(*plain, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self.note_read()
        return super().__array_function__(func, types, args, kwargs)


def _reader(name: str) -> Any:
    def read(self: Watched, *args: Any) -> Any:
        return getattr(self.note_read(), name)(*args)

    return read


for _name in (
    "bool int float complex index iter contains getitem setitem delitem str repr format copy deepcopy reduce reduce_ex "
    "array dlpack"
).split():
    setattr(Watched, f"__{_name}__", _reader(f"__{_name}__"))


def watched(array: Any) -> Watched:
    """`array` as a watched array over the same memory."""
    out: Any = array.view(Watched)
    out._origin, out._read = array, False
    return out  # type: ignore[no-any-return]


def note_read(value: Any) -> None:
    """Says that the values of `value` were looked at, if that is a watched array."""
    if isinstance(value, Watched):
        value.note_read()


def origin_of(array: Any) -> Any:
    """The user's array behind a watched one; other values as they are."""
    return array.origin if isinstance(array, Watched) else array
