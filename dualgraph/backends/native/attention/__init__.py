"""Native attention and its gradient: blocks of scores in the caches, products by the contraction kernels.

Queries go in blocks of 64, keys in blocks of 256 in order; each row keeps its largest score and its sum of
exponentials, and what it has so far is scaled when the largest score grows. What a block computes depends on
the place of its rows and keys alone: not on the batch, the number of threads, or the vectors of the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .. import api

CLAIMED = ("attention", "attention_grad")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@cache
def claimed(name: str, *dtypes: Any) -> Callable[..., Any] | None:
    """The kernel of `name` for operands of these NumPy dtypes, or None."""
    first, *rest = dtypes
    if not api.available() or first not in DTYPES or not set(rest) <= {first, np.dtype(bool)}:
        return None
    if not import_module("..contract.product", __name__).available():
        return None
    kernel: Callable[..., Any] = getattr(import_module(".calls", __name__), name)
    return kernel


def write(name: str, room: Any, out: Any, *operands: Any, causal: bool, scale: float) -> None:
    """Writes one of these ops into a native program: its results, then its operands."""
    calls = import_module(".calls", __name__)
    getattr(calls, f"write_{name}")(room, out, *operands, causal=causal, scale=scale)
