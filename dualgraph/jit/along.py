"""Along: places in Python state whose tensors each call leaves in other sizes, as ``self.k = cat([self.k, k])`` does.

What such a place holds goes along with the arguments of a call, as leaves behind theirs: the key of the call tells its
types and sizes, which are symbolic once they have changed. What the call leaves there is a result, as of other places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

from ..core.trees import LEAF, TreeDef, containers, flatten, paths
from ..eager.tensor import Tensor
from ..static.checks import EXCHANGED, Check
from .keys import Whole
from .promoted import Place, place_key

MOST = 4  # captures in which a place was left in another size, until it goes along though it was exchanged before


class Along:
    """The places whose tensors go along with the arguments of one compiled function, as far as was seen."""

    def __init__(self) -> None:
        self.places: dict[Any, Place] = {}
        self.fresh = False  # whether some were found since the last capture
        self._often = Counter[Any]()  # how often they were left in other sizes

    def notice(self, failing: Iterable[Check], exchanged: Container[Any]) -> bool:
        """Takes in the places where a call has left tensors of other sizes; whether there are new ones.

        Those that are `exchanged` already have a program for each size: they come along once there are too many.
        """
        found = {place_key(c): Place(c) for c in failing if _grows(c)}
        self._often.update(found.keys())
        found = {k: p for k, p in found.items() if k not in exchanged or self._often[k] >= MOST}
        self.fresh = not found.keys() <= self.places.keys()
        self.places = {**found, **self.places}
        return self.fresh

    def join(self, leaves: Sequence[Any], tree: TreeDef | int) -> tuple[list[Any], Whole]:
        """The leaves of a call and their structure, with what is at the places now."""
        parts = [_taken(place) for place in self.places.values()]
        more = [v for held, _ in parts for v in held]
        return [*leaves, *more], Whole(tree, tuple([t for _, t in parts]), self._names())

    def labels(self) -> list[str]:
        """What the code calls each of the leaves that go along now."""
        trees = [_taken(place)[1] for place in self.places.values()]
        pairs = zip(self._names(), trees, strict=True)
        return [name + path for name, tree in pairs for path in paths(tree)]

    def _names(self) -> tuple[str, ...]:
        return tuple([place.name for place in self.places.values()])


def _taken(place: Place) -> tuple[list[Any], TreeDef]:
    """What goes along of a place: its tensors, if these are all there is; else None, and the program checks it."""
    held = place.read(())
    return flatten(held) if _movable(held) else ([None], LEAF)


def _movable(value: Any) -> bool:
    """Whether a value is a tensor, or tuples of nothing but tensors."""
    if type(value) is Tensor:
        return True
    whole = isinstance(value, tuple) and all(isinstance(c, tuple) for c in containers(value))
    return whole and all(type(v) is Tensor for v in flatten(value)[0])


def _grows(check: Check) -> bool:
    """Whether a call has left tensors at a place that differ from those before in their sizes alone."""
    now, was = check.read(), check.expected
    if now is was or not (isinstance(check, EXCHANGED) and _movable(now) and _movable(was)):
        return False
    (after, tree), (before, same) = flatten(now), flatten(was)
    if tree != same:
        return False
    pairs = list(zip(after, before, strict=True))
    kept = all((a.dtype, a.ndim, a.device) == (b.dtype, b.ndim, b.device) for a, b in pairs)
    return kept and any(a._data.shape != b._data.shape for a, b in pairs)
