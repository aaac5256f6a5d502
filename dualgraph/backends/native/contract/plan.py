"""Plans: how one product of given sizes and layouts runs - what is packed, which kernels, how it is split.

Nothing decided here can be seen in the bits of a result.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..addresses import DIRECT, address_of
from ..threads import Range, pool
from . import kernels
from .driver import FIELDS
from .shape import KC, MC, NC, Geometry

SPLIT = 16_000_000  # products from which waking a thread pays
FEW = 8  # rows so few that a panel of y is used up at once
BRIEF = 500_000  # products below which the interpreter lock is kept
STRIPE = 16  # k's packed at a time where columns are neighbours in memory
STACK = 2**17  # bytes of scratch that may be on the stack
handle = id if DIRECT else address_of  # how an array is given to whole products
RECORD = ctypes.c_int64 * len(FIELDS)
_local = threading.local()


@dataclass(frozen=True, eq=False)
class Strided:
    """An operand whose element (row, k) lies ``row * row_step + k * k_step`` bytes from its start."""

    row_step: int
    k_step: int


@dataclass(frozen=True, eq=False)
class Tabled:
    """An operand whose element (row, k) lies ``rows[row] + ks[k]`` bytes from its start (int64 tables)."""

    rows: Any
    ks: Any


@dataclass(frozen=True, eq=False)
class Windowed:
    """An operand whose element (row, k) lies ``row * size + ks[k]`` bytes from its start (int64 table)."""

    ks: Any


Operand = Strided | Tabled | Windowed


@dataclass(frozen=True, eq=False)
class Product:
    """``out[i, j] = sum over k of x[i, k] * y[j, k]`` for each matrix of a batch; rows of y are columns of out.

    ``starts`` are int64 tables: where the matrices of x, y and out begin, in bytes. `out` has
    neighbouring columns and rows `out_step` bytes apart.
    """

    dtype: str
    m: int
    n: int
    k: int
    x: Strided | Tabled
    y: Operand
    out_step: int
    starts: tuple[Any, Any, Any]


def scratch(size: int) -> int:
    """The address of this thread's scratch memory."""
    memory = getattr(_local, "memory", None)
    if memory is None or memory.size < size + 64:
        memory = _local.memory = np.empty(size + 64, dtype=np.uint8)
    address = address_of(memory)
    return address + -address % 64


