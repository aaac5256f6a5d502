"""Control flow as ops: conditions and loops that a graph keeps as one node each."""

from .cond import cond
from .counted import fori_loop, switch
from .loop import while_loop
from .scan import map, scan, scan_pure

__all__ = ["cond", "fori_loop", "map", "scan", "scan_pure", "switch", "while_loop"]
