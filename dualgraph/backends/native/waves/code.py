"""The code of waves, in the glue language; the module is read, never run.

A block of words: nests, shift, rows, height, parts, steps, first row, quantum; then for each nest its step, its
function, the row of its first turn, its rows, its turns a row, and where its arguments are, in bytes from the start.
"""

from __future__ import annotations

from ..glue.capi import call_void, i64, load_i64, load_ptr, ptr


def do_rows(block: ptr, nest: ptr, scratch: ptr, low: i64, high: i64) -> None:
    """Runs a nest for the rows from `low` up to `high` that it has."""
    first = load_i64(nest, 16)
    begin = low - first if low > first else 0
    end = high - first
    count = load_i64(nest, 24)
    if end > count:
        end = count
    if begin < end:
        turns = load_i64(nest, 32)
        call_void(
            load_ptr(nest, 8), block + load_i64(nest, 40), scratch, begin * turns, end * turns
        )


def cut(block: ptr, part: i64) -> i64:
    """The row at which a part begins."""
    rows = load_i64(block, 16)
    parts = load_i64(block, 32)
    first = load_i64(block, 48)
    quantum = load_i64(block, 56)
    if part >= parts:
        return rows
    return first + (rows - first) * part // parts // quantum * quantum


def one_part(block: ptr, scratch: ptr, part: i64) -> None:
    """What a part does alone, all steps in waves from its lowest row on."""
    nests = load_i64(block, 0)
    shift = load_i64(block, 8)
    height = load_i64(block, 24)
    last = part + 1 == load_i64(block, 32)
    low = cut(block, part)
    high = cut(block, part + 1)
    stop = high + (load_i64(block, 40) - 1) * shift if last else high
    front = low
    while front < stop:
        for i in range(nests):
            nest = block + (64 + 48 * i)
            back = load_i64(nest, 0) * shift
            begin = low + back if part else low
            end = high if last else high - back
            begin = front - back if front - back > begin else begin
            end = front + height - back if front + height - back < end else end
            do_rows(block, nest, scratch, begin, end)
        front = front + height


def wave_parts(block: ptr, scratch: ptr, begin: i64, end: i64) -> None:
    """The first kernel: each part by itself."""
    for part in range(begin, end):
        one_part(block, scratch, part)


def wave_between(block: ptr, scratch: ptr, begin: i64, end: i64) -> None:
    """The second kernel: what is missing around the borders between parts, step by step."""
    nests = load_i64(block, 0)
    shift = load_i64(block, 8)
    for i in range(begin, end):
        middle = cut(block, i + 1)
        for j in range(nests):
            nest = block + (64 + 48 * j)
            reach = load_i64(nest, 0) * shift
            do_rows(block, nest, scratch, middle - reach, middle + reach)
