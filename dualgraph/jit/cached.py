"""Cached: calls of functions whose results Python keeps (`functools.lru_cache`).

Such a function runs where it was not called so before, and gives else the very object that it gave then. So a call of
it is an assumption, that it gives this object still, for which the program asks it on each of its calls; and what the
object holds is Python state like any other. That has to be known before a call begins: one capture takes down what is
called (`CachedCalls`), the next one is for that. The function's own code is no part of the program.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..core.constant import exact
from ..core.context import state, unbatched, unrepeatable, untraced
from ..core.errors import Location, user_location
from ..core.numbers.draws import stood_for
from ..core.numbers.live import settled
from ..core.trees import Undo, flatten
from ..eager.tensor import Tensor
from ..static.checks import CachedCheck, Check
from .promoted import Place

MAX_CALLS = 500  # of one kind of arguments
MAX_TRIES = 4  # captures in a row that met other calls than were known


class CachedCall(NamedTuple):
    """One call of such a function: its arguments, and what it gave."""

    function: Any
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    result: Any
    name: str
    where: Location
    kept: bool  # whether it was kept from before

    def same(self, other: CachedCall) -> bool:
        """Whether another call had the same arguments and the same result."""
        return self.alike(other) and self.result is other.result

    def alike(self, other: CachedCall) -> bool:
        """Whether another call had the same arguments."""
        mine, others = (self.args, self.kwargs), (other.args, other.kwargs)
        return self.function is other.function and bool(exact(mine) == exact(others))

    def check(self) -> Check:
        """That the function gives this still."""
        key = self.args, self.kwargs
        return CachedCheck(self.function, key, self.result, f"{self.name}(...)", self.where)


class CachedCalls:
    """The calls that captures for one kind of arguments met, and whether the last one met others than were known."""

    def __init__(self) -> None:
        self.known: list[CachedCall] = []
        self.grown = False
        self._tries = 0

    @property
    def roots(self) -> list[tuple[Any, str]]:
        """What the known calls gave, which the code may look into."""
        return [(c.result, f"{c.name}(...)") for c in self.known]

    def learn(self, met: Sequence[CachedCall]) -> list[str]:
        """Why the calls that a capture has met stand in its way (empty: all were known, and had been kept)."""
        new = [c for c in met if not (c.kept and any(map(c.same, self.known)))]
        self._tries = self._tries + 1 if new else 0
        self.grown = bool(new) and self._tries <= MAX_TRIES and len(self.known) < MAX_CALLS
        for c in new:
            self.known = [k for k in self.known if not c.alike(k)]
            self.known.append(c)
        why = "what it keeps is looked into from now on" if self.grown else "it does not keep this"
        return [f"{c.name} at {c.where}: {why}" for c in new[:1]]


def taking_down(places: Sequence[Check], met: list[CachedCall], undo: list[Undo]) -> list[Any]:
    """Puts at the places of such functions what takes down their calls, until `undo` is called; these stand-ins."""
    made: dict[int, Any] = {}
    for check in places:
        function = check.expected
        stand_in = made.get(id(function)) or _stand_in(function, check.name, met)
        try:
            Place(check).put(stand_in, undo)
            made[id(function)] = stand_in
        except (AttributeError, LookupError, StopIteration, TypeError):
            unrepeatable(f"{check.name} keeps its results, and cannot be exchanged")
    return list(made.values())


def _stand_in(function: Any, name: str, met: list[CachedCall]) -> Callable[..., Any]:
    """What does as a cached function does, and takes down the calls of this thread."""
    thread = threading.get_ident()

    @functools.wraps(function)
    def cached(*args: Any, **kwargs: Any) -> Any:
        if state.tracer is None or threading.get_ident() != thread:
            return function(*args, **kwargs)
        args, kwargs = settled((args, kwargs))
        if any(isinstance(v, Tensor) or stood_for(v) is not v for v in flatten((args, kwargs))[0]):
            unrepeatable(f"{name} keeps its results, and is given a tensor or what is drawn")
        misses = function.cache_info().misses
        with untraced(), unbatched():
            result = function(*args, **kwargs)
        kept, where = function.cache_info().misses == misses, user_location()
        met.append(CachedCall(function, args, tuple(kwargs.items()), result, name, where, kept))
        return result

    def cache_clear() -> None:
        unrepeatable(f"{name} forgets its results")
        function.cache_clear()

    cached.__dict__ |= {
        "_stands_for": function, "cache_clear": cache_clear, "cache_info": function.cache_info,
        "cache_parameters": function.cache_parameters,
    }  # fmt: skip
    return cached
