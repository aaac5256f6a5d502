"""Searching: places of values in sorted sequences."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.errors import ShapeError
from ..core.kinds import opaque
from ..core.types import TensorType


def _samples(rng: Any) -> list[Any]:
    edges = np.sort(rng.standard_normal(6))
    rows = np.sort(rng.standard_normal((2, 6)), axis=1)
    return [
        ((edges, rng.standard_normal((2, 3))), {"side": "left"}),
        ((rows, rng.standard_normal((2, 3))), {"side": "right"}),
    ]


@opaque(name="search_sorted", samples=_samples)
def search_sorted(xp, edges, values, side):
    """For each value the place among ascending `edges` (rows of them, or one for all values) that keeps the order."""
    if edges.ndim == 1:
        return xp.asarray(xp.searchsorted(edges, values, side=side)).astype("int64")
    count = prod(edges.shape[:-1])
    rows, wanted = (
        edges.reshape((count, edges.shape[-1])),
        values.reshape((count, values.shape[-1])),
    )
    found = [xp.searchsorted(row, v, side=side) for row, v in zip(rows, wanted, strict=True)]
    return (
        xp.stack(found).reshape(values.shape).astype("int64")
        if found
        else xp.zeros(values.shape, "int64")
    )


@search_sorted.type
def _(edges, values, side):
    if edges.ndim == 0 or (edges.ndim > 1 and edges.shape[:-1] != values.shape[:-1]):
        raise ShapeError(
            f"edges {edges.shape} need one axis, or the leading axes of values {values.shape}"
        )
    return TensorType(dt.int64, values.shape, values.device)


@search_sorted.vjp
def _(ct, _out, _edges, _values, side):
    return None, None


@search_sorted.batch
def _(lift, args, batched, side):
    if not batched[0] and args[0].ndim == 1:
        return search_sorted(args[0], args[1], side=side)
    return lift.loop(search_sorted, args, batched, {"side": side})
