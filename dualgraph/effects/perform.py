"""Performing: the statements set apart, run at the end of each compiled call with the values of that call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.context import grad_mode
from ..core.trees import flatten, unflatten
from .happening import Happening


class Effect:
    """One run of a statement: its function, and where the local variables that it reads come from.

    A variable is in `given` (place among the function's parameters, place among the values of the call) or in `kept`
    (place, name of what an earlier statement of the same function call made).
    """

    __slots__ = ("given", "grad", "kept", "makes", "run", "size", "trees", "where")

    def __init__(self, h: Happening, first: int) -> None:
        s = h.statement
        names = h.run.__code__.co_varnames
        self.run: Callable[..., Any] = h.run
        self.size = len(names)
        self.given = tuple((names.index(n), first + i) for i, n in enumerate(h.values))
        self.kept = tuple((names.index(n), (h.serial, n)) for n in s.reads if n not in h.values)
        self.makes = tuple((h.serial, n) for n in s.makes)
        self.trees = tuple(flatten(v)[1] for v in h.values.values())
        self.grad = h.grad
        self.where = s.where

    def perform(self, values: list[Any], made: dict[tuple[int, str], Any]) -> None:
        args: list[Any] = [None] * self.size
        for at, i in self.given:
            args[at] = values[i]
        for at, name in self.kept:
            args[at] = made[name]
        with grad_mode(self.grad):
            out = self.run(*args)
        made.update(zip(self.makes, out or (), strict=True))


class Pending:
    """A call that is done but for its effects: its result, and the values that the effects take."""

    __slots__ = ("_effects", "_leaves", "_result")

    def __init__(self, result: Any, effects: tuple[Effect, ...], leaves: list[Any]) -> None:
        self._result = result
        self._effects = effects
        self._leaves = leaves

    def finish(self) -> Any:
        """Performs the effects, in order, and gives the result."""
        leaves = iter(self._leaves)
        values = [unflatten(tree, leaves) for effect in self._effects for tree in effect.trees]
        made: dict[tuple[int, str], Any] = {}
        for effect in self._effects:
            effect.perform(values, made)
        return self._result


def effects_of(happenings: list[Happening]) -> tuple[Effect, ...]:
    """The effects to perform on each call, from what happened in the captured one."""
    out: list[Effect] = []
    first = 0
    for h in happenings:
        out.append(Effect(h, first))
        first += len(h.values)
    return tuple(out)
