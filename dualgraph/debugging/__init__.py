"""Debugging: what a program computes, step by step, and where something went wrong.

Its modules:

    a look inside    replay, tap: places (what can be named), observed (an op that shows its operand)
    what is wrong    verify (all stages), bisect (which rewrite), nans (which op made the first NaN)
    for verify       values (of each node), checks (of passes), plans (schedule and memory)
"""

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
