"""Micro-kernel: one tile of the output, its accumulators in registers, over one block of k.

Each accumulator starts at +0 and takes the products of its block by fma in order of k; the block's sum
is then stored (first block) or added to what is there. A tile's size cannot be seen in its bits.
"""

from __future__ import annotations

from .. import ir
from ..emit.parts import I64, PTR
from .code import ELEMENTS, Writer, i64
from .shape import Geometry

ARGUMENTS = (I64, PTR, I64, I64, PTR, I64, PTR, I64, I64, I64)
# k, x, step to the next row of x, to the next k; y, step to the next k; out, step to the next row;
# columns, whether to add. If tabled, y's step is the address of a table of where each k lies.

LONG = 64  # products from which asking for the tile's memory early costs nothing


def emit_micro(geometry: Geometry, rows: int, vectors: int, masked: bool, tabled: bool) -> str:
    """IR of ``micro(...)`` for a tile of `rows` by `vectors`; if `masked`, of at most so many columns."""
    module = ir.Module(name="micro")
    w = Writer(module, "micro", ARGUMENTS)
    b = w.b
    k, x, row_step, x_step, y, y_step, out, out_step, columns, add = w.fn.args
    lanes, size = geometry.lanes, geometry.size
    kind = ir.VectorType(ELEMENTS[geometry.element], lanes)
    masks: list[ir.Value | None] = [
        w.first_lanes(b.sub(columns, i64(v * lanes)), lanes) if masked else None
        for v in range(vectors)
    ]
    # three rows share a pointer: itself, itself + row_step, itself + 2 * row_step
    twice = b.add(row_step, row_step)
    thrice = b.add(twice, row_step)
    starts = [x]
    for _ in range(3, rows, 3):
        starts.append(w.at(starts[-1], thrice))
    zero = ir.Constant(kind, [ir.Constant(kind.element, 0.0)] * lanes)
    _expect(w, out, out_step, rows, vectors * lanes * size, k)
    with w.loop(k, carried=[*starts, y, *[zero] * (rows * vectors)], nonempty=True) as turn:
        pointers, row_of_y, sums = (
            turn.carried[: len(starts)],
            turn.carried[len(starts)],
            turn.carried[len(starts) + 1 :],
        )
        if tabled:
            row_of_y = w.at(y, w.word(b.inttoptr(y_step, PTR), turn.i))
        ys = [w.load(w.at(row_of_y, i64(v * lanes * size)), kind, masks[v]) for v in range(vectors)]
        after = []
        for r in range(rows):
            place = pointers[r // 3]
            if r % 3:
                place = w.at(place, row_step if r % 3 == 1 else twice)
            factor = w.splat(b.load(place, align=size, typ=kind.element), lanes)
            after += [w.fma(factor, ys[v], sums[r * vectors + v]) for v in range(vectors)]
        moved = [w.at(p, x_step) for p in pointers]
        turn.carried = [*moved, y if tabled else w.at(row_of_y, y_step), *after]
    sums = turn.carried[len(starts) + 1 :]
    _store(w, sums, out, out_step, masks, add, size)
    b.ret_void()
    return str(module)


def _expect(
    w: Writer, out: ir.Value, out_step: ir.Value, rows: int, width: int, k: ir.Value
) -> None:
    """Asks for the tile to be near when its sums are ready."""
    with w.when(w.b.icmp_signed(">=", k, i64(LONG))):
        row = out
        for _ in range(rows):
            for at in range(0, width, 64):
                w.prefetch(w.at(row, i64(at)))
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
