"""Followed numbers: they stand for a Python number, and tell when the number itself is read.

Where it is (``int(n)``, ``range(n)``, ``table[n]``, ``f"{n}"``, NumPy) nothing that is done with it from there on can
be seen: what was captured is for this very number. There are two kinds: sizes (`symbolic`) and the numbers that a
program takes as inputs (`live`).
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .guards import mode


class Followed:
    """A number to Python's isinstance(), whose arithmetic makes further ones.

    It is no subclass of int or float, as code in C would read the value of one where nobody sees it: here it can do so
    but through these methods. Names of attributes are such as nobody asks a number for.
    """

    __slots__ = ()

    def _held(self) -> Any:
        """The number; says nothing to the capture."""
        raise NotImplementedError

    def _read(self) -> Any:
        """The number, for something that cannot be followed."""
        raise NotImplementedError

    def __int__(self) -> int:
        return int(self._read())

    def __float__(self) -> float:
        return float(self._read())

    def __complex__(self) -> complex:
        return complex(self._read())

    def __hash__(self) -> int:
        return hash(self._read())

    def __str__(self) -> str:
        return str(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def __format__(self, spec: str) -> str:
        return format(self._read(), spec)

    def __reduce__(self) -> Any:
        return type(self._held()), (self._read(),)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __pos__(self) -> Any:
        return self

    def __divmod__(self, y: Any) -> Any:
        return self // y, self % y

    def __rdivmod__(self, y: Any) -> Any:
        return y // self, y % self

    def conjugate(self) -> Any:
        """The number."""
        return self

    real = property(__copy__)
    imag = property(lambda self: type(self._held())(0))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._read(), dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        given = [v._read() if isinstance(v, Followed) else v for v in inputs]
        return getattr(ufunc, method)(*given, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*_read_in(args), **_read_in(kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._held(), name)
        self._read()
        return found


def _read_in(x: Any) -> Any:
    """`x` with the numbers themselves in tuples, lists and dicts: NumPy tells them from arrays of them."""
    if isinstance(x, Followed):
        return x._read()
    kind = type(x)
    if kind is tuple or kind is list:
        return kind([_read_in(v) for v in x])
    return {k: _read_in(v) for k, v in x.items()} if kind is dict else x


def leaked(n: Size) -> Any:
    """The number itself, for something that cannot be followed: a capture is told, or a guard pins it."""
    if mode.guards is not None:
        if mode.leak is not None and not mode.proving:
            mode.leak()
        else:
            n.pin()
    return n.value


class Size(Followed):
    """A size, or a number worked out from some."""

    __slots__ = ()
    value: Any  # the number
    _read = leaked

    def pin(self) -> None:
        """Takes down that the number is what it is."""
        raise NotImplementedError

    def _held(self) -> Any:
        return self.value

    def __hash__(self) -> int:  # a look-up that fails has compared nothing
        return hash(self.value if mode.proving else leaked(self))

    def __abs__(self) -> Any:
        return self if operator.ge(self, 0) else operator.neg(self)

    def __bool__(self) -> bool:
        return bool(operator.ne(self, 0))
