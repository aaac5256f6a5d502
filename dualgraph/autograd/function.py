"""PyTorch's ``autograd.function``: functions written by hand, and those whose gradient has no gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core.errors import AutogradError
from ..eager.custom import Function, FunctionContext
from ..eager.grad_modes import is_grad_enabled, no_grad
from ..eager.tensor import Tensor

FunctionCtx = FunctionContext


class _Once(Function):
    """A gradient on the tape of what it was made from, where it cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *cts: Any) -> Tensor:
        return gradient.clone()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *cts: Any) -> Any:
        raise AutogradError("a function marked once_differentiable was differentiated twice")


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for ``backward(ctx, *gradients)``: it runs off the tape, and what it gives cannot be differentiated.

    >>> import dualgraph as dg
    >>> from dualgraph.autograd.function import once_differentiable
    >>> class Double(dg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, ct):
    ...         return ct * 2
    >>> dg.grad(lambda x: Double.apply(x).sum())(dg.ones(3))
    tensor([2., 2., 2.])
    """

    @functools.wraps(fn)
    def backward(ctx: Any, *cts: Any) -> Any:
        with no_grad():
            given = fn(ctx, *cts)
        tracked = [c for c in cts if isinstance(c, Tensor) and c.requires_grad]
        if not (is_grad_enabled() and tracked):
            return given
        parts = given if isinstance(given, tuple) else (given,)
        parts = tuple(_Once.apply(p, *tracked) if isinstance(p, Tensor) else p for p in parts)
        return parts if isinstance(given, tuple) else parts[0]

    return backward


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
