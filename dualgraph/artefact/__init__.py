"""Artefacts: programs in a file - graph, weights, assumptions and test vectors - and as functions again.

The file is a safetensors container (`dualgraph.container`): data only, nothing in it is executed.
docs/artefacts.md describes it; dualgraph/reader.py runs it with NumPy alone. The modules:

    to a file      pack: signature (which arguments it takes), forms (structures and values as text), sizes (symbolic),
                   numbers (those that may change), moves (places in Python state that calls give something else)
    for NumPy      portable (graphs as calls), portable_ops (op by op), portable_loops (what takes a loop),
                   expanded (ops by their bodies)
    from a file    unpack: bounds (what is checked before anything runs); call (programs as a function)
"""

from .call import Artefact, Report
from .pack import pack
from .unpack import holds_program, unpack

__all__ = ["Artefact", "Report", "holds_program", "pack", "unpack"]
