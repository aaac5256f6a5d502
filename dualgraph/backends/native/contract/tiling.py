"""Tilings: tiles, what is packed, and how a product is cut, decided from numbers alone.

Nothing decided here can be seen in the bits of a result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from ..addresses import address_of
from . import kernels
from .cuts import Cut, Packing, quickest
from .operands import Lined, Operand, Strided, Tabled, Windowed
from .shape import KC, LARGE, MC, NC, Geometry

COST = 2  # of packing an element, in products
SPLIT = 1_500_000  # products from which a product is cut into units for several threads
FEW = 8  # rows so few that a panel of y is used up at once
NEAR = 2**15  # bytes of an operand that the nearest cache holds, packed or not
FEWER = 128  # columns (about) in place of NC where they are packed a few at a time
HUGE = 2**25  # bytes of an operand that no cache holds
STRIPE = 16  # k's packed at a time where columns are neighbours in memory
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


class Given(NamedTuple):
    """What a tiling follows from: a product, and how it is to run."""

    shape: Geometry
    m: int
    n: int
    k: int
    x: Operand
    y: Operand
    out_step: int
    batch: int
    matrices: tuple[int, int]  # of x, and of y: one, or as many as the batch has
    ahead: tuple[bool, bool]  # whether they may be packed once for all turns of a loop
    whole_units: bool  # whether the recipe may be cut in any number of units
    bare: bool  # whether nothing is done with the result's rows
    spans: int  # parts of k at most
    threads: int


class Side(NamedTuple):
    """What the driver reads of an operand, but for addresses and slots; see `driver.OPERAND`."""

    lying: tuple[int, ...]
    pack: int
    whole: int  # bytes of all its matrices packed whole, or 0
    matrix: int
    rest: tuple[int, ...]  # from `panels` on
    units: int  # of packing it whole
    work: int


class Tiling:
    """How a product runs; nothing of where its arrays lie."""

    def __init__(
        self, given: Given, pack_x: bool | None = None, pack_y: bool | None = None, cut: Cut | None = None
    ) -> None:  # fmt: skip
        self.given, shape = given, given.shape
        m, n, k = given.m, given.n, given.k
        # with few rows an element of y takes longer to read than to multiply
        self.effort = m * n * k * given.batch * max(1, FEW // 2 // m)
        wide = self._choose_tile(pack_x, pack_y)
        # a large result is gone through once for several blocks of k
        blocks = -(-k // KC)
        self.group = min(blocks, shape.group(m * n * shape.size))
        self.depth = min(KC, -(-k // shape.lanes) * shape.lanes)
        self.cut = cut or self._cut()
        self.nc = self._columns(self.cut.columns, self.cut.whole_x, self.cut.whole_y)
        self.mc = max(1, 2 * MC // max(2, self.group) // self.rows) * self.rows
        self.parts = -(-m // self.cut.rows) * -(-n // self.cut.columns)
        self.span = -(-blocks // given.spans) * KC
        self.spans = -(-k // self.span)
        self.units = given.batch * self.parts * self.spans
        width = shape.packed_vectors * shape.lanes
        self.rest = self._rest(wide, width)  # begins all code that the operands' packing is part of
        self.x = self._side(0, self.cut.whole_x, m, self.rows, width)
        self.y = self._side(1, self.cut.whole_y, n, self.columns, self.columns)

    def _side(self, place: int, whole: bool, extent: int, panel: int, width: int) -> Side:
        """An operand: how many rows it has, those of a panel, and what a panel takes."""
        given = self.given
        size, x = given.shape.size, (given.x, given.y)[place]
        if isinstance(x, Strided):
            lying = x.row_step, x.k_step, x.row_step, x.k_step, 0, 0
        elif isinstance(x, Tabled | Lined):
            lying = address_of(x.rows), address_of(x.ks), 0, 0, 8, 8
        else:
            lying = size, address_of(x.ks), size, 0, 0, 8
        packed = (self.pack_x, self.pack_y)[place]
        pack = kernels.pack(given.shape, isinstance(x, Tabled)) if packed else 0
        side_by_side = isinstance(x, Strided) and x.row_step == size
        stripe = STRIPE if side_by_side else KC
        if isinstance(x, Tabled) and x.stripe:
            stripe = x.stripe + -x.stripe % given.shape.lanes  # squares of k's are packed whole
        panels = -(-extent // panel)
        rest = panels, panel, width, stripe
        if not whole:
            return Side(lying, pack, 0, 0, rest, 0, 0)
        blocks, matrices = -(-given.k // KC), given.matrices[place]
        matrix = panels * width * self.depth * size * blocks
        work = COST * matrices * extent * given.k
        step = 0 if matrices == 1 else matrix
        return Side(lying, pack, matrix * matrices, step, rest, matrices * blocks * panels, work)

    def _rest(self, wide: int, width: int) -> tuple[int, ...]:
        """What the driver reads from `m` on, but for what is done with the result."""
        given, cut, size = self.given, self.cut, self.given.shape.size
        packs_x, packs_y = self.pack_x and not cut.whole_x, self.pack_y and not cut.whole_y
        column = self.depth * size
        rows, columns = min(self.mc, cut.rows), min(self.nc, cut.columns)
        x_bytes = -(-rows // self.rows) * width * column if packs_x else 0
        y_bytes = (columns + self.columns) * column if packs_y else 0
        self.scratch = self.group * (x_bytes + y_bytes)
        return (
            *(given.m, given.n, given.k),
            *(self.spans, self.span, given.batch * given.m * given.out_step * (self.spans > 1)),
            *(self.parts, cut.rows, cut.columns),
            *(self.mc, self.nc, self.rows, self.columns, self.narrow),
            *(size, self.depth, self.group * KC),
            *(x_bytes, y_bytes, self.group * x_bytes, self.scratch, self.units),
            *self._kernels(wide),
        )

    def _kernels(self, wide: int) -> tuple[int, ...]:
        """Addresses of the micro-kernels of each kind of tile (`driver.KERNELS`); 0 where there are no such tiles."""
        p = self.given
        rest, left = p.m % self.rows, p.n % self.columns
        line = (p.x.width, p.x.step) if isinstance(p.x, Lined) else None
        # one tile that is not full needs no more vectors than it has columns for
        narrow = -(-min(left, self.narrow) // p.shape.lanes)
        forms = []
        for vectors, masked, needed in ((wide, False, p.n >= self.columns), (narrow, True, left)):
            form = vectors, masked, isinstance(p.y, Windowed), line
            forms.append((self.rows, *form) if needed else None)
            forms.append((rest, *form) if needed and rest else None)
        operands = ((p.x, self.pack_x), (p.y, self.pack_y))
        packs = tuple(isinstance(x, Tabled) for x, packed in operands if packed)
        return kernels.micros(p.shape, tuple(forms), packs)

    # --- decisions ----------------------------------------------------------------------------------

    def _choose_tile(self, pack_x: bool | None, pack_y: bool | None) -> int:
        """Decides how many rows and columns a tile has, and which operands are packed; how many vectors wide it is."""
        p, shape = self.given, self.given.shape
        m, n = p.m, p.n
        tiles = -(-m // shape.rows)
        self.rows = -(-m // tiles) if tiles <= 4 else shape.rows  # few tiles are made alike
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        wide = shape.vectors
        if m <= FEW:
            if m > FEW // 2 and not self.pack_y and n * p.k * shape.size >= HUGE:
                self.rows = -(-m // 2)  # read again from the near cache, but in longer runs before
            wide = shape.vectors_for(self.rows, n, self.pack_y)
            if p.ahead[1] and self.pack_y and n % (wide * shape.lanes):
                wide = shape.vectors  # panels of one width
        elif n <= shape.lanes:
            wide = 1
        if isinstance(p.x, Lined):
            self.rows = p.x.height((shape.registers - 2) // wide - 1)
        self.columns = wide * shape.lanes
        self.narrow = min(wide, shape.vectors) * shape.lanes
        self.pack_x = self._packs_x() if pack_x is None else pack_x
        self.pack_y = self._packs_y() if pack_y is None else pack_y
        return wide

    def _packs_y(self) -> bool:
        """Whether y is packed."""
        p, size = self.given, self.given.shape.size
        if p.ahead[1] and p.m > FEW and p.n * p.k * size > NEAR:
            return True
        if not isinstance(p.y, Strided):
            return isinstance(p.y, Tabled)
        if p.y.row_step != size:
            return True
        if p.shape.rather_packed(p.m, p.k, p.y.k_step):
            return True
        if p.shape.registers < 32:
            return False  # low tiles read a line again before they lose it
        # in place, neighbouring k's are on other pages
        return p.m > FEW and p.n * p.k * size > (2**20 if p.m <= 2 * self.rows else 2**18)

    def _packs_x(self) -> bool:
        """Whether x is packed."""
        p = self.given
        if isinstance(p.x, Tabled | Lined):
            return isinstance(p.x, Tabled)
        if p.ahead[0] and p.n > FEW and p.m * p.k * p.shape.size > NEAR:
            return True
        size = p.shape.size
        # a few rows that lie along k stay near for one matrix, unless very many columns read them
        few = p.m <= 4 * p.shape.rows and p.batch == 1 and p.x.k_step == size
        if p.n <= (16 if few else 4) * self.columns:
            return False
        # rows side by side: each k lies on a line of its own, of which a low tile reads little
        turned = p.x.row_step == size and p.shape.registers < 32
        near = self._few_at_a_time and isinstance(p.y, Strided)  # is gone through again soon
        least = 2**16 if turned else 2**18 + 1 if near else 2**17 + 1
        return p.m * p.k * size >= least

    def _cut(self) -> Cut:
        """The cut that looks quickest, if the time of a tile is 1 and packing a panel takes so many times that."""
        p, threads = self.given, self.given.threads
        ready_x = self.pack_x and p.ahead[0]
        ready_y = self.pack_y and p.ahead[1] and self._sharable_y()
        brief = self.effort < SPLIT
        if p.whole_units or brief or p.spans > 1 or p.batch >= 4 * threads:
            shared = self.pack_x and not brief and p.matrices[0] == 1 < p.batch
            return Cut(p.m, p.n, ready_x or shared, ready_y)
        tiles_x, tiles_y = -(-p.m // self.rows), -(-p.n // self.columns)
        lanes, size, grouped = p.shape.lanes, p.shape.size, self.group > 1
        xs, ys = p.matrices
        x_bytes, y_bytes = p.m * p.k * size, ys * p.n * p.k * size
        pack_x = 2 * lanes / self.columns * self.pack_x
        near = isinstance(p.y, Strided) and p.y.row_step == size
        pack_y = (0.6 if near else 2) * lanes / self.rows * self.pack_y
        low = isinstance(p.x, Strided) and isinstance(p.y, Strided) and p.shape.registers < 32
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
            (tiles_x, tiles_y), self.rows, p.batch, blocks, threads, (own, whole), x, y
        )
        choice = Cut(down * self.rows, across * self.columns, whole_x, whole_y)
        finer = self._finer(choice, tiles_x, tiles_y) if low and threads > 1 else choice
        return self._evened(finer) if finer.rows == choice.rows else finer

    def _finer(self, cut: Cut, tiles_x: int, tiles_y: int) -> Cut:
        """The cut with smaller units where no two of them pack the same, so that this costs nothing: threads end
        together then, however their processors differ in speed."""
        p, units = self.given, UNITS * self.given.threads
        if cut.whole_y and not cut.whole_x:
            parts = -(-p.n // cut.columns) * p.batch
            least = max(FINE[0], -(-tiles_x * parts // units)) * self.rows
            return cut._replace(rows=min(cut.rows, least))
        once = cut.rows >= p.m and not cut.whole_y and (cut.whole_x or not self.pack_x)
        if once and p.y.k_step == p.shape.size:  # neighbouring columns are better read in long runs
            least = max(FINE[1], -(-tiles_y * p.batch // units)) * self.columns
            return cut._replace(columns=min(cut.columns, least))
        return cut

    def _columns(self, columns: int, whole_x: bool, whole_y: bool) -> int:
        """How many of a unit's columns are gone through with a block of rows: all where y is packed and nothing
        is done with the rows afterwards."""
        p = self.given
        if p.m <= FEW and self.pack_y:
            return self.columns
        if whole_y and p.bare:
            return -(-columns // self.columns) * self.columns
        # windows that stay in the second cache until they are read, unless x takes longer to go through again
        ready_x = (whole_x or not self.pack_x) and p.m * p.k * p.shape.size <= LARGE
        few = self._few_at_a_time and ready_x and not whole_y
        return max(1, (FEWER if few else NC) // self.columns) * self.columns

    @property
    def _few_at_a_time(self) -> bool:
        """Whether packing columns reads short runs, so that some are packed as well as many."""
        y = self.given.y
        along = isinstance(y, Strided) and y.k_step == self.given.shape.size
        return self.given.shape.registers < 32 and (along or isinstance(y, Tabled))

    def _evened(self, cut: Cut) -> Cut:
        """The cut with tiles a little lower, where as many parts of the rows are more even then."""
        m = self.given.m
        parts = -(-m // cut.rows)

        def longest(rows: int) -> int:
            tiles = -(-m // rows)
            return -(-tiles // parts) * rows

        if parts > 1 and not isinstance(self.given.x, Lined):
            # each turn of a tile takes as long as half a row besides
            heights = range(self.rows, self.rows * 3 // 4, -1)
            self.rows = min(heights, key=lambda rows: longest(rows) * (1 + 0.5 / rows))
            cut = cut._replace(rows=longest(self.rows))
        return cut

    def _sharable_y(self) -> bool:
        """Whether y can be packed whole: all its panels are of one width."""
        p = self.given
        if p.m <= FEW:
            return p.ahead[1] and (self.narrow == self.columns or p.n % self.columns == 0)
        return self.narrow == self.columns


@lru_cache(maxsize=4096)
def _kept(given: Given) -> Tiling:
    return Tiling(given)


def tiling(given: Given, **forced: Any) -> Tiling:
    """The tiling of a product, decided once for all that are alike; `forced` is what a `Tiling` may be told."""
    # tables are told by identity
    alike = isinstance(given.x, Strided) and isinstance(given.y, Strided)
    return _kept(given) if alike and not forced else Tiling(given, **forced)
