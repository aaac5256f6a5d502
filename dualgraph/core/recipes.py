"""Recipes: what NumPy worked out of the arrays of a call, taken down so that each call can work it out of its own.

``np.sqrt(batch["x"])`` and ``rng.normal(size=3).astype("float32")`` are functions of their arrays alone. A capture
runs them, and takes down which functions these were; a program runs the same ones on the arrays of its call.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .constant import exact
from .numbers.followed import Followed
from .process.silence import quietly

# Functions and methods of NumPy that read their arguments, write nothing, and give new arrays, views or numbers.
FUNCTIONS = frozenset(
    function
    for home, names in (
        (
            np,
            """all amax amin any append argmax argmin argsort around atleast_1d atleast_2d average broadcast_arrays
            broadcast_to clip column_stack compress concatenate convolve corrcoef count_nonzero cov cumprod cumsum diag
            diagonal diff digitize dot dstack einsum expand_dims flip fliplr flipud full_like hstack inner interp isin
            kron max mean median min moveaxis nan_to_num nanmax nanmean nanmin nanstd nansum nanvar ones_like outer pad
            percentile prod ptp quantile ravel repeat reshape roll rollaxis rot90 round searchsorted sort split
            array_split squeeze stack std sum swapaxes take take_along_axis tensordot tile trace transpose tril triu
            unique var vdot vstack where zeros_like bincount""",
        ),
        (np.linalg, "cholesky det inv lstsq matrix_norm norm pinv solve"),
    )
    for name in names.split()
    if (function := getattr(home, name, None)) is not None
)
METHODS = frozenset(
    """all any argmax argmin argsort astype clip compress copy cumprod cumsum diagonal dot flatten item max mean min
    prod ravel repeat reshape round searchsorted squeeze std sum swapaxes take trace transpose var""".split()
)
ATTRIBUTES = frozenset(("T", "real", "imag"))
PLAIN = (bool, int, float, complex, str, type(None), type(Ellipsis), type, np.dtype, np.generic)
_OPERATORS = frozenset(v for n, v in vars(operator).items() if n.startswith("__") and callable(v))


class Named:
    """A function that is known by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Method(Named):
    """A method of arrays, or an attribute of theirs."""

    __slots__ = ()

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        found = getattr(array, self.name)
        return found if self.name in ATTRIBUTES else found(*args, **kwargs)


class InPlace(Named):
    """What an array is after an operator has changed it (``a += x``, ``a[i] = x``)."""

    __slots__ = ()

    def __call__(self, array: Any, *args: Any) -> Any:
        changed = np.array(array, order="K")
        getattr(operator, self.name)(changed, *args)
        return changed


class Given:
    """An array that a call has at a place: an argument leaf, or, behind those, what it has drawn."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class Held:
    """An array that is the same on each call: code finds it in its state, or NumPy made it of such ones."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array


class Made:
    """What a function gives for such arrays and for constants."""

    __slots__ = ("args", "function", "kwargs")

    def __init__(self, function: Any, args: Any, kwargs: tuple[tuple[str, Any], ...] = ()) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs


def is_known(function: Any) -> bool:
    """Whether a function is a function of its arguments' values, and writes nothing."""
    if isinstance(function, np.ufunc):
        return getattr(np, function.__name__, None) is function
    return type(function) in (Method, InPlace) or function in FUNCTIONS or function in _OPERATORS


# Functions whose results are of sizes that are found in their arguments: in all, or in those after the first.
_BY_VALUES = frozenset("unique compress bincount".split())
_BY_MORE = frozenset("repeat split array_split tile reshape broadcast_to pad".split())
# Those that may give an argument itself; of others it is one that they have written.
_PASSING = frozenset("atleast_1d atleast_2d astype broadcast_arrays ravel reshape squeeze".split())


def _name(function: Any) -> str:
    return function.name if isinstance(function, Named) else getattr(function, "__name__", "")


def sizes_vary(recipe: Any, of: Sequence[Any]) -> bool:
    """Whether the sizes of what a recipe gives depend on the values of the arrays `of` which it makes that."""
    name, args = _name(recipe.function), recipe.args
    if name == "getitem":
        return any(a.dtype == bool for a in of[1:])
    many = latest(args[1:]) >= 0 or latest(recipe.kwargs) >= 0
    return name in _BY_VALUES or (name == "where" and len(args) == 1) or (name in _BY_MORE and many)


def writes(function: Any, out: Any, args: Sequence[Any]) -> bool:
    """Whether what a function gave is one of its arguments, which it has written."""
    return any(out is a for a in args) and _name(function) not in _PASSING


def constant(x: Any) -> Any:
    """`x` as it is now, where it is made of numbers, arrays and what says how to read these; TypeError elsewhere."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind(map(constant, x))
    if kind is slice:
        return slice(*map(constant, (x.start, x.stop, x.step)))
    if kind is np.ndarray and not x.dtype.hasobject:
        return x.copy()
    if isinstance(x, Followed):
        return x._read()
    if not isinstance(x, PLAIN):
        raise TypeError(f"a {kind.__name__} is no constant")
    return x


def value(recipe: Any, known: Sequence[Any], memo: dict[int, Any]) -> Any:
    """What a recipe gives in a call where these arrays are `known`; what one was worked out of is so once."""
    kind = type(recipe)
    if kind is Given:
        return known[recipe.at]
    if kind is Held:
        return recipe.array
    if kind is tuple or kind is list:
        return kind([value(r, known, memo) for r in recipe])
    if kind is not Made:
        return recipe
    if id(recipe) not in memo:
        args = [value(a, known, memo) for a in recipe.args]
        kwargs = {k: value(v, known, memo) for k, v in recipe.kwargs}
        memo[id(recipe)] = quietly(lambda: recipe.function(*args, **kwargs))
    return memo[id(recipe)]


def latest(recipe: Any) -> int:
    """The last place that a recipe reads (-1: none)."""
    kind = type(recipe)
    if kind is Given:
        return recipe.at  # type: ignore[no-any-return]
    if kind is Made:
        return max(latest(recipe.args), latest([v for _, v in recipe.kwargs]))
    return max(map(latest, recipe), default=-1) if kind is tuple or kind is list else -1


def same(a: Any, b: Any) -> bool:
    """Whether two recipes give the same in each call."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is Given:
        return a.at == b.at  # type: ignore[no-any-return]
    if type(a) is Held:
        return a.array is b.array or exact(a.array) == exact(b.array)
    if type(a) is Made:
        return a.function == b.function and same(a.args, b.args) and same(a.kwargs, b.kwargs)
    if type(a) is tuple or type(a) is list:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(exact(a) == exact(b)) if isinstance(a, (*PLAIN, np.ndarray, slice)) else False
