"""Spans: which tensors may share memory, by the address ranges of their arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .backend import backend_for
from .devices import CPU


def in_one_memory(tensors: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """The pairs of tensors that may share memory, by number."""
    spans = [
        (*np.lib.array_utils.byte_bounds(t._data), i)
        for i, t in enumerate(tensors)
        if t.device is CPU and t._data.size
    ]
    reaching: list[tuple[int, int]] = []  # those that may reach into the next one, with their ends
    for start, end, i in sorted(spans):
        reaching = [(e, j) for e, j in reaching if e > start]
        yield from ((j, i) for _, j in reaching)
        reaching.append((end, i))
    others = [(i, t) for i, t in enumerate(tensors) if t.device is not CPU]
    for (i, a), (j, b) in itertools.combinations(others, 2):
        if a.device is b.device and backend_for(a.device).xp.may_share_memory(a._data, b._data):
            yield i, j


def is_view(t: Any) -> bool:
    """Whether a tensor shares the memory of what it was made of: ``.data = `` may have given either another."""
    return t._parent is not None and t._parent[0]._cell is t._cell
