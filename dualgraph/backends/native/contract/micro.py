"""Micro-kernel: one tile of the output, its accumulators in registers, over one block of k.

Each accumulator starts at +0 and takes the products of its block by fma in order of k; the block's sum
is then stored (first block) or added to what is there. A tile's size cannot be seen in its bits.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ir
from ..emit.parts import I64, PTR
from .code import ELEMENTS, Writer, element_size, i64
from .shape import Geometry

ARGUMENTS = (I64, PTR, I64, I64, PTR, I64, PTR, I64, I64, I64)
# k, x, step to the next row of x, to the next k; y, step to the next k; out, step to the next row;
# columns, whether to add. If tabled, y's step is the address of a table of where each k lies. If x is read by lines,
# its steps are the addresses of such tables for its rows and k's.

# k's of a turn where both operands are panels: little is left of it but loads and sums. Low tiles, the last ones of
# their columns, are not worth the code.
TOGETHER = 4
LONG = 64  # products from which asking for the tile's memory early costs nothing
Line = tuple[int, int]


class _Steps:
    """Rows of x that lie evenly: three share a pointer - itself, itself + row_step, itself + 2 * row_step."""

    def __init__(self, w: Writer, rows: int, x: ir.Value) -> None:
        _, _, self.row_step, self.x_step, *_ = w.fn.args
        self.w, self.rows = w, rows
        twice = w.b.add(self.row_step, self.row_step)
        self.twice = w.opaque(twice)
        thrice = w.opaque(w.b.add(twice, self.row_step))
        self.starts = [x]
        for _ in range(3, rows, 3):
            self.starts.append(w.at(self.starts[-1], thrice))

    def places(self, pointers: list[ir.Value], i: ir.Value) -> list[ir.Value]:
        """Where the rows' elements lie."""
        further = [(), (self.row_step,), (self.twice,)]
        return [self.w.at(pointers[r // 3], *further[r % 3]) for r in range(self.rows)]

    def moved(self, pointers: list[ir.Value]) -> list[ir.Value]:
        """The pointers for the next k."""
        return [self.w.at(p, self.x_step) for p in pointers]


class _Lines:
    """Rows of x of which some lie evenly: `width` of them at each place of a table, `step` bytes apart."""

    def __init__(self, w: Writer, rows: int, width: int, step: int) -> None:
        _, x, table, ks, *_ = w.fn.args
        self.w, self.starts = w, list[ir.Value]()
        self.ks = w.b.inttoptr(ks, PTR)
        table = w.b.inttoptr(table, PTR)
        lines = [w.at(x, w.word(table, i64(r))) for r in range(0, rows, width)]
        self.rows = [(lines[r // width], i64(r % width * step)) for r in range(rows)]

    def places(self, pointers: list[ir.Value], i: ir.Value) -> list[ir.Value]:
        """Where the rows' elements lie."""
        offset = self.w.word(self.ks, i)
        return [self.w.at(line, offset, further) for line, further in self.rows]

    def moved(self, pointers: list[ir.Value]) -> list[ir.Value]:
        """The pointers for the next k: there are none."""
        return pointers


def emit_micro(
    geometry: Geometry,
    rows: int,
    vectors: int,
    masked: bool,
    tabled: bool,
    line: Line | None = None,
) -> str:
    """IR of ``micro(...)`` for a tile of `rows` by `vectors`; if `masked`, of at most so many columns. `line`: how many
    rows of x each entry of its table stands for, and the bytes between them."""
    module = ir.Module(name="micro")
    w = Writer(module, "micro", ARGUMENTS)
    b = w.b
    k, x, _, _, y, y_step, out, out_step, columns, add = w.fn.args
    lanes, size = geometry.lanes, geometry.size
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    masks: list[ir.Value | None] = [
        w.first_lanes(b.sub(columns, i64(v * lanes)), lanes) if masked else None
        for v in range(vectors)
    ]

    def added(places: list[ir.Value], row_of_y: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums with the products of one k more."""

        def factor(r: int) -> ir.Value:
            return w.splat(b.load(places[r], align=size, typ=kind.element), lanes)

        def vector(v: int) -> ir.Value:
            return w.load(w.at(row_of_y, i64(v * lanes * size)), kind, masks[v])

        # all of the fewer ones are in registers, and one of the others at a time
        if rows < vectors:
            xs = [factor(r) for r in range(rows)]
            after = [
                [w.fma(xs[r], y, sums[r * vectors + v]) for r in range(rows)]
                for v in range(vectors)
                for y in [vector(v)]
            ]
            return [column[r] for r in range(rows) for column in after]
        ys = [vector(v) for v in range(vectors)]
        return [
            w.fma(x, ys[v], sums[r * vectors + v])
            for r in range(rows)
            for x in [factor(r)]
            for v in range(vectors)
        ]

    zero = ir.Constant(kind, [ir.Constant(kind.element, 0.0)] * lanes)
    sums = [zero] * (rows * vectors)
    _expect(w, out, out_step, rows, vectors * lanes * size, k)
    done = i64(0)
    if not (masked or tabled or line) and rows > geometry.rows // 2 + 1:
        panels = geometry.packed_vectors * lanes * size, vectors * lanes * size
        done, x, y, *sums = _through_panels(w, rows, size, panels, sums, added)
    xs = _Lines(w, rows, *line) if line else _Steps(w, rows, x)
    before = len(xs.starts)
    with w.loop(k, done, carried=[*xs.starts, y, *sums]) as turn:
        pointers, row_of_y = turn.carried[:before], turn.carried[before]
        if tabled:
            row_of_y = w.at(y, w.word(b.inttoptr(y_step, PTR), turn.i))
        after = added(xs.places(pointers, turn.i), row_of_y, turn.carried[before + 1 :])
        moved = xs.moved(pointers)
        turn.carried = [*moved, y if tabled else w.at(row_of_y, y_step), *after]
    sums = turn.carried[before + 1 :]
    if masked and lanes * size < 64:
        _store_some(w, sums, vectors, out, out_step, columns, add)
    else:
        _store(w, sums, out, out_step, masks, add, size)
    b.ret_void()
    return str(module)


def _through_panels(
    w: Writer,
    rows: int,
    size: int,
    steps: tuple[int, int],
    sums: list[ir.Value],
    added: Callable[[list[ir.Value], ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """Most of the k's where both operands lie in panels of so many bytes a k: how many, x and y behind, the sums."""
    b, (x_panel, y_panel) = w.b, steps
    k, x, row_step, x_step, y, y_step, *_ = w.fn.args
    evenly = b.icmp_signed("==", row_step, i64(size))
    for step, known in ((x_step, x_panel), (y_step, y_panel)):
        evenly = b.and_(evenly, b.icmp_signed("==", step, i64(known)))
    done = b.select(evenly, b.and_(k, i64(-TOGETHER)), i64(0))
    with w.loop(done, step=TOGETHER, carried=[x, y, *sums]) as turn:
        x, y, *sums = turn.carried
        for u in range(TOGETHER):
            places = [w.at(x, i64(u * x_panel + r * size)) for r in range(rows)]
            sums = added(places, w.at(y, i64(u * y_panel)), sums)
        x, y = w.at(x, i64(TOGETHER * x_panel)), w.at(y, i64(TOGETHER * y_panel))
        turn.carried = [x, y, *sums]
    return [done, *turn.carried]


def _expect(
    w: Writer, out: ir.Value, out_step: ir.Value, rows: int, width: int, k: ir.Value
) -> None:
    """Asks for the tile to be near when its sums are ready."""
    with w.when(w.b.icmp_signed(">=", k, i64(LONG))):
        row = out
        for _ in range(rows):
            for at in range(0, width, 64):
                w.prefetch(w.at(row, i64(at)), write=True)
            row = w.at(row, out_step)


def _store(
    w: Writer,
    sums: list[ir.Value],
    out: ir.Value,
    out_step: ir.Value,
    masks: list[ir.Value | None],
    add: ir.Value,
    size: int,
) -> None:
    """Stores the sums of a tile, or adds them to what is there."""
    b, vectors = w.b, len(masks)
    kind = sums[0].type
    rows = [out]
    for _ in range(1, len(sums) // vectors):
        rows.append(w.at(rows[-1], out_step))
    places = [w.at(row, i64(v * kind.count * size)) for row in rows for v in range(vectors)]
    with b.if_else(b.icmp_signed("!=", add, i64(0))) as (more, first):
        with more:
            for i, (total, place) in enumerate(zip(sums, places, strict=True)):
                mask = masks[i % vectors]
                w.store(b.fadd(w.load(place, kind, mask), total), place, mask)
        with first:
            for i, (total, place) in enumerate(zip(sums, places, strict=True)):
                w.store(total, place, masks[i % vectors])


def _store_some(
    w: Writer,
    sums: list[ir.Value],
    vectors: int,
    out: ir.Value,
    out_step: ir.Value,
    columns: ir.Value,
    add: ir.Value,
) -> None:
    """The same for so many columns, row by row: what masked stores take long for without AVX-512."""
    b, kind = w.b, sums[0].type
    nbytes = kind.count * element_size(kind.element)
    with b.goto_entry_block():
        buffer = b.alloca(kind, size=len(sums), align=nbytes)
    for i, total in enumerate(sums):
        w.store(total, w.at(buffer, i64(i * nbytes)))
    more = b.icmp_signed("!=", add, i64(0))
    with w.loop(i64(len(sums) // vectors), carried=[buffer, out], nonempty=True) as row:
        source, place = row.carried
        for v in range(vectors):
            here, count = w.at(place, i64(v * nbytes)), b.sub(columns, i64(v * kind.count))
            total = w.load(w.at(source, i64(v * nbytes)), kind)
            old = w.load(here, kind, w.first_lanes(count, kind.count))
            w.store_first(b.select(more, b.fadd(old, total), total), here, count)
        row.carried = [w.at(source, i64(vectors * nbytes)), w.at(place, out_step)]
