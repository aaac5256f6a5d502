"""Plans: how one product of given sizes and layouts runs - what is packed, which kernels, how it is split.

Nothing decided here can be seen in the bits of a result.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ..addresses import DIRECT, address_of
from ..threads import pool
from . import kernels
from .cuts import Cut, Packing, quickest
from .operands import Lined, Operand, Product, Strided, Tabled, Windowed
from .shape import KC, LARGE, MC, NC, Geometry
from .stages import Pieces, Recipe, Stage, record

SPLIT = 1_500_000  # products from which a product is cut into units for several threads
FEW = 8  # rows so few that a panel of y is used up at once
BRIEF = 500_000  # products below which the interpreter lock is kept
NEAR = 2**15  # bytes of an operand that the nearest cache holds, packed or not
FEWER = 128  # columns (about) in place of NC where they are packed a few at a time
HUGE = 2**25  # bytes of an operand that no cache holds
STRIPE = 16  # k's packed at a time where columns are neighbours in memory
STACK = 2**17  # bytes of scratch that may be on the stack
handle = id if DIRECT else address_of  # how an array is given to whole products
COST = 2  # of packing an element, in products
REACH = 2**22  # bytes of y packed whole beyond which its panels come from further than a thread's
FAR = 1.25  # of reading such a panel, in tiles
SPREAD = 1.5  # packing a LARGE x whole costs so much more than a thread's own part, which stays in its cache
APART = 2  # of reading a panel of it where x is a matrix; windows take longer to pack than to read from far
# On low tiles, what one thread packs of a matrix for others goes from cache to cache, and comes back to be written in
# the next call: it costs so much more than what a thread packs for itself.
HANDED_X = 3  # of which each thin panel is read by all, from so many bytes on
HANDED_BYTES = 2**18
HANDED_Y = 1.4
UNITS = 8  # for each thread, where that costs nothing
FINE = 6, 2  # tiles down and across that such units have at least


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
        spans: int = 1,
    ) -> None:
        self.product, self.slots, self.finish, self.spans = product, slots, finish, spans
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
        wide = self._choose_tile(pack_x, pack_y)
        # a large result is gone through once for several blocks of k
        blocks = -(-product.k // KC)
        self.group = min(blocks, shape.group(m * n * shape.size))
        self.depth = min(KC, -(-product.k // shape.lanes) * shape.lanes)
        self.cut = cut or self._cut()
        self.nc = self._columns(self.cut.columns, self.cut.whole_x, self.cut.whole_y)
        self.mc = max(1, 2 * MC // max(2, self.group) // self.rows) * self.rows
        self.parts = -(-m // self.cut.rows) * -(-n // self.cut.columns)
        self.span = -(-blocks // self.spans) * KC
        self.spans = -(-product.k // self.span)
        self.units = self.batch * self.parts * self.spans
        self.whole: dict[str, int] = {}  # slots of operands packed whole
        self.record = record(self._fields(wide), (product, finish))
        self._add_stages()

    def _fields(self, wide: int) -> tuple[int, ...]:
        """What the driver reads: `driver.FIELDS`."""
        product, shape, cut = self.product, self.shape, self.cut
        x_width = shape.packed_vectors * shape.lanes
        packs_x, packs_y = self.pack_x and not cut.whole_x, self.pack_y and not cut.whole_y
        column = self.depth * shape.size
        rows, columns = min(self.mc, cut.rows), min(self.nc, cut.columns)
        x_bytes = -(-rows // self.rows) * x_width * column if packs_x else 0
        y_bytes = (columns + self.columns) * column if packs_y else 0
        self.scratch = self.group * (x_bytes + y_bytes)
        micros = self._kernels(wide)
        return (
            *self._operand("x", cut.whole_x, product.m, self.rows, x_width),
            *self._operand("y", cut.whole_y, product.n, self.columns, self.columns),
            *(product.out_step, address_of(product.starts[2]), self.slots[2]),
            *(product.m, product.n, product.k),
            *(self.spans, self.span, self.batch * product.m * product.out_step * (self.spans > 1)),
            *(self.parts, cut.rows, cut.columns),
            *(self.mc, self.nc, self.rows, self.columns, self.narrow),
            *(shape.size, self.depth, self.group * KC),
            *(x_bytes, y_bytes, self.group * x_bytes, self.scratch, self.units),
            *micros,
            0 if self.finish is None else ctypes.addressof(self.finish),
        )

    def _operand(
        self, name: str, whole: bool, extent: int, panel: int, width: int
    ) -> tuple[int, ...]:
        """What the driver reads of an operand: `driver.OPERAND`."""
        x: Operand = getattr(self.product, name)
        place = ("x", "y").index(name)
        starts, packed = self.product.starts[place], (self.pack_x, self.pack_y)[place]
        if isinstance(x, Strided):
            values = (x.row_step, x.k_step, x.row_step, x.k_step, 0, 0)
        elif isinstance(x, Tabled | Lined):
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
        side_by_side = isinstance(x, Strided) and x.row_step == self.shape.size
        stripe = STRIPE if side_by_side else KC
        if isinstance(x, Tabled) and x.stripe:
            stripe = x.stripe + -x.stripe % self.shape.lanes  # squares of k's are packed whole
        own = (address_of(starts), address, self.slots[place], slot, matrix, panels, panel, width)
        return *values, *own, stripe

    def _kernels(self, wide: int) -> tuple[int, ...]:
        """Addresses of the micro-kernels of each kind of tile (`driver.KERNELS`); 0 where there are no such tiles."""
        p = self.product
        rest, left = p.m % self.rows, p.n % self.columns
        line = (p.x.width, p.x.step) if isinstance(p.x, Lined) else None
        # one tile that is not full needs no more vectors than it has columns for
        narrow = -(-min(left, self.narrow) // self.shape.lanes)
        forms = []
        for vectors, masked, needed in ((wide, False, p.n >= self.columns), (narrow, True, left)):
            form = vectors, masked, isinstance(p.y, Windowed), line
            forms.append((self.rows, *form) if needed else None)
            forms.append((rest, *form) if needed and rest else None)
        operands = ((p.x, self.pack_x), (p.y, self.pack_y))
        packs = tuple(isinstance(x, Tabled) for x, packed in operands if packed)
        return kernels.micros(self.shape, tuple(forms), packs)

    def _add_stages(self) -> None:
        """Puts packing, where operands are packed whole, and the product into the recipe."""
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
        units = self.units
        stage = Stage(entries.run, self.record, units, self.effort, self.scratch)
        alone = not self.recipe.stages and self.recipe.arrays == 3 and max(self.slots) < 3
        if alone and self.scratch <= STACK and (self.effort < SPLIT or units == 1):
            self.brief = entries.brief if self.effort < BRIEF else entries.whole
        self.recipe.add(stage)
        self.address = ctypes.addressof(self.record)

    # --- decisions ----------------------------------------------------------------------------------

    def _choose_tile(self, pack_x: bool | None, pack_y: bool | None) -> int:
        """Decides how many rows and columns a tile has, and which operands are packed; how many vectors wide it is."""
        product, shape = self.product, self.shape
        m, n = product.m, product.n
        tiles = -(-m // shape.rows)
        self.rows = -(-m // tiles) if tiles <= 4 else shape.rows  # few tiles are made alike
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        wide = shape.vectors
        if m <= FEW:
            if m > FEW // 2 and not self.pack_y and n * product.k * shape.size >= HUGE:
                self.rows = -(-m // 2)  # read again from the near cache, but in longer runs before
            wide = shape.vectors_for(self.rows, n, self.pack_y)
            if self.ahead[1] and self.pack_y and n % (wide * shape.lanes):
                wide = shape.vectors  # panels of one width
        elif n <= shape.lanes:
            wide = 1
        if isinstance(product.x, Lined):
            self.rows = product.x.height((shape.registers - 2) // wide - 1)
        self.columns = wide * shape.lanes
        self.narrow = min(wide, shape.vectors) * shape.lanes
        self.pack_x = self._packs_x() if pack_x is None else pack_x
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        return wide

    def _packs_y(self) -> bool:
        """Whether y is packed."""
        p, size = self.product, self.shape.size
        if self.ahead[1] and p.m > FEW and p.n * p.k * size > NEAR:
            return True
        if not isinstance(p.y, Strided):
            return isinstance(p.y, Tabled)
        if p.y.row_step != size:
            return True
        if self.shape.rather_packed(p.m, p.k, p.y.k_step):
            return True
        if self.shape.registers < 32:
            return False  # low tiles read a line again before they lose it
        # in place, neighbouring k's are on other pages
        return p.m > FEW and p.n * p.k * size > (2**20 if p.m <= 2 * self.rows else 2**18)

    def _packs_x(self) -> bool:
        """Whether x is packed."""
        p = self.product
        if isinstance(p.x, Tabled | Lined):
            return isinstance(p.x, Tabled)
        if self.ahead[0] and p.n > FEW and p.m * p.k * self.shape.size > NEAR:
            return True
        size = self.shape.size
        # a few rows that lie along k stay near for one matrix, unless very many columns read them
        few = p.m <= 4 * self.shape.rows and self.batch == 1 and p.x.k_step == size
        # rows side by side: each k lies on a line of its own, of which a low tile reads little
        turned = p.x.row_step == size and self.shape.registers < 32
        near = self._few_at_a_time and isinstance(p.y, Strided)  # is gone through again soon
        least = 2**16 if turned else 2**18 + 1 if near else 2**17 + 1
        return p.n > (16 if few else 4) * self.columns and p.m * p.k * size >= least

    def _cut(self) -> Cut:
        """The cut that looks quickest, if the time of a tile is 1 and packing a panel takes so many times that."""
        p, threads = self.product, pool.size
        ready_x = self.pack_x and self.ahead[0]
        ready_y = self.pack_y and self.ahead[1] and self._sharable_y()
        brief = self.effort < SPLIT
        if self.recipe.whole_units or brief or self.spans > 1 or self.batch >= 4 * threads:
            shared = self.pack_x and not brief and self._matrices(0) == 1 < self.batch
            return Cut(p.m, p.n, ready_x or shared, ready_y)
        tiles_x, tiles_y = -(-p.m // self.rows), -(-p.n // self.columns)
        lanes, size, grouped = self.shape.lanes, self.shape.size, self.group > 1
        xs, ys = self._matrices(0), self._matrices(1)
        x_bytes, y_bytes = p.m * p.k * size, ys * p.n * p.k * size
        pack_x = 2 * lanes / self.columns * self.pack_x
        near = isinstance(p.y, Strided) and p.y.row_step == size
        pack_y = (0.6 if near else 2) * lanes / self.rows * self.pack_y
        low = isinstance(p.x, Strided) and isinstance(p.y, Strided) and self.shape.registers < 32
        spread = SPREAD if x_bytes > LARGE else 1
        spread = HANDED_X if low and x_bytes > HANDED_BYTES else spread
        pack_y *= 2 if y_bytes > 2 * LARGE else 1  # from beyond the caches
        apart = APART * (isinstance(p.x, Strided) and x_bytes > LARGE)
        # a matrix's own panels for several blocks of k do not stay near either
        far = FAR * (y_bytes > (3 * REACH if grouped and isinstance(p.y, Strided) else REACH))
        x = Packing(pack_x, spread * tiles_x * pack_x * xs, apart, bool(pack_x), ready_x)
        sharable = bool(pack_y) and self._sharable_y()
        y = Packing(
            pack_y, (HANDED_Y if low else 1) * tiles_y * pack_y * ys, far, sharable, ready_y
        )
        own, whole = (self._columns(p.n, False, w) // self.columns for w in (False, True))
        blocks = -(-p.k // KC)
        down, across, whole_x, whole_y = quickest(
            (tiles_x, tiles_y), self.rows, self.batch, blocks, threads, (own, whole), x, y
        )
        choice = Cut(down * self.rows, across * self.columns, whole_x, whole_y)
        finer = self._finer(choice, tiles_x, tiles_y) if low and threads > 1 else choice
        return self._evened(finer) if finer.rows == choice.rows else finer

    def _finer(self, cut: Cut, tiles_x: int, tiles_y: int) -> Cut:
        """The cut with smaller units where no two of them pack the same, so that this costs nothing: threads end
        together then, however their processors differ in speed."""
        p, units = self.product, UNITS * pool.size
        if cut.whole_y and not cut.whole_x:
            parts = -(-p.n // cut.columns) * self.batch
            least = max(FINE[0], -(-tiles_x * parts // units)) * self.rows
            return cut._replace(rows=min(cut.rows, least))
        once = cut.rows >= p.m and not cut.whole_y and (cut.whole_x or not self.pack_x)
        if (
            once and p.y.k_step == self.shape.size
        ):  # neighbouring columns are better read in long runs
            least = max(FINE[1], -(-tiles_y * self.batch // units)) * self.columns
            return cut._replace(columns=min(cut.columns, least))
        return cut

    def _columns(self, columns: int, whole_x: bool, whole_y: bool) -> int:
        """How many of a unit's columns are gone through with a block of rows: all where y is packed and nothing
        is done with the rows afterwards."""
        p = self.product
        if p.m <= FEW and self.pack_y:
            return self.columns
        if whole_y and self.finish is None:
            return -(-columns // self.columns) * self.columns
        # windows that stay in the second cache until they are read, unless x takes longer to go through again
        ready_x = (whole_x or not self.pack_x) and p.m * p.k * self.shape.size <= LARGE
        few = self._few_at_a_time and ready_x and not whole_y
        return max(1, (FEWER if few else NC) // self.columns) * self.columns

    @property
    def _few_at_a_time(self) -> bool:
        """Whether packing columns reads short runs, so that some are packed as well as many."""
        y = self.product.y
        along = isinstance(y, Strided) and y.k_step == self.shape.size
        return self.shape.registers < 32 and (along or isinstance(y, Tabled))

    def _evened(self, cut: Cut) -> Cut:
        """The cut with tiles a little lower, where as many parts of the rows are more even then."""
        m = self.product.m
        parts = -(-m // cut.rows)

        def longest(rows: int) -> int:
            tiles = -(-m // rows)
            return -(-tiles // parts) * rows

        if parts > 1 and not isinstance(self.product.x, Lined):
            # each turn of a tile takes as long as half a row besides
            heights = range(self.rows, self.rows * 3 // 4, -1)
            self.rows = min(heights, key=lambda rows: longest(rows) * (1 + 0.5 / rows))
            cut = cut._replace(rows=longest(self.rows))
        return cut

    def _matrices(self, place: int) -> int:
        """How many matrices there are of x (0) or y (1): one, or as many as the batch has."""
        starts = self.product.starts[place]
        return 1 if self.batch == 1 or (starts == starts[0]).all() else self.batch

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
