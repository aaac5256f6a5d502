"""Shapes of the kernels: how many vectors and rows a processor's registers hold, and block sizes."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

KC = 256  # products in a block of k: part of the numerics, the same everywhere
MC = 112  # rows (about) of packed x that stay in the second cache level
NC = 1024  # columns (about) of packed y
PANEL = 6144  # bytes of a panel of y up to which its lines mostly stay in the first cache level
WAY, WAYS = (
    2**12,
    8,
)  # bytes of a way of that cache, and how many there are: lines a WAY apart share them
LARGE = 2**21  # bytes of a result that the nearer caches do not hold
AGAIN = 2700  # lines of a panel, each as often as a tile reads it, from which it is rather packed


class Geometry(NamedTuple):
    """Register blocking for one element type on one processor.

    A tile of the output is ``rows`` by ``vectors * lanes``; its accumulators stay in registers.
    """

    element: str  # float or double
    size: int  # bytes of an element
    lanes: int
    registers: int
    rows: int
    vectors: int

    @property
    def columns(self) -> int:
        """Columns of a full tile."""
        return self.vectors * self.lanes

    @property
    def packed_vectors(self) -> int:
        """Vectors that hold one packed column of a tile of x."""
        return -(-self.rows // self.lanes)

    def group(self, nbytes: int) -> int:
        """Blocks of k that a tile of a result of so many bytes is added up for at a time, so that it is gone through
        less often. Low tiles read their panels of y more often, and gain by it only where the result comes from
        memory."""
        if self.registers == 32:
            return 4 if nbytes > LARGE else 1
        return 2 if nbytes > 6 * LARGE else 1

    def rather_packed(self, m: int, k: int, step: int = 1) -> bool:
        """Whether so many tiles read a panel of y that it is put side by side first, even if rows are neighbours; its
        lines lie `step` bytes apart."""
        k = min(k, KC)
        places = WAYS * WAY // gcd(WAY, step)
        apart = k * self.columns * self.size > PANEL or k > places
        return apart and -(-m // self.rows) * k >= AGAIN

    def vectors_for(self, rows: int, columns: int, packed: bool) -> int:
        """How many vectors across a tile of few rows: enough that the multipliers never wait, and,
        where the columns are read in place, that memory is read in long runs."""
        room = max(1, (self.registers - rows - 1) // rows)
        options = (4,) if packed else (24, 12, 8) if rows <= 2 else (8, 6, 5, 4, 3)
        fitting = [v for v in options if v <= room and v * self.lanes <= columns]
        return max(fitting, default=min(room, self.vectors))


def geometry(dtype: str, vector_bytes: int) -> Geometry:
    """The register blocking for float32 or float64 with vectors of 64, 32 or 16 bytes."""
    element, size = {"float32": ("float", 4), "float64": ("double", 8)}[dtype]
    lanes = vector_bytes // size
    if vector_bytes == 64:
        return Geometry(element, size, lanes, 32, 14, 2)
    if vector_bytes == 32:
        return Geometry(element, size, lanes, 16, 6, 2)
    return Geometry(element, size, lanes, 16, 4, 2)
