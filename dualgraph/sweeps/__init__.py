"""Sweeps: tapes that come again, as those of a training loop do, have their gradients by one compiled program.

calls       which calls of ``backward`` have a program: begin here
template    what a tape looks like but for its values, and whether another is like it
program     the sweep over a tape of a template, compiled
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..backends.native import api as native
from ..core.sweep import Whole

PATIENCE = 16  # sweeps of a process, before what serves them is loaded
_left = PATIENCE


def serve(*call: Any) -> bool:
    """After some sweeps, loads what serves them; see `calls.serve`."""
    global _left
    _left -= 1
    if _left <= 0:
        Whole.serve = staticmethod(importlib.import_module(".calls", __package__).serve)
    return False


def register() -> None:
    """Lets sweeps ask; ``DUALGRAPH_MERGE=0`` does without."""
    if os.environ.get("DUALGRAPH_MERGE", "") != "0" and native.available():
        Whole.serve = staticmethod(serve)
