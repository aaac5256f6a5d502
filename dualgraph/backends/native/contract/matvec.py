"""Plans of matrix times vector: which products they serve, and what the kernel is told."""

from __future__ import annotations

import ctypes
from typing import Any

from ..addresses import address_of
from ..threads import pool
from . import kernels
from .plan import BRIEF, Product, Strided, handle
from .rowwise import FIELDS, GROUPS
from .stages import Recipe, Stage, record

SPLIT = 1_000_000  # products from which rows are cut into parts for several threads


def suits(p: Product) -> bool:
    """Whether a product is a vector times a matrix whose k's lie side by side, and large enough to be turned."""
    if p.m != 1 or not isinstance(p.x, Strided) or not isinstance(p.y, Strided):
        return False
    size = p.out_step // p.n if p.n else 0
    return p.n >= 8 and p.k >= 8 and p.y.k_step == size != p.y.row_step


class MatrixVector:
    """A product of one row, made ready to run like a `Plan`; slots are those of vector, matrix and result."""

    def __init__(self, p: Product, recipe: Recipe, slots: tuple[int, int, int]) -> None:
        assert isinstance(p.x, Strided) and isinstance(p.y, Strided)
        shape = kernels.shape_for(p.dtype)
        self.recipe, self.batch = recipe, len(p.starts[2])
        self.work = p.n * p.k * self.batch
        many, part = GROUPS * shape.lanes, p.n
        if self.work >= SPLIT and self.batch < 4 * pool.size:
            part = max(1, -(-p.n // (4 * pool.size * many))) * many
        parts = -(-p.n // part)
        units = self.batch * parts
        values = dict(
            zip(("vector_slot", "matrix_slot", "out_slot"), slots, strict=True),
            step=p.x.k_step,
            row=p.y.row_step,
            rows=p.n,
            k=p.k,
            part=part,
            parts=parts,
            scratch=0,
            units=units,
        )
        names = ("vectors", "matrices", "outs")
        values |= {n: address_of(t) for n, t in zip(names, p.starts, strict=True)}
        self.record = record([values[name] for name in FIELDS], p)
        self.address = ctypes.addressof(self.record)
        entries = kernels.rowwise(shape)
        self.brief: Any = None
        if recipe.arrays == 3 and (self.work < SPLIT or units == 1):
            self.brief = entries.brief if 2 * self.work < BRIEF else entries.whole
        recipe.add(Stage(entries.run, self.record, units, self.work))

    def __call__(self, x: Any, y: Any, out: Any) -> None:
        """Runs on NumPy arrays, where the recipe is the product's alone."""
        if self.brief is not None:
            self.brief(self.address, handle(x), handle(y), handle(out))
        else:
            self.recipe(address_of(x), address_of(y), address_of(out))