class Plan:
    """A product made ready to run on any arrays of its layouts."""

    def __init__(
        self,
        product: Product,
        shape: Geometry | None = None,
        pack_x: bool | None = None,
        pack_y: bool | None = None,
    ) -> None:
        self.product = product
        self.whole: Any = None
        self.parts = 0
        self.work = product.m * product.n * product.k * len(product.starts[2])
        if not self.work:
            return
        self.shape = shape = shape or kernels.shape_for(product.dtype)
        m, n = product.m, product.n
        tiles = -(-m // shape.rows)
        self.rows = -(-m // tiles) if tiles <= 4 else shape.rows  # few tiles are made alike
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        wide = shape.vectors
        if m <= FEW:
            wide = shape.vectors_for(m, n, self.pack_y)
        elif n <= shape.lanes:
            wide = 1
        self.columns = wide * shape.lanes
        self.narrow = min(wide, shape.vectors) * shape.lanes
        self.pack_x = self._packs_x() if pack_x is None else pack_x
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        self.units, self.parts, rows, columns = self._split()
        self.entries = kernels.driver()
        nc = self.columns if m <= FEW and self.pack_y else max(1, NC // self.columns) * self.columns
        mc = MC // self.rows * self.rows
        x_width = shape.packed_vectors * shape.lanes
        depth = min(KC, -(-product.k // shape.lanes) * shape.lanes)
        x_bytes = -(-min(mc, m) // self.rows) * x_width * depth * shape.size if self.pack_x else 0
        y_bytes = (min(nc, n) + self.columns) * depth * shape.size if self.pack_y else 0
        self.scratch_bytes = x_bytes + y_bytes
        fields = {
            **self._operand("x", product.x, self.pack_x, product.starts[0]),
            **self._operand("y", product.y, self.pack_y, product.starts[1]),
            "out_row": product.out_step,
            "out_batch": address_of(product.starts[2]),
            "m": m,
            "n": n,
            "k": product.k,
            "parts": self.parts,
            "part_rows": rows,
            "part_columns": columns,
            "mc": mc,
            "nc": nc,
            "rows": self.rows,
            "columns": self.columns,
            "narrow": self.narrow,
            "size": shape.size,
            "x_width": x_width,
            "depth": depth,
            "stripe": STRIPE
            if isinstance(product.y, Strided) and product.y.row_step == shape.size
            else KC,
            "y_at": x_bytes,
            "scratch": self.scratch_bytes,
            "units": self.units,
            **self._kernels(wide),
        }
        if self.scratch_bytes <= STACK and (self.work < SPLIT or self.units == 1):
            self.whole = self.entries.brief if self.work < BRIEF else self.entries.whole
        self.record = RECORD(*(fields[name] for name in FIELDS))
        self.address = ctypes.addressof(self.record)

    def _packs_y(self) -> bool:
        p, size = self.product, self.shape.size
        if not isinstance(p.y, Strided):
            return isinstance(p.y, Tabled)
        if p.y.row_step != size:
            return True
        # in place, neighbouring k's are on other pages
        return p.m > FEW and p.n * p.k * size > (2**20 if p.m <= 2 * self.rows else 2**18)

    def _packs_x(self) -> bool:
        p = self.product
        if isinstance(p.x, Tabled):
            return True
        return p.n > 4 * self.columns and p.m * p.k * self.shape.size > 2**17

    def _split(self) -> tuple[int, int, int, int]:
        """Units of work, parts of a matrix, and their rows and columns."""
        p = self.product
        batch = len(p.starts[2])
        threads = pool.size if batch * p.m * p.n * p.k >= SPLIT else 1
        if threads == 1 or batch >= 4 * threads:
            return batch, 1, p.m, p.n
        wanted = -(-threads // batch)
        if p.n >= p.m or p.n >= 8 * wanted * self.columns:
            tiles = -(-p.n // self.columns)
            columns = -(-tiles // wanted) * self.columns
            parts = -(-p.n // columns)
            return batch * parts, parts, p.m, columns
        tiles = -(-p.m // self.rows)
        rows = -(-tiles // wanted) * self.rows
        parts = -(-p.m // rows)
        return batch * parts, parts, rows, p.n

    def _operand(self, name: str, x: Operand, packed: bool, starts: Any) -> dict[str, int]:
        if isinstance(x, Strided):
            values = (x.row_step, x.k_step, x.row_step, x.k_step, 0, 0)
        elif isinstance(x, Tabled):
            values = (address_of(x.rows), address_of(x.ks), 0, 0, 8, 8)
        else:
            values = (self.shape.size, address_of(x.ks), self.shape.size, 0, 0, 8)
        address = kernels.pack(self.shape, isinstance(x, Tabled)) if packed else 0
        fields = ("row", "k", "row_bytes", "k_bytes", "row_entry", "k_entry", "batch", "pack")
        return {
            f"{name}_{f}": v
            for f, v in zip(fields, (*values, address_of(starts), address), strict=True)
        }

    def _kernels(self, wide: int) -> dict[str, int]:
        """Addresses of the micro-kernels that tiles of these sizes need."""
        p, shape = self.product, self.shape
        rest = p.m % self.rows
        across = {"wide": (wide, False, p.n >= self.columns)}
        across["narrow"] = (self.narrow // shape.lanes, True, bool(p.n % self.columns))
        found = {}
        for name, (vectors, masked, needed) in across.items():
            form = vectors, masked, isinstance(p.y, Windowed)
            found[f"{name}_full"] = kernels.micro(shape, self.rows, *form) if needed else 0
            found[f"{name}_rest"] = kernels.micro(shape, rest, *form) if needed and rest else 0
        return found

    def __call__(self, x: Any, y: Any, out: Any) -> None:
        """Runs on NumPy arrays."""
        if self.whole is not None:
            self.whole(self.address, handle(x), handle(y), handle(out))
            return
        if not self.work:
            out.fill(0)
            return
        operands = address_of(x), address_of(y), address_of(out)
        size = self.scratch_bytes
        self.spread(
            lambda begin, end, _: self.some(*operands, scratch(size), begin, end), self.units
        )

    def some(self, x: int, y: int, out: int, memory: int, begin: int, end: int) -> None:
        """Runs some units on addresses, with scratch memory."""
        self.entries.run(self.address, x, y, out, memory, begin, end)

    def spread(self, part: Range, extent: int) -> None:
        """Splits a range between threads if there is work enough."""
        if self.work < SPLIT:
            part(0, extent, 0)
        else:
            pool.split(part, extent, 1)
