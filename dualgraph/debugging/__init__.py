"""Debugging: what a program computes, step by step, and where something went wrong."""

from .checks import Divergence
from .nans import debug_nans
from .places import tap_point
from .replay import Replay
from .tap import Tap
from .verify import Verification, verify

__all__ = ["Divergence", "Replay", "Tap", "Verification", "debug_nans", "tap_point", "verify"]
