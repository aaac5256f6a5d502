"""Plans of many small products: which batches suit them, and what the kernel is told."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import kernels, small_code
from .matvec import OneCall
from .operands import Product, Strided
from .stages import Record, Stage

ELEMENTS = 64  # of a matrix, operand or result, up to which it may lie in a lane
PRODUCTS = 512  # of a matrix


def _step(starts: Any) -> int | None:
    """How far apart the matrices of a batch lie; None if not evenly."""
    steps = np.diff(starts)
    return int(steps[0]) if (steps == steps[0]).all() else None


def suits(p: Product) -> bool:
    """Whether the matrices of a batch are so small and so many that each is rather given a lane."""
    if not isinstance(p.x, Strided) or not isinstance(p.y, Strided):
        return False
    sizes = p.m * p.k, p.n * p.k, p.m * p.n
    small = max(sizes) <= ELEMENTS and 0 < p.m * p.n * p.k <= PRODUCTS and p.m * p.n > 1
    many = len(p.starts[2]) >= kernels.shape_for(p.dtype).lanes
    return small and many and all(_step(s) is not None for s in p.starts)


class Small(OneCall):
    """A batch of small products, made ready to run like a `Plan`."""

    cost = 1

    def _add(self, x: Strided, y: Strided) -> None:
        """Puts the stage that multiplies them all into the recipe."""
        p, shape = self.product, self.shape
        pixel = shape.lanes * shape.size
        units = -(-self.batch // shape.lanes)
        scratch = 0
        values: dict[str, int] = {}
        for name, operand, extent, slot, starts in zip(
            "xy", (x, y), (p.m, p.n), self.slots[:2], p.starts[:2], strict=True
        ):
            own = _lines(operand, extent, p.k, shape.size, pixel)
            own |= {"slot": slot, "matrix": _step(starts) or 0, "at": scratch}
            values |= {f"{name}_{field}": v for field, v in own.items()}
            scratch += (extent * p.k + shape.lanes) * pixel
        values |= {
            "out_slot": self.slots[2],
            "out_at": scratch,
            "m": p.m,
            "n": p.n,
            "k": p.k,
            "matrices": self.batch,
            "pack": kernels.pack(shape, False),
            "scratch": scratch + (p.m * p.n + shape.lanes) * pixel,
            "units": units,
        }
        self.record = Record([values[name] for name in small_code.FIELDS], p)
        entries = kernels.small(shape)
        self._whole(entries, units)
        self.recipe.add(Stage(entries.run, self.record, units, self.work, values["scratch"]))


def _lines(x: Strided, extent: int, k: int, size: int, pixel: int) -> dict[str, int]:
    """An operand's elements in lines: along its rows, along k, or all in one."""
    outer, inner = (extent, x.row_step), (k, x.k_step)
    by_rows = x.row_step == size != x.k_step and extent > 1
    (lines, line), (count, step) = (inner, outer) if by_rows else (outer, inner)
    if lines == 1 or line == count * step:
        lines, count = 1, lines * count
    steps = (pixel, extent * pixel) if by_rows else (k * pixel, pixel)
    names = ("lines", "line", "count", "step", "outer", "inner")
    return dict(zip(names, (lines, line, count, step, *steps), strict=True))
