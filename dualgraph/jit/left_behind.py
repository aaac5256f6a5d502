"""Left behind: sizes that a traced call has put into Python state get plain numbers again.

While a capture has symbolic sizes, what the code stores of a shape is symbolic, too. The places that changed, and the
containers among the arguments, are gone through when no program comes of the call; what statements set apart
have written is, in any case.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

from ..core.numbers.symbolic import SymFloat, SymInt, SymShape, plain
from ..core.trees import containers
from ..effects import Happening
from ..static.checks import MISSING, AttributeCheck, CellCheck, Check, DictCheck
from ..static.footprint import Footprint

DEPTH = 4  # containers and objects in each other that are gone through


def settle_sizes(footprint: Footprint, arguments: Any) -> None:
    """Puts plain numbers in the place of sizes in all that a call has changed."""
    for check in footprint.checks:
        if not check.holds():
            _settle_at(check)
    for container in containers(arguments):
        settled(container)


def settle_writes(happened: Sequence[Happening]) -> None:
    """Puts plain numbers in the place of sizes that statements set apart have written."""
    for holder, name, kind in (w for h in happened for w in h.writes):
        if kind in ("attr", "global"):
            held = vars(holder) if kind == "attr" else holder
            if (new := settled(held.get(name))) is not held.get(name):
                held[name] = new
        elif kind == "free":
            holder.cell_contents = settled(holder.cell_contents)
        else:
            settled(holder)


def _settle_at(check: Check) -> None:
    """Puts plain numbers for the sizes in a place that a check tells of."""
    holder, key = check.holder, check.key
    if not isinstance(check, (AttributeCheck, CellCheck, DictCheck)):
        settled(holder)
        return
    held = check.read()
    new = settled(held)
    if new is held:
        return
    if isinstance(check, CellCheck):
        holder.cell_contents = new
    elif isinstance(check, DictCheck):
        holder[key] = new
    else:
        object.__setattr__(holder, key, new)


def settled(value: Any, depth: int = DEPTH) -> Any:
    """What stands for a value afterwards: itself, unless it is a size or a tuple with sizes."""
    if isinstance(value, (SymInt, SymFloat, SymShape)):
        return plain(value)
    if depth == 0:
        return value
    if isinstance(value, tuple):
        parts = [settled(v, depth - 1) for v in value]
        if all(a is b for a, b in zip(parts, value, strict=True)):
            return value
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    if isinstance(value, (list, deque)):
        for i, v in enumerate(value):
            new = settled(v, depth - 1)
            if new is not v:
                value[i] = new
    elif isinstance(value, dict):
        _settle_dict(value, depth)
    elif isinstance(value, set) and any(isinstance(v, (SymInt, tuple)) for v in value):
        parts = [settled(v, depth - 1) for v in value]
        set.clear(value)
        set.update(value, parts)
    elif not type(value).__module__.startswith(("dualgraph", "builtins", "numpy")):
        _settle_dict(getattr(value, "__dict__", {}), depth)
    return value


def _settle_dict(held: Any, depth: int) -> None:
    """Puts plain numbers for the sizes among keys and values, in the order in which they were."""
    # The methods of the plain class: those of a subclass may do more, as a Counter's update does.
    kind = OrderedDict if isinstance(held, OrderedDict) else dict
    before = list(kind.items(held))
    after = [(settled(k, depth - 1), settled(v, depth - 1)) for k, v in before]
    if any(a is not b for (a, _), (b, _) in zip(after, before, strict=True)):
        kind.clear(held)  # a key is another object: all are put back in their order
        before = []
    same = {id(k): v for k, v in before}
    for k, v in after:
        if same.get(id(k), MISSING) is not v:
            kind.__setitem__(held, k, v)
