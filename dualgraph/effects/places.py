"""Places: what the trees of a statement stand for, found without running code, and whether it may be changed."""

from __future__ import annotations

import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from types import FunctionType
from typing import Any

import numpy as np

from ..eager.tensor import Tensor
from ..static.checks import ATOMS, class_attribute
from ..static.statements import Statement
from .whose import is_library

CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, Counter)
# Of the standard library: they tell the world, and that is all.
TELLING = ("logging", "warnings", "_io", "io")
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()


def why_not_called(s: Statement, known: dict[str, Any], held: Any) -> str:
    """Why the function that a statement calls cannot be called later ("": it can).

    Functions of the user are followed as they run. Libraries know of the user's state only what they are given.
    """
    called = value_at(s.place, known, held)
    if called is MISSING and s.place[0] == "attr":
        called = value_at(s.place[1], known, held)
    if called is MISSING:
        return "what it calls is not known"
    module = getattr(called, "__module__", None) or type(called).__module__
    if isinstance(called, types.ModuleType):
        module = called.__name__
    top = module.partition(".")[0]
    if top in ("dualgraph", "numpy", "builtins"):
        return f"it calls {top}"
    user = not is_library(getattr(sys.modules.get(module), "__file__", None) or "")
    if user or top in TELLING:
        return ""
    if top in sys.stdlib_module_names:
        return f"it calls {module}"
    for tree in s.name:
        if tree is not None and tree[0] != "call":
            value = value_at(tree, known, held)
            if not isinstance(value, (Tensor, np.generic, *ATOMS)):
                return f"it gives a {type(value).__name__} to {module}"
    return ""


def same_cells(fn: FunctionType, held: Any) -> bool:
    """Whether the running function has the enclosing variables of `fn`."""
    for var, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            content = MISSING
        if held.get(var, MISSING) is not content:
            return False
    return True


def why_not_written(holder: Any, name: str) -> str:
    """Why writing an attribute may do more than that ("": it does not)."""
    cls = type(holder)
    if isinstance(holder, (Tensor, type)) or not hasattr(holder, "__dict__"):
        return f"it writes an attribute of a {cls.__name__}"
    if hasattr(class_attribute(cls, name), "__set__"):
        return f"{name!r} is a property"
    setter = class_attribute(cls, "__setattr__")
    if setter is not object.__setattr__ and not setter.__module__.startswith("dualgraph.nn"):
        return f"a {cls.__name__} sees its attributes written"
    if isinstance(vars(holder).get(name), Tensor) and cls.__module__.startswith("dualgraph"):
        return "it writes a tensor of a module"
    return ""


def value_at(place: Any, known: dict[str, Any], held: Any) -> Any:
    """What a place holds, looked up without running any code; MISSING where that cannot be."""
    kind, *rest = place
    if kind == "local":
        return held.get(rest[0], MISSING)
    if kind == "free":
        return held.get(rest[0], MISSING)
    if kind == "global":
        return known.get(rest[0], MISSING)
    if kind == "const":
        return rest[0]
    if kind == "call":  # of setdefault
        base = value_at(place[1][1], known, held)
        key = value_at(place[2][0], known, held) if place[2] and place[2][0] else MISSING
        return _entry(base, key)
    base = MISSING if rest[0] is None else value_at(rest[0], known, held)
    if base is MISSING:
        return MISSING
    if kind == "attr":
        own = getattr(base, "__dict__", {}).get(rest[1], MISSING)
        shared = class_attribute(type(base), rest[1])
        hidden = hasattr(shared, "__get__") and own is MISSING
        return (
            MISSING
            if hidden or hasattr(shared, "__set__")
            else own
            if own is not MISSING
            else shared
        )
    return _entry(base, MISSING if rest[1] is None else value_at(rest[1], known, held))


def _entry(base: Any, key: Any) -> Any:
    """An entry of a container; a dict that lacks it is itself what will be changed."""
    if type(base) not in (list, tuple, *CONTAINERS) or isinstance(base, (set, deque)):
        return MISSING
    try:
        return base.get(key, base) if isinstance(base, dict) else base[key]
    except (LookupError, TypeError):
        return MISSING
