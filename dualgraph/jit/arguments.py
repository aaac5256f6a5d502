"""Arguments: those of a traced call, and what it did with the arrays and containers among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.trees import flatten
from ..core.watch import Watched, watched
from ..eager.tensor import Tensor
from ..static.footprint import Footprint


@dataclass(slots=True)
class ArrayArgument:
    """A NumPy array among the argument leaves: its place, its values before the call, and who saw them."""

    leaf: int
    array: Any
    before: Any
    seen: Watched | None  # None where reads cannot be noticed

    def was_read(self) -> bool:
        return self.seen is None or self.seen.was_read


def attributes_of(t: Tensor) -> dict[str, Any]:
    """What the user has put on a tensor; symbolic sizes are the capture's."""
    return {n: v for n, v in vars(t).items() if n != "_dims"}


class Arguments:
    """The arguments of a traced call, arrays replaced by watched ones where reads of them can be noticed."""

    def __init__(self, args: Any, kwargs: Any, leaves: list[Any], footprint: Footprint) -> None:
        self.leaves = leaves
        self.tree = (args, kwargs)
        self.flat, self.structure = flatten(self.tree)
        self.args, self.kwargs = args, kwargs
        self._attributes = [(v, attributes_of(v)) for v in leaves if isinstance(v, Tensor)]
        self.arrays: list[ArrayArgument] = []
        places = [i for i, v in enumerate(leaves) if isinstance(v, np.ndarray)]
        if not places:
            return
        given = [*args, *kwargs.values()]
        direct = {}
        for v in given if not footprint.reads_arrays else ():
            if type(v) is np.ndarray and sum(v is u for u in given) == sum(v is u for u in leaves):
                direct[id(v)] = watched(v)
        self.arrays = [
            ArrayArgument(i, leaves[i], leaves[i].copy(), direct.get(id(leaves[i]))) for i in places
        ]
        self.args = tuple(direct.get(id(v), v) for v in args)
        self.kwargs = {k: direct.get(id(v), v) for k, v in kwargs.items()}

    def contents(self) -> tuple[tuple[int, Any], ...]:
        """The arrays whose values the call has read: which leaf each is, and what was in it before."""
        return tuple((a.leaf, a.before) for a in self.arrays if a.was_read())

    def extended(self) -> bool:
        """Whether the call has put attributes on a tensor among the arguments, or others, or has taken them away."""
        return any(
            now.keys() != before.keys() or any(now[n] is not before[n] for n in before)
            for now, before in ((attributes_of(v), before) for v, before in self._attributes)
        )

    def changed(self) -> bool:
        """Whether a container among the arguments was changed by the call."""
        now, structure = flatten(self.tree)
        return structure != self.structure or any(
            a is not b for a, b in zip(now, self.flat, strict=True)
        )
