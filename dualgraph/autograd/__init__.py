"""Differentiation by hand: ``backward``, ``grad``, user-defined functions, and checks of derivatives."""

import importlib
from typing import Any

from ..eager.autograd import backward
from ..eager.custom import Function, FunctionContext
from ..eager.grad_modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .gradients import grad

_HOMES = {  # what not every program needs, imported when first asked for
    "Variable": "names",
    "detect_anomaly": "names",
    "gradcheck": "check",
    "gradgradcheck": "check",
    "set_detect_anomaly": "names",
}
_PLACES = {  # modules, and those that PyTorch has here
    "forward_ad": ".forward_ad",
    "function": ".function",
    "functional": ".functional",
    "graph": ".graph",
    "grad_mode": "..eager.grad_modes",
    "profiler": "..profiler",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return importlib.import_module(_PLACES[name], __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Function",
    "FunctionContext",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
]
