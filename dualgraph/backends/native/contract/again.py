"""Recipes of operands whose sizes may change: found anew for each, and written into a program once.

What plans decide about a product follows no formula of its sizes. So a program has places for the numbers of a recipe
of some more stages, and the plan for other sizes fills them; those left over do nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ....core.numbers.worked import Working, working
from ..team.spots import ZERO_WORD, Ref, Spot
from .stages import Recipe

STAGES = 4  # that there is room for, at least
AT = Ref(ZERO_WORD)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """A `Stage` whose numbers follow from sizes. ``record`` keeps alive what it is of now."""

    function: int
    place: int
    units: int
    work: int
    scratch: int
    ahead: tuple[int, int] | None
    record: Any


def recipe_of(make: Callable[..., Recipe], what: Any, x: Any, y: Any, *more: Any) -> Recipe:
    """``make(what, x, y, *more)``, for arrays of which the dtypes, shapes and strides count, and numbers."""
    numbers = x.shape, x.strides, y.shape, y.strides, more
    work = working(*numbers)
    if work is None:
        return make(what, x, y, *more)
    found: Recipe = work.once(
        (make, what, x.dtype, y.dtype),
        numbers,
        lambda: _found(work, partial(make, what), x, y, *more),
    )
    return found


def _found(work: Working, make: Callable[..., Recipe], x: Any, y: Any, *more: Any) -> Recipe:
    """The recipe of operands whose sizes may change."""
    kept: list[Recipe] = []
    form: list[int] = []  # stages and slots that there is room for

    def again(x_shape: Any, x_strides: Any, y_shape: Any, y_strides: Any, more: Any) -> Any:
        """The numbers of the recipe for these sizes; None where it has more stages or slots than there is room for."""
        found = make(
            Spot(AT, x_shape, x.dtype, x_strides), Spot(AT, y_shape, y.dtype, y_strides), *more
        )
        told: list[int] = []
        for s in found.stages:
            told += s.function, s.place, s.units, s.work, s.scratch
        if not any(told[3::5]):  # no work
            return None
        if kept and found.lasting and _ahead(found) != _ahead(kept[0]):
            return None
        if not kept:
            form[:] = max(STAGES, len(found.stages) + 1), len(found.sizes) + 2
        stages, slots = form
        if len(found.stages) > stages or len(found.sizes) > slots:
            return None
        kept[:] = [found]
        told += [0] * (5 * stages - len(told))
        return *told, *found.sizes.values(), *[0] * (slots - len(found.sizes))

    numbers = work.call(again, x.shape, x.strides, y.shape, y.strides, more)
    (first,), (stages, _) = kept, form
    out = Recipe(first.arrays, first.lasting)
    ahead = [*(s.ahead for s in first.stages), *[None] * (stages - len(first.stages))]
    for i, own in enumerate(ahead):
        out.stages.append(Found(*numbers[5 * i : 5 * i + 5], own, kept))  # type: ignore[arg-type]
    out.sizes = {f"slot {i}": n for i, n in enumerate(numbers[5 * stages :])}
    return out


def _ahead(recipe: Recipe) -> Any:
    """What is done before a loop around the product: the stages and their slots."""
    return [(i, s.ahead) for i, s in enumerate(recipe.stages) if s.ahead is not None]
