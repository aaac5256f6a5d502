"""Native movers: ops that copy, pick, place or add up elements, with the bits of the ops' NumPy kernels.

They compare, move and add in the same order as those, so either may be used for any array. They differ in
speed: vectors, threads for large arrays, tiles for transposes, results straight in memory that is given.

Its modules:

    kernels     functions compiled when first needed             moving (copies, joins, padding), strided (their code)
    indexing    elements at listed places                        indexing_code; listing (places of what is true)
    pooling     the largest of each window; windows added        pooling_code
    ordering    sorting                                          searching (argmax), bisecting (in sorted sequences)
    scanning    running sums, products, extremes, recurrences    philox (random words)
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

CLAIMED = {  # op: the module whose function of the same name is its kernel
    "max_pool": "pooling",
    "pool_put": "pooling",
    "window_sum": "pooling",
    "window_spread": "pooling",
    "pool_pick": "pooling",
    "fold_windows": "pooling",
    "take_along": "indexing",
    "scatter_along": "indexing",
    "index": "indexing",
    "index_put": "indexing",
    "copy": "moving",
    "reshape": "moving",
    "concat_along": "moving",
    "pad": "moving",
    "unslice": "moving",
    "slice_update": "moving",
    "windows": "moving",
    "full": "moving",
    "cumsum_along": "scanning",
    "cumprod_along": "scanning",
    "recurrence_along": "scanning",
    "running_best": "scanning",
    "reduce_argmax": "searching",
    "reduce_argmin": "searching",
    "search_sorted": "bisecting",
    "nonzero_places": "listing",
    "sort_along": "ordering",
    "random_bits": "philox",
    "advance": "philox",
}

IN_PLACE = ("slice_update", "scatter_along", "index_put")  # the result may lie where operand 0 does


def claimed(name: str, *dtypes: Any) -> Callable[..., Any]:
    """The kernel of an op; it declines arrays that it has no code for."""
    kernel: Callable[..., Any] = getattr(import_module(f".{CLAIMED[name]}", __name__), name)
    return kernel
