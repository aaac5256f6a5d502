"""``torch.compiler``: what scripts switch there. Compiled functions give eager bits, so that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.context import state


def is_compiling() -> bool:
    """Whether a capture is running.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.is_compiling()
    False
    """
    return state.tracer is not None


def disable(fn: Any = None, recursive: bool = True, **_: Any) -> Callable[..., Any]:
    """`fn` as it is: within a capture it becomes a part of that, to the same bits.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.disable(len)([1, 2])
    2
    """
    return (lambda given: given) if fn is None else fn


def reset() -> None:
    """Programs belong to their functions and go with them: there is nothing to reset.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.reset()
    """


__all__ = ["disable", "is_compiling", "reset"]
