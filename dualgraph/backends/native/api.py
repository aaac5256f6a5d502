"""The door to native code: `available` says whether there is any, `entry` has the rest.

`entry` and all behind it (llvmlite, the loop IR, the emitters) are loaded when a name of it is first
asked for, so that importing the package does not pay for what no program may need.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .entry import (  # noqa: F401
        Operands,
        Segment,
        Unsupported,
        all_native,
        begin,
        can_finish,
        can_lower,
        compile_group,
        elementwise,
        fold,
        fold_shared,
        has_fold,
        has_kernel,
        instructions,
        is_lawful,
        keep,
        make_all,
        may_overwrite,
        name_of,
        native_steps,
        read,
        remember,
        remembered,
        supports,
        versions,
        weight,
    )


@cache
def available() -> bool:
    """Whether native code can be made: llvmlite is there and ``DUALGRAPH_NATIVE`` is not 0."""
    return (
        os.environ.get("DUALGRAPH_NATIVE", "1") != "0"
        and importlib.util.find_spec("llvmlite") is not None
    )


def __getattr__(name: str) -> Any:
    """A name of `entry`, which becomes one of this module; ask `available` first."""
    if name.startswith("__"):
        raise AttributeError(name)
    found = globals()[name] = getattr(importlib.import_module(".entry", __package__), name)
    return found
