"""Control flow as ops: conditions and loops that a graph keeps as one node each."""

from .cond import cond
from .loop import while_loop
from .scan import map, scan, scan_pure

__all__ = ["cond", "map", "scan", "scan_pure", "while_loop"]
