"""``torch.utils``: data and checkpoints."""

from dualgraph import data

from . import checkpoint

__all__ = ["checkpoint", "data"]
