"""Updating: functions that only write some of their tensors get one program each when they are called often.

An optimiser's step of all parameters of a group is such a call (`optim.update`).
"""

from __future__ import annotations

from typing import Any

from ....core.composite import Merge
from . import programs
from .recipe import GENERIC, Recipe

MOST = 64  # kinds of calls that are known

# By how, and codes and shapes of tensors, as the glue of `updates` writes them
KNOWN: dict[Any, Recipe | None] = {}


def notice(fn: Any, key: Any, how: Any, tensors: list[Any]) -> None:
    """A call that was not seen before, or was some times."""
    generic = KNOWN.get(key)
    if generic is None:
        if len(KNOWN) >= MOST:
            KNOWN.pop(next(iter(KNOWN)))
        KNOWN[key] = Recipe(kind=GENERIC, keep=())
    elif Merge.traced is not None:
        traced, count = Merge.traced(fn, (how, *tensors), {}), len(tensors)

        def made() -> Recipe | None:
            found = traced()
            plain = found.writes and len(found.graph.inputs) == count
            return programs.recipe_of(found.graph, generic, found.writes) if plain else None

        programs.begin(KNOWN, key, generic, made)
