"""Plans: how one product of given sizes and layouts runs - its tiling, the record of it, and its stages in a recipe."""

from __future__ import annotations

from typing import Any

from ..addresses import DIRECT, address_of
from ..threads import pool
from . import kernels
from .operands import Product
from .shape import Geometry
from .stages import Pieces, Recipe, Record, Stage
from .tiling import SPLIT, Given, Side, tiling

BRIEF = 500_000  # products below which the interpreter lock is kept
STACK = 2**17  # bytes of scratch that may be on the stack
NOTHING: frozenset[int] = frozenset()
handle = id if DIRECT else address_of  # how an array is given to whole products


class Plan:
    """A product made ready to run on any arrays of its layouts: stages put at the end of a recipe.

    `slots` are those of x, y and out; `finish` is a record of what is done with the result's rows; `forced` is what
    a `Tiling` may be told. ``run(x, y, out)`` is set where a call of its own serves a small product.
    """

    def __init__(
        self,
        product: Product,
        recipe: Recipe | Pieces | None = None,
        slots: tuple[int, int, int] = (0, 1, 2),
        shape: Geometry | None = None,
        finish: Any = None,
        spans: int = 1,
        **forced: Any,
    ) -> None:
        self.product, self.slots = product, slots
        self.recipe: Any = recipe or Recipe(3)
        self.brief: Any = None
        p, batch = product, len(product.starts[2])
        self.work = p.m * p.n * p.k * batch
        if not self.work:
            return
        lasting = self.recipe.lasting
        given = Given(
            shape or kernels.shape_for(p.dtype), p.m, p.n, p.k, p.x, p.y, p.out_step,
            batch, (1, 1) if batch == 1 else (_matrices(p.starts[0]), _matrices(p.starts[1])),
            (slots[0] in lasting, slots[1] in lasting) if lasting else (False, False),
            self.recipe.whole_units, finish is None, spans, pool.size,
        )  # fmt: skip
        self.tiling = t = tiling(given, **forced)
        whole_x = self.recipe.before("x", t.x.whole) if t.x.whole else 0
        whole_y = self.recipe.before("y", t.y.whole) if t.y.whole else 0
        self.record = Record(
            [
                *self._operand(0, t.x, whole_x),
                *self._operand(1, t.y, whole_y),
                *(p.out_step, address_of(p.starts[2]), slots[2]),
                *t.rest,
                0 if finish is None else finish.address,
            ],
            (product, finish),
        )
        self.address: int = self.record.address
        entries = kernels.driver()
        self._prepare(0, t.x, entries.pack_x, whole_x)
        self._prepare(1, t.y, entries.pack_y, whole_y)
        self._finish(entries)

    def _operand(self, place: int, x: Side, whole: int) -> tuple[int, ...]:
        """What the driver reads of an operand (`driver.OPERAND`), which is packed whole in a slot, or not (0)."""
        at = address_of(self.product.starts[place])
        return *x.lying, at, x.pack, self.slots[place], whole, x.matrix, *x.rest

    def _prepare(self, place: int, x: Side, pack: int, whole: int) -> None:
        """Puts the packing of an operand that is packed whole into the recipe."""
        if whole:
            ahead = (self.slots[place], whole) if self.tiling.given.ahead[place] else None
            self.recipe.prepare(Stage(pack, self.record, x.units, x.work, ahead=ahead))

    def _finish(self, entries: kernels.Entries) -> None:
        """Puts the product into the recipe."""
        t, recipe = self.tiling, self.recipe
        if not recipe.stages and recipe.arrays == 3 and max(self.slots) < 3:
            if t.scratch <= STACK and (t.effort < SPLIT or t.units == 1):
                self.brief = entries.brief if t.effort < BRIEF else entries.whole
        recipe.add(Stage(entries.run, self.record, t.units, t.effort, t.scratch))

    def __call__(self, x: Any, y: Any, out: Any) -> None:
        """Runs on NumPy arrays, where the recipe is the product's alone."""
        if self.brief is not None:
            self.brief(self.address, handle(x), handle(y), handle(out))
        elif self.work:
            self.recipe(address_of(x), address_of(y), address_of(out))
        else:
            out.fill(0)


def _matrices(starts: Any) -> int:
    """How many matrices there are: one, or as many as the batch has."""
    return 1 if (starts == starts[0]).all() else len(starts)
