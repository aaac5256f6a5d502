"""Flags: what scripts set in ``torch.backends``. All are kept, and none changes a result."""

from __future__ import annotations

from typing import Any


class Flags:
    """Named switches that may be read and set.

    >>> dg.backends.cudnn.benchmark = True
    >>> dg.backends.cudnn.benchmark, dg.backends.cudnn.deterministic
    (True, True)
    """

    def __init__(self, available: bool, **values: Any) -> None:
        self._available = available
        vars(self).update(values)

    def is_available(self) -> bool:
        """Whether there is such a device or library.

        >>> dg.backends.mps.is_available()
        False
        """
        return self._available

    is_built = is_available


cudnn = Flags(False, enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
mps = Flags(False)
