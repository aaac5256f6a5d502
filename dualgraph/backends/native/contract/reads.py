"""Reads: where an epilogue reads or writes an array, row by row of a contraction's result.

Rows are counted by digits, outermost first: ``(extent, step)``, in elements. They may be symbolic sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .tables import table

Digits = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Read:
    """An array whose element for a row and a column lies at ``start + digits(row) + column * along``."""

    array: int  # of the body: inputs, then outputs
    start: int
    digits: Digits
    along: int  # 0 or 1
    size: int  # bytes of an element

    @property
    def numbers(self) -> tuple[int, Digits]:
        """What other sizes change."""
        return self.start, self.digits

    @property
    def one_for_all(self) -> bool:
        """Whether all rows read the same."""
        return not any(step != 0 for _, step in self.digits)

    def lies_as(self, other: Read) -> bool:
        """Whether each element is where the other array has it."""
        own, theirs = ((r.size, r.along, *r.numbers) for r in (self, other))
        return own == theirs


def runs(digits: Digits) -> Digits:
    """The digits with those put together that count on evenly: one if all rows are equally far apart."""
    if len(digits) == 1:
        return digits
    out = [(1, 0)]
    for extent, step in digits:
        if extent != 1 and out[-1] != (1, 0) and out[-1][1] != extent * step:
            out.append((extent, step))
        elif extent != 1:
            out[-1] = out[-1][0] * extent, step
    return tuple(out)


def offsets(start: int, digits: Digits, size: int) -> Any:
    """The bytes at which each row begins."""
    return table(*((extent, step * size) for extent, step in digits), start=start * size)
