"""``torch.jit``: scripts and traces are compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import dualgraph as dg

from .files import load, save

F = TypeVar("F")


def script(obj: Any = None, **_: Any) -> Callable[..., Any]:
    """`dualgraph.compile`: branches and loops on values are followed, so that nothing is translated.

    >>> import dualgraph.compat.torch as torch
    >>> @torch.jit.script
    ... def clipped(x):
    ...     return x.clamp(max=1) if x.sum() > 1 else x
    >>> clipped(torch.ones(2) * 2)
    tensor([1., 1.])
    """
    return script if obj is None else dg.compile(obj)  # type: ignore[no-any-return]


def trace(func: Any, example_inputs: Any = None, **_: Any) -> Callable[..., Any]:
    """`dualgraph.compile`; it goes by the arguments of each call, so that the example is not needed."""
    return dg.compile(func)  # type: ignore[no-any-return]


def ignore(fn: F, **_: Any) -> F:
    """The function itself: nothing is translated."""
    return fn


def is_scripting() -> bool:
    """Whether code is being translated: never."""
    return False


is_tracing = is_scripting
unused = export = ignore

__all__ = [
    "export",
    "ignore",
    "is_scripting",
    "is_tracing",
    "load",
    "save",
    "script",
    "trace",
    "unused",
]
