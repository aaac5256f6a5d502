"""Plans of products of one row: which kernels serve them, and what they are told."""

from __future__ import annotations

from typing import Any

from ..addresses import address_of
from ..threads import pool
from . import dots_code, kernels, rowwise
from .operands import Product, Strided
from .plan import BRIEF, STACK, handle
from .shape import KC
from .stages import Recipe, Record, Stage
from .tables import crossed, table

# of a product here, where each element is read for it alone, in products of large matrices
COST = 4
FAR = 2**22  # bytes of a matrix that comes from memory
PAGE = 2**12
FEW = 32  # products that tiles do as quickly
SPLIT = 1_000_000  # work from which several threads share it


class OneCall:
    """A product with a kernel of its own, made ready to run like a `Plan`; slots are those of x, y and result."""

    cost = COST

    def __init__(self, p: Product, recipe: Recipe, slots: tuple[int, int, int]) -> None:
        assert isinstance(p.x, Strided) and isinstance(p.y, Strided)
        self.product, self.recipe, self.slots = p, recipe, slots
        self.shape = kernels.shape_for(p.dtype)
        self.batch = len(p.starts[2])
        self.work = self.cost * p.m * p.n * p.k * self.batch
        self.brief: Any = None
        self._add(p.x, p.y)

    def _add(self, x: Strided, y: Strided) -> None:
        """Puts the stages at the end of the recipe."""
        raise NotImplementedError

    def _whole(self, entries: Any, units: int) -> None:
        """Lets one call do it all where that is quickest."""
        if self.recipe.arrays == 3 and (self.work < SPLIT or units == 1):
            self.brief = entries.brief if self.work < BRIEF else entries.whole

    def __call__(self, x: Any, y: Any, out: Any) -> None:
        """Runs on NumPy arrays, where the recipe is the product's alone."""
        if self.brief is not None:
            self.brief(self.record.address, handle(x), handle(y), handle(out))
        else:
            self.recipe(address_of(x), address_of(y), address_of(out))


class MatrixVector(OneCall):
    """Rows of the matrix in the lanes."""

    def _add(self, x: Strided, y: Strided) -> None:
        """Puts the stage into the recipe."""
        p, many, part = self.product, rowwise.ROWS, self.product.n
        if self.work >= SPLIT and self.batch < 4 * pool.size:
            part = max(1, -(-p.n // (4 * pool.size * many))) * many
        parts, row = -(-p.n // part), p.k * self.shape.size
        units = self.batch * parts
        values = dict(
            zip(("vector_slot", "matrix_slot", "out_slot"), self.slots, strict=True),
            step=x.k_step,
            row=y.row_step,
            rows=p.n,
            k=p.k,
            part=part,
            parts=parts,
            together=rowwise.FEW if self.batch * p.n * row > FAR and row >= PAGE else many,
            scratch=0,
            units=units,
        )
        names = ("vectors", "matrices", "outs")
        values |= {n: address_of(t) for n, t in zip(names, p.starts, strict=True)}
        self.record = Record([values[name] for name in rowwise.FIELDS], p)
        entries = kernels.rowwise(self.shape)
        self._whole(entries, units)
        self.recipe.add(Stage(entries.run, self.record, units, self.work))


class Dots(OneCall):
    """Blocks of k in the lanes."""

    def _add(self, x: Strided, y: Strided) -> None:
        """Puts the stage of the blocks into the recipe, and the one that adds them up."""
        p, lanes, size = self.product, self.shape.lanes, self.shape.size
        xs, ys, outs = p.starts
        starts = (
            crossed(xs, table((p.n, 0))),
            crossed(ys, table((p.n, y.row_step))),
            crossed(outs, table((p.n, size))),
        )
        items, blocks = self.batch * p.n, -(-p.k // KC)
        units = -(-items * blocks // lanes)
        scratch = units * lanes * size
        values = dict(
            zip(("x_slot", "y_slot", "out_slot"), self.slots, strict=True),
            sums_slot=self.recipe.room("sums", scratch),
            items=items,
            k=p.k,
            blocks=blocks,
            units=units,
            scratch=scratch,
        )
        values |= {n: address_of(t) for n, t in zip(("xs", "ys", "outs"), starts, strict=True)}
        self.record = Record([values[name] for name in dots_code.FIELDS], (p, starts))
        entries = kernels.dots(self.shape)
        if values["sums_slot"] == 3 and scratch <= STACK:
            self._whole(entries, units)
        self.recipe.add(
            Stage(entries.run, self.record, units, self.work),
            Stage(entries.join, self.record, items, items * blocks),
        )


def of_one_row(p: Product) -> type[OneCall] | None:
    """What serves a product better than tiles do: those of a vector and a matrix whose k's lie side by side, unless
    there is little of it."""
    if p.m != 1 or not p.n or not isinstance(p.x, Strided) or not isinstance(p.y, Strided):
        return None
    shape = kernels.shape_for(p.dtype)
    if p.k < 8 or p.y.k_step != shape.size:
        return None
    if p.x.k_step == shape.size and p.n < shape.lanes:
        return Dots if p.k * p.n * len(p.starts[2]) >= FEW else None
    return MatrixVector if p.n >= 8 and p.y.row_step != shape.size else None
