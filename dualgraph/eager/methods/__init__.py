"""Methods of tensors, with PyTorch's names and meaning. Importing this attaches them all."""

from . import conversion, elementwise, history, products, reduction, selection, shape, writing

__all__ = ["conversion", "elementwise", "history", "products", "reduction", "selection", "shape", "writing"]
