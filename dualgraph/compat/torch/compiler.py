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


def allow_in_graph(fn: Any) -> Any:
    """`fn`, or functions in a list, as they are: a capture takes all that it can follow, and says what it cannot.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.allow_in_graph(len)([1, 2])
    2
    """
    return fn


def is_dynamo_compiling() -> bool:
    """`is_compiling`.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.is_dynamo_compiling()
    False
    """
    return is_compiling()


def reset() -> None:
    """Programs belong to their functions and go with them: there is nothing to reset.

    >>> import dualgraph.compat.torch as torch
    >>> torch.compiler.reset()
    """


__all__ = ["allow_in_graph", "disable", "is_compiling", "is_dynamo_compiling", "reset"]
