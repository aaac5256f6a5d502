"""Outside: modules whose code is not followed, and whether it counts as a function of its arguments alone."""

from __future__ import annotations

import functools
import os
import sys
from types import ModuleType

ENGINE = "dualgraph"
OPEN_PARTS = ("dualgraph.amp", "dualgraph.nn", "dualgraph.optim", "dualgraph.transforms")
PURE_MODULES = frozenset(
    """__future__ _collections_abc _operator _thread abc bisect builtins cmath collections collections.abc
    contextlib copy dataclasses enum fractions functools heapq itertools math numbers operator re reprlib statistics
    string textwrap types typing""".split()
)

STDLIB = os.path.dirname(os.__file__) + os.sep


def is_library(file: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    return "site-packages" in file or "dist-packages" in file or file.startswith(STDLIB)


@functools.lru_cache(maxsize=1024)
def closed(module: str | None) -> bool:
    """Whether code of a module is known to read no state of the user's."""
    if not module:
        return True
    if module.startswith(OPEN_PARTS):
        return False
    top = module.partition(".")[0]
    return top in (ENGINE, "numpy", "builtins") or (
        top in sys.stdlib_module_names and top != "__main__"
    )


def home(cls: type) -> str:
    """The module that a class is of; none where the class answers with something else, as some written in C do."""
    named: object = cls.__module__
    return named if isinstance(named, str) else ""


def users(module: str) -> bool:
    """Whether a module is the user's."""
    return not (closed(module) or module.startswith(ENGINE))


def impure(module: str) -> bool:
    """Whether what a closed module does may change from call to call; of the standard library few are known not to."""
    top = module.partition(".")[0]
    return module.startswith("numpy.random") or (
        top in sys.stdlib_module_names and module not in PURE_MODULES
    )


def for_its_own_use(module: ModuleType, value: object) -> bool:
    """Whether a module of the engine holds a module from elsewhere, or a type hint, which user code does not reach
    for here."""
    if module.__name__.partition(".")[0] != ENGINE:
        return False
    foreign = isinstance(value, ModuleType) and value.__name__.partition(".")[0] != ENGINE
    return foreign or type(value).__module__ == "typing"
