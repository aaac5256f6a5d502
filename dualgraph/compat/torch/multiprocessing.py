"""``torch.multiprocessing``: Python's own, and `spawn`."""

import multiprocessing
from typing import Any

from ...distributed import spawn


def __getattr__(name: str) -> Any:
    return getattr(multiprocessing, name)


__all__ = ["spawn"]
