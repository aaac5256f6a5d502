"""Computed attributes: tensors of a module that are made of its parameters each time they are read.

Parametrizations, weight and spectral norm and pruning put one in the place of a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.errors import ArgumentError
from ..eager import Tensor, no_grad
from .parameter import Parameter

COMPUTED = "_computed"  # of a module that has any: name -> what makes the attribute of the module


def computed(module: Any) -> dict[str, Callable[[Any], Any]]:
    """What makes each computed attribute of a module."""
    found: dict[str, Callable[[Any], Any]] = module.__dict__.get(COMPUTED, {})
    return found


def compute(module: Any, name: str, how: Callable[[Any], Any]) -> None:
    """Has ``how(module)`` give the attribute from now on; the parameter or buffer of that name must be gone."""
    module.__dict__.setdefault(COMPUTED, {})[name] = how


def assign(module: Any, name: str, value: Any) -> None:
    """``module.name = value``: what makes the attribute takes it apart, if it can."""
    how = computed(module)[name]
    if not isinstance(value, Tensor) or not hasattr(how, "assign"):
        raise ArgumentError(
            f"{name!r} of {type(module).__name__} is made of other tensors each time it is read; "
            "write to those, or remove what makes it"
        )
    how.assign(module, value)


def take(module: Any, name: str, why: str) -> Tensor:
    """The parameter or buffer of that name, removed from the module."""
    for table in (module._parameters, module._buffers):
        if table.get(name) is not None:
            found: Tensor = table.pop(name)
            return found
    raise ArgumentError(f"{why}: {type(module).__name__} has no parameter or buffer {name!r}")


def settle(module: Any, name: str, value: Tensor | None, trained: bool) -> None:
    """Ends a computed attribute; a parameter (or a buffer) of that name holds `value` (or its last one)."""
    with no_grad():
        last = computed(module)[name](module).detach().clone() if value is None else value
    del computed(module)[name]
    if not computed(module):
        del module.__dict__[COMPUTED]
    if not trained:
        module.register_buffer(name, last)
    else:
        module.register_parameter(name, last if isinstance(last, Parameter) else Parameter(last))
