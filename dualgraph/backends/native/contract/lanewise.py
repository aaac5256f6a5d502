"""Weight gradients with a group in each lane: which convolutions they suit, and what the kernel is told."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ....core.types import contiguous_strides
from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .lanewise_code import FIELDS, IMAGE
from .shape import Geometry
from .stages import Record, Stage
from .tables import Ints, Pairs, table

TAPS = 64  # of a channel, up to which code is written for each
CHANNELS = 4  # pairs of channels of a group; each pair has its images laid out anew


def suits(x: Any, ct: Any, kernel: Ints, groups: int) -> bool:
    """Whether a weight gradient is rather computed this way."""
    pairs = x.shape[1] // groups * (ct.shape[1] // groups)
    return groups >= 4 and pairs <= CHANNELS and prod(kernel) <= TAPS


def lanewise(
    x: Any,
    ct: Any,
    kernel: Ints,
    stride: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
    slots: tuple[int, int, int] = (0, 1, 2),
) -> Stage:
    """The stage that computes a weight gradient; its `slots` are x, ct and out."""
    shape = kernels.shape_for(x.dtype.name)
    pixel, counts = shape.lanes * shape.size, ct.shape[2:]
    channels, outs = x.shape[1] // groups, ct.shape[1] // groups
    padded = [d + a + b for d, (a, b) in zip(x.shape[2:], padding, strict=True)]
    taps = prod(kernel)
    no_pads = ((0, 0),) * len(kernel)
    x_lines, x_fields, x_end = _image("x", x, padding, channels, shape, 2 * taps * pixel)
    ct_lines, ct_fields, scratch = _image("ct", ct, no_pads, outs, shape, x_end)
    pitches = contiguous_strides(tuple(padded), pixel)
    rows = table(*((c, s * p) for c, s, p in zip(counts, stride, pitches, strict=True)))
    offsets = table(*((k, d * p) for k, d, p in zip(kernel, dilation, pitches, strict=True)))
    row_table, tap_table = rows[:: counts[-1]].copy(), offsets[:: kernel[-1]].copy()
    fields = {
        **x_fields,
        **ct_fields,
        **dict(zip(("x_slot", "ct_slot", "out_slot"), slots, strict=True)),
        "pack": kernels.pack(shape, False),
        "samples": x.shape[0],
        "groups": groups,
        "outs": outs,
        "channels": channels,
        "rows": prod(counts[:-1]),
        "columns": counts[-1],
        "row_table": address_of(row_table),
        "tap_table": address_of(tap_table),
        "column": stride[-1] * pixel,
        "lane_bytes": outs * channels * taps * shape.size,
    }
    kept = x_lines, ct_lines, row_table, tap_table
    values = Record([fields[name] for name in FIELDS], kept)
    units = -(-groups // shape.lanes) * outs * channels
    work = 2 * prod(ct.shape) * channels * taps
    function = kernels.lanewise(shape, prod(kernel[:-1]), kernel[-1], dilation[-1])
    return Stage(function, values, units, work, scratch)


def _image(
    name: str, x: Any, pads: Pairs, channels: int, shape: Geometry, at: int
) -> tuple[Any, dict[str, int], int]:
    """How an image of so many channels a group is laid out in scratch memory, from `at` on: the table of its lines,
    the fields of the record, and where what comes behind it begins."""
    lines, count, width = _extent(x, pads)
    values = (address_of(lines), len(lines), pads[-1][0], count, width, x.strides[-1])
    steps = (channels * x.strides[1], x.strides[0], x.strides[1], at)
    fields = zip(IMAGE, (*values, *steps), strict=True)
    end = at + (len(lines) * width + shape.lanes) * shape.lanes * shape.size
    return lines, {f"{name}_{field}": v for field, v in fields}, end


def _extent(x: Any, pads: Pairs) -> tuple[Any, int, int]:
    """Where its lines come from, how many elements are read of each, and how many there are with the zeros around."""
    if not any(map(any, pads)) and x.strides[2:] == contiguous_strides(x.shape[2:], x.itemsize):
        return np.zeros(1, dtype=np.int64), prod(x.shape[2:]), prod(x.shape[2:])
    return _lines(x, pads), x.shape[-1], x.shape[-1] + sum(pads[-1])


def _lines(x: Any, pads: Pairs) -> Any:
    """Where the lines of an image come from; NOWHERE for those around it."""
    out = np.zeros(1, dtype=np.int64)
    for d, step, (before, after) in zip(x.shape[2:-1], x.strides[2:-1], pads[:-1], strict=True):
        entries = np.full(d + before + after, NOWHERE, dtype=np.int64)
        entries[before : before + d] = np.arange(d) * step
        out = np.maximum(out[:, None] + entries, NOWHERE).reshape(-1)
    out[out < NOWHERE // 2] = NOWHERE
    return out
