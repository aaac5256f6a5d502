"""Artefacts: programs in a file - graph, weights, assumptions and test vectors - and as functions again.

The file is a safetensors container (`dualgraph.container`): data only, nothing in it is executed.
docs/artefacts.md describes it; dualgraph/reader.py runs it with NumPy alone.
"""

from .call import Artefact, Report
from .pack import pack
from .unpack import holds_program, unpack

__all__ = ["Artefact", "Report", "holds_program", "pack", "unpack"]
