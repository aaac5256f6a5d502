"""Merge: eager calls of composites on large arrays run as one kernel, and so do their gradients.

A composite is compiled for operands of given types (its `Form`) while calls go on op by op; from then on calls with
such operands run the program, and are one entry of the tape.

    calls       which calls have a form: begin here              forms (a composite compiled), running (programs)
    halves      a composite as a graph, and what it keeps        swept (what a capture would hold of its gradient)
    entry       a call on the tape, and its gradient
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..backends.native import api as native
from ..core.composite import Merge

LEAST = 1 << 14  # elements of the first operand (or that are computed) from which a form pays


def large(fn: Any, args: tuple[Any, ...]) -> bool:
    """Whether a call of a composite may pay a form."""
    data = getattr(args[0], "_data", None) if args else None
    if data is None or data.size >= LEAST:
        return data is not None
    work = Merge.works.get(fn)
    return work is not None and work(*args) >= LEAST


def serve(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first large call loads what serves them; see `calls.serve`."""
    if not large(fn, args):
        return NotImplemented
    calls = importlib.import_module(".calls", __package__)
    Merge.serve, Merge.retell = staticmethod(calls.serve), staticmethod(calls.retell)
    return Merge.serve(fn, args, kwargs)


def traced(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """See `calls.traced`."""
    return importlib.import_module(".calls", __package__).traced(fn, args, kwargs)


def register() -> None:
    """Lets composites ask; ``DUALGRAPH_MERGE=0`` does without."""
    if os.environ.get("DUALGRAPH_MERGE", "") != "0" and native.available():
        Merge.serve = staticmethod(serve)
        Merge.traced = staticmethod(traced)
