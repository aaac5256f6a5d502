"""Squares: as many vectors as they have lanes, transposed in registers."""

from __future__ import annotations

from .. import ir
from ..llvm_parts import I32


def turned(b: ir.IRBuilder, square: list[ir.Value], size: int) -> list[ir.Value]:
    """The transpose of a square of elements of `size` bytes: inside quarters of 128 bits, which is cheap, then of
    the quarters."""
    n, part = len(square), 16 // size  # lanes, and those of 128 bits
    spread = [l // part * part + l % part // 2 + n * (l % 2) for l in range(n)]
    low, high = spread, [l + part // 2 for l in spread]
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
