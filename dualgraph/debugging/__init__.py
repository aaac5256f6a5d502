"""Debugging: what a program computes, step by step, and where something went wrong."""

from .bisect import Culprit, bisect
from .checks import Divergence
from .nans import debug_nans
from .places import tap_point
from .replay import Replay
from .tap import Tap
from .verify import Verification, verify

__all__ = [
    "Culprit",
    "Divergence",
    "Replay",
    "Tap",
    "Verification",
    "bisect",
    "debug_nans",
    "tap_point",
    "verify",
]
