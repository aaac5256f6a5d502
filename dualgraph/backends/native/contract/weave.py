"""Weaves: results for even and for odd places of a line are brought there together.

An input gradient with stride 2 is a product for each; written one by one, each would touch all of the memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..addresses import address_of
from . import kernels
from .copy import NOWHERE
from .layout import COST
from .stages import Record, Stage


class Threads(NamedTuple):
    """Lines that lie in a slot: where each begins, and how many elements it has."""

    slot: int
    table: Any
    count: int


def nowhere(slot: int, lines: int, count: int) -> Threads:
    """Lines of zeros; the slot is any."""
    return Threads(slot, np.full(lines, NOWHERE, dtype=np.int64), count)


def weaving(dtype: Any, even: Threads, odd: Threads, target: int, places: Any) -> Stage:
    """The stage that weaves lines, which begin at `places` of the slot `target`."""
    values = [target, address_of(places)]
    for threads in (even, odd):
        values += [threads.slot, address_of(threads.table), threads.count]
    kept = Record(values, (even, odd, places))
    lines = len(places)
    work = COST * lines * (even.count + odd.count)
    return Stage(kernels.weave(kernels.shape_for(dtype.name)), kept, lines, work)
