"""Weight gradients with a group in each lane: which convolutions they suit, and what the kernel is told."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .lanewise_code import FIELDS, IMAGE
from .stages import Stage, record
from .tables import Ints, Pairs, contiguous_strides, table

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
    images: dict[str, int] = {}
    kept: list[Any] = []
    scratch = 2 * taps * pixel

    def keep(entries: Any) -> int:
        kept.append(entries)
        return address_of(entries)

    none = ((0, 0),) * len(kernel)
    for name, a, pads in (("x", x, padding), ("ct", ct, none)):
        lines, count, width = _lines(a, pads), a.shape[-1], a.shape[-1] + sum(pads[-1])
        if pads == none and a.strides[2:] == contiguous_strides(a.shape[2:], shape.size):
            lines, count, width = lines[:1], prod(a.shape[2:]), prod(a.shape[2:])
        values = (keep(lines), len(lines), pads[-1][0], count, width, a.strides[-1])
        own = channels if name == "x" else outs
        steps = (own * a.strides[1], a.strides[0], a.strides[1], scratch)
        fields = zip(IMAGE, (*values, *steps), strict=True)
        images |= {f"{name}_{field}": v for field, v in fields}
        scratch += (len(lines) * width + shape.lanes) * pixel
    pitches = [pixel * prod(padded[i + 1 :]) for i in range(len(padded))]
    rows = table(*((c, s * p) for c, s, p in zip(counts, stride, pitches, strict=True)))
    offsets = table(*((k, d * p) for k, d, p in zip(kernel, dilation, pitches, strict=True)))
    fields = {
        **images,
        **dict(zip(("x_slot", "ct_slot", "out_slot"), slots, strict=True)),
        "pack": kernels.pack(shape, False),
        "samples": x.shape[0],
        "groups": groups,
        "outs": outs,
        "channels": channels,
        "rows": prod(counts[:-1]),
        "columns": counts[-1],
        "row_table": keep(rows[:: counts[-1]].copy()),
        "tap_table": keep(offsets[:: kernel[-1]].copy()),
        "column": stride[-1] * pixel,
        "lane_bytes": outs * channels * taps * shape.size,
    }
    values = record([fields[name] for name in FIELDS], kept)
    units = -(-groups // shape.lanes) * outs * channels
    work = 2 * prod(ct.shape) * channels * taps
    function = kernels.lanewise(shape, prod(kernel[:-1]), kernel[-1], dilation[-1])
    return Stage(function, values, units, work, scratch)


def _lines(x: Any, pads: Pairs) -> Any:
    """Where the lines of an image come from; NOWHERE for those around it."""
    out = np.zeros(1, dtype=np.int64)
    for d, step, (before, after) in zip(x.shape[2:-1], x.strides[2:-1], pads[:-1], strict=True):
        entries = np.full(d + before + after, NOWHERE, dtype=np.int64)
        entries[before : before + d] = np.arange(d) * step
        out = np.maximum(out[:, None] + entries, NOWHERE).reshape(-1)
    out[out < NOWHERE // 2] = NOWHERE
    return out
