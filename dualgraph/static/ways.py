"""Ways: how objects of each type are looked into, and which hold more than can be seen."""

from __future__ import annotations

import collections
import functools
import types
from typing import Any

import numpy as np

from ..core.constant import is_spelled
from ..core.numbers.draws import methods_of
from .checks import ATOMS, MISSING, class_attribute
from .code.unbound import DESCRIPTORS
from .members import FROZEN, is_namespace
from .outside import ENGINE, closed, home

# Modules of base classes whose methods ask objects for nothing but their other methods.
STATELESS = "abc", "collections.abc", "contextlib", "enum", "numpy", "typing"


@functools.lru_cache(maxsize=1024)
def ways_of(kind: Any) -> tuple[str, ...]:
    """The methods that look into objects of a type; classes of the user's have methods, whatever they derive from."""
    holds = not closed(home(kind)) or (issubclass(kind, dict) and kind is not dict)
    own = ("_instance",) if holds else ()
    if is_spelled(kind):
        return ("_spelled",)
    if methods_of(kind):
        return ("_source",)
    if issubclass(kind, DESCRIPTORS):
        return ("_descriptor",)
    if issubclass(kind, (*ATOMS, np.generic, *FROZEN)):
        return own
    if is_tensor(kind):
        return ("_tensor",)
    way = next(way for kinds, way in WAYS if issubclass(kind, kinds))
    return (way,) if way in ("_instance", "_class", "_module") else (way, *own)


@functools.lru_cache(maxsize=1024)
def hidden(cls: Any) -> str:
    """The base of a user's class, written in C, whose objects hold more than attributes and items show ("": none)."""
    known = (*ATOMS, np.generic, *(k for kinds, _ in WAYS[:-1] for k in _each(kinds)))
    for base in cls.__mro__:
        if closed(home(base)) and not issubclass(base, known) and "__slots__" not in vars(base):
            if not (home(base).startswith(ENGINE) or is_namespace(base)):
                if base.__basicsize__ > _Plain.__basicsize__:
                    return f"{home(base)}.{base.__qualname__}"
    return ""


@functools.lru_cache(maxsize=1024)
def has_code(cls: Any) -> bool:
    """Whether a user's class has methods of the standard library's, which are not followed."""
    return any(
        closed(home(base)) and not home(base).startswith((ENGINE, *STATELESS))
        and any(isinstance(v, types.FunctionType) for v in vars(base).values())
        for base in cls.__mro__
    )  # fmt: skip


class _Plain:
    """A class whose objects have a dict and nothing else."""


def _each(kinds: Any) -> tuple[Any, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def is_tensor(kind: Any) -> bool:
    """Whether a class is one of tensors; its metaclass is not asked."""
    return class_attribute(kind, "_version_cell") is not MISSING


WAYS: tuple[tuple[Any, str], ...] = (
    (np.ndarray, "_array"),
    ((tuple, frozenset), "_fixed"),
    ((list, collections.deque), "_list"),
    (dict, "_dict"),
    (set, "_set"),
    (types.FunctionType, "_function"),
    ((types.MethodType, functools.partial, staticmethod, classmethod), "_bound"),
    ((property, functools.cached_property), "_bound"),
    ((types.BuiltinFunctionType, types.MethodWrapperType, np.ufunc), "_builtin"),
    (types.ModuleType, "_module"),
    (type, "_class"),
    (object, "_instance"),
)
