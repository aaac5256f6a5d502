"""Plans: how one product of given sizes and layouts runs - what is packed, which kernels, how it is split.

Nothing decided here can be seen in the bits of a result.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any, NamedTuple

from ..addresses import DIRECT, address_of
from ..threads import pool
from . import kernels
from .driver import FIELDS
from .shape import KC, MC, NC, Geometry
from .stages import Pieces, Recipe, Stage, record

SPLIT = 1_500_000  # products from which a product is cut into units for several threads
FEW = 8  # rows so few that a panel of y is used up at once
BRIEF = 500_000  # products below which the interpreter lock is kept
NEAR = 2**15  # bytes of an operand that the nearest cache holds, packed or not
LARGE = 2**21  # bytes of a result that the nearer caches do not hold
GROUP = 4  # blocks of k that a tile of such a result is added up for at a time
STRIPE = 16  # k's packed at a time where columns are neighbours in memory
STACK = 2**17  # bytes of scratch that may be on the stack
CUTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)  # numbers of parts that are tried
handle = id if DIRECT else address_of  # how an array is given to whole products


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


COST = 2  # of packing an element, in products
REACH = (
    2**22
)  # bytes of y packed whole beyond which its panels come from further than a thread's own
FAR = 1.25  # of reading such a panel, in tiles
SPREAD = 1.5  # packing a LARGE x whole costs so much more than a thread's own part, which stays in its cache
APART = 2  # of reading a panel of it where x is a matrix; windows take longer to pack than to read from far


class Cut(NamedTuple):
    """How a product is cut: rows and columns of a unit, and which operands are packed whole before."""

    rows: int
    columns: int
    whole_x: bool = False
    whole_y: bool = False


class Plan:
    """A product made ready to run on any arrays of its layouts: stages put at the end of a recipe.

    `slots` are those of x, y and out; `finish` is a record of what is done with the result's rows.
    ``run(x, y, out)`` is set where a call of its own serves a small product.
    """

    def __init__(
        self,
        product: Product,
        recipe: Recipe | Pieces | None = None,
        slots: tuple[int, int, int] = (0, 1, 2),
        shape: Geometry | None = None,
        pack_x: bool | None = None,
        pack_y: bool | None = None,
        cut: Cut | None = None,
        finish: Any = None,
    ) -> None:
        self.product, self.slots, self.finish = product, slots, finish
        self.recipe: Any = recipe or Recipe(3)
        self.brief: Any = None
        self.batch = len(product.starts[2])
        self.work = product.m * product.n * product.k * self.batch
        if not self.work:
            return
        # operands that may be packed once for all turns of a loop
        self.ahead = tuple(s in self.recipe.lasting for s in slots[:2])
        # with few rows an element of y takes longer to read than to multiply
        self.effort = self.work * max(1, FEW // 2 // product.m)
        self.shape = shape = shape or kernels.shape_for(product.dtype)
        m, n = product.m, product.n
        tiles = -(-m // shape.rows)
        self.rows = -(-m // tiles) if tiles <= 4 else shape.rows  # few tiles are made alike
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        wide = shape.vectors
        if m <= FEW:
            wide = shape.vectors_for(m, n, self.pack_y)
            if self.ahead[1] and self.pack_y and n % (wide * shape.lanes):
                wide = shape.vectors  # panels of one width
        elif n <= shape.lanes:
            wide = 1
        self.columns = wide * shape.lanes
        self.narrow = min(wide, shape.vectors) * shape.lanes
        self.pack_x = self._packs_x() if pack_x is None else pack_x
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        # a large result is gone through once for several blocks of k
        blocks = -(-product.k // KC)
        self.group = min(blocks, GROUP) if m * n * shape.size > LARGE else 1
        self.depth = min(KC, -(-product.k // shape.lanes) * shape.lanes)
        self.cut = cut or self._cut()
        self.nc = self._columns(self.cut.columns, self.cut.whole_y)
        self.mc = max(1, MC // (1 + (self.group > 1)) // self.rows) * self.rows
        self.parts = -(-m // self.cut.rows) * -(-n // self.cut.columns)
        self._begin(wide)
        self.whole: dict[str, int] = {}  # slots of operands packed whole
        fields = self._fields(wide)
        self.record = record([fields[name] for name in FIELDS], (product, finish))
        self._add_stages()

    def _fields(self, wide: int) -> dict[str, int]:
        product, shape, cut = self.product, self.shape, self.cut
        x_width = shape.packed_vectors * shape.lanes
        packs_x, packs_y = self.pack_x and not cut.whole_x, self.pack_y and not cut.whole_y
        column = self.depth * shape.size
        rows, columns = min(self.mc, cut.rows), min(self.nc, cut.columns)
        x_bytes = -(-rows // self.rows) * x_width * column if packs_x else 0
        y_bytes = (columns + self.columns) * column if packs_y else 0
        self.scratch = self.group * (x_bytes + y_bytes)
        return {
            **self._operand("x", cut.whole_x, product.m, self.rows, x_width),
            **self._operand("y", cut.whole_y, product.n, self.columns, self.columns),
            "out_row": product.out_step,
            "out_batch": address_of(product.starts[2]),
            "out_slot": self.slots[2],
            "m": product.m,
            "n": product.n,
            "k": product.k,
            "parts": self.parts,
            "part_rows": cut.rows,
            "part_columns": cut.columns,
            "mc": self.mc,
            "nc": self.nc,
            "rows": self.rows,
            "columns": self.columns,
            "narrow": self.narrow,
            "size": shape.size,
            "depth": self.depth,
            "together": self.group * KC,
            "x_block": x_bytes,
            "y_block": y_bytes,
            "y_at": self.group * x_bytes,
            "scratch": self.scratch,
            "units": self.batch * self.parts,
            "finish": 0 if self.finish is None else ctypes.addressof(self.finish),
            **self._kernels(wide),
        }

    def _operand(
        self, name: str, whole: bool, extent: int, panel: int, width: int
    ) -> dict[str, int]:
        x: Operand = getattr(self.product, name)
        place = ("x", "y").index(name)
        starts, packed = self.product.starts[place], (self.pack_x, self.pack_y)[place]
        if isinstance(x, Strided):
            values = (x.row_step, x.k_step, x.row_step, x.k_step, 0, 0)
        elif isinstance(x, Tabled):
            values = (address_of(x.rows), address_of(x.ks), 0, 0, 8, 8)
        else:
            values = (self.shape.size, address_of(x.ks), self.shape.size, 0, 0, 8)
        address = kernels.pack(self.shape, isinstance(x, Tabled)) if packed else 0
        panels, slot, matrix = -(-extent // panel), 0, 0
        if whole:
            matrix = panels * width * self.depth * self.shape.size * -(-self.product.k // KC)
            matrices = self._matrices(place)
            slot = self.whole[name] = self.recipe.before(name, matrix * matrices)
            matrix = 0 if matrices == 1 else matrix
        fields = (
            *("row", "k", "row_bytes", "k_bytes", "row_entry", "k_entry", "batch", "pack"),
            *("slot", "whole", "matrix", "panels", "panel", "width", "stripe"),
        )
        side_by_side = isinstance(x, Strided) and x.row_step == self.shape.size
        stripe = STRIPE if side_by_side else KC
        own = (address_of(starts), address, self.slots[place], slot, matrix, panels, panel, width)
        return {f"{name}_{f}": v for f, v in zip(fields, (*values, *own, stripe), strict=True)}

    def _kernels(self, wide: int) -> dict[str, int]:
        """Addresses of the micro-kernels that tiles of these sizes need."""
        forms = self._forms(wide)
        return {k: kernels.micro(self.shape, *f) if f else 0 for k, f in forms.items()}

    def _begin(self, wide: int) -> None:
        """Lets all kernels that are wanted be made at once."""
        operands = ((self.product.x, self.pack_x), (self.product.y, self.pack_y))
        packs = [isinstance(x, Tabled) for x, packed in operands if packed]
        kernels.begin(self.shape, [f for f in self._forms(wide).values() if f], packs)

    def _forms(self, wide: int) -> dict[str, tuple[int, int, bool, bool] | None]:
        """What the micro-kernels of each kind of tile are; None where there are no such tiles."""
        p = self.product
        rest = p.m % self.rows
        across = {"wide": (wide, False, p.n >= self.columns)}
        left = p.n % self.columns
        # one tile that is not full needs no more vectors than it has columns for
        narrow = -(-min(left, self.narrow) // self.shape.lanes)
        across["narrow"] = (narrow, True, bool(left))
        found: dict[str, tuple[int, int, bool, bool] | None] = {}
        for name, (vectors, masked, needed) in across.items():
            form = vectors, masked, isinstance(p.y, Windowed)
            found[f"{name}_full"] = (self.rows, *form) if needed else None
            found[f"{name}_rest"] = (rest, *form) if needed and rest else None
        return found

    def _add_stages(self) -> None:
        entries, p = kernels.driver(), self.product
        blocks = -(-p.k // KC)
        for i, (name, whole, extent, panel) in enumerate(
            (
                ("x", self.cut.whole_x, p.m, self.rows),
                ("y", self.cut.whole_y, p.n, self.columns),
            )
        ):
            if whole:
                matrices = self._matrices(i)
                units = matrices * blocks * -(-extent // panel)
                work = COST * matrices * extent * p.k
                pack = getattr(entries, f"pack_{name}")
                ahead = (self.slots[i], self.whole[name]) if self.ahead[i] else None
                self.recipe.prepare(Stage(pack, self.record, units, work, ahead=ahead))
        units = self.batch * self.parts
        stage = Stage(entries.run, self.record, units, self.effort, self.scratch)
        alone = not self.recipe.stages and self.recipe.arrays == 3 and max(self.slots) < 3
        if alone and self.scratch <= STACK and (self.effort < SPLIT or units == 1):
            self.brief = entries.brief if self.effort < BRIEF else entries.whole
        self.recipe.add(stage)
        self.address = ctypes.addressof(self.record)

    # --- decisions ----------------------------------------------------------------------------------

    def _packs_y(self) -> bool:
        p, size = self.product, self.shape.size
        if self.ahead[1] and p.m > FEW and p.n * p.k * size > NEAR:
            return True
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
        if self.ahead[0] and p.n > FEW and p.m * p.k * self.shape.size > NEAR:
            return True
        size = self.shape.size
        # a few rows that lie along k stay near for one matrix, unless very many columns read them
        few = p.m <= 4 * self.shape.rows and self.batch == 1 and p.x.k_step == size
        return p.n > (16 if few else 4) * self.columns and p.m * p.k * size > 2**17

    def _cut(self) -> Cut:
        """The cut that looks quickest, if the time of a tile is 1 and packing a panel takes so many times that."""
        p, threads = self.product, pool.size
        ready_x = self.pack_x and self.ahead[0]
        ready_y = self.pack_y and self.ahead[1] and self._sharable_y()
        brief = self.effort < SPLIT
        if self.recipe.whole_units or brief or self.batch >= 4 * threads:
            shared = self.pack_x and not brief and self._matrices(0) == 1 < self.batch
            return Cut(p.m, p.n, ready_x or shared, ready_y)
        tiles_x, tiles_y = -(-p.m // self.rows), -(-p.n // self.columns)
        lanes = self.shape.lanes
        pack_x = 2 * lanes / self.columns * self.pack_x
        near = isinstance(p.y, Strided) and p.y.row_step == self.shape.size
        pack_y = (0.6 if near else 2) * lanes / self.rows * self.pack_y
        sharable_y = bool(pack_y) and self._sharable_y()
        blocks = -(-p.k // KC)
        best, choice = float("inf"), Cut(p.m, p.n)
        options = combinations(
            sorted({-(-tiles_x // c) for c in CUTS}, reverse=True),
            sorted({-(-tiles_y // c) for c in CUTS}, reverse=True),
            (True,) if ready_x else (False, True) if pack_x else (False,),
            (True,) if ready_y else (False, True) if sharable_y else (False,),
        )
        xs, ys = self._matrices(0), self._matrices(1)
        size, grouped = self.shape.size, self.group > 1
        x_bytes, y_bytes = p.m * p.k * size, ys * p.n * p.k * size
        spread = SPREAD if x_bytes > LARGE else 1
        apart = APART * (isinstance(p.x, Strided) and x_bytes > (LARGE if grouped else REACH))
        # a matrix's own panels for several blocks of k do not stay near either
        far = FAR * (y_bytes > (3 * REACH if grouped and isinstance(p.y, Strided) else REACH))
        for down, across, whole_x, whole_y in options:
            units = self.batch * -(-tiles_x // down) * -(-tiles_y // across)
            columns = across * self.columns
            turns = -(-columns // self._columns(columns, whole_y))
            unit = down * across + 0.3 * across + 0.1 * down * turns + 1 / blocks
            unit += down * (apart if whole_x else pack_x) * turns
            unit += across * (far if whole_y else pack_y)
            once_x, once_y = whole_x and not ready_x, whole_y and not ready_y
            before = spread * tiles_x * pack_x * once_x * xs + tiles_y * pack_y * once_y * ys
            time = -(-units // threads) * unit + before / threads + (once_x + once_y) / blocks
            if time < 0.995 * best:
                best = time
                choice = Cut(down * self.rows, across * self.columns, whole_x, whole_y)
        return self._evened(choice)

    def _columns(self, columns: int, whole_y: bool) -> int:
        """How many of a unit's columns are gone through with a block of rows: all where y is packed and nothing
        is done with the rows afterwards."""
        if self.product.m <= FEW and self.pack_y:
            return self.columns
        if whole_y and self.finish is None:
            return -(-columns // self.columns) * self.columns
        return max(1, NC // self.columns) * self.columns

    def _evened(self, cut: Cut) -> Cut:
        """The cut with tiles a little lower, where as many parts of the rows are more even then."""
        m = self.product.m
        parts = -(-m // cut.rows)

        def longest(rows: int) -> int:
            tiles = -(-m // rows)
            return -(-tiles // parts) * rows

        if parts > 1:  # each turn of a tile takes as long as half a row besides
            heights = range(self.rows, self.rows * 3 // 4, -1)
            self.rows = min(heights, key=lambda rows: longest(rows) * (1 + 0.5 / rows))
            cut = cut._replace(rows=longest(self.rows))
        return cut

    def _matrices(self, place: int) -> int:
        """How many matrices there are of x (0) or y (1): one, or as many as the batch has."""
        starts = self.product.starts[place]
        return 1 if (starts == starts[0]).all() else self.batch

    def _sharable_y(self) -> bool:
        """Whether y can be packed whole: all its panels are of one width."""
        p = self.product
        if p.m <= FEW:
            return self.ahead[1] and (self.narrow == self.columns or p.n % self.columns == 0)
        return self.narrow == self.columns

    def __call__(self, x: Any, y: Any, out: Any) -> None:
        """Runs on NumPy arrays, where the recipe is the product's alone."""
        if self.brief is not None:
            self.brief(self.address, handle(x), handle(y), handle(out))
        elif self.work:
            self.recipe(address_of(x), address_of(y), address_of(out))
        else:
            out.fill(0)
