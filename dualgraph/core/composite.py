"""Composites: plain functions that stay one named node in a captured graph, their ops as its body."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .context import state

F = TypeVar("F", bound=Callable[..., Any])


class Merge:
    """The seam to what runs an eager call of a composite as one kernel: a higher layer installs `serve` here.

    ``serve(fn, args, kwargs)`` gives the result of the call, or NotImplemented where its ops are to run one by one.
    """

    serve: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None


def composite(fn: F) -> F:
    """Decorator: captures keep the ops of each call together, as one node with a body.

    Backends may claim such a node with a kernel of their own, viewers may fold it, exporters
    recognise it by name. Eager calls on large arrays may run as one kernel, to the same bits.

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
            if Merge.serve is not None:
                made = Merge.serve(fn, args, kwargs)
                if made is not NotImplemented:
                    return made
            return fn(*args, **kwargs)
        with tracer.scope(fn.__name__):
            return fn(*args, **kwargs)

    return call  # type: ignore[return-value]
