"""Arguments: those of a traced call, and what it did with the arrays and containers among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.recipes import Given
from ..core.trees import flatten
from ..core.types import Shape
from ..core.watch import Seen, Watched
from ..eager.tensor import Tensor
from ..static.footprint import Footprint
from .working import Working


@dataclass(slots=True)
class ArrayArgument:
    """A NumPy array among the argument leaves: its place, its values before the call, and who saw them."""

    leaf: int
    array: Any
    before: Any
    seen: Seen | None  # None where reads cannot be noticed

    def was_read(self) -> bool:
        return self.seen is None or self.seen.was_read


def attributes_of(t: Tensor) -> dict[str, Any]:
    """What the user has put on a tensor; symbolic sizes are the capture's."""
    return {n: v for n, v in vars(t).items() if n != "_dims"}


class Arguments:
    """The arguments of a traced call, and what stands for arrays among them where reads of these can be noticed."""

    def __init__(
        self, args: Any, kwargs: Any, leaves: list[Any], footprint: Footprint, shapes: Mapping[int, Shape],
        working: Working | None,
    ) -> None:  # fmt: skip
        self.leaves = leaves
        self.tree = (args, kwargs)
        self.flat, self.structure = flatten(self.tree)
        self.args, self.kwargs = args, kwargs
        self._attributes = [(v, attributes_of(v)) for v in leaves if isinstance(v, Tensor)]
        self.arrays: list[ArrayArgument] = []
        self.watched: dict[int, Any] = {}  # by leaf, those to be put in the place of arrays
        known: dict[int, tuple[Any, Seen]] = {}
        for i, v in enumerate(leaves):
            if isinstance(v, np.ndarray):
                seen = None
                if footprint.notices_reads(v):
                    if id(v) not in known:
                        recipe = None if working is None else Given(i)
                        seen = Seen()
                        stand_in = Watched(v, (seen,), shapes.get(i), recipe, working)
                        known[id(v)] = stand_in, seen
                    self.watched[i], seen = known[id(v)]
                self.arrays.append(ArrayArgument(i, v, v.copy(), seen))

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
