"""``torch.utils``: data, checkpoints, and curves for TensorBoard."""

from dualgraph import data
from dualgraph import summaries as tensorboard

from .. import checkpoint

__all__ = ["checkpoint", "data", "tensorboard"]
