"""Code of the pooling kernels. Images lie one after the other; `rows` and `inside` are tables of offsets."""

from __future__ import annotations

from collections.abc import Callable

from .. import ir
from ..contract.code import Writer, i64
from ..emit.parts import I32, I64
from .kernels import LANES, SIZE, TYPES, kernel


@kernel(pointers=5, numbers=9, nested=True)
def max_code(w: Writer, code: str, step: int) -> None:
    """``(x, best, places, rows, inside, image_bytes, window, columns, step_bytes, row_count, begin, end,
    row_begin, row_end)`` for windows `step` elements apart in a row (0: any number)."""
    b = w.b
    x, best_at, place_at, rows, inside, image_bytes, window, columns, step_bytes = w.fn.args[:9]
    row_count, begin, end, row_begin, row_end = w.fn.args[9:]
    kind, places = ir.VectorType(TYPES[code], LANES), ir.VectorType(I32, LANES)
    with w.loop(end, begin) as image:
        base = w.at(x, b.mul(image.i, image_bytes))
        with w.loop(row_end, row_begin) as row:
            start = w.at(base, w.word(rows, row.i))
            line = b.mul(b.add(b.mul(image.i, row_count), row.i), columns)
            with w.loop(columns, step=LANES) as turn:
                here = w.at(start, b.mul(turn.i, step_bytes))
                load = _stepped(w, kind, step, step_bytes, b.sub(columns, turn.i), SIZE[code])
                first = [load(w.at(here, w.word(inside, i64(0)))), ir.Constant(places, [0] * LANES)]
                with w.loop(window, i64(1), carried=first) as k:
                    best, place = k.carried
                    value = load(w.at(here, w.word(inside, k.i)))
                    number = w.splat(b.trunc(k.i, I32), LANES)
                    # greater, or the first that is not a number: one comparison a choice, since LLVM puts masks
                    # together in bytes
                    better = b.fcmp_unordered(">", value, best)
                    known = b.fcmp_ordered("ord", best, best)
                    k.carried = [
                        b.select(better, b.select(known, new, old), old)
                        for new, old in ((value, best), (number, place))
                    ]
                best, place = k.carried
                index, left = b.add(line, turn.i), b.sub(columns, turn.i)
                w.store_first(best, w.at(best_at, w.scaled(index, SIZE[code])), left)
                wide = b.zext(place, ir.VectorType(I64, LANES))
                w.store_first(wide, w.at(place_at, w.scaled(index, 8)), left)


@kernel(pointers=4, numbers=9, nested=True)
def sum_code(w: Writer, code: str, step: int) -> None:
    """``(x, sums, rows, inside, image_bytes, window, columns, step_bytes, row_count, begin, end, row_begin,
    row_end)``, as `max_code`: elements of a window are added in row-major order."""
    b = w.b
    x, sums, rows, inside, image_bytes, window, columns, step_bytes, row_count = w.fn.args[:9]
    begin, end, row_begin, row_end = w.fn.args[9:]
    kind = ir.VectorType(TYPES[code], LANES)
    with w.loop(end, begin) as image:
        base = w.at(x, b.mul(image.i, image_bytes))
        with w.loop(row_end, row_begin) as row:
            start = w.at(base, w.word(rows, row.i))
            line = b.mul(b.add(b.mul(image.i, row_count), row.i), columns)
            with w.loop(columns, step=LANES) as turn:
                here = w.at(start, b.mul(turn.i, step_bytes))
                load = _stepped(w, kind, step, step_bytes, b.sub(columns, turn.i), SIZE[code])
                first = [load(w.at(here, w.word(inside, i64(0))))]
                with w.loop(window, i64(1), carried=first) as k:
                    value = load(w.at(here, w.word(inside, k.i)))
                    k.carried = [b.fadd(k.carried[0], value)]
                goal = w.at(sums, w.scaled(b.add(line, turn.i), SIZE[code]))
                w.store_first(k.carried[0], goal, b.sub(columns, turn.i))


def _stepped(
    w: Writer, kind: ir.VectorType, step: int, step_bytes: ir.Value, count: ir.Value, size: int
) -> Callable[[ir.Value], ir.Value]:
    """A function that loads `count` elements (a vector of them at most), each `step` after the other."""
    b = w.b
    if step == 1:
        own = w.first_lanes(count, LANES)
        return lambda pointer: w.load(pointer, kind, own)
    if step == 2:
        reach = b.sub(b.mul(count, i64(2)), i64(1))
        low, high = w.first_lanes(reach, LANES), w.first_lanes(b.sub(reach, i64(LANES)), LANES)
        even = ir.Constant(ir.VectorType(I32, LANES), [2 * i for i in range(LANES)])

        def load(pointer: ir.Value) -> ir.Value:
            upper = w.at(pointer, i64(LANES * size))
            return b.shuffle_vector(w.load(pointer, kind, low), w.load(upper, kind, high), even)

        return load
    own = w.first_lanes(count, LANES)
    iota = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    spread = b.mul(iota, w.splat(step_bytes, LANES))
    return lambda pointer: w.gather(pointer, spread, kind, own)


Body = Callable[[ir.Value, ir.Value], None]  # of a window's number and where it begins


