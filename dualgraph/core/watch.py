"""Watched arrays: what stands for array arguments during a capture, and notices when anything but an op reads their
values.

An array whose values only ops read is an input of the graph. What NumPy's functions make of it is one, too, that each
call works out (`recipes`). One that Python looked into is an assumption.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import recipes
from .context import tell, told


class Seen:
    """Whether the values of an array were looked at."""

    __slots__ = ("was_read",)

    def __init__(self) -> None:
        self.was_read = False


class Watched:
    """What stands for the array `origin`, and does as it does; to Python's isinstance() it is one.

    It is no subclass: code in C would read the values of one where nobody sees it (``table[a]``, ``np.array([a, b])``).
    Here it has to ask for them. Attributes that tell no values are answered without a look at these. What the capture
    `by` which it stands there has to say of a recipe: `gives`, `changes`, `spoil`, `sees`
    (`jit.working`).
    """

    __slots__ = ("__weakref__", "_by", "_dims", "_origin", "_recipe", "_seen", "_sized")
    __class__ = property(lambda self: np.ndarray)
    __array_priority__ = 0.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, origin: Any, seen: tuple[Seen, ...], dims: tuple[int, ...] | None = None, recipe: Any = None,
        by: Any = None,
    ) -> None:  # fmt: skip
        # no recipe: what is made of it is not followed; not sized: its sizes depend on values
        values = origin, seen, dims, recipe, by, True
        names = "_origin", "_seen", "_dims", "_recipe", "_by", "_sized"
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    # --- what tells no values ---

    dtype = property(lambda self: self._origin.dtype)
    itemsize = property(lambda self: self._origin.itemsize)
    ndim = property(lambda self: self._origin.ndim)
    flags = property(lambda self: self._origin.flags)

    @property
    def shape(self) -> Any:
        self._look_at_values()
        return self._origin.shape if self._dims is None else told(self._dims, self._origin.shape)

    @property
    def size(self) -> int:
        size: int = math.prod(self.shape)
        return size

    @property
    def nbytes(self) -> Any:
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
        self._look_at_values()
        if self._dims is not None:
            tell()

    def _look_at_values(self) -> None:
        """Who gets a size that depends on the values gets to know something of these."""
        if not self._sized:
            note_read(self)

    # --- what does ---

    def __getattr__(self, name: str) -> Any:
        if name == "__dict__" or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        if name in recipes.ATTRIBUTES:
            return _applied(recipes.Method(name), (self,), {})
        if name in recipes.METHODS:
            return _bound(self, name)
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
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if any(map(_takes_over, inputs)):
            return function(*map(origin_of, inputs), **kwargs)
        out = _applied(function, inputs, kwargs)
        return self if out is self._origin else out

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _applied(func, args, kwargs)

    def __deepcopy__(self, memo: Any) -> Any:
        return note_read(self).copy()

    def __iter__(self) -> Iterator[Any]:
        if self._recipe is None or not (self.ndim and self._sized and self._by.sees()):
            return iter(note_read(self))
        return (self[i] for i in range(len(self._origin)))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not _changed(self, "setitem", (key, value)):
            note_read(self)[_plainly(key)] = _plainly(value)

    def __getitem__(self, key: Any) -> Any:
        return _applied(operator.getitem, (self, key), {})

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(note_read(self))


def _bound(array: Watched, name: str) -> Any:
    """A method of an array."""
    method = recipes.Method(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return _applied(method, (array, *args), kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def _operand(name: str, reflected: bool) -> Any:
    """An operator that gives something new."""
    function = getattr(operator, name)

    def run(self: Watched, *others: Any) -> Any:
        if any(map(_takes_over, others)):
            plain = (*others, self._origin) if reflected else (self._origin, *others)
            return function(*plain)
        return _applied(function, (*others, self) if reflected else (self, *others), {})

    return run


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def run(self: Watched, other: Any) -> Any:
        if _changed(self, name, (other,)):
            return self
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
    "bool int float complex index contains delitem str repr format copy reduce reduce_ex divmod "
    "rdivmod dlpack dlpack_device"
).split():
    setattr(Watched, f"__{_name}__", _reader(f"__{_name}__"))


def _takes_over(x: Any) -> bool:
    """Whether an operand is a tensor, whose ops read arrays as captures know."""
    return hasattr(type(x), "_version_cell")


def _applied(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a function gives for arrays, some of them watched."""
    of: list[Watched] = []
    recipe = None
    if recipes.is_known(function) and "out" not in kwargs:
        try:
            given = _followed(args, of), tuple((k, _followed(v, of)) for k, v in kwargs.items())
            recipe = recipes.Made(function, *given)
        except TypeError:  # what is no constant
            recipe = None
    if recipe is None or not of:
        return function(*_plainly(args), **_plainly(kwargs))
    try:
        out = function(*_origins(args), **_origins(kwargs))
    except BaseException:  # it depends on the values
        _plainly(of)
        raise
    if recipes.writes(function, out, _origins([*args, *kwargs.values()])):
        _plainly(of)
        return out
    return of[0]._by.gives(out, recipe, of)


def _changed(array: Watched, name: str, args: Any) -> bool:
    """Changes an array in place, where what it is then can be worked out again; else nothing is done."""
    by, of = array._by, [array]
    if array._recipe is None or not by.sees() or any(map(_takes_over, args)):
        return False
    try:
        change = recipes.Made(recipes.InPlace(name), (array._recipe, *_followed(args, of)))
    except TypeError:
        return False
    if by.changes(array, change, of):
        try:
            getattr(operator, name)(array._origin, *_origins(args))
        except BaseException:
            _plainly(of)
            raise
        return True
    return False


def _followed(x: Any, of: list[Watched]) -> Any:
    """The recipe of an argument; TypeError where it has none. Watched arrays inside are added to `of`."""
    kind = type(x)
    if kind is Watched:
        if x._recipe is None or not x._by.sees():
            raise TypeError("what is made of it is not followed")
        of.append(x)
        return x._recipe
    if kind is tuple or kind is list:
        return kind([_followed(v, of) for v in x])
    return recipes.constant(x)


def _plainly(x: Any) -> Any:
    """`x` with arrays for what stands for them, which are read."""
    kind = type(x)
    if kind is Watched:
        return note_read(x)
    if kind is tuple or kind is list:
        return kind(map(_plainly, x))
    return {k: _plainly(v) for k, v in x.items()} if kind is dict else x


def unchanging(x: Any) -> Any:
    """`x` with arrays for what stands for those that are the same on each call."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind(map(unchanging, x))
    return x._origin if kind is Watched and type(x._recipe) is recipes.Held else x


def _origins(x: Any) -> Any:
    """`x` with arrays for what stands for them, which are not looked at by that."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind(map(_origins, x))
    return {k: _origins(v) for k, v in x.items()} if kind is dict else origin_of(x)


def watched(array: Any, seen: Seen, dims: tuple[int, ...] | None = None) -> Any:
    """What stands for `array`, and takes down whether it was `seen`; `dims` are its sizes where these are symbolic."""
    return Watched(array, (seen,), dims)


def note_read(value: Any) -> Any:
    """The array that a watched one stands for, whose values are looked at; other values as they are."""
    if type(value) is Watched:
        if value._by is None or value._by.sees():
            for seen in value._seen:
                seen.was_read = True
            if value._by is not None:
                value._by.spoil(value._origin)
        return value._origin
    return value


def origin_of(value: Any) -> Any:
    """The array that a watched one stands for; other values as they are."""
    return value._origin if type(value) is Watched else value
