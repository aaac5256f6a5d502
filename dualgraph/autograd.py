"""Differentiation by hand: ``backward``, ``grad`` and user-defined functions."""

from .eager.autograd import backward, grad
from .eager.custom import Function, FunctionContext
from .eager.grad_modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
