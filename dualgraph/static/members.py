"""Members: which attributes of an object and its classes count, without asking the object."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import gc
import operator
import re
import types
from collections.abc import Iterator, Set
from typing import Any

import numpy as np

from ..core.errors import Location
from .checks import MISSING, class_attribute, slots_of
from .code.bytecode import codes
from .code.handlers import gives_nothing, takes_all
from .outside import ENGINE, home

_TUPLE_GETTER: Any = type(vars(Location)["file"])  # a field of a named tuple
SLOT_DESCRIPTORS = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType,
    types.MethodDescriptorType, _TUPLE_GETTER,
)  # fmt: skip
# Of what stands for a factory among the defaults of a dataclass.
FACTORY_DEFAULT: Any = type(getattr(dataclasses, "_HAS_DEFAULT_FACTORY", NotImplemented))
# What there is nothing to look into.
FROZEN = re.Pattern, np.dtype, *SLOT_DESCRIPTORS, FACTORY_DEFAULT, type(NotImplemented)
GENERAL = frozenset("AttributeError Exception BaseException".split())
# Attributes of classes that run when objects or subclasses are made, and names in code that makes objects of the class
# of one that it has.
CONSTRUCTORS = frozenset(
    "__init__ __new__ __post_init__ __init_subclass__ __set_name__ __class_getitem__".split()
)
MAKING = frozenset("type __class__ __init__ __new__ __replace__ replace asdict astuple".split())
# What functions and classes tell of themselves.
FUNCTION_PARTS = frozenset("__name__ __qualname__ __doc__ __module__ __annotations__".split())
CLASS_PARTS = frozenset("__name__ __qualname__ __base__ __bases__".split())
# Classes of objects that are their attributes, which `repr` and ``==`` read.
NAMESPACES = frozenset(("types.SimpleNamespace", "argparse.Namespace"))
REFLECTIVE = (
    getattr, setattr, delattr, hasattr, vars, dir, globals, locals, object.__getattribute__,
    operator.attrgetter, operator.methodcaller,
)  # fmt: skip
_REFLECTIVE = frozenset(map(id, REFLECTIVE))  # some values cannot be hashed
DATES = datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo
CLOCKS = frozenset(
    "now utcnow today fromtimestamp utcfromtimestamp timestamp astimezone strftime ctime".split()
)
CODE = (types.FunctionType, property, staticmethod, classmethod, functools.cached_property)


def held_by(value: Any) -> Any:
    """The ``__dict__`` of an object or None, whatever its class says of attributes."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None


def filled_slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """The descriptors of the slots of an object that hold something, and what that is."""
    kind: Any = type(value)
    for name in slots_of(kind):
        slot = class_attribute(kind, name)
        if type(slot) is types.MemberDescriptorType:
            with contextlib.suppress(AttributeError):
                yield slot, slot.__get__(value)


def is_dunder(name: str) -> bool:
    """Whether a name has a meaning to Python itself."""
    return name.startswith("__") and name.endswith("__")


def is_special(name: str, value: Any) -> bool:
    """Whether an attribute of a class is a special method, which Python calls: a function, or what acts as one."""
    if not is_dunder(name) or isinstance(value, SLOT_DESCRIPTORS):
        return False
    return callable(value) or class_attribute(type(value), "__get__") is not MISSING


@functools.lru_cache(maxsize=1024)
def is_namespace(cls: type) -> bool:
    """Whether the objects of a class are their attributes and nothing else."""
    return any(f"{b.__module__}.{b.__qualname__}" in NAMESPACES for b in cls.__mro__)


def looks_beyond(cls: type) -> frozenset[str]:
    """The attributes of a class of paths, dates or fractions that tell more than the object is: of files, or clocks.

    Empty for other classes.
    """
    pure = next((c for c in cls.__mro__ if c.__name__ == "PurePath"), None)
    if pure is not None and home(pure).partition(".")[0] == "pathlib":
        return frozenset(dir(cls)) - frozenset(dir(pure)) | {"cwd"}
    return CLOCKS if home(cls) == "datetime" and issubclass(cls, DATES) else frozenset()


def reflective(value: Any) -> bool:
    """Whether a builtin reads attributes by names that it is given, whatever the code calls it."""
    return id(value) in _REFLECTIVE


def absent(cls: type, names: Set[str], written: Set[str], first: bool) -> set[str]:
    """Attributes with these names that would count if an instance had them."""
    absent = {n for n in written if not hasattr(cls, n)}
    if home(cls).startswith(ENGINE):
        return absent | {"forward"} if first and hasattr(cls, "forward") else absent
    for attribute in set[str]().union(*(names & vars(b).keys() for b in cls.__mro__)):
        found = class_attribute(cls, attribute)
        if not isinstance(found, (property, *SLOT_DESCRIPTORS)):
            absent.add(attribute)
    return absent


def hideable(value: Any, names: frozenset[str]) -> list[str]:
    """The methods of an object of the engine that the user's code mentions, and that no attribute hides now."""
    cls: Any = type(value)
    held = held_by(value)
    if held is None or not home(cls).startswith(ENGINE):
        return []
    return [n for n in _methods(cls, names) if n not in held]


@functools.lru_cache(maxsize=1024)
def _methods(cls: type, names: frozenset[str]) -> tuple[str, ...]:
    """Those of the names that are functions of a class, which are called by name."""
    called = (n for n in sorted(names) if not n.startswith("__"))
    return tuple(n for n in called if isinstance(class_attribute(cls, n), types.FunctionType))


def generated(cls: type, name: str) -> bool:
    """Whether a constructor is the one that `collections.namedtuple` writes, which reads no state."""
    made = getattr(vars(cls)[name], "__func__", None)
    told = getattr(made, "__globals__", {}).get("__name__")
    return bool(told == f"namedtuple_{cls.__name__}")


def dict_of(cls: type) -> Any:
    """The dict that a class keeps its names in."""
    return gc.get_referents(vars(cls))[0]


def may_miss(code: types.CodeType, names: Set[str]) -> bool:
    """Whether code, which mentions these names, may go on where an attribute is missing."""
    if not names.isdisjoint(GENERAL) or any(map(takes_all, codes(code))):
        return True
    return code.co_name == "__exit__" and not gives_nothing(code)
