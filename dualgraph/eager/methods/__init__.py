"""Methods of tensors, with PyTorch's names and meaning. Importing this attaches them all."""

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
    "writing",
]
