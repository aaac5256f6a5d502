"""Whose: whether code is the user's, or that of a library."""

from __future__ import annotations

import os
from types import FrameType

LIBRARY = os.path.dirname(os.__file__)


def of_user(frame: FrameType) -> bool:
    """Whether code that runs is neither the package's nor of a library."""
    module, file = str(frame.f_globals.get("__name__")), frame.f_code.co_filename
    return not (
        f"{module}.".startswith("dualgraph.") or file.startswith("<frozen") or is_library(file)
    )


def is_library(file: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    return "site-packages" in file or "dist-packages" in file or file.startswith(LIBRARY)
