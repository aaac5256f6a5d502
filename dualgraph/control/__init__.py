"""Control flow as ops: conditions and loops that a graph keeps as one node each.

Its modules:

    functions   cond, scan, loop (`while_loop`), counted (`fori_loop` and `switch`, made of the others)
    bodies      body (a Python function, run once, as a graph)   written (bodies kept for the next call)
    derived     derive (graphs from graphs, nothing is run)      batches (for `vmap`), partition (for gradients)
    of scans    scan_rules (gradient, batch)                     saved (what steps keep), products (one over all steps)
    reach       where gradients could flow           surroundings (Python state that bodies change)
"""

from .cond import cond
from .counted import fori_loop, switch
from .loop import while_loop
from .scan import map, scan, scan_pure

__all__ = ["cond", "fori_loop", "map", "scan", "scan_pure", "switch", "while_loop"]
