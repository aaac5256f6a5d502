"""Ground: memory that the programs of one graph at many sizes have in common.

Of these one runs at a time, as a rule; what lies there lasts as long as the run. So sixty sizes take the memory
of the largest, and a size that is new finds pages that are there already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MORE = 1.25  # times what is asked for is taken where sizes have grown


class Ground:
    """Memory for several purposes, which one run at a time may have.

    >>> ground = Ground()
    >>> ground.take(), ground.take(), ground.give(), ground.take()
    (True, False, None, True)
    """

    def __init__(self) -> None:
        self._free = [None]  # popped and pushed whole, which the interpreter makes atomic
        self._kept: dict[str, Any] = {}

    def take(self) -> bool:
        """Takes the memory for a run; False if another run has it."""
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def give(self) -> None:
        """Gives it back."""
        self._free.append(None)

    def memory(self, purpose: str, nbytes: int) -> Any:
        """At least so many bytes. What was given for less stays as it is with those who have it."""
        kept = self._kept.get(purpose)
        if kept is None or kept.size < nbytes:
            kept = self._kept[purpose] = np.empty(
                int(nbytes * (MORE if kept is not None else 1)), dtype=np.uint8
            )
        return kept
