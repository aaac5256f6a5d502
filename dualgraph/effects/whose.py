"""Whose: whether code is the user's, or that of a library."""

from __future__ import annotations

import sys
import types
from types import FrameType
from typing import Any

from ..static.outside import home, is_library


def of_user(frame: FrameType) -> bool:
    """Whether code that runs is neither the package's nor of a library."""
    module, file = str(frame.f_globals.get("__name__")), frame.f_code.co_filename
    return not (
        f"{module}.".startswith("dualgraph.") or file.startswith("<frozen") or is_library(file)
    )


def module_of(called: Any) -> str:
    """The module that a function is of, or the class of an object."""
    if isinstance(called, types.ModuleType):
        return called.__name__
    if isinstance(called, types.BuiltinFunctionType):
        bound = called.__self__
        if bound is not None and not isinstance(bound, (types.ModuleType, type)):
            return home(type(bound))
    try:
        own = called.__module__
    except Exception:  # an object may answer to any name, and fail
        own = None
    return own if own and isinstance(own, str) else home(type(called))


def is_user_module(module: str) -> bool:
    """Whether a module, by its name, is neither the package's nor of a library."""
    return not is_library(getattr(sys.modules.get(module), "__file__", None) or "") and (
        module.partition(".")[0] not in ("dualgraph", *sys.builtin_module_names)
    )
