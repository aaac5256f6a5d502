"""Quickening: when the native quick path of eager ops is installed.

A program that calls ops a few thousand times will go on; where native code is in use already, a thousand are
enough, and so are some large results, whose memory it recycles. ``DUALGRAPH_QUICK=0`` does without it,
``DUALGRAPH_QUICK=1`` has it from the start.
"""

from __future__ import annotations

import importlib
import os
import sys

from ..core.prim import Dispatch
from ..core.process.spared import spared
from ..core.process.workers import Job
from .native import api
from .native.aside import aside

MANY = 64  # large results after which it is loaded for its memory, which is recycled (fresh pages cost more than ops)
PATIENCE = 3  # times of being asked, before native code is loaded for this alone
_asked = _large = 0
_begun: Job[None] | None = None


def quicken() -> None:
    """Asked every thousand calls of ops: installs the quick path, in a thread of its own."""
    global _asked, _begun
    _asked += 1
    if not api.available():
        Dispatch.quicken = staticmethod(_enough)
    elif f"{__package__}.native.jit" in sys.modules or _asked >= PATIENCE:
        Dispatch.quicken = staticmethod(_enough)
        _begun = aside(install)


def enlarge() -> None:
    """Told of each large result: installs the quick path after some, as `quicken` does."""
    global _large, _begun
    _large += 1
    if _large >= MANY:
        Dispatch.large = staticmethod(_enough)
        if Dispatch.quicken is quicken and api.available():
            Dispatch.quicken = staticmethod(_enough)
            _begun = aside(install)


def hasten() -> None:
    """Has the quick path in place, as llvmlite is loaded and large results are made, unless that is not wanted."""
    if Dispatch.quicken is quicken:
        Dispatch.quicken = staticmethod(_enough)
        install()
    elif _begun is not None:
        _begun.result()


def install() -> None:
    """Installs the quick path where this interpreter allows it; where not, all stays as it is."""
    Dispatch.quicken = staticmethod(_enough)
    quick = importlib.import_module(".native.quick.install", __package__)
    with spared(quick.LayoutError):
        quick.install()


def _enough() -> None:
    pass


def register() -> None:
    """Makes dispatch ask from now on."""
    wish = os.environ.get("DUALGRAPH_QUICK", "")
    if wish != "0":
        Dispatch.quicken = staticmethod(quicken)
        Dispatch.large = staticmethod(enlarge)
    if wish == "1" and api.available():
        install()
