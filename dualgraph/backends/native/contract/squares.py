"""Squares: as many vectors as they have lanes, transposed in registers."""

from __future__ import annotations

from .. import ir
from ..emit.parts import I32
from .code import Writer, element_size, i64


def turned(b: ir.IRBuilder, square: list[ir.Value], size: int) -> list[ir.Value]:
    """The transpose of a square of elements of `size` bytes: inside quarters of 128 bits, which is cheap, then of
    the quarters."""
    n, part = len(square), 16 // size  # lanes, and those of 128 bits
    low, high = _spread(n, part)
    square = [
        x
        for i in range(0, n, part)
        for x in _rotated(b, square[i : i + part], n, low, high, halves=True)
    ]
    chunks = n // part
    even = [
        (2 * (l // part) % chunks + 2 * (l // part) // chunks * chunks) * part + l % part
        for l in range(n)
    ]
    odd = [l + part for l in even]
    columns = [_rotated(b, square[j::part], n, even, odd, halves=False) for j in range(part)]
    return [columns[c % part][c // part] for c in range(n)]


def _rotated(
    b: ir.IRBuilder,
    rows: list[ir.Value],
    lanes: int,
    first: list[int],
    second: list[int],
    halves: bool,
) -> list[ir.Value]:
    """Applies two shuffles to all pairs of rows, over and over, until rows have become columns."""
    half = len(rows) // 2
    masks = [ir.Constant(ir.VectorType(I32, lanes), m) for m in (first, second)]
    for _ in range(len(rows).bit_length() - 1):
        if halves:
            pairs = list(zip(rows[:half], rows[half:], strict=True))
            rows = [b.shuffle_vector(x, y, mask) for x, y in pairs for mask in masks]
        else:
            pairs = list(zip(rows[::2], rows[1::2], strict=True))
            rows = [b.shuffle_vector(x, y, mask) for mask in masks for x, y in pairs]
    return rows


def strips(
    w: Writer,
    places: list[ir.Value],
    kind: ir.VectorType,
    masks: list[ir.Value] | None = None,
    ahead: int = 0,
    other: float = 0.0,
) -> list[ir.Value]:
    """What lies at as many places as there are lanes, 128 bits at each: for each of its elements a vector of all
    places' elements.

    Half of the turning is done by reading: a part of a vector from each of several places. Elements outside of a
    place's mask are `other`. Without masks, what lies `ahead` bytes further is asked for.
    """
    part = 128 // 8 // element_size(kind.element)
    narrow = ir.VectorType(kind.element, part)
    beyond = ir.Constant(narrow, [ir.Constant(kind.element, other)] * part)

    def read(i: int) -> ir.Value:
        return w.load(places[i], narrow, None if masks is None else masks[i], beyond)

    if masks is None and ahead:
        for place in places:
            w.prefetch(w.at(place, i64(ahead)))
    square = [_joined(w.b, [read(i) for i in range(row, len(places), part)]) for row in range(part)]
    low, high = _spread(len(places), part)
    return _rotated(w.b, square, len(places), low, high, halves=True)


def _joined(b: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    """Vectors side by side as one."""
    while len(parts) > 1:
        lanes = 2 * parts[0].type.count
        mask = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
        parts = [b.shuffle_vector(x, y, mask) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _spread(lanes: int, part: int) -> tuple[list[int], list[int]]:
    """The shuffles of two vectors that bring together elements of both, inside each 128 bits."""
    low = [l // part * part + l % part // 2 + lanes * (l % 2) for l in range(lanes)]
    return low, [l + part // 2 for l in low]
