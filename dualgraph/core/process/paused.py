"""Paused: importing this pauses Python's garbage collector until `resume`, while the package is imported.

What imports make stays; collections in between would take a tenth of their time and find nothing.
"""

import gc
import importlib

importlib.import_module("numpy")  # what may be missing is asked for before anything is changed
_collects = gc.isenabled()
gc.disable()


def resume() -> None:
    """Lets the garbage collector run again, if it did before."""
    if _collects:
        gc.enable()
