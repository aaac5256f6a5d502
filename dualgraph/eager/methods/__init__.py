"""Methods of tensors, with PyTorch's names and meaning. Importing this attaches them all.

Its modules:

    elementwise   ops under PyTorch's names          special (functions), writing (names that end in ``_``)
    conversion    dtype and device                   history (backward, hooks, detach)
    shape         other axes                         parts (slices, windows), replaced (parts with other values),
                  strided (views by steps through memory)
    selection     by index tensors and masks         ordering (sort, topk, median)
    reduction     sums, extremes, deviations         spread (quantiles, distances), products (of matrices)
    further       made of the others
"""

from . import (
    conversion,
    elementwise,
    further,
    history,
    ordering,
    parts,
    products,
    reduction,
    replaced,
    selection,
    shape,
    special,
    spread,
    strided,
    writing,
)

__all__ = [
    "conversion",
    "elementwise",
    "further",
    "history",
    "ordering",
    "parts",
    "products",
    "reduction",
    "replaced",
    "selection",
    "shape",
    "special",
    "spread",
    "strided",
    "writing",
]
