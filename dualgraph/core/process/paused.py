"""Paused: importing this holds up the search for cycles, until `resume`.

What the package's imports make stays; looking through it again and again took a tenth of their time.
"""

import gc
import importlib

importlib.import_module("numpy")  # what may be missing is asked for before anything is changed
_collects = gc.isenabled()
gc.disable()


def resume() -> None:
    """Searches again, if that was done before."""
    if _collects:
        gc.enable()
