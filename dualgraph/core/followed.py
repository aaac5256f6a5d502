"""Followed numbers: they stand for a Python number, and tell when the number itself is read.

Where it is (``int(n)``, ``range(n)``, ``table[n]``, ``f"{n}"``, NumPy) it *leaks*: nothing that is done with it
from there on can be seen. A capture is told of that; otherwise a guard says that it is this very number.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .guards import mode


class Followed:
    """A number to Python's isinstance(), whose arithmetic makes further ones.

    It is no subclass of int or float: C code cannot read the value but through the methods here.
    """

    __slots__ = ()
    value: Any  # the number

    def pin(self) -> None:
        """Takes down that the number is what it is."""
        raise NotImplementedError

    def __int__(self) -> int:
        return int(leaked(self))

    def __float__(self) -> float:
        return float(leaked(self))

    def __complex__(self) -> complex:
        return complex(leaked(self))

    def __hash__(self) -> int:  # a look-up that fails has compared nothing
        return hash(self.value if mode.proving else leaked(self))

    def __repr__(self) -> str:
        return repr(leaked(self))

    def __format__(self, form: str) -> str:
        return format(leaked(self), form)

    def __reduce__(self) -> Any:
        return type(self.value), (leaked(self),)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self if operator.ge(self, 0) else operator.neg(self)

    def __bool__(self) -> bool:
        return bool(operator.ne(self, 0))

    def __divmod__(self, y: Any) -> Any:
        return self // y, self % y

    def __rdivmod__(self, y: Any) -> Any:
        return y // self, y % self

    def conjugate(self) -> Any:
        """The number."""
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(leaked(self), dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        given = [leaked(v) if isinstance(v, Followed) else v for v in inputs]
        return getattr(ufunc, method)(*given, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if not hasattr(type(self.value), name):
            kind = type(self.value).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")
        return getattr(leaked(self), name)

    real = property(__copy__)
    imag = property(lambda self: type(self.value)(0))


def leaked(n: Followed) -> Any:
    """The number itself, for something that cannot be followed."""
    if mode.guards is not None:
        if mode.leak is not None and not mode.proving:
            mode.leak()
        else:
            n.pin()
    return n.value
