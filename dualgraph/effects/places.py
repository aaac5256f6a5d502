"""Places: what the trees of a statement stand for, found without running code, and whether it may be changed."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from types import FunctionType, SimpleNamespace
from typing import Any

from ..eager.tensor import Tensor
from ..static.checks import class_attribute

CONTAINERS = (list, dict, set, deque, OrderedDict, defaultdict, Counter)
SETTERS = object.__setattr__, SimpleNamespace.__setattr__  # which do nothing else
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()


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
    module = getattr(setter, "__module__", None) or ""  # what is written in C has none
    if setter not in SETTERS and not module.startswith("dualgraph.nn"):
        return f"a {cls.__name__} sees its attributes written"
    if isinstance(vars(holder).get(name), Tensor) and cls.__module__.startswith("dualgraph"):
        return "it writes a tensor of a module"
    return ""


def value_at(place: Any, known: dict[str, Any], held: Any) -> Any:
    """What a place holds, looked up without running any code; MISSING where that cannot be."""
    kind, *rest = place
    if kind not in ("local", "free", "global", "const", "call", "attr", "item"):
        return MISSING
    if kind in ("local", "free"):
        return held.get(rest[0], MISSING)
    if kind == "global":
        return known.get(rest[0], MISSING)
    if kind == "const":
        return rest[0]
    if kind == "call" and (rest[0] is None or rest[0][-1] != "setdefault"):
        return MISSING
    if kind == "call":
        base = value_at(place[1][1], known, held)
        key = value_at(place[2][0], known, held) if place[2] and place[2][0] else MISSING
        return _entry(base, key)
    base = MISSING if rest[0] is None else value_at(rest[0], known, held)
    if base is MISSING:
        return MISSING
    if kind == "attr":
        own = getattr(base, "__dict__", {}).get(rest[1], MISSING)
        shared = class_attribute(type(base), rest[1])
        if hasattr(shared, "__set__"):
            return MISSING
        if own is not MISSING:
            return own
        return MISSING if hasattr(shared, "__get__") else shared
    return _entry(base, MISSING if rest[1] is None else value_at(rest[1], known, held))


def _entry(base: Any, key: Any) -> Any:
    """An entry of a container; a dict that lacks it is itself what will be changed."""
    if type(base) not in (list, tuple, *CONTAINERS) or isinstance(base, (set, deque)):
        return MISSING
    try:
        return base.get(key, base) if isinstance(base, dict) else base[key]
    except (LookupError, TypeError):
        return MISSING
