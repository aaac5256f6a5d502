"""Turning: weights put in the order in which input gradients read them, once for all images and phases."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..addresses import address_of
from . import kernels
from .driver import FIELDS
from .layout import COST, KEPT, Lines
from .shape import KC
from .stages import Record, Stage
from .tables import Ints, table


@lru_cache(maxsize=KEPT)
def by_lines(dtype: Any, w: Ints, groups: int) -> Lines:
    """Swaps the channels (O, C) of each group of a weight, so that its rows are in order of k."""
    outs, channels, line = w[0] // groups, w[1], prod(w[2:]) * dtype.itemsize
    sources = np.arange(w[0] * w[1]).reshape(groups, outs, channels)
    goals = np.arange(w[0] * w[1]).reshape(groups, channels, outs).swapaxes(1, 2)
    # channels that are read together and written side by side
    blocks = [slice(c, c + 16) for c in range(0, channels, 16)]
    from_, to = (np.concatenate([x[..., b].ravel() for b in blocks]) for x in (sources, goals))
    return Lines(dtype, from_ * line, prod(w[2:]), to * line)


class ByTaps:
    """A weight (O, C, taps) as (O, taps, C): channels side by side, ready to be packed by copying.

    An output channel begins at a multiple of ``out`` bytes, a tap in it at one of ``tap``.
    """

    def __init__(self, dtype: Any, w: Ints) -> None:
        self.dtype, self.w = dtype, w
        self.shape = shape = kernels.shape_for(dtype.name)
        self.width = -(-w[1] // shape.lanes) * shape.lanes
        self.depth = -(-prod(w[2:]) // shape.lanes) * shape.lanes  # packing writes whole squares
        self.tap = self.width * shape.size
        self.out = self.depth * self.tap
        self.bytes = w[0] * self.out

    def stage(self, source: int, target: int) -> Stage:
        """The stage that turns, from slot to slot: each output channel is packed as one panel."""
        outs, channels, taps, size = *self.w[:2], prod(self.w[2:]), self.shape.size
        starts = table((outs, channels * taps * size))
        values = dict.fromkeys(FIELDS, 0) | {
            "x_row": taps * size,
            "x_row_bytes": taps * size,
            "x_k": size,
            "x_k_bytes": size,
            "x_pack": kernels.pack(self.shape, False),
            "x_slot": source,
            "x_whole": target,
            "x_matrix": self.out,
            "x_panels": 1,
            "x_panel": channels,
            "x_width": self.width,
            "x_stripe": KC,
            "m": channels,
            "k": taps,
            "size": size,
            "depth": self.depth,
        }
        values |= {f"{name}_batch": address_of(starts) for name in ("x", "y", "out")}
        kept = Record([values[name] for name in FIELDS], starts)
        return Stage(kernels.driver().pack_x, kept, outs, COST * prod(self.w))
