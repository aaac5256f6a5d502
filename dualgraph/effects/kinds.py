"""Kinds of values: whether what a tree stands for is surely data - a tensor, array, number, text or builtin container.

What methods of data do is known by their names; those of anything else are code that has to be looked at.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..core.numbers.live_calls import Conversion
from ..core.trees import flatten
from ..eager.tensor import Tensor
from ..static.checks import ATOMS
from .places import CONTAINERS, MISSING, value_at
from .whose import module_of

# Functions and methods that give what the containers they are given hold.
THROUGH = frozenset("zip enumerate sorted reversed list tuple set iter items values keys".split())


class Values:
    """The values of trees, and their kinds, where code runs with these global and local variables."""

    def __init__(self, known: dict[str, Any], held: Any) -> None:
        self.known, self.held = known, held

    def value(self, tree: Any) -> Any:
        """The value, where it can be looked up without running code, or else MISSING."""
        return MISSING if tree is None else value_at(tree, self.known, self.held)

    def stands_for_data(self, tree: Any) -> bool:
        """Whether the value of a tree is surely data."""
        if tree is None or tree[0] in ("value", "exit", "made", "null"):
            return False
        if tree[0] in ("op", "new", "parts", "const"):
            return True
        value = self.value(tree)
        if value is not MISSING:
            return is_data(value)
        if tree[0] == "attr":
            return self.stands_for_data(tree[1])
        if tree[0] in ("each", "part", "item"):
            return self.holds_data(tree[1])
        if tree[0] == "call":
            return self._gives_data(tree)
        return self.is_opened_file(tree)

    def _gives_data(self, call: Any) -> bool:
        """Whether what a call gives is surely data."""
        callee = call[1]
        if callee is None:
            return False
        own = self.known.get(callee[1]) if callee[0] == "global" else callee
        if own is None or isinstance(own, Conversion):
            named = getattr(builtins, callee[1], None)
            return named is not None and all(map(self.stands_for_data, call[2]))
        called = self.value(callee)
        if called is not MISSING:
            return module_of(called).partition(".")[0] in ("dualgraph", "numpy", "math", "time")
        return callee[0] == "attr" and (
            self.stands_for_data(callee[1]) or self._is_engine_object(callee[1])
        )

    def holds_data(self, tree: Any) -> bool:
        """Whether all that a container holds is surely data."""
        if tree is None:
            return False
        if tree[0] == "parts":
            return all(map(self.stands_for_data, tree[1]))
        value = self.value(tree)
        if value is not MISSING:
            if isinstance(value, (Tensor, np.ndarray, str, range)):
                return True
            inside = list(value.values()) if isinstance(value, dict) else value
            return type(value) in (*CONTAINERS, tuple) and all(
                map(is_data, flatten(list(inside))[0])
            )
        if tree[0] in ("each", "part"):
            return self.holds_data(tree[1])
        if tree[0] != "call" or tree[1] is None:
            return self.stands_for_data(tree)
        callee, args = tree[1], tree[2]
        if callee[-1] in THROUGH:
            return all(map(self.holds_data, args if callee[0] == "global" else (callee[1],)))
        return self._gives_data(tree)

    def _is_engine_object(self, tree: Any) -> bool:
        """Whether the value is of a class of the package, or of one that inherits from it."""
        value = self.value(tree)
        return value is not MISSING and any(
            c.__module__.startswith("dualgraph.") for c in type(value).__mro__
        )

    def is_opened_file(self, tree: Any) -> bool:
        """Whether the value is a file that the statement itself opens (``with open(...) as f``)."""
        if tree is None or tree[0] != "entered":
            return False
        call = tree[1]
        opens = bool(call[0] == "call" and call[1] == ("global", "open"))
        return opens and "open" not in self.known  # a name of the user's hides the builtin


def is_data(value: Any) -> bool:
    """Whether a value is a tensor, an array, a number, a text, or a builtin container."""
    kinds = (Tensor, np.ndarray, np.generic, *ATOMS)
    return isinstance(value, kinds) or type(value) in (*CONTAINERS, tuple)
