"""A stand-in for CuPy: NumPy behind arrays that refuse to become NumPy arrays unasked.

What works on it uses the backend's namespace alone, as it must on a GPU.
"""

from __future__ import annotations

import operator
import types
from typing import Any

import numpy as np

_METHODS = (
    "astype reshape view transpose sum prod max min any all argmax argmin cumsum cumprod copy ravel "
    "swapaxes squeeze clip fill"
).split()
_ATTRIBUTES = "shape ndim size dtype strides itemsize nbytes flags".split()
_OPERATORS = (
    "add sub mul truediv floordiv mod pow and or xor lshift rshift matmul lt le gt ge eq ne".split()
)


class DeviceArray:
    """An array on the pretended device."""

    __array_ufunc__ = None  # NumPy's operators and functions keep out
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("implicit conversion of a device array to a NumPy array")

    def __array_namespace__(self, api_version: Any = None) -> Any:
        return namespace

    def get(self) -> Any:
        """The values on the host: the one way out."""
        return self._values.copy()

    @property
    def base(self) -> Any:
        return None if self._values.base is None else DeviceArray(self._values.base)

    @property
    def T(self) -> DeviceArray:
        return DeviceArray(self._values.T)

    @property
    def real(self) -> DeviceArray:
        return DeviceArray(self._values.real)

    @property
    def imag(self) -> DeviceArray:
        return DeviceArray(self._values.imag)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        return _out(self._values[_in(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_in(key)] = _in(value)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __int__(self) -> int:
        return int(self._values)

    __iter__ = None


def _in(value: Any) -> Any:
    """Operands as NumPy sees them; arrays of the host are refused."""
    if isinstance(value, DeviceArray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array was used as a device array")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_in, value))
    return {k: _in(v) for k, v in value.items()} if isinstance(value, dict) else value


def _out(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    return type(value)(map(_out, value)) if isinstance(value, (tuple, list)) else value


def _method(name: str) -> Any:
    return lambda self, *args, **kwargs: _out(
        getattr(self._values, name)(*_in(args), **_in(kwargs))
    )


def _binary(op: Any, swapped: bool) -> Any:
    return lambda x, y: _out(op(_in(y), _in(x)) if swapped else op(_in(x), _in(y)))


def _in_place(op: Any) -> Any:
    def apply(x: DeviceArray, y: Any) -> DeviceArray:
        x._values = op(x._values, _in(y))
        return x

    return apply


for _name in _METHODS:
    setattr(DeviceArray, _name, _method(_name))
for _name in _ATTRIBUTES:
    setattr(DeviceArray, _name, property(lambda self, name=_name: getattr(self._values, name)))
for _name in _OPERATORS:
    _op = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(DeviceArray, f"__{_name}__", _binary(_op, False))
    setattr(DeviceArray, f"__r{_name}__", _binary(_op, True))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(DeviceArray, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))
for _name in ("neg", "invert", "abs"):
    setattr(DeviceArray, f"__{_name}__", _method(f"__{_name}__"))


class Namespace:
    """NumPy's functions for device arrays."""

    ndarray = DeviceArray

    def __init__(self, module: Any = np) -> None:
        self._module = module

    def asarray(self, values: Any, *args: Any, **kwargs: Any) -> DeviceArray:
        """The one way in."""
        return (
            values
            if isinstance(values, DeviceArray) and not args and not kwargs
            else self.array(values, *args, **kwargs)
        )

    def array(self, values: Any, *args: Any, **kwargs: Any) -> DeviceArray:
        return DeviceArray(
            np.array(values._values if isinstance(values, DeviceArray) else values, *args, **kwargs)
        )

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, types.ModuleType):
            return Namespace(found)
        if isinstance(found, type) or not callable(found) or name == "errstate":
            return found
        return Function(found)


class Function:
    """One function of the namespace, with a ufunc's ``at``."""

    def __init__(self, numpy_function: Any) -> None:
        self._function = numpy_function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _out(self._function(*_in(args), **_in(kwargs)))

    def at(self, target: DeviceArray, places: Any, *values: Any) -> None:
        self._function.at(_in(target), _in(places), *_in(values))


namespace = Namespace()
