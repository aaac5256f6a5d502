"""Composites: plain functions that stay one named node in a captured graph, their ops as its body."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .context import state

F = TypeVar("F", bound=Callable[..., Any])


def composite(fn: F) -> F:
    """Decorator: captures keep the ops of each call together, as one node with a body.

    Backends may claim such a node with a kernel of their own, viewers may fold it, exporters
    recognise it by name. Eager runs are not changed by it.

    >>> @composite
    ... def double(x):
    ...     return x + x
    >>> double(2)
    4
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        tracer = state.tracer
        if tracer is None:
            return fn(*args, **kwargs)
        with tracer.scope(fn.__name__):
            return fn(*args, **kwargs)

    return call  # type: ignore[return-value]
