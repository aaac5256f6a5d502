"""Distances between arrays: same bits, or how many numbers of their dtype lie between."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import DType, bfloat16, from_bfloat16


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays have one type and, element by element, the same bits (any NaN equals any NaN)."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fc" and a.size:
        same = a.view(f"V{a.itemsize}") == b.view(f"V{b.itemsize}")
        return bool(np.all(same | ((a != a) & (b != b))))
    return bool(np.array_equal(a, b))


def ulp_distance(a: Any, b: Any) -> float:
    """The largest distance between two arrays, in units in the last place of their dtype.

    0 for equal bits alone (any NaN equals any NaN), so 1 for 0.0 and -0.0; infinite where one is NaN or
    the types differ.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.size == 0 or same_bits(a, b):
        return 0.0
    if a.dtype.kind == "c":
        part = a.real.dtype
        return ulp_distance(np.ascontiguousarray(a).view(part), np.ascontiguousarray(b).view(part))
    if a.dtype.kind != "f":
        return max(float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)))), 1.0)
    if np.any((a != a) != (b != b)):
        return float("inf")
    x, y = (_ordered(np.where(v != v, v.dtype.type(0), v)) for v in (a, b))
    high, low = np.maximum(x, y), np.minimum(x, y)
    gaps = high.astype(np.uint64) - low.astype(np.uint64)  # never overflows
    return max(float(np.max(gaps)), 1.0)


def _ordered(x: Any) -> Any:
    """Floats as integers that are neighbours when the floats are."""
    bits = np.ascontiguousarray(x).view(f"i{x.itemsize}").astype(np.int64)
    return np.where(bits < 0, np.int64(-(2 ** (8 * x.itemsize - 1))) - bits, bits)


def ulp_of(a: Any, b: Any, dtype: DType) -> float:
    """`ulp_distance` of two arrays that store values of `dtype`."""
    if dtype is bfloat16 and a.shape == b.shape:
        same = np.array_equal(a, b)
        return 0.0 if same else ulp_distance(from_bfloat16(a), from_bfloat16(b)) / 65536
    return ulp_distance(a, b)
