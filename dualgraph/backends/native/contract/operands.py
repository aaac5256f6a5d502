"""Products to be computed, and how the elements of their operands lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

LINES = 5  # pointers that a tile of lines may take


class Strided(NamedTuple):
    """An operand whose element (row, k) lies ``row * row_step + k * k_step`` bytes from its start."""

    row_step: int
    k_step: int


@dataclass(frozen=True, eq=False)
class Tabled:
    """An operand whose element (row, k) lies ``rows[row] + ks[k]`` bytes from its start (int64 tables).

    ``stripe``: so many k's of all rows lie near each other, and are packed together (0: nothing is known of that).
    """

    rows: Any
    ks: Any
    stripe: int = 0


@dataclass(frozen=True, eq=False)
class Windowed:
    """An operand whose element (row, k) lies ``row * size + ks[k]`` bytes from its start (int64 table)."""

    ks: Any


@dataclass(frozen=True, eq=False)
class Lined:
    """Like Tabled, read in place: rows are neighbours `step` bytes apart, `width` of them after the other."""

    rows: Any
    ks: Any
    width: int
    step: int

    def height(self, registers: int) -> int:
        """How many rows a tile has, if registers hold so many: of all tiles about as many."""
        lines = -(-len(self.rows) // self.width)
        most = max(1, min(registers // self.width, LINES))
        return -(-lines // -(-lines // most)) * self.width


Operand = Strided | Tabled | Windowed | Lined


class Product(NamedTuple):
    """``out[i, j] = sum over k of x[i, k] * y[j, k]`` for each matrix of a batch; rows of y are columns of out.

    ``starts`` are int64 tables: where the matrices of x, y and out begin, in bytes. `out` has
    neighbouring columns and rows `out_step` bytes apart.
    """

    dtype: str
    m: int
    n: int
    k: int
    x: Strided | Tabled | Lined
    y: Operand
    out_step: int
    starts: tuple[Any, Any, Any]
