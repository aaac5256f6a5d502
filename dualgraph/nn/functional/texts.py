"""Texts: a function that calls an op under PyTorch's signature says what the op says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def says(op: Any) -> Callable[[F], F]:
    """Decorator: the text of the op, without its example, stands before the function's own; its `axis` is `dim`."""
    text = inspect.cleandoc(op.__doc__ or "").partition("\n>>>")[0].rstrip()

    def decorate(function: F) -> F:
        own = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = f"{text.replace('`axis`', '`dim`')}\n\n{own}"
        return function

    return decorate