def _zero(w: Writer, image: ir.Value, nbytes: ir.Value, code: str) -> None:
    """Fills an image with zeros."""
    b, kind = w.b, ir.VectorType(TYPES[code], LANES)
    count = b.sdiv(nbytes, i64(SIZE[code]))
    zero = ir.Constant(kind, [ir.Constant(TYPES[code], 0)] * LANES)
    whole = b.and_(count, i64(-LANES))
    with w.loop(whole, step=LANES) as turn:
        w.store(zero, w.at(image, w.scaled(turn.i, SIZE[code])))
    rest = w.at(image, w.scaled(whole, SIZE[code]))
    w.store(zero, rest, w.first_lanes(b.sub(count, whole), LANES))


def _each(w: Writer, image: ir.Value, base: ir.Value, body: Body, backwards: bool) -> None:
    """Runs the body for all windows of an image, the last first if `backwards`: then each element of the
    image meets its places in windows in row-major order."""
    b = w.b
    _, _, _, rows, _, _, _, columns, step_bytes, row_count, *_ = w.fn.args

    def turned(i: ir.Value, count: ir.Value) -> ir.Value:
        return b.sub(b.sub(count, i64(1)), i) if backwards else i

    with w.loop(row_count) as turn:
        row = turned(turn.i, row_count)
        start = w.at(base, w.word(rows, row))
        line = b.mul(b.add(b.mul(image, row_count), row), columns)
        with w.loop(columns) as each:
            column = turned(each.i, columns)
            body(b.add(line, column), w.at(start, b.mul(column, step_bytes)))


def _add(w: Writer, pointer: ir.Value, x: ir.Value, code: str) -> None:
    b = w.b
    old = b.load(pointer, align=SIZE[code], typ=TYPES[code])
    new = b.fadd(old, x) if code in "fd" else b.add(old, x)
    b.store(new, pointer, align=SIZE[code])


def _scalar(w: Writer, pointer: ir.Value, i: ir.Value, code: str) -> ir.Value:
    place = w.at(pointer, w.scaled(i, SIZE[code]))
    return w.b.load(place, align=SIZE[code], typ=TYPES[code])


def _images(w: Writer, own: ir.Value, code: str, body: Body, adds: bool) -> None:
    """Runs the body for all windows of all images; `own` has the images. One that `adds` begins with zeros
    and takes the windows backwards."""
    image_bytes, begin, end = w.fn.args[5], *w.fn.args[10:]
    with w.loop(end, begin) as image:
        base = w.at(own, w.b.mul(image.i, image_bytes))
        if adds:
            _zero(w, base, image_bytes, code)
        _each(w, image.i, base, body, backwards=adds)


@kernel(pointers=5, numbers=7)
def put_code(w: Writer, code: str) -> None:
    """``(ct, at, out, rows, inside, image_bytes, window, columns, step_bytes, row_count, begin, end)``."""
    ct, at, out, _, inside, _, window = w.fn.args[:7]

    def body(number: ir.Value, start: ir.Value) -> None:
        place = w.word(at, number)
        with w.when(w.b.icmp_unsigned("<", place, window)):
            _add(w, w.at(start, w.word(inside, place)), _scalar(w, ct, number, code), code)

    _images(w, out, code, body, adds=True)


@kernel(pointers=5, numbers=7)
def fold_code(w: Writer, code: str) -> None:
    """As `put_code`, with all elements of windows in place of ct (`at` is not looked at)."""
    x, _, out, _, inside, _, window = w.fn.args[:7]

    def body(number: ir.Value, start: ir.Value) -> None:
        first = w.b.mul(number, window)
        with w.loop(window) as k:
            value = _scalar(w, x, w.b.add(first, k.i), code)
            _add(w, w.at(start, w.word(inside, k.i)), value, code)

    _images(w, out, code, body, adds=True)


@kernel(pointers=5, numbers=7)
def spread_code(w: Writer, code: str) -> None:
    """As `put_code`, but each element of ct goes to all places of its window (`at` is not looked at)."""
    ct, _, out, _, inside, _, window = w.fn.args[:7]

    def body(number: ir.Value, start: ir.Value) -> None:
        value = _scalar(w, ct, number, code)
        with w.loop(window) as k:
            _add(w, w.at(start, w.word(inside, k.i)), value, code)

    _images(w, out, code, body, adds=True)


@kernel(pointers=5, numbers=7)
def pick_code(w: Writer, code: str) -> None:
    """``(x, at, out, rows, inside, image_bytes, window, columns, step_bytes, row_count, begin, end)``."""
    b = w.b
    x, at, out, _, inside, _, window = w.fn.args[:7]

    def body(number: ir.Value, start: ir.Value) -> None:
        place = w.word(at, number)
        there = b.icmp_unsigned("<", place, window)
        offset = w.word(inside, b.select(there, place, i64(0)))
        value = b.load(w.at(start, offset), align=SIZE[code], typ=TYPES[code])
        value = b.select(there, value, ir.Constant(TYPES[code], 0))
        b.store(value, w.at(out, w.scaled(number, SIZE[code])), align=SIZE[code])

    _images(w, x, code, body, adds=False)
