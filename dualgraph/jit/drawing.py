"""Drawing: while a function is traced, stand-ins for generators of random numbers are where it finds these.

They are the same for all threads that trace meanwhile (`core.numbers.draws`), and go when the last of these is done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from ..core.context import unrepeatable
from ..core.numbers.draws import is_clock, is_source, stand_in, stood_for
from ..core.process import forks
from ..core.trees import Undo, flatten, with_leaves
from ..static.footprint import Footprint

HERE_ALONE = 3  # references to a stand-in that nothing but a list of them holds
MOVED = "a generator of random numbers is put into Python state"


def why_not_drawn(footprint: Footprint, leaves: Sequence[Any]) -> list[str]:
    """Why code that draws random numbers could tell stand-ins from what they stand for."""
    given = any(map(is_source, leaves))
    if any(is_source(v) and callable(v) for v in leaves):
        return ["a method of a generator of random numbers is an argument"]
    drawing = [c.expected for c in footprint.drawing if not is_clock(c.expected)]
    if (given or drawing) and "type" in footprint.telling:
        return ["random numbers are drawn, and the code asks for a `type`"]
    if given and any(is_source(v) and not callable(v) for v in drawing):
        return ["a generator is an argument, and may be the one that the code finds in its state"]
    return []


class Place(Protocol):
    """Where a generator, or a function that draws, is found."""

    key: Any
    name: str

    def read(self, leaves: Sequence[Any]) -> Any: ...

    def put(self, value: Any, undo: list[Undo]) -> None: ...


class _Placed:
    """A stand-in at a place, the calls that need it there, and what takes it away."""

    def __init__(self, place: Place) -> None:
        held = stood_for(place.read(()))
        there = (p.stand_in for p in _placed.values() if stood_for(p.stand_in) is held)
        self.stand_in = next(there, None) or stand_in(held)
        self.calls: set[object] = set()
        self.undo: list[Undo] = []
        place.put(self.stand_in, self.undo)


_placed: dict[Any, _Placed] = {}
_lock = forks.lock()


def _put(place: Place, call: object) -> Any:
    """Puts a stand-in there for a call, unless another one has; the stand-in."""
    with _lock:
        found = _placed.get(place.key)
        if found is None:
            found = _placed[place.key] = _Placed(place)
        found.calls.add(call)
        return found.stand_in


def _take_back(places: Sequence[Place], call: object) -> None:
    """The call needs no stand-ins any more."""
    with _lock:
        for place in places:
            found = _placed.get(place.key)
            if found is not None:
                found.calls.discard(call)
                if not found.calls:
                    for undo in found.undo:
                        undo()
                    del _placed[place.key]


def standing_in(
    places: Sequence[Place], args: Any, kwargs: Any, undo: list[Undo], watched: dict[int, Any]
) -> tuple[Any, Any, list[Any]]:
    """The arguments of a call with stand-ins for generators, and those that are `watched` for arrays, by leaf; and all
    these. Python state has generators' stand-ins, too, until `undo` is called."""
    new = dict(watched)
    watched.clear()  # it would keep them
    for i, v in enumerate(flatten((args, kwargs))[0]):
        if is_source(v):
            new[i] = next((s for s in new.values() if stood_for(s) is v), None) or stand_in(v, i)
    stands = list(new.values())
    call = object()
    undo.append(lambda: _take_back(places, call))
    for place in places:
        try:
            stands.append(_put(place, call))
        except (AttributeError, LookupError, StopIteration, TypeError):
            unrepeatable(f"{place.name} draws random numbers, and cannot be exchanged")
    if new:
        args, kwargs = with_leaves((args, kwargs), new, undo)
        new.clear()  # what has it is a cycle
    return args, kwargs, list({id(x): x for x in stands}.values())


def without_stand_ins(result: Any) -> Any:
    """A result with the generators that stand-ins in it stand for."""
    given = {i: stood_for(v) for i, v in enumerate(flatten(result)[0]) if stood_for(v) is not v}
    return with_leaves(result, given, []) if given else result


def still_held(stands: list[Any]) -> list[Any]:
    """The stand-ins that Python state holds though the call is over."""
    with _lock:
        needed = {id(p.stand_in) for p in _placed.values()}
        return [x for x in stands if id(x) not in needed and sys.getrefcount(x) > HERE_ALONE]
