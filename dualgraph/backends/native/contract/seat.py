"""Seats: where a contraction stands in a recipe - its operands, its result, and what is done with that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from .stages import Pieces, Recipe, Stage


class Finish(Protocol):
    """Something done with a result, by its rows; `given` makes the record once the slot of the result is known."""

    def given(self, result: int) -> Any: ...

    def stage(self, given: Any) -> Stage: ...


@dataclass(frozen=True, slots=True)
class Seat:
    """Slots of the operands and the result (None: it is needed by `finish` alone), and what finishes it."""

    recipe: Recipe = field(default_factory=lambda: Recipe(3))
    x: int = 0
    y: int = 1
    out: int | None = 2
    finish: Finish | None = None

    def goal(self, recipe: Recipe | Pieces, size: int) -> int:
        """The slot of the result, of so many bytes."""
        return recipe.room("result", size) if self.out is None else self.out

    def close(self, recipe: Recipe | Pieces, goal: int) -> None:
        """Puts what finishes the result at the end, where no stage before has done it."""
        if self.finish is not None:
            recipe.add(self.finish.stage(self.finish.given(goal)))
