"""Performing: the statements set apart, run at the end of each compiled call with the values of that call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from ..core.context import grad_mode, state
from ..core.trees import flatten, unflatten
from ..static.code.calls import TAKERS
from .happening import Happening

ASSIGNING = frozenset(("attr", "item", "global", "free", "in place", "use"))  # kinds of targets


class Effect:
    """One run of a statement: its function, and where the local variables that it reads come from.

    A variable is in `given` (place among the function's parameters, place among the values of the call) or in `kept`
    (place, name of what an earlier statement of the same function call made). `assigns`: all that it does is to put
    values of the call, or of Python, at places in Python state.
    """

    __slots__ = (
        "assigns",
        "flat",
        "given",
        "grad",
        "kept",
        "makes",
        "returns",
        "run",
        "size",
        "stands",
        "trees",
        "where",
    )

    def __init__(self, h: Happening, first: int) -> None:
        s = h.statement
        names = h.run.__code__.co_varnames
        self.run: Callable[..., Any] = h.run
        self.size = len(names)
        self.given = tuple((names.index(n), first + i) for i, n in enumerate(h.values))
        self.kept = tuple((names.index(n), (h.serial, n)) for n in s.reads if n not in h.values)
        self.makes = () if s.returns else tuple((h.serial, n) for n in s.makes)
        self.returns = s.returns
        self.assigns = _assigns(h)
        self.trees = tuple(flatten(v)[1] for v in h.values.values())
        self.flat = all(tree.kind is None for tree in self.trees)  # its values are leaves
        self.grad = h.grad
        self.stands = h.stands
        self.where = s.where

    @property
    def form(self) -> Any:
        """What it does, and with which values of a call."""
        code = self.run.__code__.co_code
        return (
            code,
            self.where,
            self.given,
            self.kept,
            self.makes,
            self.returns,
            self.trees,
            self.grad,
        )

    def perform(self, values: list[Any], made: dict[tuple[int, str], Any]) -> Any:
        """Runs it on the values of a call; what it gives, if the function ends with it."""
        args: list[Any] = [None] * self.size
        for at, i in self.given:
            args[at] = values[i]
        for at, name in self.kept:
            args[at] = made[name]
        if state.grad is self.grad:
            out = self.run(*args)
        else:
            with grad_mode(self.grad):
                out = self.run(*args)
        if self.returns:
            return out
        made.update(zip(self.makes, out or (), strict=True))
        return None


def _assigns(h: Happening) -> bool:
    """Whether all that a statement did was to put something at places in Python state, and no op ran for that."""
    used = [t.place for t in h.statement.targets if t.kind == "use"]
    numbers = all(p[-1] == "item" or (p[0] == "global" and p[-1] in TAKERS) for p in used)
    kinds = {t.kind for t in h.statement.targets}
    return not (h.statement.returns or h.made) and numbers and kinds <= ASSIGNING


class Put(Protocol):
    """Something that a call leaves at a place in Python state, when `at` effects have run."""

    at: int
    tree: Any

    def put(self, leaves: Sequence[Any]) -> None: ...


class Pending:
    """A call that is done but for its effects: its result, and the values that the effects take; behind them those
    that are `put` somewhere after some of the effects."""

    __slots__ = ("_effects", "_leaves", "_puts", "_result")

    def __init__(
        self, result: Any, effects: tuple[Effect, ...], leaves: Sequence[Any], puts: Sequence[Put] = ()
    ) -> None:  # fmt: skip
        self._result = result
        self._effects = effects
        self._leaves = leaves
        self._puts = [p for p in puts if p.at]

    def finish(self) -> Any:
        """Performs the effects, in order, and gives the result."""
        values, leaves = self._leaves, iter(self._leaves)
        if not all(effect.flat for effect in self._effects):
            values = [unflatten(tree, leaves) for effect in self._effects for tree in effect.trees]
        elif self._puts:
            leaves = islice(leaves, sum(len(effect.trees) for effect in self._effects), None)
        puts = [(p, list(islice(leaves, p.tree.num_leaves))) for p in self._puts]
        made: dict[tuple[int, str], Any] = {}
        result = self._result
        for n, effect in enumerate(self._effects):
            if puts:
                self._put(puts, n)
            try:
                out = effect.perform(values, made)
            except BaseException:
                self._clean_up(n, values, made)
                raise
            result = out if effect.returns else result
        self._put(puts, len(self._effects))
        return result

    @staticmethod
    def _put(puts: list[tuple[Put, list[Any]]], ran: int) -> None:
        """Puts what has to be there when so many effects have run."""
        for p, leaves in puts:
            if p.at == ran:
                p.put(leaves)

    def _clean_up(self, failed: int, values: list[Any], made: dict[tuple[int, str], Any]) -> None:
        """After an error: what the handlers around the statement do (``finally``, the end of a ``with``)."""
        lines = self._effects[failed].stands.cleanup
        for effect in self._effects[failed + 1 :] if lines else ():
            if not lines.isdisjoint(effect.stands.chain):
                effect.perform(values, made)


def effects_of(happenings: list[Happening]) -> tuple[Effect, ...]:
    """The effects to perform on each call, from what happened in the captured one."""
    out: list[Effect] = []
    first = 0
    for h in happenings:
        out.append(Effect(h, first))
        first += len(h.values)
    return tuple(out)
