"""Interrupts: Ctrl-C comes between calls that change state, not in the middle of one.

Python runs the handler of a signal between any two of its instructions. While a compiled program writes
parameters, that would leave some of them changed and others not. So the interrupt waits for the end of the
call; a second one, in a call that takes long, does not.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

# The functions of `signal` without its enums, which take 6 to 40 us for handlers that are in none of them.
_signals: Any = sys.modules.get("_signal", signal)
_main = threading.main_thread().ident


class Unbroken:
    """``with Unbroken(): ...``: KeyboardInterrupt is raised at the end of the block, or at the second Ctrl-C.

    Only where Ctrl-C has its usual meaning, and in the main thread, which alone can be interrupted.
    """

    __slots__ = ("_came", "_held")

    def __enter__(self) -> Unbroken:
        self._held = self._came = False
        usual = signal.default_int_handler
        if threading.get_ident() == _main and _signals.getsignal(signal.SIGINT) is usual:
            self._held = True
            _signals.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True

    def __exit__(self, *error: object) -> None:
        if self._held:
            _signals.signal(signal.SIGINT, signal.default_int_handler)
            if self._came:
                raise KeyboardInterrupt
